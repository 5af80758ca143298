"""Writes to a database from many sides, put to the disk together: each costs a share of a flush, not a whole one."""

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

Write = Callable[[sqlite3.Connection], Any]

Explained = Callable[[], contextlib.AbstractContextManager[None]]
"""Turns what the database raises into an error that names the file."""

Batch = list[tuple[Write, "Future[Any]"]]


class Commits:
    """A thread that commits whatever has come in since its last commit.

    Args:
        connection: of its own from now on; in autocommit mode, and free of its thread.
        explained: around every use of it.
    """

    def __init__(self, connection: sqlite3.Connection, explained: Explained) -> None:
        self._connection, self._explained = connection, explained
        self._waiting: queue.SimpleQueue[tuple[Write, Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def put(self, write: Write) -> "Future[Any]":
        """Have something written; the future holds what `write` returns once it is on the disk."""
        done: Future[Any] = Future()
        done.set_running_or_notify_cancel()  # who waits may give up; it is written all the same
        self._waiting.put((write, done))
        return done

    def close(self) -> None:
        """Write what is waiting, and let go of the connection."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, last = [first], False
            with contextlib.suppress(queue.Empty):
                while not last:
                    following = self._waiting.get_nowait()
                    last = following is None
                    batch += [following] if following is not None else []
            self._commit(batch)
            if last:
                break
        self._connection.close()

    def _commit(self, batch: Batch) -> None:
        """Do a batch, and tell those who wait; nothing of it where the file fails."""
        try:
            with self._explained():
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    results = [self._alone(write) for write, _ in batch]
                    self._connection.execute("COMMIT")
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
        except Exception as error:
            for _, done in batch:
                done.set_exception(error)
            return
        for (_, done), result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                done.set_exception(result)
            else:
                done.set_result(result)

    def _alone(self, write: Write) -> Any:
        """One write, or why it could not be: a value that no column takes must not undo the answers beside it."""
        self._connection.execute("SAVEPOINT one")
        try:
            result = write(self._connection)
        except (ValueError, OverflowError, sqlite3.InterfaceError) as error:  # of a value, not of the file
            self._connection.execute("ROLLBACK TO one")
            result = error
        self._connection.execute("RELEASE one")
        return result
