import errno
import os
import shutil
from pathlib import Path

import pytest

from fusionrs_builder.engines.runner import Run, run_stage
from fusionrs_builder.errors import FusionError
from fusionrs_builder.files import TEMPORARY
from fusionrs_builder.release import plan
from fusionrs_builder.release.stage import ReleaseStage
from fusionrs_builder.settings import PushSettings
from fusionrs_builder.stage import make
from fusionrs_builder.workspace import Workspace

from .conftest import contents, lay, push, record, three_corpora
from .killed import killed

FILES = ["train-00000-of-00001", "validation-00000-of-00001", "test-00000-of-00001"]


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_two_builds_are_byte_identical(filled: Workspace, tmp_path: Path) -> None:
    other = Workspace.open(tmp_path / "elsewhere" / "other-name", create=True)
    lay(other, dict(three_corpora()))
    assert push(filled) == push(other) == FILES
    ours, theirs = (contents(Path(workspace.path("release"))) for workspace in (filled, other))
    assert len(ours) > 10
    assert ours == theirs


def test_any_number_of_workers_writes_the_same(filled: Workspace, tmp_path: Path) -> None:
    push(filled)
    other = Workspace.open(tmp_path / "other", create=True)
    lay(other, dict(three_corpora()))
    stage = ReleaseStage(PushSettings(license_policy="any"))
    assert run_stage(other, stage, Run(workers=2), 0).made == 3
    for workspace in (filled, other):  # which notes the settings of each stage that ran
        if workspace.exists("fusionrs.lock"):
            os.unlink(workspace.path("fusionrs.lock"))
    push(other)
    assert contents(Path(filled.path("release"))) == contents(Path(other.path("release")))


def test_killed_at_any_file_it_goes_on(filled: Workspace, tmp_path: Path) -> None:
    push(filled)
    whole = contents(Path(filled.path("release")))
    other = Workspace.open(tmp_path / "other", create=True)
    lay(other, dict(three_corpora()))
    deaths = moment = 0
    # Parquet files that stand are kept: six runs that die over their second file make them. What tells of the release
    # is written anew until the card stands, so that each run must come one file further.
    while killed(lambda: push(other), moment):
        deaths += 1
        assert not other.exists("release/fusionrs/README.md")
        moment = 1 if deaths <= 6 else moment + 1
    assert deaths > 12
    assert contents(Path(other.path("release"))) == whole


def test_a_full_disk_loses_nothing(filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    push(filled)
    whole = contents(Path(filled.path("release")))
    shutil.rmtree(filled.path("release"))
    usual, room = os.fsync, 0

    def fsync(handle: int) -> None:
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        usual(handle)

    for more in range(200):
        room = 3 * more
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            try:
                push(filled)
                break
            except FusionError as error:
                assert "the disk is full: free some space, then run the same command again" in str(error)  # noqa: PT017
        left = contents(Path(filled.path("release")))
        assert not [name for name in left if TEMPORARY in name]
        assert "fusionrs/README.md" not in left
    assert more > 3
    assert contents(Path(filled.path("release"))) == whole


def test_nothing_is_made_twice(release: Path, filled: Workspace) -> None:
    before = stamps(release)
    assert push(filled) == []
    assert stamps(release) == before
    assert not ReleaseStage(PushSettings(license_policy="any")).finish(filled)


def test_only_a_missing_file_is_remade(release: Path, filled: Workspace) -> None:
    before, was = stamps(release), contents(release)
    (release / "data" / "validation-00000-of-00001.parquet").unlink()
    assert not ReleaseStage(PushSettings(license_policy="any")).is_current(filled)
    assert push(filled) == ["validation-00000-of-00001"]
    after = stamps(release)
    for split in ("train", "test"):
        assert after[f"{split}-00000-of-00001.parquet"] == before[f"{split}-00000-of-00001.parquet"]
    assert contents(release) == was


def test_a_run_cut_short_leaves_no_card_and_is_taken_up(filled: Workspace) -> None:
    push(filled)
    whole = contents(Path(filled.path("release")))
    lay(filled, {"naip-00000": [record("other", "validation")]})
    push(filled)
    assert contents(Path(filled.path("release"))) != whole
    lay(filled, {shard: rows for shard, rows in three_corpora() if shard == "naip-00000"})
    stage = ReleaseStage(PushSettings(license_policy="any"))
    first, *_ = stage.prepare(filled, stage.tasks(filled))
    make(filled, stage, stage.open("cpu"), first)
    assert not filled.exists("release/fusionrs/README.md")
    with pytest.raises(FusionError, match=r"validation-00000-of-00001.parquet is not written yet"):
        stage.finish(filled)
    assert push(filled) == FILES[1:]
    assert contents(Path(filled.path("release"))) == whole


def test_a_text_of_another_run_is_found_out(release: Path, filled: Workspace) -> None:
    """A run that dies between the two files of one name, and inputs that become again what they were."""
    was = contents(release)
    text = release / "text" / "test-00000-of-00001.parquet"
    lay(filled, {"naip-00000": [record("other", "test")]})
    push(filled)
    ours = text.read_bytes()
    lay(filled, {shard: rows for shard, rows in three_corpora() if shard == "naip-00000"})
    push(filled)
    text.write_bytes(ours)
    stage = ReleaseStage(PushSettings(license_policy="any"))
    assert not stage.is_current(filled)
    with pytest.raises(FusionError, match=r"text/test-00000-of-00001.parquet is gone, or of another run: run `fus"):
        push(filled)
    assert push(filled) == ["test-00000-of-00001"]
    assert contents(release) == was


def test_one_shard_changes_only_the_files_that_hold_it(release: Path, filled: Workspace) -> None:
    """Files are cut by shard, so a corpus that grows leaves the files of the others."""
    lay(filled, {"zurich-00000": [record("new", "test")]})
    assert push(filled) == ["test-00000-of-00001"]
    assert "zurich" in (release / "README.md").read_text()


def test_files_of_another_plan_and_leavings_are_removed(
    release: Path, filled: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("", "data", "examples"):
        (release / folder / f"{TEMPORARY}0123").write_bytes(b"cut short")
    (release / "NOTES.txt").write_text("mine")
    assert not ReleaseStage(PushSettings(license_policy="any")).is_current(filled)
    monkeypatch.setattr(plan, "MEGABYTE", 1)
    made = push(filled)
    assert len(made) == 12  # each of the four shards gives to each of the three splits
    names = {path.name for path in release.rglob("*") if path.is_file()}
    for folder in ("data", "text"):
        assert {f"{name}.parquet" for name in made} == {path.name for path in (release / folder).iterdir()}
    assert not [name for name in names if name.startswith(TEMPORARY)]
    assert "NOTES.txt" in names


def test_an_empty_split_has_no_file(workspace: Workspace) -> None:
    lay(workspace, {"a-00000": [record("x"), record("y", "test")]})
    assert push(workspace) == ["train-00000-of-00001", "test-00000-of-00001"]
    text = workspace.read_bytes("release/fusionrs/README.md").decode()
    assert "data/test-*" in text
    assert "data/validation-*" not in text


def test_current_until_anything_changes(filled: Workspace) -> None:
    stage = ReleaseStage(PushSettings(license_policy="any"))
    assert not stage.is_current(filled)
    push(filled)
    assert stage.is_current(filled)
    assert not ReleaseStage(PushSettings(title="Another", license_policy="any")).is_current(filled)
    assert push(filled, title="Another") == []  # only the card
    assert b"# Another" in filled.read_bytes("release/fusionrs/README.md")
    filled.write_json("fusionrs.lock", {"stages": {"translate": {"params": {"translator": "nir|small"}}}})
    assert push(filled, title="Another") == []
    assert b"| translate | translator | nir&#124;small |" in filled.read_bytes("release/fusionrs/README.md")
    assert push(filled) == []
    assert stage.is_current(filled)
    os.unlink(filled.path("release/fusionrs/README.md"))
    assert not stage.is_current(filled)
    assert len({task.fingerprint for task in stage.tasks(filled)}) == 3


def test_the_released_name_is_a_folder_of_its_own(filled: Workspace) -> None:
    push(filled)
    before = contents(Path(filled.path("release/fusionrs")))
    assert push(filled, name="second") == FILES
    assert contents(Path(filled.path("release/fusionrs"))) == before
    second = contents(Path(filled.path("release/second")))
    assert second["data/train-00000-of-00001.parquet"] == before["data/train-00000-of-00001.parquet"]


@pytest.mark.parametrize("licence", [None, "", "  "])
def test_no_licence_no_release(workspace: Workspace, licence: str | None) -> None:
    lay(workspace, {"good-00000": [record("x")], "bad-00000": [record("y", license=licence), record("z")]})
    with pytest.raises(FusionError, match=r"bad \(1 records\).*`license` in \[corpora.bad\] of fusionrs.toml") as error:
        push(workspace)
    assert "good" not in str(error.value)
    assert not workspace.exists("release")


def test_a_dropped_record_needs_no_licence(workspace: Workspace) -> None:
    lay(workspace, {"a-00000": [record("x"), record("y", license=None, keep=False, reason="duplicate: x")]})
    assert push(workspace) == ["train-00000-of-00001"]


def test_no_record_kept(workspace: Workspace) -> None:
    with pytest.raises(FusionError, match="no records to release: run `fusionrs-build download` first"):
        push(workspace)
    lay(workspace, {"a-00000": [record("x", keep=False, reason="refused_upstream: ir: unreadable")]})
    with pytest.raises(FusionError, match=r"kept none of 1 records \(refused_upstream 1\)"):
        push(workspace)
    assert not workspace.exists("release")


def test_curation_of_two_runs_is_refused(filled: Workspace) -> None:
    """Half of one draw and half of another would put a group into two splits."""
    lay(filled, {"zurich-00000": [record("x")]}, run="another")
    with pytest.raises(FusionError, match="curation/ is out of date: run `fusionrs-build curate` first"):
        push(filled)


def test_curation_of_a_dropped_corpus_is_refused(filled: Workspace) -> None:
    filled.remove("rgb", "naip-00000")
    with pytest.raises(FusionError, match="curation/ is out of date"):
        push(filled)


def test_layers_that_do_not_match_are_refused(filled: Workspace) -> None:
    shutil.copy(filled.path("captions/naip-00000.parquet"), filled.path("captions/eurosat-00000.parquet"))
    with pytest.raises(FusionError, match="run `fusionrs-build caption` first"):
        push(filled)


def test_a_corpus_named_as_a_configuration(workspace: Workspace) -> None:
    lay(workspace, {"text-00000": [record("x")]})
    with pytest.raises(FusionError, match="a corpus named text cannot have a configuration of its own"):
        push(workspace, by_corpus=True)
    assert push(workspace) == ["train-00000-of-00001"]


@pytest.mark.parametrize("path", ["NOTICE", "DATASHEET.md", "data/test-00000-of-00001.parquet", "SHA256SUMS"])
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_what_was_changed_is_told_and_made_again(release: Path, filled: Workspace, path: str, how: str) -> None:
    was, stage = contents(release), ReleaseStage(PushSettings(license_policy="any"))
    stage.verify(filled)
    if how == "gone":
        (release / path).unlink()
    else:
        (release / path).write_bytes((release / path).read_bytes()[:-1] + b"x")
    with pytest.raises(FusionError, match="was changed, damaged or removed after the release was written"):
        stage.verify(filled)
    assert not stage.is_current(filled)
    push(filled)
    stage.verify(filled)
    assert contents(release) == was
