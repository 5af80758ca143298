"""The `curate` stage: groups, splits, and what is kept, decided over all corpora at once."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fusionrs_builder.config import CurateSettings
from fusionrs_builder.curate import duplicates, splits
from fusionrs_builder.errors import FusionError
from fusionrs_builder.shards import Row
from fusionrs_builder.stage import Stage, Task
from fusionrs_builder.workspace import Workspace


@dataclass(frozen=True)
class Decisions:
    """What was decided for the rows of one shard: ten bytes a row, and the reasons of those not kept."""

    groups: NDArray[np.uint64]
    splits: NDArray[np.int8]
    reasons: Mapping[int, str]


class CurateStage(Stage):
    """Group records of equal content, split by group, drop repetitions.

    A record is not kept when an earlier stage refused it (`refused_upstream`) or when it repeats another one
    (`duplicate`): equal visible pixels, and equal infrared pixels where a sensor measured them. The footer counts both
    as refused, but neither is a failure of this stage.

    A group none of whose records is kept has no split.

    Args:
        settings: the shares of the splits.
        seed: of the draw.
    """

    name = "curate"
    version = 1
    reads = ("rgb", "ir", "captions")
    writes = "curation"
    parallel = False
    strict = False

    def __init__(self, settings: CurateSettings, seed: int) -> None:
        self.settings, self.seed = settings, seed

    def params(self) -> Mapping[str, Any]:
        return {"split": list(self.settings.split), "seed": self.seed}

    def tasks(self, workspace: Workspace) -> list[Task]:
        """As `Stage.tasks`; every shard depends on all shards, so all have one fingerprint."""
        tasks = super().tasks(workspace)
        fingerprint = self.fingerprint(**{task.shard: dict(task.inputs) for task in tasks})
        return [replace(task, fingerprint=fingerprint) for task in tasks]

    def prepare(self, workspace: Workspace, pending: Sequence[Task]) -> list[Task]:
        """Look at every record of the workspace once, and tell each task what was decided for its rows.

        Raises:
            FusionError: two records have one id.
        """
        pool = _read(workspace, [(task.shard, task.items) for task in self.tasks(workspace)])
        decide = _decide(pool, self.settings.split, self.seed)
        return [replace(task, payload=decide(task.shard)) for task in pending]

    def open(self, device: str) -> Callable[[Workspace, Task], Iterator[Row]]:
        return _rows


@dataclass(frozen=True)
class _Pool:
    """Every record of the workspace, a column each; `seen` is the key of measured infrared, none of translated."""

    ids: Any
    corpora: list[str]
    corpus: NDArray[np.int32]
    pixels: duplicates.Keys
    infrared: duplicates.Keys
    seen: duplicates.Keys
    starts: Mapping[str, int]
    refused: Mapping[str, Mapping[int, str]]


def _read(workspace: Workspace, shards: Sequence[tuple[str, int]]) -> _Pool:
    total = sum(rows for _, rows in shards)
    pixels, infrared, seen = (np.zeros(total, np.uint64) for _ in range(3))
    corpus = np.zeros(total, np.int32)
    known: dict[str, int] = {}
    ids, starts = [], {}
    refused: dict[str, dict[int, str]] = defaultdict(dict)
    at = 0
    for shard, rows in shards:
        starts[shard] = at
        names = []
        for place, row in enumerate(_records(workspace, shard)):
            names.append(row["id"])
            corpus[at + place] = known.setdefault(row["corpus"], len(known))
            pixels[at + place] = duplicates.key(row["pixel_sha256"])
            infrared[at + place] = duplicates.key(row["ir_sha256"])
            if row["ir_origin"] == "measured":
                seen[at + place] = infrared[at + place]
            if row["refused"]:
                refused[shard][place] = f"refused_upstream: {row['refused']}"
        ids.append(pa.array(names, pa.large_string()))
        at += rows
    joined = pa.chunked_array(ids, pa.large_string()).combine_chunks()
    return _Pool(joined, list(known), corpus, pixels, infrared, seen, starts, refused)


def _records(workspace: Workspace, shard: str) -> Iterator[Row]:
    first = workspace.zip(shard, {"rgb": ["corpus", "pixel_sha256"], "ir": ["ir_sha256", "ir_origin", "reason"]})
    second = workspace.zip(shard, {"rgb": [], "captions": ["scene_captions", "ir_captions", "reason"]})
    for row, said in zip(first, second, strict=True):
        captions = said["scene_captions"] or said["ir_captions"]
        if row["reason"]:
            row["refused"] = f"ir: {row['reason']}"
        else:
            row["refused"] = f"captions: {said['reason'] or 'no captions'}" if said["reason"] or not captions else None
        yield row


def _decide(pool: _Pool, shares: Sequence[float], seed: int) -> Callable[[str], Decisions]:
    order = pc.sort_indices(pool.ids).to_numpy().astype(np.int64)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    _check_unique(pool.ids, order)
    usable = np.ones(len(order), np.bool_)
    for shard, reasons in pool.refused.items():
        usable[pool.starts[shard] + np.fromiter(reasons, np.int64, len(reasons))] = False

    original = duplicates.originals(rank, usable, (pool.pixels, pool.seen))
    kept = usable & (original == np.arange(len(original)))
    group = duplicates.connected(pool.pixels, pool.infrared)
    named_by = duplicates.smallest(group, rank, np.ones_like(usable))
    numbers = np.fromiter(
        (duplicates.group_number(pool.ids[int(record)].as_py()) for record in named_by), np.uint64, len(named_by)
    )
    decided_by = duplicates.smallest(group, rank, kept)
    alive = np.flatnonzero(decided_by >= 0)
    split = np.full(len(numbers), splits.UNSPLIT, np.int8)
    split[alive] = splits.assign(numbers[alive], pool.corpus[decided_by[alive]], pool.corpora, shares, seed)

    lengths = dict(zip(pool.starts, np.diff([*pool.starts.values(), len(order)]), strict=True))

    def of_shard(shard: str) -> Decisions:
        start = pool.starts[shard]
        records = np.arange(start, start + lengths[shard])
        reasons = dict(pool.refused.get(shard, {}))
        for record in records[original[records] != records]:
            reasons[int(record - start)] = f"duplicate: same pixels as {pool.ids[int(original[record])].as_py()}"
        return Decisions(numbers[group[records]], split[group[records]], reasons)

    return of_shard


def _check_unique(ids: Any, order: duplicates.Numbers) -> None:
    in_order = ids.take(pa.array(order))
    again = pc.index(pc.equal(in_order[1:], in_order[:-1]), True).as_py() if len(in_order) > 1 else -1
    if again >= 0:
        raise FusionError(
            f"two records have the id {in_order[again].as_py()}: a corpus was read twice under one name; delete its "
            "shards in rgb/ and run `fusionrs-build download` again"
        )


def _rows(workspace: Workspace, task: Task) -> Iterator[Row]:
    decisions: Decisions = task.payload
    for place, row in enumerate(workspace.rows("rgb", task.shard, ["id"])):
        split, reason = int(decisions.splits[place]), decisions.reasons.get(place)
        yield {
            "id": row["id"],
            "group_id": duplicates.group_name(int(decisions.groups[place])),
            "split": None if split == splits.UNSPLIT else splits.SPLITS[split],
            "keep": reason is None,
            "reason": reason,
        }
