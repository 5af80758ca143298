"""Every record of the workspace as numbers: what is compared, a column each, some 250 bytes a record.

Looks are left on disk: few are needed, and `Pool.looks` reads those.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fusionrs_builder import captions
from fusionrs_builder.curate import footprints, groups, near_duplicates, quality, sentences
from fusionrs_builder.curate.groups import Keys, Numbers
from fusionrs_builder.settings import CurateSettings
from fusionrs_builder.shards import Row, corpus_of
from fusionrs_builder.workspace import Workspace

TURNS = 16
LOOK_BYTES = 256

STANDING = re.compile(r"joint-group:([0-9a-f]{16})([0-9a-f]{8})")
"""Names of groups in the index of FusionRS, which joined its records by what joins them here: its groups stand."""

IN_ROWS = {
    "rgb": (
        "id", "corpus_split", "corpus_group", "pixel_sha256", "rgb_quality", "width", "height", "bbox", "gsd_m",
        "publisher_captions", "model_captions",
    ),
    "ir": ("ir_sha256", "ir_origin", "reason"),
    "captions": ("scene_captions", "ir_captions", "reason"),
}  # fmt: skip
"""Columns looked at row by row; hashes and looks are read as arrays."""


TYPES = {
    "split": np.int32,
    "published": np.uint64,
    "standing": np.uint64,
    "standing_rest": np.uint32,
    "pixels": np.uint64,
    "infrared": np.uint64,
    "seen": np.uint64,
    "captioned": np.bool_,
}
"""Columns of `Pool` that are made row by row."""


@dataclass(frozen=True)
class Pool:
    """The records, numbered in the order of the shards.

    Attributes:
        workspace: where they are.
        places: the records of each shard, in order.
        ids: of the records.
        corpora: names; `corpus` holds indices into them, int32 [N].
        splits: names of publishers' splits; `split` holds indices into them, int32 [N], -1 where there is none.
        published: uint64 [N], key of the publisher's own group, `NO_KEY` where there is none.
        standing: uint64 [N], the first 64 bits of the name of a group that stands, `NO_KEY` where there is none.
        standing_rest: uint32 [N], the other 32 bits.
        pixels, infrared: uint64 [N], keys of the decoded pixels of the two views.
        seen: as `infrared`, of views that a sensor measured.
        hashes: uint64 [N, 16], perceptual hashes of the first view in its eight turns, and in these cropped.
        infrared_hashes: uint64 [N, 1], of the infrared view.
        plain, infrared_plain: bool [N], whether the view has too little structure to be compared by its hash.
        captioned: bool [N], whether the record has a caption by a person.
        sentences: of the captions by people and by language models.
        boxes: float64 [M, 4], footprints; `placed`, int64 [M], holds whose they are.
        refused: reasons against records, by number.
    """

    workspace: Workspace
    places: dict[str, slice]
    ids: Any
    corpora: list[str]
    corpus: NDArray[np.int32]
    splits: list[str]
    split: NDArray[np.int32]
    published: Keys
    standing: Keys
    standing_rest: NDArray[np.uint32]
    pixels: Keys
    infrared: Keys
    seen: Keys
    hashes: Keys
    infrared_hashes: Keys
    plain: NDArray[np.bool_]
    infrared_plain: NDArray[np.bool_]
    captioned: NDArray[np.bool_]
    sentences: sentences.Sentences
    boxes: footprints.Boxes
    placed: Numbers
    refused: dict[int, str]

    def __len__(self) -> int:
        return len(self.corpus)

    def looks(self, layer: str, column: str, records: Numbers) -> near_duplicates.Looks:
        """Looks of some records, uint8 [n, 256].

        Args:
            layer: `rgb` or `ir`.
            column: `look` or `ir_look`.
            records: ascending.
        """
        found = np.empty((len(records), LOOK_BYTES), np.uint8)
        bounds = np.searchsorted(records, [*(place.start for place in self.places.values()), len(self)])
        for (shard, place), low, high in zip(self.places.items(), bounds[:-1], bounds[1:], strict=True):
            if low < high:
                everyone = _looks(self.workspace.table(layer, shard, [column])[column])
                found[low:high] = everyone[records[low:high] - place.start]
        return found


def read(workspace: Workspace, shards: Sequence[tuple[str, int]], settings: CurateSettings) -> Pool:
    """Read what is compared of every record, and judge each.

    Args:
        workspace: where.
        shards: name and number of rows of each.
        settings: of the filters.

    Raises:
        FusionError: a shard cannot be read, or the layers do not hold the same records.
    """
    corpora = list(dict.fromkeys(corpus_of(shard) for shard, _ in shards))
    splits: dict[str, int] = {}
    places, refused, parts, at = {}, {}, [], 0
    for shard, rows in shards:
        places[shard] = slice(at, at + rows)
        part, against = _part(workspace, shard, at, splits, settings)
        parts.append({**part, "corpus": np.full(rows, corpora.index(corpus_of(shard)), np.int32)})
        refused.update(against)
        at += rows
    ids = pa.chunked_array([part.pop("id") for part in parts], pa.large_string()).combine_chunks()
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    told = sentences.Sentences(joined.pop("sentence_of"), joined.pop("sentence"), at)
    repeats = told.repeats()
    for record in np.flatnonzero(repeats > settings.max_same_caption).tolist():
        refused.setdefault(record, quality.caption_duplicate(int(repeats[record]), settings)[1])
    return Pool(
        workspace=workspace, places=places, ids=ids, corpora=corpora, splits=list(splits), sentences=told,
        refused=refused, **joined,
    )  # fmt: skip


def _part(
    workspace: Workspace, shard: str, start: int, splits: dict[str, int], settings: CurateSettings
) -> tuple[dict[str, Any], dict[int, str]]:
    """The columns of one shard, and the reasons against its records."""
    rows: list[tuple[Any, ...]] = []
    said: list[tuple[int, int]] = []
    placed: list[int] = []
    boxes: list[tuple[float, ...]] = []
    refused: dict[int, str] = {}
    for record, row in enumerate(_joined(workspace, shard), start):
        ir = groups.key(row["ir_sha256"])
        split = splits.setdefault(row["corpus_split"], len(splits)) if row["corpus_split"] else -1
        group, standing, rest = _published(corpus_of(shard), row["corpus_group"])
        seen = ir if row["ir_origin"] == "measured" else groups.NO_KEY
        visible = groups.key(row["pixel_sha256"])
        rows.append((split, group, standing, rest, visible, ir, seen, bool(row["publisher_captions"])))
        said += [(record, key) for key in {captions.key(text) for text in row["by_others"]} - {sentences.WORDLESS}]
        if row["bbox"]:
            placed.append(record)
            boxes.append(footprints.footprint(row["bbox"], row["width"] * row["height"], row["gsd_m"]))
        if row["upstream"]:
            refused[record] = f"refused_upstream: {row['upstream']}"
        else:
            keep, why = quality.judged(row, settings)
            if not keep:
                refused[record] = why
    values = np.array(rows, list(TYPES.items()))
    columns: dict[str, Any] = {name: values[name] for name in TYPES}
    rgb = workspace.table("rgb", shard, ["id", "phash16", "look"])
    ir_table = workspace.table("ir", shard, ["ir_phash", "ir_look"])
    return {
        **columns,
        "id": rgb["id"].cast(pa.large_string()).combine_chunks(),
        "hashes": np.array(rgb["phash16"].to_pylist(), np.uint64).reshape(-1, TURNS),
        "plain": near_duplicates.is_plain(_looks(rgb["look"])),
        "infrared_hashes": ir_table["ir_phash"].fill_null(0).to_numpy().astype(np.uint64)[:, None],
        "infrared_plain": near_duplicates.is_plain(_looks(ir_table["ir_look"])),
        "sentence_of": np.array([record for record, _ in said], np.int64),
        "sentence": np.array([key for _, key in said], np.uint64),
        "placed": np.array(placed, np.int64),
        "boxes": np.array(boxes, np.float64).reshape(-1, 4),
    }, refused


def _published(corpus: str, name: str | None) -> tuple[int, int, int]:
    """Key of a publisher's group, and, where the group stands, the two parts of its name."""
    if not name:
        return groups.NO_KEY, groups.NO_KEY, 0
    if stands := STANDING.fullmatch(name):
        first, rest = (int(digits, 16) for digits in stands.groups())
        return first, first, rest
    return groups.group_number(f"{corpus}/{name}"), groups.NO_KEY, 0


def _joined(workspace: Workspace, shard: str) -> Iterator[Row]:
    """The rows of the three layers; `upstream` says why an earlier stage refused one."""
    first = workspace.zip(shard, {layer: IN_ROWS[layer] for layer in ("rgb", "ir")})
    second = workspace.zip(shard, {"rgb": [], "captions": IN_ROWS["captions"]})
    for row, told in zip(first, second, strict=True):
        row["by_others"] = [*(row["publisher_captions"] or ()), *(row["model_captions"] or ())]
        row["captions"] = [*(told["scene_captions"] or ()), *(told["ir_captions"] or ())]
        if row["reason"]:
            row["upstream"] = f"ir: {row['reason']}"
        else:
            none = told["reason"] or not row["captions"]
            row["upstream"] = f"captions: {told['reason'] or 'no captions'}" if none else None
        yield row


def _looks(column: Any) -> near_duplicates.Looks:
    """uint8 [n, 256]; zeros, which are plain, where there is no picture."""
    blank = bytes(LOOK_BYTES)
    return np.frombuffer(b"".join(value or blank for value in column.to_pylist()), np.uint8).reshape(-1, LOOK_BYTES)
