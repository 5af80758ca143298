"""Sorting and joining more than memory holds: key -> JSON values, in a temporary file that goes when it is closed."""

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

BATCH = 5000
"""Values written at once."""

CACHE_KB = 32 * 1024


class Spool:
    """A multi-map on disk: many values a key, kept in order of arrival.

    Use as a context manager, or leave it to be closed with its owner. Not for sharing between processes.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fusionrs-spool-")
        self._base = sqlite3.connect(Path(self._folder.name) / "spool.sqlite", check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KB}", "temp_store=FILE"):
            self._base.execute(f"PRAGMA {pragma}")
        self._base.execute("CREATE TABLE spool (key TEXT, value TEXT)")
        self._waiting: list[tuple[str, str]] = []
        self._indexed = False

    def add(self, key: str, value: Any) -> None:
        """Keep a JSON value under a key."""
        self._waiting.append((_storable(key), json.dumps(value, separators=(",", ":"))))
        if len(self._waiting) >= BATCH:
            self._flush()

    def get(self, key: str) -> list[Any]:
        """The values of a key in order of arrival; none where it is unknown."""
        self._flush()
        if not self._indexed:
            self._base.execute("CREATE INDEX IF NOT EXISTS by_key ON spool (key)")
            self._indexed = True
        found = self._base.execute("SELECT value FROM spool WHERE key = ? ORDER BY rowid", (_storable(key),))
        return [json.loads(value) for (value,) in found]

    def first(self, key: str) -> Any | None:
        return next(iter(self.get(key)), None)

    def sorted(self) -> Iterator[tuple[str, Any]]:
        """Every key and value by key, equal keys by the text of the value: the order of arrival leaves no trace."""
        self._flush()
        for key, value in self._base.execute("SELECT key, value FROM spool ORDER BY key, value"):
            yield _original(key), json.loads(value)

    def __len__(self) -> int:
        self._flush()
        return int(self._base.execute("SELECT count(*) FROM spool").fetchone()[0])

    def _flush(self) -> None:
        if self._waiting:
            self._base.executemany("INSERT INTO spool VALUES (?, ?)", self._waiting)
            self._waiting.clear()

    def close(self) -> None:
        self._base.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _storable(key: str) -> str:
    """File names that are not UTF-8 reach Python with lone surrogates, which SQLite does not take."""
    return key if key.isprintable() else json.dumps(key)[1:-1] + "\x00"


def _original(key: str) -> str:
    return str(json.loads(f'"{key[:-1]}"')) if key.endswith("\x00") else key
