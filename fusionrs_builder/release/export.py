"""The Parquet files of the release: which rows go to which file, and how they are written."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from fusionrs_builder import schema
from fusionrs_builder.shards import Row, ShardWriter
from fusionrs_builder.stage import Task
from fusionrs_builder.workspace import Workspace

SPLITS = ("train", "validation", "test")

IMAGES = tuple(column.name for column in schema.COLUMNS if column.release and column.type == schema.IMAGE)

SOURCES: Mapping[str, Sequence[str]] = {
    layer: [c.name for c in schema.COLUMNS if c.release and c.layers[-1] == layer and c.layers != schema.LAYERS]
    for layer in schema.LAYERS
}
"""The released columns of each layer, each from the last layer that holds it (`ir` from `ir`, not from `rgb`)."""

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Part:
    """What one shard gives to one split."""

    shard: str
    rows: int
    size: float


@dataclass(frozen=True)
class File:
    """One file of the release: the kept rows of one split, of some shards in order."""

    split: str
    number: int
    of: int
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05d}-of-{self.of:05d}"

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


def plan(workspace: Workspace, shards: Sequence[str], file_mb: int) -> list[File]:
    """Share the kept rows out over files of about `file_mb` megabytes. A shard's rows of one split stay in one file."""
    parts: dict[str, list[Part]] = {split: [] for split in SPLITS}
    for shard in shards:
        kept: Counter[str] = Counter()
        rows = 0
        for row in workspace.rows("curation", shard, ["keep", "split"]):
            rows += 1
            if row["keep"]:
                kept[row["split"]] += 1
        size = sum(workspace.fs.size(workspace.path(workspace.shard_path(layer, shard))) for layer in ("rgb", "ir"))
        for split, count in kept.items():
            parts[split].append(Part(shard, count, size * count / rows))
    files = []
    for split, pieces in parts.items():
        bins = _fill(pieces, file_mb * MEGABYTE)
        files += [File(split, number, len(bins), tuple(pieces)) for number, pieces in enumerate(bins)]
    return files


def _fill(parts: Sequence[Part], limit: float) -> list[list[Part]]:
    """Cut a sequence where the next part would make the file larger than the limit."""
    bins: list[list[Part]] = []
    filled = 0.0
    for part in parts:
        if not bins or filled + part.size > limit:
            bins.append([])
            filled = 0.0
        bins[-1].append(part)
        filled += part.size
    return bins


def rows(workspace: Workspace, task: Task) -> Iterator[Row]:
    """The rows of one file, from the aligned layers; one row group of each layer in memory at a time."""
    file: File = task.payload
    wanted = {**SOURCES, "curation": [*SOURCES["curation"], "keep"]}
    for part in file.parts:
        for row in workspace.zip(part.shard, wanted):
            if row["keep"] and row["split"] == file.split:
                yield row


def features() -> Any:
    """The Hugging Face features of the release, read off its Arrow schema."""
    from datasets import Features, Image  # seconds to import: only when something is written

    found = Features.from_arrow_schema(schema.arrow_schema("release"))
    return Features({name: Image() if name in IMAGES else feature for name, feature in found.items()})


def writer(workspace: Workspace, path: str) -> ShardWriter:
    """A writer of one release file: `datasets` finds its features in the metadata, the Hub viewer its pages."""
    arrow: pa.Schema = schema.arrow_schema("release").with_metadata(features().arrow_schema.metadata)
    return ShardWriter(workspace, path, arrow, write_page_index=True, use_content_defined_chunking=True)
