"""Records are decoded and measured in a process of their own, ahead of those that are asked about.

In one process with the network it would hold the interpreter for half of the time, and slots of the server stand idle.
"""

import contextlib
import multiprocessing
import queue
import threading
from collections.abc import Iterator
from typing import Any, cast

from fusionrs_builder.caption.chat.captioner import Measured
from fusionrs_builder.caption.chat.question import Questions
from fusionrs_builder.caption.chat.rounds import measured
from fusionrs_builder.engines.local import bare_start, die_with_parent
from fusionrs_builder.errors import FusionError
from fusionrs_builder.workspace import Workspace

AHEAD = 64
"""Records that are measured and wait, some 0.2 MB each."""

POLL_S = 1.0


class Measuring:
    """The process, and what comes from it.

    Args:
        workspace: where the shards are.
        questions: that makes the question of each record.
    """

    def __init__(self, workspace: Workspace, questions: Questions) -> None:
        context = multiprocessing.get_context("spawn")
        self._wanted, theirs = context.Pipe()
        self._found: Any = context.Queue(AHEAD)
        self._process = context.Process(
            target=_measure, args=(workspace, questions, theirs, self._found), name="measuring", daemon=True
        )
        with bare_start():
            self._process.start()
        theirs.close()
        cast(
            Any, self._found
        )._writer.close()  # else a process that dies while it writes leaves the reader waiting for ever

    def shard(self, shard: str) -> Iterator[Measured | None]:
        """The records of a shard, in order; None for one that is not asked about.

        Raises:
            FusionError: the shard cannot be read, or the process died.
        """
        with contextlib.suppress(OSError):  # it died: said below
            self._wanted.send(shard)
        while (found := self._next()) != _END:
            if isinstance(found, BaseException):
                raise found
            yield found

    def close(self) -> None:
        """End the process, whatever it does."""
        self._wanted.close()
        self._process.terminate()
        self._process.join()
        self._found.close()

    def _next(self) -> Any:
        while True:
            try:
                return self._found.get(timeout=POLL_S)
            except (queue.Empty, EOFError, OSError):
                self._process.join(0 if self._process.is_alive() else None)
                if not self._process.is_alive():
                    code = self._process.exitcode or 0
                    raise FusionError(
                        "the process that measures records was killed, most likely for want of memory: run again with "
                        "a lower --concurrency, or a lower build.shard_mb"
                        if code < 0
                        else f"the process that measures records ended by itself, code {code}: see what it said above"
                    ) from None


_END = "end of shard"


def _measure(workspace: Workspace, questions: Questions, wanted: Any, found: Any) -> None:
    """Runs in the process: measures shard after shard, as they are named."""
    threading.Thread(target=die_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError):
        while True:
            try:
                for each in measured(workspace, questions, wanted.recv()):
                    found.put(each)
                found.put(_END)
            except EOFError:
                raise
            except FusionError as error:
                found.put(error)
            except Exception as error:
                found.put(RuntimeError(f"measuring: {type(error).__name__}: {error}"))
