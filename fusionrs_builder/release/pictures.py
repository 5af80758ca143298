"""The pictures of a workspace by the id of their record, taken for those of a release only where their pixels agree."""

from collections import OrderedDict
from collections.abc import Iterator

import pyarrow.parquet as pq

from fusionrs_builder import pixels
from fusionrs_builder.release.features import IMAGES
from fusionrs_builder.shards import Row, corpus_of
from fusionrs_builder.workspace import Workspace

HELD = 4
"""Row groups of the workspace in memory at once."""

WANTED = ("id", "corpus", "source_url", "source_revision", "pixel_sha256", "ir_origin", "ir_source", "ir_sha256")
"""Columns of a row that `verified` looks at."""

COLUMNS = {"rgb": ["rgb"], "ir": ["ir", "ir16", "reason"]}
"""What is read of each layer."""


class LackingError(Exception):
    """A record whose pictures cannot be had from the workspace.

    Attributes:
        kind: of the reason.
    """

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


class Pictures:
    """The pictures of a workspace. Where each is stays in memory, and the row groups read last."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._places: dict[str, tuple[str, int]] = {}
        self._held: OrderedDict[tuple[str, str, int], list[Row]] = OrderedDict()
        self._ends: dict[tuple[str, str], list[int]] = {}
        self._corpora = {corpus_of(shard) for shard in workspace.shards("ir")}
        for shard in workspace.shards("ir"):
            ids = workspace.table("ir", shard, ["id"])["id"].to_pylist()
            self._places |= {name: (shard, number) for number, name in enumerate(ids)}
        self._refused = {
            f"{corpus_of(shard)}/{row['key']}": row["message"]
            for shard in workspace.shards("rejects")
            for row in workspace.rows("rejects", shard, ["key", "message"])
        }

    def verified(self, row: Row) -> Row:
        """`rgb`, `ir` and `ir16` of the record of a release's row, whose pixels have the hashes that the row gives.

        The 16-bit original has no hash of its own: it goes with the view that is stretched from it.

        Args:
            row: `WANTED` columns.

        Raises:
            LackingError: the workspace has no such record, or other pixels of it.
        """
        name, corpus = row["id"], row["corpus"]
        if corpus not in self._corpora:
            raise LackingError("corpus", f"{corpus}: no copy of it is at hand: name yours by --from {corpus}=PATH")
        if name in self._refused:
            raise LackingError("refused", f"{name} cannot be read in your copy of {corpus}: {self._refused[name]}")
        if name not in self._places:
            raise LackingError("missing", f"{name} is not in your copy of {corpus}")
        made = self._row(*self._places[name])
        if made["ir"] is None:
            raise LackingError("refused", f"{name} has no infrared view: {made['reason']}")
        try:
            infrared = pixels.pixel_sha256(pixels.gray_array(made["ir"]["bytes"]))
            ours = pixels.pixel_sha256(pixels.rgb_array(made["rgb"]["bytes"])) if made["rgb"] else infrared
        except ValueError as error:
            raise LackingError("damaged", f"{name} cannot be decoded: {error}") from None
        if ours != row["pixel_sha256"]:
            revision = f"revision {row['source_revision'] or 'not stated'} of {row['source_url'] or 'unknown source'}"
            raise LackingError("other", f"{name} has other pixels in your copy of {corpus} than in {revision}")
        if infrared != row["ir_sha256"]:
            raise LackingError(*_drawn_otherwise(row))
        return {image: made[image] for image in IMAGES}

    def _row(self, shard: str, number: int) -> Row:
        return {**self._read("rgb", shard, number), **self._read("ir", shard, number)}

    def _read(self, layer: str, shard: str, number: int) -> Row:
        if (layer, shard) not in self._ends:
            self._ends[layer, shard] = list(self._group_ends(layer, shard))
        ends = self._ends[layer, shard]
        group = next(n for n, end in enumerate(ends) if number < end)
        key = (layer, shard, group)
        if key not in self._held:
            while len(self._held) >= HELD:
                self._held.popitem(last=False)
            with self._workspace.fs.open(self._path(layer, shard), "rb") as handle:
                self._held[key] = pq.ParquetFile(handle).read_row_group(group, columns=COLUMNS[layer]).to_pylist()
        self._held.move_to_end(key)
        return self._held[key][number - (ends[group - 1] if group else 0)]

    def _group_ends(self, layer: str, shard: str) -> Iterator[int]:
        end = 0
        with self._workspace.fs.open(self._path(layer, shard), "rb") as handle:
            metadata = pq.read_metadata(handle)
        for group in range(metadata.num_row_groups):
            end += metadata.row_group(group).num_rows
            yield end

    def _path(self, layer: str, shard: str) -> str:
        return self._workspace.path(self._workspace.shard_path(layer, shard))


def _drawn_otherwise(row: Row) -> tuple[str, str]:
    if row["ir_origin"] == "measured":
        return "other infrared", f"the infrared view of {row['id']} has other pixels in your copy of {row['corpus']}"
    return (
        "drawn otherwise",
        f"the infrared view of {row['id']} was drawn otherwise: by another translator than {row['ir_source']}, or on "
        "another device or by another release of torch, which round otherwise; see recipe/fusionrs.lock",
    )
