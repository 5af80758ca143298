"""What both formats promise: whole or not at all, the same bytes twice, nothing of others touched."""

import errno
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import TEMPORARY
from fusionrs_builder.release import image_folder, plan
from fusionrs_builder.release.converted import Converted, rows_of
from fusionrs_builder.release.documents import card
from fusionrs_builder.release.image_folder import write_image_folder
from fusionrs_builder.release.webdataset import write_webdataset
from fusionrs_builder.workspace import Workspace

from .conftest import contents, lay, push, record

Write = Callable[..., Converted]

pytestmark = pytest.mark.parametrize("write", [write_webdataset, write_image_folder])


class Killed(BaseException):
    """What nothing catches."""


@pytest.fixture
def beside(release: Path) -> Path:
    """A release with all that may stand beside its rows."""
    for name in ("NOTICE", "DATASHEET.md"):
        (release / name).write_text(f"the {name}")
    return release


def test_the_same_bytes_twice(write: Write, beside: Path, tmp_path: Path) -> None:
    done: list[int] = []
    first = write(beside, tmp_path / "one" / "below", done.append)
    assert first.rows == sum(done) == rows_of(beside) == 45
    write(beside, tmp_path / "two")
    found = contents(tmp_path / "two")
    assert contents(tmp_path / "one" / "below") == found
    assert (first.written, first.kept, first.removed) == (len(found), 0, 0)
    assert found["NOTICE"] == b"the NOTICE" and found["DATASHEET.md"] == b"the DATASHEET.md"
    pictures = {name for name in contents(beside) if name.startswith("examples/")}
    assert pictures and pictures <= found.keys()


def test_the_card_keeps_all_but_how_to_open_it(write: Write, release: Path, tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard

    write(release, tmp_path / "to")
    old, new = DatasetCard.load(release / card.NAME), DatasetCard.load(tmp_path / "to" / card.NAME)
    keys = {"configs", "dataset_info"}
    assert {k: v for k, v in new.data.to_dict().items() if k not in keys} == {
        k: v for k, v in old.data.to_dict().items() if k not in keys
    }
    assert "parquet" not in str(new.data.to_dict()["configs"])
    before, _, after = old.text.partition("-->")
    assert new.text.startswith(before + "-->") and new.text.endswith(after)
    assert card.fingerprint_of(Workspace(str(tmp_path)), "to") == card.fingerprint_of(
        Workspace(str(release.parent)), release.name
    )


def test_a_second_run_writes_nothing(write: Write, beside: Path, tmp_path: Path) -> None:
    write(beside, tmp_path / "to")
    stamps = {path: path.stat().st_ino for path in (tmp_path / "to").rglob("*")}
    done: list[int] = []
    again = write(beside, tmp_path / "to", done.append)
    assert (again.rows, sum(done), again.written, again.removed) == (45, 45, 0, 0)
    assert {path: path.stat().st_ino for path in (tmp_path / "to").rglob("*")} == stamps


def test_what_is_damaged_is_mended(write: Write, beside: Path, tmp_path: Path) -> None:
    write(beside, tmp_path / "to")
    whole = contents(tmp_path / "to")
    for name in whole:
        if name != card.NAME:
            path = tmp_path / "to" / name
            path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert write(beside, tmp_path / "to").written == len(whole)
    assert contents(tmp_path / "to") == whole


def test_what_an_earlier_release_had_is_removed(
    write: Write, filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MEGABYTE", 1)  # several files a split
    push(filled)
    release = Path(filled.path("release", "fusionrs"))
    (release / "NOTICE").write_text("one")
    target = tmp_path / "to"
    write(release, target)
    assert rows_of(release) == 45
    (target / "mine.txt").write_text("mine")
    (target / "train").mkdir(exist_ok=True)
    (target / "train" / "mine-rgb.jpg").write_text("mine")

    monkeypatch.undo()
    lay(filled, {"eurosat-00000": [record("000"), record("new")], "eurosat-00001": []})
    filled.fs.rm(filled.path("release"), recursive=True)
    for layer in ("rgb", "ir", "captions", "curation"):
        for shard in ("naip-00000", "hit-uav-00000"):
            filled.remove(layer, shard)
    push(filled)
    assert write(release, target).removed > 0
    write(release, tmp_path / "fresh")
    mine = {"mine.txt": b"mine", "train/mine-rgb.jpg": b"mine"}
    assert contents(target) == contents(tmp_path / "fresh") | mine


@pytest.mark.parametrize("at", [0, 1, 2, 5, -2, -1])
def test_a_killed_run_is_taken_up(
    write: Write, at: int, beside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(beside, tmp_path / "whole")
    target = tmp_path / "to"
    number, steps, replace = 0, len(contents(tmp_path / "whole")), os.replace

    def cut(source: Any, place: Any) -> None:
        nonlocal number
        if number == at % steps:
            (target / f"{TEMPORARY}0").write_bytes(b"left behind")
            raise Killed
        number += 1
        replace(source, place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut)
        with pytest.raises(Killed):
            write(beside, target)
    assert not (target / card.NAME).exists()
    write(beside, target)
    assert contents(target) == contents(tmp_path / "whole")


def test_a_mending_that_is_killed_leaves_no_card(
    write: Write, beside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(beside, tmp_path / "to")
    whole = contents(tmp_path / "to")
    (tmp_path / "to" / "NOTICE").write_text("other")

    def cut(source: Any, place: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut)
        with pytest.raises(Killed):
            write(beside, tmp_path / "to")
    assert not (tmp_path / "to" / card.NAME).exists()
    write(beside, tmp_path / "to")
    assert contents(tmp_path / "to") == whole


def test_folders_of_others_are_refused(write: Write, release: Path, tmp_path: Path) -> None:
    other = write_image_folder if write is write_webdataset else write_webdataset
    other(release, tmp_path / "other")
    (tmp_path / "file").write_text("")
    for name, file in (("project", "README.md"), ("data", "data/theirs.csv"), ("split", "train/theirs.jpg")):
        (tmp_path / name / file).parent.mkdir(parents=True)
        (tmp_path / name / file).write_text("theirs")
    (release.parent / "copy").mkdir()
    (release.parent / "copy" / card.NAME).write_bytes((release / card.NAME).read_bytes())
    for target, message in (
        (tmp_path / "file", "is a file"),
        (release, "lies in the release"),
        (release / "data", "lies in the release"),
        (release.parent, "holds fusionrs/"),
        (release.parent / "copy", "holds something that is not a"),
        (tmp_path / "project", "holds something that is not a"),
        (tmp_path / "data", r"holds data/theirs\.csv"),
        (tmp_path / "split", r"holds train/theirs\.jpg"),
        (tmp_path / "other", "holds something that is not a"),
    ):
        before = contents(target) if target.is_dir() else {}
        with pytest.raises(UsageError, match=message):
            write(release, target)
        assert before == (contents(target) if target.is_dir() else {})


def test_what_is_not_a_whole_release_is_refused(write: Write, release: Path, tmp_path: Path) -> None:
    write(release, tmp_path / "copy")
    readme = (release / card.NAME).read_bytes()
    for place, message in (
        (tmp_path / "nowhere", "is not a finished release: run `fusionrs-build push` first"),
        (tmp_path / "copy", "is not a finished release"),
    ):
        with pytest.raises(FusionError, match=message):
            write(place, tmp_path / "to")
    (release / card.NAME).unlink()
    with pytest.raises(FusionError, match="is not a finished release"):
        write(release, tmp_path / "to")
    (release / card.NAME).write_bytes(readme)
    (release / "data" / "train-00000-of-00001.parquet").unlink()
    with pytest.raises(FusionError, match=r"train-00000-of-00001\.parquet is not in both"):
        write(release, tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_a_release_that_changed_is_read_anew(write: Write, release: Path, tmp_path: Path) -> None:
    """`datasets` keeps what it read of a folder until its card tells of other data."""
    target = str(tmp_path / "to")
    write(release, tmp_path / "to")
    load_dataset(target)
    file, readme = release / "data" / "test-00000-of-00001.parquet", release / card.NAME
    rows = pq.read_table(file)
    labels = rows.schema.get_field_index("labels")
    changed = pa.array([["river"]] * len(rows), rows.schema.field(labels).type)  # as long as "field"
    pq.write_table(rows.set_column(labels, rows.schema.field(labels), changed), file)
    readme.write_text(card.MARK.sub(f"<!-- fusionrs-builder release {'0' * 64} -->", readme.read_text()))
    write(release, tmp_path / "to")
    row = load_dataset(target, split="test")[0]
    assert row.get("json", row)["labels"] == ["river"]


def test_files_of_their_own_for_every_corpus(write: Write, filled: Workspace, tmp_path: Path) -> None:
    push(filled, by_corpus=True)
    release = Path(filled.path("release", "fusionrs"))
    assert write(release, tmp_path / "to").rows == 45
    found = load_dataset(str(tmp_path / "to"))
    wanted = load_dataset(str(release), "text")
    for split, rows in wanted.items():
        assert [row.get("json", row)["id"] for row in found[split]] == rows["id"]
    assert write(release, tmp_path / "to").written == 0
    (release / "data" / "train.naip-00000-of-00001.parquet").unlink()
    with pytest.raises(FusionError, match=r"train\.naip-00000-of-00001\.parquet is not in both"):
        write(release, tmp_path / "to")


def test_a_split_without_rows_is_left_out(write: Write, release: Path, tmp_path: Path) -> None:
    write(release, tmp_path / "to")
    for split in ("test", "validation", "train"):
        file = release / "data" / f"{split}-00000-of-00001.parquet"
        pq.write_table(pq.read_table(file).slice(0, 0), file)
        if split != "train":
            write(release, tmp_path / "to")
            found = load_dataset(str(tmp_path / "to"))
            assert split not in found and len(found["train"]) == 37
            assert not [name for name in contents(tmp_path / "to") if name.split("/")[-1].startswith(split)]
    with pytest.raises(FusionError, match="has no rows"):
        write(release, tmp_path / "to")


def test_a_damaged_source_is_named(write: Write, release: Path, tmp_path: Path) -> None:
    train = release / "data" / "train-00000-of-00001.parquet"
    data = train.read_bytes()
    train.write_bytes(data[: len(data) // 2])
    with pytest.raises(FusionError, match=r"(?s)train-00000-of-00001\.parquet cannot be read .* delete it"):
        write(release, tmp_path / "to")
    middle = len(data) // 2
    train.write_bytes(data[:4] + bytes(middle) + data[4 + middle :])  # the footer is whole, the pages are not
    with pytest.raises(FusionError, match=r"(?s)train-00000-of-00001\.parquet cannot be read .* delete it"):
        write(release, tmp_path / "to")
    assert not (tmp_path / "to" / card.NAME).exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_source_that_may_not_be_read_is_named(write: Write, release: Path, tmp_path: Path) -> None:
    (release / "data" / "test-00000-of-00001.parquet").chmod(0)
    with pytest.raises(FusionError, match=r"test-00000-of-00001\.parquet cannot be read .*[Pp]ermission"):
        write(release, tmp_path / "to")


def test_a_full_disk(write: Write, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(FusionError, match=r"could not write .*/to/.*: the disk is full: free some space"):
            write(release, tmp_path / "to")
    assert not [name for name in contents(tmp_path / "to") if TEMPORARY in name]
    write(release, tmp_path / "to")
    write(release, tmp_path / "fresh")
    assert contents(tmp_path / "to") == contents(tmp_path / "fresh")


def test_a_target_that_cannot_be_written(write: Write, release: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FusionError, match=r"could not write to .*file/below"):
        write(release, tmp_path / "file" / "below")


def test_memory_does_not_grow_with_the_release(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folder, "ROWS", 100)  # so many rows of the table are held

    def peak(count: int) -> int:
        workspace = Workspace.open(tmp_path / str(count), create=True)
        lay(workspace, {"a-00000": (record(f"{n:04d}", side=96) for n in range(count))})
        push(workspace)
        release = Path(workspace.path("release", "fusionrs"))
        write(release, tmp_path / "warm")  # imports and caches are not what is measured
        tracemalloc.start()
        write(release, tmp_path / f"to-{count}")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(200), peak(1200)
    assert small > 100 * 96 * 96 * 3  # a row group is held
    assert large < 2.5 * small  # six times the rows; what is freed late is a matter of the collector
