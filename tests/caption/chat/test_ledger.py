import multiprocessing
import os
import signal
import sqlite3
from pathlib import Path

import pytest

from fusionrs_builder.caption.chat.ledger import Answer, Asked, Ledger, Spent
from fusionrs_builder.errors import FusionError

ASKED = Asked("k1", "demo/a", "m", "p" * 64, {"temperature": 0.2}, ("i1", "i2"), "what is there?")
ANSWER = Answer("{}", "stop", 100, 20, 0.001, 0.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_an_answer_is_found_again_by_another_process(path: Path) -> None:
    with Ledger(path) as ledger:
        assert ledger.find("k1") is None
        attempt = ledger.asking(ASKED, 0.01).result()
        assert ledger.spent() == Spent(doubtful_usd=0.01)  # under way: it may be charged for
        ledger.answered(attempt, ASKED, ANSWER).result()
        assert ledger.find("k1") == ANSWER
    with Ledger(path) as again:
        assert again.find("k1") == ANSWER
        assert again.spent() == again.spent("m") == Spent(1, 100, 20, 0.001)
        assert again.spent("another") == Spent()
        (row,) = again.rows()
        assert (row["record"], row["images"], row["parameters"]) == ("demo/a", ["i1", "i2"], {"temperature": 0.2})
        assert again.models() == ["m"]


def test_a_failure_is_kept_and_never_served(path: Path) -> None:
    with Ledger(path) as ledger:
        first, second = (ledger.asking(ASKED, 0.01).result() for _ in range(2))
        ledger.failed(first, "http_500: oops", doubtful=False).result()
        ledger.failed(second, "timeout: 3 s", doubtful=True).result()
        assert ledger.find("k1") is None
        assert ledger.spent() == Spent(failed=2, doubtful_usd=0.01)
        assert sorted(ledger.errors()) == [("http_500: oops", 1), ("timeout: 3 s", 1)]


def test_the_first_answer_stands(path: Path) -> None:
    with Ledger(path) as ledger:
        for reply in ("first", "second"):
            answer = Answer(reply, "stop", 1, 1, None, 0.1)
            ledger.answered(ledger.asking(ASKED, None).result(), ASKED, answer).result()
        found = ledger.find("k1")
        assert found is not None
        assert found.reply == "first"
        assert ledger.spent().unpriced == 1


def _ask_and_die(path: Path) -> None:
    ledger = Ledger(path)
    done = ledger.asking(ASKED, 0.5).result()
    ledger.answered(done, ASKED, ANSWER).result()
    ledger.asking(Asked(**{**vars(ASKED), "key": "k2"}), 0.5).result()
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_was_under_way_when_the_process_died_is_doubtful(path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_ask_and_die, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with Ledger(path) as ledger:
        ledger.settle_the_dead()
        assert ledger.find("k1") == ANSWER
        assert ledger.find("k2") is None
        assert ledger.spent() == Spent(1, 100, 20, 0.001, failed=1, doubtful_usd=0.5)
        assert ledger.errors() == [("the process died", 1)]


def test_many_writes_share_a_commit_and_all_arrive(path: Path) -> None:
    with Ledger(path) as ledger:
        asked = [Asked(**{**vars(ASKED), "key": f"k{n}"}) for n in range(500)]
        attempts = [ledger.asking(each, None) for each in asked]
        done = [ledger.answered(a.result(), each, ANSWER) for a, each in zip(attempts, asked, strict=True)]
        for each in done:
            each.result()
        assert ledger.spent().answers == 500
    assert sqlite3.connect(path).execute("SELECT count(*) FROM answers").fetchone() == (500,)


def test_what_waits_is_written_when_it_closes(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.answered(None, ASKED, ANSWER)
    with Ledger(path) as ledger:
        assert ledger.find("k1") == ANSWER


def test_jobs_of_a_batch_endpoint(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.note_job("one", "uploaded", {"file": "f1"})
        ledger.note_job("one", "created", {"file": "f1", "batch": "b1"})
        assert ledger.jobs("created") == ["one"]
        assert ledger.jobs("uploaded") == []
        assert ledger.job("one") == {"file": "f1", "batch": "b1"}
        assert ledger.job("two") is None


def test_no_ledger_and_no_right(tmp_path: Path, path: Path) -> None:
    path.write_bytes(b"these are not the bytes of a database, whatever their name" * 100)
    with pytest.raises(FusionError, match="is not a ledger"):
        Ledger(path)
    (tmp_path / "file").write_text("x")
    with pytest.raises((FusionError, OSError)):
        Ledger(tmp_path / "file" / "ledger.sqlite")
