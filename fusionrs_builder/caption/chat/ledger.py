"""Every answer that was paid for, in one SQLite file: durable before it is counted, and never bought twice.

An answer is found again by what was sent: sha256 of the images, of the prompt file and of the text, the model and its
parameters. Which shard or split a record is in plays no part. What failed is kept beside the answers, and never served
as one.
"""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionrs_builder.caption.chat.commits import Commits
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.workspace import Workspace

NAME = "ledger.sqlite"

TABLES = """
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY, record TEXT, model TEXT, prompt_sha256 TEXT, parameters TEXT, images TEXT, text TEXT,
  reply TEXT, finish TEXT, tokens_in INTEGER, tokens_out INTEGER, usd REAL, seconds REAL, via TEXT, at TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
  number INTEGER PRIMARY KEY, key TEXT, record TEXT, model TEXT, state TEXT, error TEXT, usd REAL, at TEXT
);
CREATE TABLE IF NOT EXISTS jobs (
  job TEXT PRIMARY KEY, state TEXT, facts TEXT, at TEXT
) WITHOUT ROWID;
"""

UPLOADED, CREATED, COLLECTED, GIVEN_UP = "uploaded", "created", "collected", "given up"
"""States of a job of the batch endpoint."""

NOW = "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')"

WAIT_S = 30.0
"""For another process that holds the file."""


@dataclass(frozen=True)
class Answer:
    """What a model said, and what it cost.

    Attributes:
        reply: its text, as it came.
        finish: why it stopped: `stop`, `length` ...
        tokens_in, tokens_out: as the server counted them; 0 where it does not.
        usd: dollars by the price table; None where the model has no price there.
        seconds: from the question to the answer.
        via: `chat`, `batch` or `offline`.
    """

    reply: str
    finish: str
    tokens_in: int
    tokens_out: int
    usd: float | None
    seconds: float
    via: str = "chat"


@dataclass(frozen=True)
class Asked:
    """What an answer is kept under.

    Attributes:
        key: sha256 over all of the following but `record`.
        record: id of the record that was asked for first.
        model: its name.
        prompt_sha256: of the prompt file.
        parameters: what else was sent: JSON values.
        images: sha256 of each image, in order.
        text: what was sent with them.
        pixels: of all images; for the bound of what they may cost.
    """

    key: str
    record: str
    model: str
    prompt_sha256: str
    parameters: dict[str, Any]
    images: tuple[str, ...]
    text: str
    pixels: int = 0


@dataclass(frozen=True)
class Spent:
    """Sums over the ledger, for one model or for all.

    Attributes:
        answers: that are kept.
        tokens_in, tokens_out: of these.
        usd: of these, where the model had a price.
        unpriced: answers of models without one.
        failed: attempts that gave no answer.
        doubtful_usd: at most, for questions that were under way when a process died or a line broke: whether the server
            charged for them is known to nobody here.
    """

    answers: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    unpriced: int = 0
    failed: int = 0
    doubtful_usd: float = 0.0


def ledger_path(workspace: Workspace) -> Path:
    """Where the answers of a workspace are kept.

    Raises:
        UsageError: the workspace is not on this machine's file system.
    """
    if not workspace.local:
        raise UsageError(
            f"{workspace.url}: answers are kept in a database, which needs a local workspace: build it in a folder, "
            "and copy it where it shall be"
        )
    return Path(workspace.path(NAME))


class Ledger:
    """The file, open.

    Args:
        path: of the file; made where there is none.

    Raises:
        FusionError: the file is not a ledger, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = self._connected()
            self._reader.executescript(TABLES)
        self._lock = threading.Lock()
        with self._explained():
            self._commits = Commits(self._connected(), self._explained)

    def close(self) -> None:
        """Write what is waiting, and let go of the file."""
        self._commits.close()
        self._reader.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Reading.

    def find(self, key: str) -> Answer | None:
        """The answer to this very question, if it was ever given."""
        row = self._one(f"SELECT {_ANSWER} FROM answers WHERE key = ?", (key,))
        return None if row is None else Answer(*row)

    def spent(self, model: str | None = None) -> Spent:
        """What all answers, or those of one model, cost."""
        which, values = ("", ()) if model is None else ("WHERE model = ?", (model,))
        answers = self._one(
            f"SELECT count(*), total(tokens_in), total(tokens_out), total(usd), count(*) - count(usd) "
            f"FROM answers {which}",
            values,
        )
        attempts = self._one(
            f"SELECT total(state <> 'asked'), total(CASE WHEN state IN ('asked', 'doubtful') THEN usd END) "
            f"FROM attempts {which}",
            values,
        )
        assert answers is not None
        assert attempts is not None
        return Spent(int(answers[0]), int(answers[1]), int(answers[2]), answers[3], answers[4],
                     int(attempts[0]), attempts[1])  # fmt: skip

    def models(self) -> list[str]:
        """Every model that was asked."""
        return [row[0] for row in self._all("SELECT model FROM answers UNION SELECT model FROM attempts ORDER BY 1")]

    def errors(self, most: int = 20) -> list[tuple[str, int]]:
        """What failed, and how often, the commonest first."""
        found = self._all(
            "SELECT error, count(*) AS n FROM attempts WHERE state <> 'asked' GROUP BY error ORDER BY n DESC LIMIT ?",
            (most,),
        )
        return [(row[0] or "", row[1]) for row in found]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every answer with what it was given to, by key; one in memory at a time."""
        names = [f.strip() for f in (_ASKED + ", " + _ANSWER + ", at").split(",")]
        connection = self._connected()
        with contextlib.closing(connection):
            for row in connection.execute(f"SELECT {', '.join(names)} FROM answers ORDER BY key"):
                found = dict(zip(names, row, strict=True))
                yield {**found, **{name: json.loads(found[name]) for name in ("parameters", "images")}}

    # Writing: each returns once it is on the disk, by its future.

    def asking(self, asked: Asked, bound_usd: float | None) -> "Future[int]":
        """A question is about to be sent, and may cost so much at most. Gives the number of the attempt."""
        values = (asked.key, asked.record, asked.model, "asked", bound_usd)

        def write(connection: sqlite3.Connection) -> int:
            sql = f"INSERT INTO attempts (key, record, model, state, usd, at) VALUES (?, ?, ?, ?, ?, {NOW})"
            return int(connection.execute(sql, values).lastrowid or 0)

        return self._commits.put(write)

    def answered(self, attempt: int | None, asked: Asked, answer: Answer, uncounted: bool = False) -> "Future[None]":
        """The answer came; the attempt is settled by it, unless nobody told what it cost: then its bound stands."""
        values = (
            asked.key, asked.record, asked.model, asked.prompt_sha256, json.dumps(asked.parameters, sort_keys=True),
            json.dumps(asked.images), asked.text,
            answer.reply, answer.finish, answer.tokens_in, answer.tokens_out, answer.usd, answer.seconds, answer.via,
        )  # fmt: skip

        def write(connection: sqlite3.Connection) -> None:
            names = f"{_ASKED}, {_ANSWER}, at"
            holes = ", ".join("?" * len(values))
            connection.execute(f"INSERT OR IGNORE INTO answers ({names}) VALUES ({holes}, {NOW})", values)
            if uncounted:
                sql = "UPDATE attempts SET state = 'doubtful', error = 'its tokens were not counted' WHERE number = ?"
            else:
                sql = "DELETE FROM attempts WHERE number = ?"
            connection.execute(sql, (attempt,))

        return self._commits.put(write)

    def failed(self, attempt: int, error: str, doubtful: bool) -> "Future[None]":
        """No answer came. `doubtful`: the server may have charged for it all the same."""
        state = "doubtful" if doubtful else "failed"

        def write(connection: sqlite3.Connection) -> None:
            usd = "usd" if doubtful else "0"
            sql = f"UPDATE attempts SET state = ?, error = ?, usd = {usd} WHERE number = ?"
            connection.execute(sql, (state, error, attempt))

        return self._commits.put(write)

    def settle_the_dead(self) -> None:
        """What a killed process had under way is doubtful. To be called while no other process asks."""
        self._commits.put(
            lambda connection: connection.execute(
                "UPDATE attempts SET state = 'doubtful', error = 'the process died' WHERE state = 'asked'"
            )
        ).result()

    # Jobs of a batch endpoint.

    def job(self, name: str) -> dict[str, Any] | None:
        """What is known of a batch job."""
        row = self._one("SELECT facts FROM jobs WHERE job = ?", (name,))
        return None if row is None else json.loads(row[0])

    def jobs(self, state: str) -> list[str]:
        """Names of the jobs in this state, in their order."""
        return [row[0] for row in self._all("SELECT job FROM jobs WHERE state = ? ORDER BY at, job", (state,))]

    def note_job(self, name: str, state: str, facts: dict[str, Any]) -> None:
        """Keep what is known of a batch job; on the disk when this returns."""
        sql = (
            f"INSERT INTO jobs (job, state, facts, at) VALUES (?, ?, ?, {NOW}) "
            "ON CONFLICT (job) DO UPDATE SET state = excluded.state, facts = excluded.facts"
        )
        self._commits.put(lambda connection: connection.execute(sql, (name, state, json.dumps(facts)))).result()

    def _one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        found = self._all(sql, values)
        return found[0] if found else None

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock, self._explained():
            return self._reader.execute(sql, values).fetchall()

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # NORMAL loses the last commits when the power goes
        return connection

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise FusionError(
                f"{self.path}: {error}: end what else has it open, free some space or mend its rights, then run again"
            ) from None
        except sqlite3.DatabaseError as error:
            raise FusionError(f"{self.path} is not a ledger ({error}): move it away, and run again") from None


_ASKED = "key, record, model, prompt_sha256, parameters, images, text"
_ANSWER = "reply, finish, tokens_in, tokens_out, usd, seconds, via"
