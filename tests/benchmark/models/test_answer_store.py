"""Answers are on the disk before they are counted: whatever is killed, damaged or shared."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.benchmark.models.answer_store import AnswerStore
from fusionrs_builder.errors import FusionError

WRITER = """
import sys
from pathlib import Path
from fusionrs_builder.benchmark.models.answer_store import AnswerStore

path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = AnswerStore(path)
for i in range(count):
    store.put(name, str(i), "pixels", 8, f"{name} {i}")
    print(i, flush=True)
"""

asked = st.tuples(st.text(), st.text(), st.text(), st.integers(1, 1 << 40))


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> AnswerStore:
    return AnswerStore(tmp_path_factory.mktemp("kept") / "answers.sqlite")


@given(asked=asked, answer=st.text())
def test_what_was_put_is_found_by_what_was_asked(
    kept: AnswerStore, asked: tuple[str, str, str, int], answer: str
) -> None:
    before = kept.get(*asked)
    kept.put(*asked, answer)
    expected = answer if before is None else before  # the first one stands
    assert kept.get(*asked) == expected
    with AnswerStore(kept.path) as again:
        assert again.get(*asked) == expected


@given(one=asked, other=asked)
def test_another_question_is_another(tmp_path_factory: pytest.TempPathFactory, one: tuple, other: tuple) -> None:  # type: ignore[type-arg]
    with AnswerStore(tmp_path_factory.mktemp("store") / "answers.sqlite") as store:
        store.put(*one, "yes")
        assert store.get(*other) == ("yes" if one == other else None)


def test_parts_of_a_question_do_not_run_into_each_other(tmp_path: Path) -> None:
    with AnswerStore(tmp_path / "answers.sqlite") as store:
        store.put("a", "bc", "d", 1, "one")
        assert store.get("ab", "c", "d", 1) is None
        assert store.get("a", "bc", "d1", 1) is None
        assert store.get("a", "bc", "d", 11) is None


def test_nothing_that_was_put_is_lost_to_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "made" / "answers.sqlite"
    process = writer(path, "m", 1_000_000)
    assert process.stdout
    seen = -1
    for line in process.stdout:
        seen = int(line)
        if seen >= 20:
            os.kill(process.pid, signal.SIGKILL)
            break
    seen = max([seen, *map(int, process.stdout.read().split())])
    process.wait(10)
    with AnswerStore(path) as store:
        assert [store.get("m", str(i), "pixels", 8) for i in range(seen + 1)] == [f"m {i}" for i in range(seen + 1)]
        store.put("m", "more", "pixels", 8, "yes")
        assert store.get("m", "more", "pixels", 8) == "yes"


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    both = [writer(path, name, 60) for name in ("a", "b")]
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0
    with AnswerStore(path) as store:
        assert all(store.get(name, str(i), "pixels", 8) == f"{name} {i}" for name in ("a", "b") for i in range(60))


def test_many_open_a_new_file_and_write_at_once(tmp_path: Path) -> None:
    path, errors = tmp_path / "answers.sqlite", []

    def work(number: int) -> None:
        try:
            with AnswerStore(path) as store:
                for i in range(10):
                    store.put(f"m{number}", str(i), "", 1, "yes")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with AnswerStore(path) as store:
        assert all(store.get(f"m{number}", str(i), "", 1) == "yes" for number in range(8) for i in range(10))


def test_threads_share_one_store(tmp_path: Path) -> None:
    with AnswerStore(tmp_path / "answers.sqlite") as store:

        def work(number: int) -> None:
            for i in range(20):
                store.put("m", f"{number} {i}", "", 1, f"{number} {i}")
                assert store.get("m", f"{number} {i}", "", 1) == f"{number} {i}"

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(store.get("m", f"{n} {i}", "", 1) == f"{n} {i}" for n in range(4) for i in range(20))


def test_no_database_is_named_with_the_fix(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"an answer, but no database" * 100)
    with pytest.raises(FusionError, match=r"answers\.sqlite is damaged.*move it away"):
        AnswerStore(path)


def test_a_damaged_file_is_named_with_the_fix(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with AnswerStore(path) as store:
        for i in range(200):
            store.put("m", str(i), "", 1, "x" * 200)
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(FusionError, match=r"answers\.sqlite is damaged.*move it away"), AnswerStore(path) as store:
        for i in range(200):
            store.get("m", str(i), "", 1)


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r"unable to open.*mend its rights"):
        AnswerStore(tmp_path)
