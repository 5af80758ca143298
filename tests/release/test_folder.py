from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs
from moto.server import ThreadedMotoServer

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import TEMPORARY, Files
from fusionrs_builder.release import folder, plan, sums
from fusionrs_builder.release.folder import BEGUN, push_to_folder
from fusionrs_builder.release.webdataset import write_webdataset
from fusionrs_builder.workspace import Workspace

from .conftest import contents, push


def test_the_copy_equals_the_release(release: Path, filled: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "new" / "place"
    (release / f"{TEMPORARY}12").write_bytes(b"")
    pushed = push_to_folder(filled, "fusionrs", str(target))
    (release / f"{TEMPORARY}12").unlink()
    assert contents(target) == contents(release)
    assert pushed.copied[-1] == "README.md"
    assert sorted(pushed.copied) == sorted(contents(release))


def test_a_second_copy_writes_nothing(release: Path, filled: Workspace, tmp_path: Path) -> None:
    push_to_folder(filled, "fusionrs", str(tmp_path / "to"))
    stamps = {path: path.stat().st_ino for path in (tmp_path / "to").rglob("*")}
    pushed = push_to_folder(filled, "fusionrs", str(tmp_path / "to"))
    assert (pushed.copied, pushed.removed) == ([], [])
    assert {path: path.stat().st_ino for path in (tmp_path / "to").rglob("*")} == stamps


def test_only_what_differs_is_copied_and_what_is_gone_removed(
    release: Path, filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "to"
    push_to_folder(filled, "fusionrs", str(target))
    damaged = target / "data" / "test-00000-of-00001.parquet"
    damaged.write_bytes(b"x" * damaged.stat().st_size)  # same size, other content
    (target / "data" / f"{TEMPORARY}99").write_bytes(b"cut short")
    (target / "mine.txt").write_text("mine")
    (target / "data" / "mine.parquet").write_text("mine")
    pushed = push_to_folder(filled, "fusionrs", str(target))
    assert pushed.copied == ["data/test-00000-of-00001.parquet", "SHA256SUMS", "README.md"]
    assert pushed.removed == [f"data/{TEMPORARY}99"]

    monkeypatch.setattr(plan, "MEGABYTE", 1)
    push(filled)
    pushed = push_to_folder(filled, "fusionrs", str(target))
    assert "data/train-00000-of-00001.parquet" in pushed.removed
    extra = {"mine.txt": b"mine", "data/mine.parquet": b"mine"}
    assert contents(target) == contents(release) | extra


def test_a_copy_cut_short_is_taken_up(release: Path, filled: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "to"
    push_to_folder(filled, "fusionrs", str(target))
    (target / "README.md").unlink()
    (target / BEGUN).write_bytes(b"")
    (target / "data" / f"{TEMPORARY}1").write_bytes(b"")
    assert push_to_folder(filled, "fusionrs", str(target)).copied == ["SHA256SUMS", "README.md"]
    assert contents(target) == contents(release)


def test_strangers_folders_are_left_alone(release: Path, filled: Workspace, tmp_path: Path) -> None:
    readme = tmp_path / "project"
    readme.mkdir()
    (readme / "README.md").write_text("# my project")
    data = tmp_path / "other"
    (data / "data").mkdir(parents=True)
    (data / "data" / "theirs.csv").write_text("a,b")
    file = tmp_path / "file"
    file.write_text("")
    alike = tmp_path / "alike"
    (alike / "text").mkdir(parents=True)
    (alike / "NOTICE").write_text("mine")
    (alike / "text" / "train-00000-of-00009.parquet").write_text("mine")
    for target, message in (
        (alike, "holds something that is not a release"),
        (readme, "holds something that is not a release"),
        (data, "holds something that is not a release"),
        (file, "is a file"),
        (release, "lies in the workspace"),
        (release.parent.parent, "lies in the workspace"),
    ):
        before = contents(target) if target.is_dir() else {}
        with pytest.raises(UsageError, match=message):
            push_to_folder(filled, "fusionrs", str(target))
        assert before == (contents(target) if target.is_dir() else {})


def test_an_unfinished_release_is_not_copied(filled: Workspace, tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="is not finished: run `fusionrs-build push` first"):
        push_to_folder(filled, "fusionrs", str(tmp_path / "to"))
    assert not (tmp_path / "to").exists()


def test_a_target_that_cannot_be_written(release: Path, filled: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FusionError, match=r"could not write to .*file/below"):
        push_to_folder(filled, "fusionrs", str(tmp_path / "file" / "below"))


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("copies")
    yield "s3://copies"
    server.stop()


def test_an_object_store(release: Path, filled: Workspace, s3: str) -> None:
    """A second copy reads nothing there but the sums; a file that changed there is told by its size, or not at all."""
    target = f"{s3}/to"
    pushed = push_to_folder(filled, "fusionrs", target)
    there = Files(target)
    assert {path: there.read_bytes(path) for path in sums.paths(there, "")} == contents(release)
    assert pushed.copied[-2:] == ["SHA256SUMS", "README.md"]
    assert push_to_folder(filled, "fusionrs", target).copied == []
    there.fs.rm_file(there.path("NOTICE"))
    assert push_to_folder(filled, "fusionrs", target).copied == ["NOTICE", "SHA256SUMS", "README.md"]
    for name in ("README.md", "SHA256SUMS", "text/test-00000-of-00001.parquet"):  # as a run cut short leaves it
        there.fs.rm_file(there.path(name))
    there.fs.pipe_file(there.path(BEGUN), b"")
    assert len(push_to_folder(filled, "fusionrs", target).copied) == 3
    there.fs.pipe_file(there.path("SHA256SUMS"), b"damaged")
    assert push_to_folder(filled, "fusionrs", target).copied == ["SHA256SUMS", "README.md"]
    there.fs.pipe_file(f"{there.root}-other/README.md", b"# mine")
    with pytest.raises(UsageError, match="not a release"):
        push_to_folder(filled, "fusionrs", f"{target}-other")


def test_a_file_system_that_is_not_there(release: Path, filled: Workspace) -> None:
    with pytest.raises((UsageError, FusionError), match="nowhere://x"):
        push_to_folder(filled, "fusionrs", "nowhere://x")


def test_a_copy_in_another_format_is_left_alone(release: Path, filled: Workspace, tmp_path: Path) -> None:
    write_webdataset(release, tmp_path / "tars")
    before = contents(tmp_path / "tars")
    with pytest.raises(UsageError, match="holds something that is not a release"):
        push_to_folder(filled, "fusionrs", str(tmp_path / "tars"))
    assert contents(tmp_path / "tars") == before


def test_a_copy_that_is_killed_is_taken_up(
    release: Path, filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    copied: list[str] = []
    copy = folder._copy

    def killed(*what: Any) -> None:
        if len(copied) == 3:
            raise Killed
        copied.append(what[-1])
        copy(*what)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(folder, "_copy", killed)
        push_to_folder(filled, "fusionrs", str(tmp_path / "to"))
    assert not (tmp_path / "to" / "README.md").exists()
    pushed = push_to_folder(filled, "fusionrs", str(tmp_path / "to"))
    assert set(copied) <= set(pushed.kept)
    assert contents(tmp_path / "to") == contents(release)
