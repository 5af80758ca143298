"""Runs one stage over a workspace: find what is missing, make it, count what stands.

Everything a command promises is kept here: one build at a time, nothing made twice, nothing left half-written, shards
that no longer belong removed, and too many refusals said aloud.
"""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fusionrs_builder import __version__
from fusionrs_builder.engines import local, ray
from fusionrs_builder.engines.progress import Progress
from fusionrs_builder.errors import FusionError
from fusionrs_builder.schema import SCHEMA_VERSION
from fusionrs_builder.shards import Footer, corpus_of
from fusionrs_builder.stage import MADE_BY, Stage, Task, is_done
from fusionrs_builder.workspace import Workspace

LOCK = "fusionrs.lock"


@dataclass(frozen=True)
class Run:
    """How to run; nothing here changes what is written.

    Attributes:
        workers: processes; None: one a core, or one a device for a stage with a network.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, or several with commas between.
        limit: stop after shards that hold this many items together; None for all.
        dry_run: only say what would be done.
        engine: `local`: processes of this machine; `ray`: a Ray cluster.
    """

    workers: int | None = None
    device: str = "auto"
    limit: int | None = None
    dry_run: bool = False
    engine: Literal["local", "ray"] = "local"


@dataclass
class Summary:
    """What a command did.

    Attributes:
        items: items of all shards of the layer that stand now; items = good + the sum of `refused`.
        good: of those, records.
        refused: the others, by reason.
        made: shards made now.
        kept: shards found done.
        waiting: shards still to be made.
        removed: shards that no longer belonged to the dataset.
        items_made: items of the shards made now.
        seconds: how long it took.
        next: the command to run next.
        notes: what else a person should know.
        problems: why the command counts as failed, although it ended.
        path: where the result lies, when it is for others.
        dry_run: nothing was done; `waiting` is what would be.
    """

    command: str
    workspace: str
    items: int = 0
    good: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    made: int = 0
    kept: int = 0
    waiting: int = 0
    removed: int = 0
    items_made: int = 0
    seconds: float = 0.0
    next: str | None = None
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    path: str | None = None
    dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def run_stage(workspace: Workspace, stage: Stage, run: Run, max_reject_rate: float) -> Summary:
    """Make whatever shards of a stage do not stand yet.

    Raises:
        FusionError: nothing to work on, another build in the workspace, a full disk, a worker that died.
    """
    started = time.monotonic()
    summary = Summary(stage.name, workspace.url, dry_run=run.dry_run)
    if run.dry_run:
        tasks, pending = _pending(workspace, stage)
        summary.waiting, summary.kept = len(pending), len(tasks) - len(pending)
        summary.items = sum(task.items for task in tasks)
        return summary
    with workspace.lock(stage.name):
        tasks, pending = _pending(workspace, stage)
        summary.kept = len(tasks) - len(pending)
        chosen = limited(pending, run.limit)
        if chosen:
            note_provenance(workspace, stage.provenance(workspace))
            prepared = stage.prepare(workspace, chosen)
            devices = _devices(run.device)
            resources = local.Resources(_workers(stage, run, len(devices)), devices)
            engine = ray if run.engine == "ray" else local
            with (
                Progress(stage.name, sum(task.items for task in chosen)) as progress,
                contextlib.closing(engine.run(stage, workspace, prepared, resources, progress)) as made,
            ):
                for footer in made:
                    summary.made += 1
                    summary.items_made += footer.items
        summary.waiting = len(pending) - summary.made
        summary.removed = _prune(workspace, stage, tasks)
        if not summary.waiting:
            stage.finish(workspace)
        footers = {task.shard: workspace.footer(stage.writes, task.shard) for task in tasks}
    standing = {shard: footer for shard, footer in footers.items() if footer}
    counted = count(standing.values())
    summary.items, summary.good, summary.refused = counted["items"], counted["good"], counted["refused"]
    summary.problems = _problems(stage, standing, max_reject_rate) if stage.strict else []
    summary.seconds = round(time.monotonic() - started, 2)
    return summary


def count(footers: Iterable[Footer]) -> dict[str, Any]:
    """Items, good and refused by reason, summed over shards."""
    items = good = 0
    refused: Counter[str] = Counter()
    for footer in footers:
        items, good = items + footer.items, good + footer.good
        refused.update(footer.refused)
    return {"items": items, "good": good, "refused": dict(sorted(refused.items()))}


def _pending(workspace: Workspace, stage: Stage) -> tuple[list[Task], list[Task]]:
    tasks = stage.tasks(workspace)
    if not tasks:
        before = MADE_BY[stage.reads[-1]] if stage.reads else "download"
        raise FusionError(f"{stage.name}: nothing to work on in {workspace.url}; run `fusionrs-build {before}` first")
    return tasks, [task for task in tasks if not is_done(workspace, stage, task)]


def limited(pending: Sequence[Task], limit: int | None) -> list[Task]:
    """The first shards that hold `limit` items together: a shard is never made in part."""
    chosen: list[Task] = []
    for task in pending:
        if limit is not None and sum(done.items for done in chosen) >= limit:
            break
        chosen.append(task)
    return chosen


def _prune(workspace: Workspace, stage: Stage, tasks: Iterable[Task]) -> int:
    """Remove shards that no longer belong: of a corpus that became smaller or was dropped."""
    wanted = {task.shard for task in tasks}
    stale = [shard for shard in workspace.shards(stage.writes) if shard not in wanted and stage.owns(shard)]
    for shard in stale:
        if not stage.reads:
            workspace.remove("rejects", shard)
        workspace.remove(stage.writes, shard)
    return len(stale)


def _problems(stage: Stage, footers: Mapping[str, Footer], max_reject_rate: float) -> list[str]:
    """Corpora with no record, or with more refusals than allowed."""
    corpora: dict[str, list[Footer]] = {}
    for shard, footer in footers.items():
        corpora.setdefault(corpus_of(shard), []).append(footer)
    problems = []
    for corpus, parts in corpora.items():
        counted = count(parts)
        items, refused = counted["items"], counted["items"] - counted["good"]
        reasons = ", ".join(f"{reason} {number}" for reason, number in counted["refused"].items())
        where = f"{stage.writes if stage.reads else 'rejects'}/{corpus}-*.parquet"
        if not counted["good"]:
            problems.append(f"corpus {corpus}: no record at all out of {items} items ({reasons}); see {where}")
        elif refused > max_reject_rate * items:
            problems.append(
                f"corpus {corpus}: {refused} of {items} items refused ({reasons}), more than "
                f"build.max_reject_rate = {max_reject_rate:g} allows; see {where}"
            )
    return problems


def _workers(stage: Stage, run: Run, devices: int) -> int:
    """A process a core, or, for a network, a process a device."""
    if run.workers is not None:
        return run.workers
    return len(os.sched_getaffinity(0)) if stage.parallel else devices


def _devices(device: str) -> tuple[str, ...]:
    """Torch devices; torch is not imported where there is no GPU to ask for."""
    if device != "auto":
        return tuple(device.split(","))
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return ("cpu",)
    import torch

    return tuple(f"cuda:{i}" for i in range(torch.cuda.device_count())) or ("cpu",)


def note_provenance(workspace: Workspace, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Add entries to tables of fusionrs.lock: what was built from, so that it can be built again."""
    known = workspace.read_json(LOCK, {})
    lock = {**known, "workspace_version": SCHEMA_VERSION, "version": __version__}
    for table, entries in tables.items():
        lock[table] = {**known.get(table, {}), **entries}
    if lock != known:
        workspace.write_json(LOCK, lock)
