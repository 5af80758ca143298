"""Records of a workspace, found by what is known of them without their pixels, and read a few at a time."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder import pixels
from fusionrs_builder.errors import FusionError
from fusionrs_builder.translate.pairs import Pair
from fusionrs_builder.workspace import Workspace

TILE = re.compile(r"_x\d{5}_y\d{5}$")
"""What `download --tile` adds to the key of a scene."""


@dataclass(frozen=True)
class Entry:
    """A record, without its pixels.

    Attributes:
        shard: that holds it.
        row: of the shard.
        key: `<corpus>/<corpus_key>`.
        group: what must not be split: its group where the workspace was curated, else the publisher's group, else the
            scene that it is a tile of.
        side: the shorter side, pixels.
        labels: class names.
        boxes: how many objects are outlined.
        rgb: whether it has a visible image.
        band: measured; None where none was.
    """

    shard: str
    row: int
    key: str
    group: str
    side: int
    labels: tuple[str, ...]
    boxes: int
    rgb: bool
    band: str | None

    @property
    def corpus(self) -> str:
        return self.key.partition("/")[0]


def entries(workspace: Workspace, wanted: Callable[[Entry], bool]) -> list[Entry]:
    """Those of the rgb layer that are wanted, in the order of the shards. No pixels are read.

    Raises:
        FusionError: a shard cannot be read, or its curation is of other records.
    """
    columns = ["corpus", "corpus_key", "corpus_group", "labels", "ir_band", "width", "height"]
    light = ["rgb.path", "ir.path", "boxes.list.element.label"]  # of a structure only what is small
    curated = set(workspace.shards("curation"))
    found = []
    for shard in workspace.shards("rgb"):
        layers: dict[str, list[str] | None] = {"rgb": [*columns, *light]}
        if shard in curated:
            layers["curation"] = ["group_id"]
        for n, row in enumerate(workspace.zip(shard, layers)):
            key = f"{row['corpus']}/{row['corpus_key']}"
            entry = Entry(
                shard,
                n,
                key,
                row.get("group_id") or row["corpus_group"] or TILE.sub("", key),
                min(row["width"] or 0, row["height"] or 0),
                tuple(row["labels"] or ()),
                len(row["boxes"] or ()),
                row["rgb"] is not None,
                row["ir_band"] if row["ir"] is not None else None,
            )
            if wanted(entry):
                found.append(entry)
    return found


def sample(found: Sequence[Entry], most: int, seed: int) -> list[Entry]:
    """At most so many of them, drawn at random, in their order."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(found))[:most])
    return [found[n] for n in chosen]


@dataclass(frozen=True)
class Record:
    """A record with its pixels.

    Attributes:
        entry: what was known before.
        rgb: uint8 [H, W, 3]; None where there is none.
        ir: uint8 [H, W], measured; None where there is none.
        boxes: as `schema.BOX`.
    """

    entry: Entry
    rgb: NDArray[np.uint8] | None
    ir: NDArray[np.uint8] | None
    boxes: Sequence[dict[str, Any]]

    def measured(self, band: str) -> NDArray[np.uint8] | None:
        """`ir` where it is of this band and of the size of `rgb`."""
        if self.rgb is None or self.ir is None or self.entry.band != band:
            return None
        return self.ir if self.ir.shape == self.rgb.shape[:2] else None


def read(workspace: Workspace, chosen: Sequence[Entry]) -> Iterator[Record]:
    """Their pixels, one record in memory at a time.

    Args:
        workspace: that the entries are of.
        chosen: in the order of `entries`.

    Raises:
        FusionError: an image cannot be decoded.
    """
    at: dict[str, dict[int, Entry]] = {}
    for entry in chosen:
        at.setdefault(entry.shard, {})[entry.row] = entry
    for shard, rows in at.items():
        for n, row in enumerate(workspace.rows("rgb", shard, ["rgb", "ir", "boxes"])):
            if n not in rows:
                continue
            try:
                rgb = pixels.rgb_array(row["rgb"]["bytes"]) if row["rgb"] is not None else None
                ir = pixels.gray_array(row["ir"]["bytes"]) if row["ir"] is not None else None
            except ValueError as error:
                raise FusionError(
                    f"record {rows[n].key}: {error}: delete its shard in rgb/ and run download again"
                ) from None
            yield Record(rows[n], rgb, ir, row["boxes"] or ())


def read_pairs(workspace: Workspace, chosen: Sequence[Entry]) -> Iterator[Pair]:
    """The same, of entries with both views.

    Raises:
        FusionError: as `read`, or the two views differ in size.
    """
    for record in read(workspace, chosen):
        assert record.rgb is not None
        assert record.ir is not None
        if record.rgb.shape[:2] != record.ir.shape:
            raise FusionError(
                f"record {record.entry.key}: rgb has {record.rgb.shape[:2]} pixels and ir {record.ir.shape}: "
                "a pair must be of one size"
            )
        yield Pair(record.entry.key, record.rgb, record.ir)
