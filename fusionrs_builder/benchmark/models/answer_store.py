"""Answers that models gave, in one SQLite file: on the disk before they are counted, and never asked for twice."""

import contextlib
import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fusionrs_builder.errors import FusionError

WAIT_S = 60.0
"""For another process that holds the file."""

PAUSE_S = 0.05

TABLE = """
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY, model TEXT, prompt TEXT, pictures TEXT, most_tokens INTEGER, answer TEXT NOT NULL
) WITHOUT ROWID
"""


class AnswerStore:
    """Answers by what was asked: identity of the model, words, key of the pictures and length, see `model.Question`.

    Safe for threads, other processes and `kill -9`.

    Args:
        path: the file; made, with its folder, where there is none.

    Attributes:
        added: how many answers were kept through this one.

    Raises:
        FusionError: it cannot be opened, or is no such file. So do the methods.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.added, self._lock = path, 0, threading.Lock()
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
            self._switch_to_wal()
            self._base.execute("PRAGMA synchronous = FULL")  # NORMAL loses the last commits when the power goes
            self._base.execute(TABLE)

    def _switch_to_wal(self) -> None:
        """Only here SQLite does not wait for another process by itself, which may be switching the same file."""
        for _ in range(int(WAIT_S / PAUSE_S)):
            try:
                self._base.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                time.sleep(PAUSE_S)
        self._base.execute("PRAGMA journal_mode = WAL")

    def close(self) -> None:
        self._base.close()

    def __enter__(self) -> "AnswerStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, identity: str, prompt: str, pictures_key: str, most_tokens: int) -> str | None:
        """The answer that a model gave; None where it gave none."""
        found = self._run("SELECT answer FROM answers WHERE key = ?", _key(identity, prompt, pictures_key, most_tokens))
        return None if not found else str(found[0][0])

    def put(self, identity: str, prompt: str, pictures_key: str, most_tokens: int, answer: str) -> None:
        """Keep an answer, any text that UTF-8 can hold; it is on the disk when this returns. The first one stands."""
        asked = (identity, prompt, pictures_key, most_tokens)
        self._run("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?)", _key(*asked), *asked, answer)
        with self._lock:
            self.added += 1

    def _run(self, sql: str, *values: str | int) -> list[Any]:
        with self._lock, self._explained():
            return self._base.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise FusionError(
                f"{self.path}: {error}: end what else has it open, free some space or mend its rights, then run again"
            ) from None
        except sqlite3.DatabaseError as error:
            raise FusionError(
                f"{self.path} is damaged or holds no answers ({error}): move it away, and run again"
            ) from None


def _key(*asked: str | int) -> str:
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()
