"""A stage turns shards of its input layers into shards of the layer it writes.

The whole idea: `tasks` lists what should stand, with a fingerprint each; those that do not stand yet are `prepare`d and
handed to workers; a worker yields rows, and `Reject`s for what could not become one; `make` writes them.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import pyarrow as pa

from fusionrs_builder.errors import FusionError
from fusionrs_builder.shards import Footer, Row, refused_by_reason
from fusionrs_builder.workspace import Workspace


@dataclass(frozen=True)
class Reject:
    """An item that never became a record.

    Attributes:
        key: the publisher's key.
        reason: a short code, counted in every summary.
        message: what happened and what could be done.
        files: the files it came from.
    """

    key: str
    reason: str
    message: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One shard to be made.

    Attributes:
        shard: its name.
        fingerprint: of what would be written now.
        items: how many items go in.
        inputs: content of each input layer's shard.
        payload: what the worker needs beyond the input shards; set by `Stage.prepare`, picklable.
    """

    shard: str
    fingerprint: str
    items: int
    inputs: Mapping[str, str] = field(default_factory=dict)
    payload: Any = None


Worker = Callable[[Workspace, Task], Iterator[Row | Reject | pa.RecordBatch]]
"""Gives rows one by one, or many at once where they are in Arrow already."""


class Writer(Protocol):
    """What writes the file of a task; a context that leaves nothing behind where `commit` was not reached."""

    def write(self, answer: Any, /) -> None: ...

    def commit(self, footer: Footer, /) -> Footer: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...


class Stage(ABC):
    """One step of the build. Instances are picklable: they travel to the worker processes.

    Attributes:
        name: the command that runs it.
        version: raised when the code writes something else from the same input.
        reads: layers whose shards it reads, the first one setting the order.
        writes: the layer it writes.
        parallel: worth a process a core; a network uses all cores by itself, and gets a process a device.
        strict: what it refuses is a failure, so too much of it fails the command; else it is a decision.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    reads: ClassVar[tuple[str, ...]] = ()
    writes: str
    parallel: ClassVar[bool] = True
    strict: ClassVar[bool] = True

    @abstractmethod
    def params(self) -> Mapping[str, Any]:
        """Whatever changes the output: resolved parameters, model and prompt hashes. JSON values only."""

    @abstractmethod
    def open(self, device: str) -> Worker:
        """Load what is heavy, once a process, and return the function that makes the rows of a task."""

    def fingerprint(self, **inputs: Any) -> str:
        """sha256 over the stage's version, its parameters and the given inputs."""
        return digest({"stage": self.name, "version": self.version, "params": self.params(), "inputs": inputs})

    def tasks(self, workspace: Workspace) -> list[Task]:
        """What should stand in the layer, given the input layers as they are now.

        Raises:
            FusionError: an input shard is missing, or was made from something older than what stands now.
        """
        tasks = []
        for shard, first in workspace.footers(self.reads[0]).items():
            inputs = {self.reads[0]: first.content}
            for layer in self.reads[1:]:
                footer = workspace.footer(layer, shard)
                if footer is None or any(inputs.get(name) != made_of for name, made_of in footer.inputs.items()):
                    state = "missing" if footer is None else "out of date"
                    raise FusionError(f"{layer}/{shard} is {state}: run `fusionrs-build {MADE_BY[layer]}` first")
                inputs[layer] = footer.content
            tasks.append(Task(shard, self.fingerprint(**inputs), first.rows, inputs))
        return tasks

    def check(self, workspace: Workspace) -> None:  # noqa: B027
        """Look whether the settings fit what stands; cheap, and done before they are kept in fusionrs.toml.

        Raises:
            UsageError: they do not.
        """

    def prepare(self, workspace: Workspace, pending: Sequence[Task]) -> list[Task]:
        """Give the tasks that will run their payload. Runs once, in the parent process, only when there is work."""
        return list(pending)

    def owns(self, shard: str) -> bool:
        """Whether a shard of the layer is this stage's to remove when no task asks for it."""
        return True

    def finish(self, workspace: Workspace) -> bool:
        """What is to be done when every shard stands; cheap when there is nothing. Returns whether it did anything."""
        return False

    def is_current(self, workspace: Workspace) -> bool:
        """Whether `finish` has nothing left to do, given that every shard stands. Changes nothing."""
        return True

    def provenance(self, workspace: Workspace) -> dict[str, dict[str, Any]]:
        """What fusionrs.lock keeps: entries of its tables."""
        return {"stages": {self.name: {"version": self.version, "params": dict(self.params())}}}

    def writer(self, workspace: Workspace, task: Task) -> Writer:
        """The writer of one task's file."""
        return workspace.writer(self.writes, task.shard)


MADE_BY = {"rgb": "download", "ir": "translate", "captions": "caption", "curation": "curate"}
"""The command that writes each layer."""


def digest(value: Any) -> str:
    """sha256 of a JSON value in its canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def is_done(workspace: Workspace, stage: Stage, task: Task) -> bool:
    footer = workspace.footer(stage.writes, task.shard)
    return footer is not None and footer.fingerprint == task.fingerprint


def make(
    workspace: Workspace, stage: Stage, worker: Worker, task: Task, progress: Callable[[int], None] = lambda n: None
) -> Footer:
    """Make one shard: rows to the layer, rejects to `rejects/`, the count of both to the footer.

    Args:
        workspace: where.
        stage: what.
        worker: from `stage.open`.
        task: which shard.
        progress: called with the number of items done since the last call.

    Returns:
        The footer of the finished shard.

    Raises:
        FusionError: the worker gave more or fewer answers than the task has items; nothing is written.
    """
    rejects: list[Reject] = []
    reasons: list[str] = []
    with stage.writer(workspace, task) as writer:
        answers = 0
        for answer in worker(workspace, task):
            count = answer.num_rows if isinstance(answer, pa.RecordBatch) else 1
            answers += count
            if isinstance(answer, Reject):
                rejects.append(answer)
                reasons.append(answer.reason)
            else:
                writer.write(answer)
                if isinstance(answer, dict) and answer.get("reason"):
                    reasons.append(answer["reason"])
            progress(count)
        if answers != task.items:
            raise FusionError(f"{stage.name}: {task.items} items of shard {task.shard} gave {answers} answers")
        footer = Footer(
            stage.name, task.fingerprint, inputs=dict(task.inputs), items=answers, refused=refused_by_reason(reasons)
        )
        # The rejects first: the shard itself is what says that both are done.
        write_rejects(workspace, stage, task, rejects)
        return writer.commit(footer)


def write_rejects(workspace: Workspace, stage: Stage, task: Task, rejects: Sequence[Reject]) -> None:
    """Write the rejects of a shard that makes records; a shard without any has no file there."""
    if stage.reads:
        return  # later stages keep the row and say why in it
    workspace.remove("rejects", task.shard)
    if rejects:
        with workspace.writer("rejects", task.shard) as writer:
            for reject in rejects:
                writer.write({**vars(reject), "files": list(reject.files)})
            writer.commit(Footer(stage.name, task.fingerprint, items=len(rejects)))
