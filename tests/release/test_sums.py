import contextlib
import hashlib
import subprocess
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.errors import FusionError
from fusionrs_builder.files import Files
from fusionrs_builder.release import sums
from fusionrs_builder.release.sums import Hashed

from .conftest import contents


def test_sha256sum_reads_them(release: Path) -> None:
    told = subprocess.run(["sha256sum", "--check", "--strict", sums.NAME], cwd=release, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert len(told.stdout.splitlines()) == len(contents(release)) - 2, "all but itself and the card"


@pytest.mark.parametrize(
    ("url", "folder"), [("", ""), ("", "a/b"), ("memory://{}", ""), ("memory://{}", "a/b"), ("memory://", "release-")]
)
def test_what_is_written_is_read(tmp_path: Path, url: str, folder: str) -> None:
    files = Files(url.format(uuid.uuid4().hex) or str(tmp_path))
    folder += uuid.uuid4().hex if folder.endswith("-") else ""
    data = {"NOTICE": b"a", "data/train-00000-of-00001.parquet": b"", "README.md": b"card", "data/mine.parquet": b"b"}
    for path, each in data.items():
        files.write_bytes(f"{folder}/{path}" if folder else path, each)
    assert sums.paths(files, folder) == ["NOTICE", "README.md", "data/train-00000-of-00001.parquet"]
    found = [sums.hashed(files, folder, path) for path in sums.paths(files, folder)]
    assert found[0] == Hashed("NOTICE", 1, hashlib.sha256(b"a").hexdigest())
    assert sums.said(files, folder, "NOTICE") is None
    assert sums.read(files, folder) == {}
    sums.write(files, folder, [])
    assert sums.read(files, folder) == {each.path: each.sha256 for each in found if each.path != "README.md"}
    if "memory" in url:
        files.fs.rm(files.path(folder) if folder else files.root, recursive=True)


def test_what_is_known_is_not_read_again(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(str(release.parent))
    before = sums.read(files, release.name)
    known = [Hashed(path, 0, sha256) for path, sha256 in before.items() if path != "NOTICE"]
    read: list[str] = []
    hashed = sums.hashed
    monkeypatch.setattr(sums, "hashed", lambda *given: read.append(given[2]) or hashed(*given))
    sums.write(files, release.name, known)
    assert read == ["NOTICE"] and sums.read(files, release.name) == before


def test_large_files_are_hashed_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "CHUNK", 10)
    (tmp_path / "NOTICE").write_bytes(bytes(range(95)))
    found = sums.hashed(Files(str(tmp_path)), "", "NOTICE")
    assert found == Hashed("NOTICE", 95, hashlib.sha256(bytes(range(95))).hexdigest())


def test_nothing_stands(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    assert sums.paths(files, "") == sums.paths(files, "nowhere") == []
    assert sums.read(files) == sums.read(files, "nowhere") == {}


SHA256 = "0" * 64


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{SHA256} NOTICE",
        f"{SHA256}  ",
        f"{SHA256[1:]}  NOTICE",
        f"{SHA256[1:]}g  NOTICE",
        f"{SHA256[1:]}A  NOTICE",
        f"{SHA256}  NOTICE\n{'1' * 64}  NOTICE",
        f"\\{SHA256}  NOTICE",
        f"{SHA256}  NOTICE\n<<<<<<< mine",
    ],
)
def test_damage_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / sums.NAME).write_text(text)
    with pytest.raises(FusionError, match="SHA256SUMS is (empty|damaged at ).*fetch the release again"):
        sums.read(Files(str(tmp_path)))


@given(st.binary(max_size=200))
def test_whatever_is_there_is_read_or_told(data: bytes) -> None:
    files = Files(f"memory://sums-{uuid.uuid4().hex}")
    files.write_bytes(sums.NAME, data)
    with contextlib.suppress(FusionError):
        assert sums.read(files)
    files.fs.rm(files.root, recursive=True)
