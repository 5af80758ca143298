"""Runs the tasks of a stage on this machine: in this process, or in several that each keep their worker open."""

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from typing import Any

from fusionrs_builder.errors import FusionError
from fusionrs_builder.shards import Footer
from fusionrs_builder.stage import Stage, Task, Worker, make
from fusionrs_builder.workspace import Workspace

POLL_S = 0.2


@dataclass(frozen=True)
class Resources:
    """What a run may use.

    Attributes:
        workers: processes; 1 runs in this one.
        devices: torch devices, given to the workers in turn.
    """

    workers: int = 1
    devices: tuple[str, ...] = ("cpu",)


def run(
    stage: Stage, workspace: Workspace, tasks: Sequence[Task], resources: Resources, progress: Callable[[int], None]
) -> Iterator[Footer]:
    """Make the shards of `tasks`, and yield the footer of each as it is finished.

    Args:
        stage: what to run.
        workspace: where.
        tasks: prepared, not yet done.
        resources: processes and devices.
        progress: called, in this process, with the number of items done since the last call.

    Raises:
        FusionError: a worker failed, or was killed. Shards finished before it stay.
    """
    if resources.workers == 1 or len(tasks) == 1:
        worker = stage.open(resources.devices[0])
        try:
            for task in tasks:
                yield make(workspace, stage, worker, task, progress)
        finally:
            getattr(worker, "close", lambda: None)()  # of one that holds more than memory
        return
    # spawn: a forked child would inherit torch's threads and the lock on the workspace.
    context = multiprocessing.get_context("spawn")
    counts: Any = context.Queue()
    numbers: Any = context.Queue()
    workers = min(resources.workers, len(tasks))
    for number in range(workers):
        numbers.put(resources.devices[number % len(resources.devices)])
    pool = ProcessPoolExecutor(workers, context, _open, (stage, workspace, numbers, counts))
    try:
        with bare_start(
            hide_main=type(stage).__module__ != "__main__"
        ):  # the pool starts its processes as tasks are handed in
            waiting: set[Future[Footer]] = {pool.submit(_make, task) for task in tasks}
        while waiting:
            done, waiting = wait(waiting, POLL_S, FIRST_COMPLETED)
            _drain(counts, progress)
            for future in done:
                yield future.result()
        _drain(counts, progress)
    except BrokenProcessPool:
        raise FusionError(
            f"{stage.name}: a worker process was killed, most likely for want of memory: "
            "run again with fewer --workers, or a lower build.shard_mb"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def bare_start(hide_main: bool = True) -> Iterator[None]:
    """Start processes that neither run the caller's script again nor answer Ctrl-C with a traceback each.

    A spawned process imports the parent's `__main__`: a plain script would start the build anew in every worker.

    Args:
        hide_main: whether to keep it from that; not where what it is to run is defined there.
    """
    main = sys.modules["__main__"]
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    if hide_main:
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if in_main_thread:
            signal.signal(signal.SIGINT, before)


_worker: tuple[Stage, Workspace, Worker, Any] | None = None


def _open(stage: Stage, workspace: Workspace, devices: Any, counts: Any) -> None:
    """Runs once in each worker process."""
    global _worker
    threading.Thread(target=die_with_parent, daemon=True).start()
    _worker = (stage, workspace, stage.open(devices.get()), counts)


def _make(task: Task) -> Footer:
    assert _worker is not None
    stage, workspace, worker, counts = _worker
    return make(workspace, stage, worker, task, counts.put)


def die_with_parent() -> None:
    """For a thread: a worker whose build was killed must not go on writing, since the workspace is free again."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _drain(counts: Any, progress: Callable[[int], None]) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            progress(counts.get_nowait())
