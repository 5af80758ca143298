"""Which rows go to which file of a release."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq

from fusionrs_builder.release.layout import SPLITS, prefix
from fusionrs_builder.shards import corpus_of
from fusionrs_builder.workspace import Workspace

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Part:
    """What one shard gives to one split.

    Attributes:
        shard: its name.
        rows: kept ones of the split.
        size: their share of the shard, bytes.
        inputs: content of the shard in each layer.
    """

    shard: str
    rows: int
    size: float
    inputs: Mapping[str, str]


@dataclass(frozen=True)
class File:
    """One file of a release: the kept rows of one split, of some shards in order.

    Attributes:
        split: of its rows.
        corpus: whose rows it holds, where every corpus has files of its own; else empty.
        number: of this file, from 0.
        of: how many files its split (and corpus) has.
        parts: what it holds.
    """

    split: str
    corpus: str
    number: int
    of: int
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        return f"{prefix(self.split, self.corpus)}-{self.number:05d}-of-{self.of:05d}"

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


def plan(
    workspace: Workspace, shards: Mapping[str, Mapping[str, str]], file_mb: int, by_corpus: bool = False
) -> list[File]:
    """Share the kept rows out over files of about `file_mb` megabytes. A shard's rows of one split stay in one file.

    Pixels that are withheld count, so that no row changes its file with the licence policy, and a release that is
    filled in has files of the same size.

    Args:
        workspace: with all layers.
        shards: to release, in the order of their rows, with the content of each layer.
        file_mb: megabytes of a file, about.
        by_corpus: no file holds rows of two corpora.
    """
    parts: dict[tuple[str, str], list[Part]] = {}
    for shard, inputs in shards.items():
        decided = workspace.table("curation", shard, ["keep", "split"])
        kept = Counter(
            split
            for keep, split in zip(*(decided[name].to_pylist() for name in ("keep", "split")), strict=True)
            if keep
        )
        size = _size(workspace, shard)
        for split, count in kept.items():
            whose = corpus_of(shard) if by_corpus else ""
            parts.setdefault((split, whose), []).append(Part(shard, count, size * count / decided.num_rows, inputs))
    files = []
    for (split, corpus), pieces in sorted(parts.items(), key=lambda item: (SPLITS.index(item[0][0]), item[0][1])):
        bins = _fill(pieces, file_mb * MEGABYTE)
        files += [File(split, corpus, number, len(bins), tuple(pieces)) for number, pieces in enumerate(bins)]
    return files


def _size(workspace: Workspace, shard: str) -> int:
    """Bytes of the views of a shard. What a sensor measured stands in two layers, and is released once."""
    paths = [workspace.path(workspace.shard_path(layer, shard)) for layer in ("rgb", "ir")]
    with workspace.fs.open(paths[0], "rb") as handle:
        metadata = pq.read_metadata(handle)
    twice = [n for n in range(metadata.num_columns) if metadata.schema.column(n).path in ("ir.bytes", "ir16.bytes")]
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    measured = sum(int(group.column(n).total_compressed_size) for group in groups for n in twice)
    return sum(int(workspace.fs.size(path)) for path in paths) - measured


def _fill(parts: Sequence[Part], limit: float) -> list[list[Part]]:
    """Cut a sequence where the next part would make the file larger than the limit."""
    bins: list[list[Part]] = []
    size = 0.0
    for part in parts:
        if not bins or size + part.size > limit:
            bins.append([])
            size = 0.0
        bins[-1].append(part)
        size += part.size
    return bins
