"""The items of a corpus, sorted and cut into shards, on disk: a row group of a Parquet file each."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fusionrs_builder.corpora.reader import Item, printable
from fusionrs_builder.corpora.spool import Spool
from fusionrs_builder.errors import FusionError
from fusionrs_builder.settings import BuildSettings
from fusionrs_builder.workspace import Workspace

SCHEMA = pa.schema([("item", pa.string())])

KEY = b"fusionrs.key"


class ItemList:
    """A list of items in a temporary file, until it is kept in a workspace.

    Attributes:
        shards: how many there are.
    """

    def __init__(self, path: Path, folder: "tempfile.TemporaryDirectory[str]") -> None:
        self.path, self._folder = path, folder
        self.shards = int(pq.read_metadata(path).num_row_groups)

    @classmethod
    def of(cls, items: Iterable[Item], key: str, build: BuildSettings, limit: int | None = None) -> "ItemList":
        """Sort items by key and cut them into shards. The second and later items of one key carry a fault.

        So does an item with a name that is not UTF-8, which no file of ours could hold.

        Args:
            items: in any order.
            key: kept with the list, to know it again.
            build: sizes of shards.
            limit: keep the first N only.
        """
        folder = tempfile.TemporaryDirectory(prefix="fusionrs-items-")
        path = Path(folder.name) / "items.parquet"
        with Spool() as spool, pq.ParquetWriter(path, SCHEMA.with_metadata({KEY: key})) as writer:
            for item in items:
                spool.add(*_storable(item))
            for part in cut(_first_of(_unique(spool), limit), build):
                texts = [json.dumps(item.to_json(), separators=(",", ":")) for item in part]
                writer.write_table(pa.table({"item": texts}, SCHEMA), row_group_size=len(texts))
        return cls(path, folder)

    def shard(self, number: int) -> list[Item]:
        """The items of a shard."""
        return _items(pq.ParquetFile(self.path), number)

    def keep(self, workspace: Workspace, path: str) -> None:
        """Put the list into a workspace."""
        with self.path.open("rb") as source:
            workspace.write_from(path, source)
        self._folder.cleanup()

    @staticmethod
    def key_of(workspace: Workspace, path: str) -> str | None:
        """The key of a kept list; None when there is none, or it is damaged."""
        try:
            with workspace.fs.open(workspace.path(path), "rb") as handle:
                return str((pq.read_metadata(handle).metadata or {})[KEY].decode())
        except (OSError, KeyError, pa.ArrowException):
            return None

    @staticmethod
    def kept(workspace: Workspace, path: str, number: int) -> list[Item]:
        """The items of a shard of a kept list.

        Raises:
            FusionError: the list is damaged.
        """
        try:
            with workspace.fs.open(workspace.path(path), "rb") as handle:
                return _items(pq.ParquetFile(handle), number)
        except (OSError, pa.ArrowException) as error:
            raise FusionError(f"{workspace.path(path)} cannot be read ({error}): delete it and run again") from error


def cut(items: Iterable[Item], build: BuildSettings) -> Iterator[list[Item]]:
    """The items of each shard: at most `shard_records`, and `shard_mb` of source."""
    part: list[Item] = []
    size = 0
    for item in items:
        if part and (len(part) >= build.shard_records or size + item.bytes > build.shard_mb * 1024 * 1024):
            yield part
            part, size = [], 0
        part.append(item)
        size += item.bytes
    if part:
        yield part


def _storable(item: Item) -> tuple[str, dict[str, Any]]:
    """The key of an item, and its values."""
    values = item.to_json()
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        said = f"{item.key}: the name of a file or folder is not UTF-8; rename it, e.g. with convmv"
        reason, message = item.fault or ("bad_name", said)
        key = printable(item.key)
        return key, Item(key, bytes=item.bytes, fault=(reason, printable(message))).to_json()
    return item.key, values


def _unique(spool: Spool) -> Iterator[Item]:
    before: str | None = None
    taken_by: Sequence[str] = ()
    for key, values in spool.sorted():
        if "fault" in values:  # it takes no key: a sound item of the same key is no repetition of it
            yield Item.from_json(values)
            continue
        if key == before:
            values["fault"] = ["duplicate_key", f"{key} is already taken by {(*taken_by, '')[0]}"]
        else:
            before, taken_by = key, values.get("files") or values.get("annotations") or ()
        yield Item.from_json(values)


def _first_of(items: Iterator[Item], limit: int | None) -> Iterator[Item]:
    for number, item in enumerate(items):
        if limit is not None and number >= limit:
            return
        yield item


def _items(parquet: "pq.ParquetFile", number: int) -> list[Item]:
    texts = parquet.read_row_group(number)["item"].to_pylist()
    return [Item.from_json(json.loads(text)) for text in texts]
