"""Tables of image and caption as text, .csv or .tsv (SkyScript, RS5M's lists, RemoteCLIP's).

filepath,title,title_multi_objects
images2/a198234555_CH_19.jpg,a photo of a wastewater plant,...

`columns` says which column is which, by name or by number from 0 where there are no names: image=0,caption=1; several
columns of captions with `|` between them: caption=title|title_multi_objects. Also label, split and where (see
`tables.py`). All tables below the folder are read, or those that `captions` names; rows of one image are put together.
"""

import codecs
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from fusionrs_builder.corpora import tables
from fusionrs_builder.corpora.captions import CaptionReader, Record, checked, files_like, split_in
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.errors import FusionError, UsageError

SUFFIXES = (".csv", ".tsv", ".tab")

DELIMITERS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class Layout:
    """How a table is to be read: the number of each column, from 0."""

    delimiter: str
    width: int
    header: bool
    image: int
    captions: tuple[int, ...]
    label: int | None
    split: int | None
    where: dict[str, int]


class CaptionCsv(CaptionReader):
    """A row an image and caption; what several rows say of one image is put together."""

    merges = True

    def records(self) -> Iterator[Record]:
        named = self.settings.captions
        files = list(files_like(self.root, named, ("",) if named else SUFFIXES))
        if not files:
            raise UsageError(f"captions: {self.root} holds no {named or 'table, .csv or .tsv'}; correct --captions")
        self.meant = tables.Where(self.settings.columns.get("where", ""))
        for file in files:
            try:
                with (self.root / file).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as handle:
                    yield from self._records_of(file, handle)
            except OSError as error:
                raise FusionError(f"{file} cannot be read: {error.strerror}") from None
            except csv.Error as error:
                raise FusionError(
                    f"{file} is not a table: {error}; a quote that is not closed, or not doubled"
                ) from None

    def _records_of(self, file: str, handle: TextIO) -> Iterator[Record]:
        first = handle.readline()
        if first.encode("utf-8", "surrogateescape").startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise FusionError(f"{file} is UTF-16; convert it, e.g. iconv -f UTF-16 -t UTF-8")
        layout = self._layout(file, first)
        handle.seek(0)
        rows = csv.reader(handle, delimiter=layout.delimiter, strict=True)
        for number, row in enumerate(rows, -1 if layout.header else 0):
            meant = {name: row[at] for name, at in layout.where.items() if at < len(row)}
            if number >= 0 and row and self.meant.holds(meant):
                yield _record(file, number, row, layout)

    def _layout(self, file: str, first: str) -> Layout:
        """By which delimiter the first row has the columns asked for, and where they are.

        Raises:
            UsageError: by none.
        """
        problem: UsageError | None = None
        for delimiter in ("\t",) if file.lower().endswith((".tsv", ".tab")) else DELIMITERS:
            cells = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), [])]
            try:
                return self._columns(file, cells, delimiter)
            except UsageError as error:
                problem = problem or error
        assert problem
        raise problem

    def _columns(self, file: str, cells: list[str], delimiter: str) -> Layout:
        columns = self.settings.columns
        named = columns.get("image", columns.get("id"))
        numbered = (named or "").isdigit()
        there = [str(number) for number in range(len(cells))] if numbered else cells

        def find(role: str, named: str | None, usual: Sequence[str]) -> int | None:
            found = tables.column(named, there, () if numbered else usual, role, file)
            return None if found is None else there.index(found)

        image = find("image", named, tables.IMAGE_COLUMNS)
        said = columns["caption"].split("|") if "caption" in columns else [None]
        captions = [find("caption", name, tables.CAPTION_COLUMNS) for name in said]
        if image is None or None in captions:
            missing = "image" if image is None else "caption"
            raise UsageError(
                f"columns: which of {file} is the {missing}? Its first row is {', '.join(cells)}; "
                f"name them, e.g. --columns image=filepath,caption=title, or by number, image=0,caption=1"
            )
        known = {*tables.IMAGE_COLUMNS, *tables.CAPTION_COLUMNS}
        return Layout(
            delimiter,
            len(cells),
            not numbered or any(cells[at].lower() in known for at in (image, *captions) if at is not None),
            image,
            tuple(at for at in captions if at is not None),
            find("label", columns.get("label"), tables.LABEL_COLUMNS),
            find("split", columns.get("split"), tables.SPLIT_COLUMNS),
            {name: find("where", name, ()) or 0 for name in self.meant.values},
        )


def _record(file: str, number: int, row: list[str], layout: Layout) -> Record:
    """One row."""

    def cell(at: int | None) -> str:
        return "" if at is None or at >= len(row) else row[at].strip()

    image, place = cell(layout.image), f"{file}#{number}"
    captions = [cell(at) for at in layout.captions if cell(at)]
    if not image:
        return Record(file, number, fault=("missing_key", f"{place} names no image"))
    try:
        if len(row) > layout.width:  # what follows a comma within the caption would be lost in silence
            raise Refused("malformed_annotation", f"{len(row)} cells instead of {layout.width}: text without quotes?")
        if len(row) <= max(layout.captions):
            raise Refused("missing_key", f"{len(row)} cells instead of {layout.width}")
        captions = checked(captions or [""])
    except Refused as refused:
        return Record(file, number, image, fault=(refused.reason, f"{place}, {image}: {refused.message}"))
    labels = tuple(filter(None, [cell(layout.label)]))
    return Record(file, number, image, captions, cell(layout.split) or split_in(file), labels)


READER = CaptionCsv
