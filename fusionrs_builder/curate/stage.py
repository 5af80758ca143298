"""The `curate` stage: groups, splits, and what is kept, decided over all corpora at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fusionrs_builder.curate import groups, leakage, pool, splits
from fusionrs_builder.curate.decide import LINKS, Decisions, decide
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CurateSettings
from fusionrs_builder.shards import Row, corpus_of
from fusionrs_builder.stage import Stage, Task
from fusionrs_builder.workspace import Workspace


class CurateStage(Stage):
    """Group records that show or tell of the same, split by group, leave out what is not worth keeping.

    A record is not kept when an earlier stage refused it (`refused_upstream`), when a filter of `quality.py` does not
    keep it, or when it repeats another one (`duplicate`): equal visible pixels, and equal infrared pixels where a
    sensor measured them. The footer counts them as refused, but none is a failure of this stage.

    A group none of whose records is kept has no split.

    Args:
        settings: shares of the splits, radius of the search, benchmarks to protect, bounds of the filters.
        seed: of the draw.
    """

    name = "curate"
    version = 3
    reads = ("rgb", "ir", "captions")
    writes = "curation"
    parallel = False
    strict = False

    def __init__(self, settings: CurateSettings, seed: int) -> None:
        self.settings, self.seed = settings, seed

    def params(self) -> Mapping[str, Any]:
        return {**self.settings.model_dump(mode="json"), "seed": self.seed}

    def check(self, workspace: Workspace) -> None:
        """Raises UsageError where a benchmark to protect is not in the workspace."""
        shards = workspace.shards("rgb")
        for each in self.settings.protect:
            corpus, _, split = each.partition(":")
            if not (mine := [shard for shard in shards if corpus_of(shard) == corpus]):
                there = ", ".join(sorted(set(map(corpus_of, shards)))) or "none yet"
                raise UsageError(f"curate.protect {each}: no corpus {corpus} here; there are {there}")
            named = {name for shard in mine for name in _splits(workspace, shard)}
            if split not in named:
                there = ", ".join(sorted(named)) or "none"
                raise UsageError(f"curate.protect {each}: {corpus} has no split {split}; it has {there}")

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
        everyone = pool.read(workspace, [(task.shard, task.items) for task in self.tasks(workspace)], self.settings)
        decided = decide(everyone, self.settings, self.seed, [task.shard for task in pending])
        return [replace(task, payload=decided[task.shard]) for task in pending]

    def open(self, device: str) -> Callable[[Workspace, Task], Iterator[Row]]:
        return _rows

    def finish(self, workspace: Workspace) -> bool:
        """Write the leakage report and the lists of what is left out, where they are not of these shards."""
        if self.is_current(workspace):
            return False
        leakage.write(workspace)
        return True

    def is_current(self, workspace: Workspace) -> bool:
        return leakage.is_current(workspace)


def _splits(workspace: Workspace, shard: str) -> set[str]:
    """The publisher's splits in a shard."""
    return set(workspace.table("rgb", shard, ["corpus_split"])["corpus_split"].drop_null().unique().to_pylist())


def _rows(workspace: Workspace, task: Task) -> Iterator[Row]:
    decisions: Decisions = task.payload
    for place, row in enumerate(workspace.rows("rgb", task.shard, ["id"])):
        split, reason = int(decisions.splits[place]), decisions.reasons.get(place)
        number, bits = int(decisions.numbers[place]), int(decisions.links[place])
        name = groups.group_name(number)
        if decisions.stands[place]:
            name = groups.standing_name(number, int(decisions.rest[place]))
        yield {
            "id": row["id"],
            "group_id": name,
            "grouped_by": [name for bit, name in enumerate(LINKS) if bits >> bit & 1],
            "split": None if split == splits.UNSPLIT else splits.SPLITS[split],
            "keep": reason is None,
            "reason": reason,
        }
