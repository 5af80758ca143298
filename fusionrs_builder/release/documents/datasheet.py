"""DATASHEET.md of a release: the questions of Gebru et al., "Datasheets for Datasets" (CACM 64(12), 2021), answered by
what was counted off its files; what only its publisher can say stands as said, or as not stated.
"""

import hashlib
import math
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fusionrs_builder import __version__, schema
from fusionrs_builder.cards import render as cards
from fusionrs_builder.release.documents.facts import Facts
from fusionrs_builder.release.documents.notice import Holding, Terms
from fusionrs_builder.release.layout import SPLITS
from fusionrs_builder.shards import Row
from fusionrs_builder.stage import digest
from fusionrs_builder.workspace import Workspace

NAME = "DATASHEET.md"

COLUMNS = tuple(f"{c.name}.path" if c.type == schema.IMAGE else c.name for c in schema.COLUMNS if c.release)
"""Of a picture only the name is read: whether it is there, without its bytes."""

DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?(?![\d-])")
"""The date at the head of an ISO 8601 text, as exact as it is."""

Range = TypeVar("Range", tuple[float, float], tuple[str, str])


@dataclass(frozen=True)
class Publisher:
    """What only the publisher of a release can say; empty where nothing was said.

    Attributes:
        creators: names of people or organisations.
        contact: a person, address or page.
        url: page of the dataset.
        published: ISO 8601 date.
        version: MAJOR.MINOR.PATCH.
        purpose: what the dataset was made for.
        funding: who paid.
        maintenance: who keeps it up, how errors are told and mended.
    """

    creators: tuple[str, ...] = ()
    contact: str = ""
    url: str = ""
    published: str = ""
    version: str = "1.0.0"
    purpose: str = ""
    funding: str = ""
    maintenance: str = ""


@dataclass
class Extent:
    """Where, when and how finely records were taken: lowest and highest, None where none says.

    Attributes:
        longitude: degrees about all footprints; the end is beyond 180 across the antimeridian.
        latitude: degrees.
        gsd: metres per pixel.
        acquired: dates, as exact as published; the last has a `~`, so that `2019~` ends after `2019-06~`.
    """

    longitude: tuple[float, float] | None = None
    latitude: tuple[float, float] | None = None
    gsd: tuple[float, float] | None = None
    acquired: tuple[str, str] | None = None

    @classmethod
    def of(cls, row: Row) -> "Extent":
        """The extent of one record; what is no number, box or date says nothing."""
        found = cls()
        box: list[float] = row["bbox"] or []
        gsd: float | None = row["gsd_m"]
        if len(box) == 4 and all(map(math.isfinite, box)):
            west, south, east, north = box
            found.longitude, found.latitude = (west, east + 360 * (east < west)), (south, north)
        if gsd is not None and math.isfinite(gsd):
            found.gsd = (float(f"{gsd:.6g}"),) * 2  # the column has 32 bits
        if date := DATE.match(row["acquired"] or ""):
            found.acquired = (date[0], f"{date[0]}~")
        return found

    def widen(self, other: "Extent") -> None:
        """Take another extent in."""
        self.longitude = _about(self.longitude, other.longitude)
        self.latitude = _about(self.latitude, other.latitude)
        self.gsd = _about(self.gsd, other.gsd)
        self.acquired = _about(self.acquired, other.acquired)

    @property
    def box(self) -> str:
        """`south west north east` in degrees, the order of schema.org; west > east across the antimeridian."""
        if self.longitude is None or self.latitude is None:
            return ""
        west, east = self.longitude
        if east - west >= 360:
            west, east = -180.0, 180.0
        corners = (self.latitude[0], west, self.latitude[1], east - 360 * (east > 180))
        return " ".join(str(round(corner, 7)) for corner in corners)

    @property
    def period(self) -> str:
        """ISO 8601: a date, or `first/last`."""
        return "/".join(dict.fromkeys(date.rstrip("~") for date in self.acquired or ()))


def _about(a: Range | None, b: Range | None) -> Range | None:
    """The range about both."""
    if a is None or b is None:
        return a or b
    return min(a[0], b[0]), max(a[1], b[1])


@dataclass
class Composition:
    """What the columns of a release hold, beyond what `Facts` counts.

    Attributes:
        missing: records in which a column is null or an empty list.
        extents: of each corpus.
        whole: of all of them.
        sides: shortest and longest side of a picture, pixels.
        objects: boxes.
        failed: records of which a caption failed a check and was left out.
        groups: of each split, groups and records of the largest one.
    """

    missing: Counter[str] = field(default_factory=Counter)
    extents: dict[str, Extent] = field(default_factory=lambda: defaultdict(Extent))
    whole: Extent = field(default_factory=Extent)
    sides: tuple[float, float] | None = None
    objects: int = 0
    failed: int = 0
    groups: dict[str, tuple[int, int]] = field(default_factory=dict)

    def count(self, table: pa.Table) -> None:
        """Count the rows of one file."""
        for name in table.column_names:
            column = table[name]
            empty = _lengths(column).count(0) if pa.types.is_list(column.type) else 0
            self.missing[name] += column.null_count + empty
        for row in table.select(["corpus", "bbox", "gsd_m", "acquired"]).to_pylist():
            extent = Extent.of(row)
            self.extents[row["corpus"]].widen(extent)
            self.whole.widen(extent)
        for side in ("width", "height"):
            found = pc.min_max(table[side]).as_py()
            if found["min"] is not None:
                self.sides = _about(self.sides, (found["min"], found["max"]))
        self.objects += sum(_lengths(table["boxes"]))
        self.failed += sum(map(bool, _lengths(pc.struct_field(table["caption_source"], "failed"))))


def _lengths(column: pa.ChunkedArray) -> list[int]:
    """Of the lists that are not null."""
    lengths: list[int] = pc.list_value_length(column).drop_null().to_pylist()
    return lengths


def gather(workspace: Workspace, layer: str, shards: Sequence[str]) -> Composition:
    """Count the records of the given release files, without their pictures; 8 bytes a record stay in memory."""
    found = Composition()
    groups: dict[str, array[int]] = defaultdict(lambda: array("Q"))
    for shard in shards:
        table = workspace.table(layer, shard, COLUMNS)
        found.count(table)
        for split, group in zip(table["split"].to_pylist(), table["group_id"].to_pylist(), strict=True):
            groups[split].append(int.from_bytes(hashlib.blake2b(group.encode(), digest_size=8).digest()))
    for split, hashes in groups.items():
        sizes = np.unique(np.frombuffer(hashes, np.uint64), return_counts=True)[1]
        found.groups[split] = (len(sizes), int(sizes.max()))
    return found


def render(
    title: str,
    counted: Facts,
    holdings: Mapping[Terms, Holding],
    composition: Composition,
    funnel: Sequence[Mapping[str, object]],
    publisher: Publisher,
) -> str:
    """The text of the file; the same for the same arguments.

    Args:
        title: of the dataset.
        counted: its facts.
        holdings: what it holds under which terms.
        composition: what its columns hold.
        funnel: items by layer, see `facts.funnel`.
        publisher: what only the publisher can say.
    """
    corpora: dict[str, Holding] = defaultdict(Holding)
    sources: Counter[tuple[str, str, str]] = Counter()
    licences: Counter[tuple[str, bool]] = Counter()
    for terms, held in holdings.items():
        corpora[terms.corpus].add(held)
        sources[terms.corpus, terms.source_url, terms.source_revision] += held.records
        licences[terms.license, terms.redistributable] += held.records
    return cards.render(
        "datasheet",
        title=title,
        facts=counted,
        splits=[split for split in SPLITS if counted.splits[split]],
        corpora=corpora,
        sources=sources,
        licences=licences,
        pixels=sum(held.pixels for held in holdings.values()),
        composition=composition,
        funnel=funnel,
        publisher=publisher,
        version=__version__,
    )


def version() -> str:
    """Changes when the file would be written otherwise from the same facts."""
    return digest([cards.template("datasheet"), __version__])
