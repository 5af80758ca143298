"""What a finished release is, and how it compares with a tree on the Hub."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.hf_api import RepoFile

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release.hub import inventory
from tests.hub import releases
from tests.hub.repository import File


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return releases.write(tmp_path_factory.mktemp("release"), 1)


@pytest.fixture
def small(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "release"))


def tree(folder: Path, *lfs: str) -> dict[str, RepoFile]:
    """As the Hub tells the files of a folder; those that end in `lfs` are in LFS."""
    found = {}
    for path in releases.contents(folder):
        data = (folder / path).read_bytes()
        file = File.regular(data)
        if path.endswith(lfs):
            file = File.pointer(hashlib.sha256(data).hexdigest(), len(data))
        found[path] = RepoFile(**file.told(path))  # type: ignore[no-untyped-call]
    return found


def test_a_release_is_taken_whole(small: Path) -> None:
    local = inventory.take(small)
    assert local.mark == releases.mark(1)
    assert {path: file.sha256 for path, file in local.files.items()} == releases.contents(small)
    assert local.size == sum(path.stat().st_size for path in small.rglob("*") if path.is_file())
    assert {config: list(splits) for config, splits in local.configs.items()} == {
        "default": ["train", "validation", "test"],
        "text": ["train", "validation", "test"],
    }
    assert local.data_files("text", "train") == [f"text/train-{n:05d}-of-00003.parquet" for n in range(3)]


def test_trees_are_compared_by_hash(small: Path) -> None:
    local = inventory.take(small)
    assert local.matches(tree(small, ".parquet", ".jpg")) and local.matches(tree(small))
    found = tree(small, ".parquet")
    gone = found.pop("NOTICE")
    for path, kind in (("DATASHEET.md", ()), ("data/test-00000-of-00001.parquet", (".parquet",))):
        (small / path).write_bytes(b"other")
        found[path] = tree(small, *kind)[path]
    others = ["data/train-00000-of-00009.parquet", "examples/007-ir.jpg", "LICENSE", "data/mine.csv"]
    found |= dict.fromkeys(others, gone)
    assert local.missing(found) == ["DATASHEET.md", "NOTICE", "data/test-00000-of-00001.parquet"]
    assert local.stale(found) == others[:2]
    assert not local.matches(found)
    assert not local.matches({**tree(small), "text/test-00000-of-00007.parquet": gone})


def changed(path: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda folder: (folder / path).write_bytes(change((folder / path).read_bytes()))


def without(path: str) -> Callable[[Path], object]:
    return lambda folder: (folder / path).unlink()


def described(**change: Any) -> Callable[[Path], object]:
    """croissant.json with its distribution changed."""
    return lambda folder: (folder / "croissant.json").write_text(json.dumps({"distribution": [change]}))


def summed(path: str) -> Callable[[Path], object]:
    """SHA256SUMS that names one file, with a wrong sum."""
    return lambda folder: (folder / "SHA256SUMS").write_text(f"{'0' * 64}  {path}\n")


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (shutil.rmtree, UsageError, "release is no folder: name the folder"),
        (without("README.md"), UsageError, "holds no finished release"),
        (changed("README.md", lambda data: b"# Mine"), UsageError, "holds no finished release"),
        (changed("README.md", lambda data: data.replace(b"configs:", b"configs: [")), UsageError, "cannot be read"),
        (changed("README.md", lambda data: data.replace(b"config_name", b"name")), UsageError, "cannot be read"),
        (
            changed("README.md", lambda data: data.replace(b".parquet", b".tar")),
            UsageError,
            "not a release of",
        ),
        (
            changed("README.md", lambda data: data[data.index(b"---\n<!--") + 4 :]),
            UsageError,
            "not a release of",
        ),
        (without("data/train-00001-of-00003.parquet"), FusionError, "data/train-00001-of-00003.parquet is not there"),
        (without("text/test-00000-of-00001.parquet"), FusionError, r"text/test-\*.parquet is not there"),
        (without("examples/000-rgb.jpg"), FusionError, "examples/000-rgb.jpg is not there"),
        (changed("croissant.json", lambda data: b"{"), FusionError, "croissant.json cannot be read"),
        (changed("croissant.json", lambda data: b"[]"), FusionError, "croissant.json cannot be read"),
        (
            described(contentUrl="data/more.parquet"),
            FusionError,
            "data/more.parquet is not there, though croissant.json",
        ),
        (described(includes="more/*.parquet"), FusionError, r"more/\*.parquet is not there, though croissant.json"),
        (described(contentUrl="NOTICE", sha256="00"), FusionError, "NOTICE is not what croissant.json says"),
        (summed("NOTICE"), FusionError, "NOTICE is not what SHA256SUMS says"),
        (summed("LICENSE"), FusionError, "LICENSE is not there, though SHA256SUMS names it"),
    ],
)
def test_what_is_no_finished_release(
    small: Path, spoil: Callable[[Path], object], kind: type[FusionError], message: str
) -> None:
    spoil(small)
    with pytest.raises(FusionError, match=message) as caught:
        inventory.take(small)
    assert type(caught.value) is kind
    assert re.search(r"push` (wrote|to write)|then `fusionrs-build push`|front matter", str(caught.value))


@pytest.mark.parametrize(
    "spoil", [without("croissant.json"), described(contentUrl="https://example.org/a.zip", sha256="0")]
)
def test_what_croissant_need_not_tell(small: Path, spoil: Callable[[Path], object]) -> None:
    spoil(small)
    inventory.take(small)


def test_a_file_that_cannot_be_read(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(inventory, "_hashed", refuse)
    with pytest.raises(FusionError, match=r"DATASHEET.md cannot be read .Permission denied.: mend that"):
        inventory.take(small)


def test_changes_are_found(small: Path) -> None:
    local = inventory.take(small)
    local.check_unchanged()
    (small / "NOTICE").touch()
    (small / ".hidden").write_text("")
    (small / "script.py").write_text("")
    (small / "data" / "mine.parquet").write_text("")
    local.check_unchanged()
    (small / "NOTICE").write_text("x")
    (small / "DATASHEET.md").unlink()
    (small / "examples" / "009-ir.jpg").write_text("")
    with pytest.raises(FusionError, match="DATASHEET.md, examples/009-ir.jpg, NOTICE changed during the push"):
        local.check_unchanged()


def test_a_small_file_is_read_as_it_was(small: Path) -> None:
    local = inventory.take(small)
    data = (small / "NOTICE").read_bytes()
    assert local.read("NOTICE") == data
    (small / "NOTICE").write_bytes(data[::-1])
    with pytest.raises(FusionError, match="NOTICE changed during the push"):
        local.read("NOTICE")


def test_names_in_messages_are_few() -> None:
    assert inventory.some(["a"]) == "a"
    assert inventory.some(list("abcde")) == "a, b, c and 2 more"


def test_the_exporters_release_is_taken_whole(release: Path) -> None:
    local = inventory.take(release)
    assert local.left_out == [] and sorted(local.files) == sorted(releases.contents(release))
