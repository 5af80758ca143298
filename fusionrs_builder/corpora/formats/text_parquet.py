"""A Parquet of texts, joined to a store of images in another format by an id (BigEarthNet.txt).

patch_id,split,type,output   S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_32_64,train,caption,"A forest ..."

`image_store` is the format of the images; the last part of an image's key is its id. `columns` says which column is
which: id, caption, split, and where (see `tables.py`). Where a table tells kinds of text apart, where=type:VALUE must
say which are captions, for the others are questions and answers. Text without an image is refused, once an id; an image
without text becomes a record without captions.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fusionrs_builder.corpora import formats, tables
from fusionrs_builder.corpora.captions import checked, distinct, files_like, refuse_tiles, strictest
from fusionrs_builder.corpora.reader import Item, Reader, Refused, Sample, split_name
from fusionrs_builder.corpora.spool import Spool
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.settings import CorpusSettings

ID_COLUMNS = ("patch_id", "image_id", "image", "filename", "id")

KIND_COLUMNS = ("type", "task", "category")
"""Columns that tell captions from other texts."""

SHOWN_KINDS = 12
"""Kinds named in an error."""

BATCH = 8192
"""Rows read at once."""


class TextParquet(Reader):
    """The images of another reader, with the texts of their ids."""

    def __init__(self, root: Path, settings: CorpusSettings) -> None:
        super().__init__(root, settings)
        refuse_tiles(settings)
        self.meant = tables.Where(settings.columns.get("where", ""))
        if not settings.image_store:
            raise UsageError("image_store: in what format are the images? E.g. image_store = bands, with its `bands`")
        if settings.image_store == settings.format:
            raise UsageError(f"image_store: {settings.image_store} holds texts; name the format of the images")
        self.store = formats.reader(root, settings.model_copy(update={"format": settings.image_store}), "image_store")

    def roots(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys((self.root, *self.store.roots())))

    def items(self) -> Iterator[Item]:
        with Spool() as texts, Spool() as used:
            for file in self._files():
                self._read_texts(file, texts)
            for item in self.store.items():
                name = item.key.rpartition("/")[2]
                used.add(name, 1)
                yield item if item.fault else self._joined(item, texts.get(name))
            before = None
            for name, (file, _, _) in texts.sorted():
                if name != before and not used.get(name):
                    yield Item(f"{file}#{name}", (), (file,), fault=("missing_image", f"{file}: no image {name}"))
                before = name

    def _joined(self, item: Item, texts: list[tuple[str, str | None, str]]) -> Item:
        """An image with what is said of it."""
        try:
            captions = distinct(caption for _, text, _ in texts for caption in checked(text))
        except Refused as refused:
            return replace(item, fault=(refused.reason, f"{texts[0][0]}, {item.key}: {refused.message}"))
        split = strictest(split for _, _, split in texts) or item.split
        return replace(item, split=split, data=json.dumps({"captions": captions, "store": item.data}))

    def _read_texts(self, file: str, texts: Spool) -> None:
        """Keep the texts of a file by id.

        Raises:
            UsageError: which rows are captions is not said, or none is.
            FusionError: it cannot be read.
        """
        columns, kept = self.settings.columns, 0
        try:
            with pq.ParquetFile(self.root / file) as table:
                names = table.schema_arrow.names
                key = tables.column(columns.get("id"), names, ID_COLUMNS, "id", file)
                caption = tables.column(columns.get("caption"), names, tables.CAPTION_COLUMNS, "caption", file)
                split = tables.column(columns.get("split"), names, tables.SPLIT_COLUMNS, "split", file)
                kind = next((name for name in KIND_COLUMNS if name in names), None)
                for name in self.meant.values:
                    tables.column(name, names, (), "where", file)
                if kind and not self.meant.values:
                    raise UsageError(
                        f"columns: {file} holds texts of several kinds; say which are captions, where={kind}:VALUE, "
                        f"of {_kinds(table, kind)}"
                    )
                wanted = [name for name in (key, caption, split, *self.meant.values) if name]
                for batch in table.iter_batches(BATCH, columns=list(dict.fromkeys(wanted)), use_threads=False):
                    for row in self.meant.rows_of(batch).to_pylist():
                        texts.add(str(row[key] or ""), (file, row[caption], split_name(str(row.get(split) or ""))))
                        kept += 1
                if not kept:
                    asked = next(iter(self.meant.values), None)
                    there = f"; {asked} is one of {_kinds(table, asked)}" if asked else ""
                    raise UsageError(f"columns: no row of {file} has where={self.meant.text}{there}")
        except (OSError, pa.ArrowException) as error:
            raise FusionError(f"{file} cannot be read ({error}); fetch it again") from None

    def _files(self) -> list[str]:
        """The tables that have an id and a caption.

        Raises:
            UsageError: there is none.
        """
        found: list[str] = []
        others: list[str] = []
        for file in files_like(self.root, self.settings.captions, (".parquet",)):
            try:
                names = pq.read_schema(self.root / file).names
            except (OSError, pa.ArrowException) as error:
                raise FusionError(f"{file} cannot be read ({error}); fetch it again") from None
            columns = self.settings.columns
            ids = [columns["id"]] if "id" in columns else ID_COLUMNS
            captions = [columns["caption"]] if "caption" in columns else tables.CAPTION_COLUMNS
            fits = any(name in names for name in ids) and any(name in names for name in captions)
            (found if fits else others).append(f"{file} ({', '.join(names)})" if not fits else file)
        if not found:
            there = "; ".join(others[:5]) or "none at all"
            raise UsageError(
                f"captions: no Parquet file with columns of ids and texts below {self.root}; "
                f"name them, e.g. --columns id=patch_id,caption=output; there is {there}"
            )
        return found

    def values(self, item: Item) -> Mapping[str, NDArray[Any]]:
        return self.store.values(self._of_store(item))

    def read(self, item: Item) -> Sample:
        sample = self.store.read(self._of_store(item))
        self.say(sample, item.found()["captions"])
        return sample

    def _of_store(self, item: Item) -> Item:
        return replace(item, data=item.found()["store"])


def _kinds(table: "pq.ParquetFile", column: str) -> str:
    """The first values of a column."""
    found: set[str] = set()
    for batch in table.iter_batches(BATCH, columns=[column], use_threads=False):
        found.update(str(value) for value in batch[column].unique().to_pylist())
        if len(found) > SHOWN_KINDS:
            break
    return ", ".join(sorted(found)[:SHOWN_KINDS])


READER = TextParquet
