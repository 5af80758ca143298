"""A release filled in again: whole rows are byte for byte those of a release that held them all along."""

import errno
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import TEMPORARY
from fusionrs_builder.release import recipe
from fusionrs_builder.release.rebuild import Rebuild, Rebuilt
from fusionrs_builder.workspace import Workspace

from .conftest import Record, contents, lay, push, record
from .killed import killed
from .test_export import peak_of
from .test_pictures import other, whole
from .test_stage import stamps

CLOSED = {"license": "unknown", "redistributable": False}


def split(number: int) -> str:
    return {4: "validation", 5: "test"}.get(number % 6, "train")


def closed(key: str, number: int = 0, **special: Any) -> Record:
    return whole(key, **{**CLOSED, "split": split(number), **special})


def thermal(key: str, number: int) -> Record:
    """Infrared only, measured, with its 16-bit original; the hash of the record is that of the view."""
    view = closed(key, number)
    ir16 = {"bytes": b"\x89PNG of " + key.encode(), "path": f"{key}.png"}
    special = {"rgb": None, "ir16": ir16, "pixel_sha256": view["ir_sha256"], "ir_origin": "measured"}
    return {**view, **special}


def corpora() -> dict[str, list[Record]]:
    return {
        "free-00000": [record(f"{n}", split(n)) for n in range(6)],
        "shut-00000": [closed(f"with space {n}", n) for n in range(6)],
        "shut-00001": [closed(f"later {n}", n) for n in range(6)],
        "warm-00000": [thermal(f"{n}", n) for n in range(6)],
    }


def copy(folder: Path, shards: dict[str, list[Record]]) -> Workspace:
    """The workspace of somebody who has copies of some corpora."""
    workspace = Workspace.open(folder, create=True)
    lay(workspace, shards)
    return workspace


@pytest.fixture
def made(workspace: Workspace) -> Workspace:
    """`release/fusionrs` as it is published, and `release/whole` with every pixel."""
    lay(workspace, corpora())
    push(workspace, license_policy="any", name="whole")
    push(workspace, license_policy="redistributable")
    return workspace


@pytest.fixture
def mine(tmp_path: Path) -> Workspace:
    """Copies of all that is missing, cut into shards otherwise."""
    shards = corpora()
    return copy(
        tmp_path / "mine",
        {"shut-00000": [*shards["shut-00000"][:2]], "shut-00001": shards["shut-00000"][2:] + shards["shut-00001"]}
        | {"warm-00000": shards["warm-00000"]},
    )


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "to"


@pytest.fixture
def rebuild(made: Workspace, to: Path) -> Callable[[Workspace], Rebuilt]:
    return lambda workspace: job(made, to).fill(workspace)


def job(made: Workspace, to: Path) -> Rebuild:
    return Rebuild(Workspace(made.path("release")), "fusionrs", to)


def check_rows(to: Path, made: Workspace, without: set[str] | None = None) -> None:
    """All rows are those of the whole release, in the same files, but for some that have no pictures."""
    for place in ("data", "text"):
        expected = sorted(Path(made.path("release/whole", place)).iterdir())
        assert [path.name for path in sorted((to / place).iterdir())] == [path.name for path in expected]
        for path in expected:
            ours, theirs = pq.read_table(to / place / path.name), pq.read_table(path)
            assert ours.schema.equals(theirs.schema, check_metadata=True)
            rows = theirs.to_pylist()
            for row in rows if place == "data" else ():
                if row["id"] in (without or ()):
                    row.update(dict.fromkeys(("rgb", "ir", "ir16")))
            assert ours.to_pylist() == rows
            groups = [pq.read_metadata(each) for each in (to / place / path.name, path)]
            assert groups[0].num_row_groups == groups[1].num_row_groups


def check_sums(to: Path) -> None:
    told = dict(line.split("  ")[::-1] for line in (to / "SHA256SUMS").read_text().splitlines())
    found = {name: hashlib.sha256(data).hexdigest() for name, data in contents(to).items()}
    assert told == {name: sha256 for name, sha256 in found.items() if name not in ("SHA256SUMS", "README.md")}


def test_all_rows_come_back_byte_for_byte(made: Workspace, mine: Workspace, to: Path) -> None:
    work = job(made, to)
    assert work.missing() == {("shut", "translated"): 12, ("warm", "measured"): 6}
    assert not work.is_begun()
    found = work.fill(mine)
    assert found == Rebuilt(str(to), Counter(shut=12, warm=6))
    check_rows(to, made)
    check_sums(to)
    assert not work.missing() and work.is_begun()
    # It is as it would have been, but for what says how it came about.
    ours, theirs = contents(to), contents(Path(made.path("release/whole")))
    assert ours.keys() == theirs.keys()
    same = {name for name in ours if ours[name] == theirs[name]}
    assert {"NOTICE", "DATASHEET.md", recipe.SETTINGS, recipe.LOCK} <= same
    assert {name for name in ours if name.startswith("examples/")} <= same
    assert recipe.read(Workspace(str(to.parent)), to.name).push.license_policy == "any"


def test_again_nothing_is_done(rebuild: Callable[[Workspace], Rebuilt], mine: Workspace, to: Path) -> None:
    rebuild(mine)
    before = stamps(to)
    shutil.rmtree(mine.root)  # what is filled in needs no copy any more
    assert rebuild(mine) == Rebuilt(str(to))
    assert stamps(to) == before


def test_what_does_not_agree_stays_out(made: Workspace, to: Path, tmp_path: Path) -> None:
    shards = corpora()
    shards["shut-00000"][0] |= {"rgb": other("another picture")}
    shards["shut-00000"][1] |= {"rgb": {"bytes": b"no image", "path": "x.png"}}
    shards["shut-00000"][2] |= {"ir": other("another translator")}
    shards["shut-00000"].pop(3)
    shards["warm-00000"][0] |= {"ir": other("another sensor")}
    found = job(made, to).fill(copy(tmp_path / "mine", shards))
    assert found.filled == {"shut": 8, "warm": 5} and found.missing == {"shut": 4, "warm": 1}
    for words in ("0 has other pixels", "1 cannot be decoded", "2 was drawn otherwise", "3 is not in your copy"):
        assert len([each for each in found.problems if f"shut/with space {words}" in each]) == 1
    assert len(found.problems) == 5
    without = {f"shut/with space {n}" for n in range(4)} | {"warm/0"}
    check_rows(to, made, without)
    check_sums(to)
    assert job(made, to).missing() == {("shut", "translated"): 4, ("warm", "measured"): 1}


def test_a_second_run_keeps_what_is_filled_in(made: Workspace, mine: Workspace, to: Path, tmp_path: Path) -> None:
    """Also where the second run has nothing of what the first one had."""
    shards = corpora()
    first = job(made, to).fill(copy(tmp_path / "first", {"shut-00000": shards["shut-00000"]}))
    assert first.filled == {"shut": 6} and first.missing == {"shut": 6, "warm": 6}
    assert "warm: no copy of it is at hand: name yours by --from warm=PATH" in first.problems
    assert first.problems.count("shut/later 0 is not in your copy of shut") == 1
    assert "missing: 1 more" in first.problems
    lay(second := Workspace.open(tmp_path / "second", create=True), {"warm-00000": shards["warm-00000"]})
    lay(second, {"shut-00000": shards["shut-00001"]})
    before = stamps(to)
    found = job(made, to).fill(second)
    assert found == Rebuilt(str(to), Counter(shut=6, warm=6))
    assert stamps(to)["train-00000-of-00001.parquet"] != before["train-00000-of-00001.parquet"]
    check_rows(to, made)
    job(made, tmp_path / "at once").fill(mine)
    ours, theirs = contents(to), contents(tmp_path / "at once")
    assert {name for name in ours if ours[name] != theirs[name]} <= {"README.md"}  # which is marked with the folder


def test_a_file_that_is_whole_is_not_touched_again(made: Workspace, to: Path, tmp_path: Path) -> None:
    shards = corpora()
    shards["shut-00000"][0] |= {"rgb": other("another picture")}  # of train
    job(made, to).fill(copy(tmp_path / "first", shards))
    before = stamps(to)
    job(made, to).fill(copy(tmp_path / "second", {"shut-00000": corpora()["shut-00000"]}))
    after = stamps(to)
    assert {name for name in before if before[name] == after[name]} >= {
        f"{split}-00000-of-00001.parquet" for split in ("validation", "test")
    }
    check_rows(to, made)


def test_files_of_each_corpus(made: Workspace, mine: Workspace, to: Path) -> None:
    push(made, license_policy="any", name="whole", by_corpus=True)
    push(made, license_policy="redistributable", by_corpus=True)
    before = contents(Path(made.path("release/fusionrs")))
    job(made, to).fill(mine)
    check_rows(to, made)
    assert (to / "data" / "train.warm-00000-of-00001.parquet").is_file()
    assert contents(Path(made.path("release/fusionrs"))) == before


def test_a_newer_release_replaces_the_older(made: Workspace, mine: Workspace, to: Path) -> None:
    job(made, to).fill(mine)
    lay(made, {"free-00000": [record("new", "test")]})
    for name, policy in (("whole", "any"), ("fusionrs", "redistributable")):
        push(made, license_policy=policy, name=name, by_corpus=True)
    work = job(made, to)
    assert not work.is_begun() and work.missing().total() == 18
    work.fill(mine)
    check_rows(to, made)


def test_killed_at_any_file_it_goes_on(made: Workspace, mine: Workspace, to: Path, tmp_path: Path) -> None:
    job(made, tmp_path / "whole").fill(mine)
    deaths = moment = 0
    while killed(lambda: job(made, to).fill(mine), moment):
        deaths += 1
        assert not (to / "README.md").exists()
        moment = 1 if deaths <= 6 else moment + 1
    assert deaths > 12
    check_rows(to, made)
    check_sums(to)
    assert not [name for name in contents(to) if TEMPORARY in name]
    assert {**contents(to), "README.md": b""} == {**contents(tmp_path / "whole"), "README.md": b""}


def test_a_full_disk_loses_nothing(made: Workspace, mine: Workspace, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, room = os.fsync, 0

    def fsync(handle: int) -> None:
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        usual(handle)

    for more in (0, 1, 3, 5, 20):
        room = more
        with monkeypatch.context() as patch, pytest.raises(FusionError, match="the disk is full: free some space"):
            patch.setattr(os, "fsync", fsync)
            job(made, to).fill(mine)
        assert not [name for name in contents(to) if TEMPORARY in name or name == "README.md"]
    assert job(made, to).fill(mine).missing == {}
    check_rows(to, made)
    check_sums(to)


@pytest.mark.parametrize("strange", ["notes.txt", "README.md", "data/mine.parquet"])
def test_a_folder_of_something_else_is_left_alone(made: Workspace, to: Path, strange: str) -> None:
    (to / strange).parent.mkdir(parents=True)
    (to / strange).write_text("mine")
    with pytest.raises(UsageError, match="holds something that `rebuild` did not make: name a new or empty folder"):
        job(made, to)
    assert (to / strange).read_text() == "mine"


def test_a_folder_of_its_own_is_needed(made: Workspace, mine: Workspace, to: Path) -> None:
    with pytest.raises(UsageError, match="is the release itself: name a folder of its own"):
        job(made, Path(made.path("release/fusionrs")))
    with pytest.raises(UsageError, match="holds something that `rebuild` did not make"):
        job(made, Path(made.path("release/whole")))
    to.write_text("")
    with pytest.raises(UsageError, match="is a file: name a folder"):
        job(made, to)
    to.unlink()
    job(made, to).fill(mine)
    (to / "notes.txt").write_text("mine")  # beside it is allowed
    job(made, to).fill(mine)
    (to / "README.md").write_text("mine")
    with pytest.raises(UsageError, match="holds something that `rebuild` did not make"):
        job(made, to)


def test_a_release_that_is_not_whole_is_refused(made: Workspace, to: Path) -> None:
    Path(made.path("release/fusionrs/README.md")).unlink()
    with pytest.raises(FusionError, match="has no card, so it is no whole release: fetch or push it again"):
        job(made, to)


def test_a_damaged_file_of_the_release_is_told(made: Workspace, mine: Workspace, to: Path) -> None:
    path = Path(made.path("release/fusionrs/data/test-00000-of-00001.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(FusionError, match=r"test-00000-of-00001.parquet is not what SHA256SUMS says"):
        job(made, to).fill(mine)
    assert not (to / "README.md").exists()


def test_what_came_of_it_in_words() -> None:
    found = Rebuilt("/to", Counter(a=1200), Counter(b=1), ["b/x is not in your copy of b"])
    assert found.lines() == [
        "not filled in: b/x is not in your copy of b",
        "filled in: a 1,200",
        "without pictures: b 1",
        "/to",
    ]
    assert Rebuilt("/to").lines() == ["filled in: none", "without pictures: none", "/to"]
    assert found.as_dict() == {"path": "/to", "filled": {"a": 1200}, "missing": {"b": 1}, "problems": found.problems}


def test_memory_does_not_grow_with_the_release(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        made = Workspace.open(tmp_path / str(count) / "ws", create=True)
        lay(made, {"a-00000": (whole(f"{n:04d}", side=96, **CLOSED) for n in range(count))})
        push(made, license_policy="redistributable")
        job(made, tmp_path / "warm" / str(count)).fill(made)  # imports and caches are not what is measured
        return peak_of(lambda: job(made, tmp_path / str(count) / "to").fill(made))

    small, large = peak(200), peak(800)
    assert small > 100 * 96 * 96 * 3  # a row group is held
    assert large < 1.15 * small
