import bz2
import functools
import gzip
import io
import lzma
import os
import random
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import py7zr
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fusionrs_builder.corpora.archive import Unpacked, kind_of, unpack
from fusionrs_builder.corpora.joined import joined
from fusionrs_builder.corpora.unpacked import Limits, Refusal, Tree, inside
from fusionrs_builder.errors import FusionError, UsageError
from tests.corpora.reading import peak

FILES = {
    "images/a.jpg": random.Random(0).randbytes(70_000),
    "images/deep/b.jpg": b"b" * 300,
    "labels.txt": "Häfen\n".encode(),
    "empty.txt": b"",
}

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "a.tar": bytes,
    "a.tar.gz": gzip.compress,
    "a.tgz": gzip.compress,
    "a.tar.bz2": bz2.compress,
    "a.tar.xz": lzma.compress,
    "a.tar.zst": zstandard.compress,
}

KINDS = [*PACKERS, "a.zip", "A.ZIP", "a.7z"]


def tar(*members: tuple[tarfile.TarInfo | str, bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for named, data in members:
            info = tarfile.TarInfo(named) if isinstance(named, str) else named
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def zipped(*members: tuple[zipfile.ZipInfo | str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return sink.getvalue()


def zip_entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def packed(name: str, files: dict[str, bytes]) -> bytes:
    if name.lower().endswith(".zip"):
        return zipped(*files.items())
    if name.endswith(".7z"):
        sink = io.BytesIO()
        with py7zr.SevenZipFile(sink, "w") as archive:
            for path, data in files.items():
                archive.writestr(data, path)
        return sink.getvalue()
    return PACKERS[name](tar(*files.items()))


@functools.cache
def small(name: str) -> bytes:
    return packed(name, {**FILES, "images/a.jpg": b"short" * 100})


def out(root: Path, data: bytes, name: str, limits: Limits | None = None) -> Unpacked:
    (root / name).write_bytes(data)
    return unpack([root / name], root / "out", name, limits)


def held(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def nothing_left(root: Path) -> None:
    assert [path.name for path in root.iterdir() if path.is_dir()] == []
    assert not (root.parent / "evil").exists() and not (root / "evil").exists()


@pytest.mark.parametrize("name", KINDS)
def test_every_kind(tmp_path: Path, name: str) -> None:
    came = out(tmp_path, packed(name, FILES), name)
    assert held(tmp_path / "out") == FILES
    assert came == Unpacked(4, sum(map(len, FILES.values())), 0)


@pytest.mark.parametrize("name", KINDS)
def test_parts_are_read_as_one(tmp_path: Path, name: str) -> None:
    data = packed(name, FILES)
    cuts = [0, 1, len(data) // 3, len(data) // 3, len(data) - 5, len(data)]
    parts = [tmp_path / f"{name}.part{i}" for i in range(len(cuts) - 1)]
    for part, start, end in zip(parts, cuts, cuts[1:], strict=False):
        part.write_bytes(data[start:end])
    unpack(parts, tmp_path / "out", name)
    assert held(tmp_path / "out") == FILES


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5), st.data())
@settings(max_examples=50)
def test_joined_files_are_one(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cuts: list[int], draw: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("joined")
    ends = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [root / str(i) for i in range(len(ends) - 1)]
    for part, start, end in zip(parts, ends, ends[1:], strict=False):
        part.write_bytes(data[start:end])
    with joined(parts) as whole:
        assert whole.read() == data
        place, count = draw.draw(st.integers(0, len(data))), draw.draw(st.integers(0, 300))
        whole.seek(place)
        assert whole.read(count) == data[place : place + count]
        assert whole.seek(-place, os.SEEK_END) == len(data) - place


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "/evil",
        "C:/evil",
        "c:evil",
        "..\\evil",
        "a\\..\\..\\evil",
        "\\\\host\\evil",
        "..",
        "a/..",
    ],
)
@pytest.mark.parametrize("kind", ["a.tar", "a.zip"])
def test_names_outside(tmp_path: Path, name: str, kind: str) -> None:
    root = tmp_path / "in"
    root.mkdir()
    with pytest.raises(FusionError, match="would be written outside the folder: nothing was unpacked; if you trust it"):
        out(root, packed(kind, {"good.txt": b"good", name: b"evil"}), kind)
    nothing_left(root)


def test_names_outside_in_7z(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    head = "xx/evil".encode("utf-16-le")
    sink = io.BytesIO()
    with py7zr.SevenZipFile(sink, "w") as archive:
        archive.set_encoded_header_mode(False)
        archive.writestr(b"evil", "xx/evil")
    data = sink.getvalue().replace(head, "../evil".encode("utf-16-le"))
    assert data != sink.getvalue()
    start, size = (int.from_bytes(data[at : at + 8], "little") for at in (12, 20))
    header = data[32 + start : 32 + start + size]
    checked = data[12:28] + zlib.crc32(header).to_bytes(4, "little")
    data = data[:8] + zlib.crc32(checked).to_bytes(4, "little") + checked + data[32:]
    with pytest.raises(FusionError, match=r"'\.\./evil' would be written outside"):
        out(root, data, "a.7z")
    nothing_left(root)


@given(st.text("ab./\\:C\0 ", max_size=12))
@example("./C:/evil")
def test_what_is_taken_for_inside_is(name: str) -> None:
    try:
        path = inside(name)
    except Refusal:
        return
    assert not path.startswith("/") and ".." not in path.split("/")
    assert os.path.normpath(os.path.join("/root", path)).startswith("/root")
    assert inside(path) == path


@pytest.mark.parametrize("target", ["/etc/passwd", "../evil", "a/../../evil", "..", "C:\\evil", "..\\evil"])
def test_links_outside(tmp_path: Path, target: str) -> None:
    link = zip_entry("link", stat.S_IFLNK | 0o777)
    for kind, data in (
        ("a.tar", tar(special("link", tarfile.SYMTYPE, target))),
        ("b.tar", tar(special("link", tarfile.LNKTYPE, target))),
        ("a.zip", zipped((link, target.encode()))),
    ):
        with pytest.raises(FusionError, match="'link' is a link that leads outside, to "):
            out(tmp_path, data, kind)
        nothing_left(tmp_path)


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    data = tar(("real/a", b"a"), special("door", tarfile.SYMTYPE, "real"), ("door/b", b"b"))
    assert out(tmp_path, data, "a.tar").links == 1
    assert held(tmp_path / "out") == {"real/a": b"a", "door/b": b"b"}
    assert not (tmp_path / "out" / "door").is_symlink()


def test_links_inside_become_names_of_the_file(tmp_path: Path) -> None:
    data = tar(
        special("second", tarfile.SYMTYPE, "./first"),
        special("first", tarfile.SYMTYPE, "images/../images/a.jpg"),
        special("images/up", tarfile.SYMTYPE, "../images/a.jpg"),
        special("hard", tarfile.LNKTYPE, "images/a.jpg"),
        special("folder", tarfile.SYMTYPE, "images"),
        special("nothing", tarfile.SYMTYPE, "nowhere"),
        special("ring", tarfile.SYMTYPE, "ring"),
        ("images/a.jpg", b"a"),
    )
    assert out(tmp_path, data, "a.tar") == Unpacked(5, 1, 3)
    assert held(tmp_path / "out") == dict.fromkeys(("first", "second", "hard", "images/up", "images/a.jpg"), b"a")
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(FusionError, match="'thing' is a device or a pipe"):
        out(tmp_path, tar(("a", b"a"), special("thing", kind)), "a.tar")
    with pytest.raises(FusionError, match="'thing' is neither file, folder nor link"):
        out(tmp_path, zipped((zip_entry("thing", stat.S_IFIFO | 0o666), b"")), "a.zip")
    with pytest.raises(FusionError, match=r"'\\x1b\[2Jthing' is a device"):
        out(tmp_path, tar(special("\x1b[2Jthing", kind)), "a.tar")  # which would clear the terminal
    nothing_left(tmp_path)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip", "a.7z", "a.tar.xz", "a.tar.bz2", "a.tar.zst"])
def test_bombs_are_refused_while_they_are_unpacked(tmp_path: Path, name: str) -> None:
    data = packed(name, {"zeros": bytes(20_000_000)})
    with pytest.raises(FusionError, match="more than 20 times its size, as of a bomb"):
        out(tmp_path, data, name, Limits(ratio=20))
    with pytest.raises(FusionError, match="holds more than 1,000,000 bytes"):
        out(tmp_path, data, name, Limits(bytes=1_000_000, ratio=10**9))
    nothing_left(tmp_path)


def test_a_thousand_times_its_size_is_refused_by_default(tmp_path: Path) -> None:
    data = lzma.compress(tar(("zeros", bytes(60_000_000))))
    assert 1000 * len(data) < 60_000_000
    with pytest.raises(FusionError, match="more than 1,000 times its size"):
        out(tmp_path, data, "a.tar.xz")


def test_a_bomb_behind_the_end_mark(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="more than 100 times its size"):
        out(tmp_path, gzip.compress(tar(("a", b"a")) + bytes(30_000_000)), "a.tar.gz", Limits(ratio=100))


def test_the_head_of_a_zip_is_not_believed(tmp_path: Path) -> None:
    data = zipped(("zeros", bytes(3_000_000)))
    lied = data.replace((3_000_000).to_bytes(4, "little"), (3).to_bytes(4, "little"))
    assert lied != data
    with pytest.raises(FusionError, match="damaged or cut off"):
        out(tmp_path, lied, "a.zip", Limits(ratio=10**6))
    nothing_left(tmp_path)


@pytest.mark.parametrize("name", ["a.tar", "a.zip", "a.7z"])
def test_too_many_entries(tmp_path: Path, name: str) -> None:
    files = {f"{i}.txt": b"x" for i in range(101)}
    limits = Limits(entries=100, bytes_per_entry=10**9)
    with pytest.raises(FusionError, match="holds more than 100 entries"):
        out(tmp_path, packed(name, files), name, limits)
    files.popitem()
    assert out(tmp_path, packed(name, files), name, limits).files == 100


def test_a_million_empty_entries_are_too_many_but_not_millions_of_images() -> None:
    Tree(Path(), Limits(), 59_000_000_000).expect(7_000_000)  # BigEarthNet
    with pytest.raises(Refusal):
        Tree(Path(), Limits(), 160_000_000).expect(1_000_000)
    with pytest.raises(Refusal):
        Tree(Path(), Limits(), 512_010_240).expect(1_000_000)  # a plain tar of them


@pytest.mark.parametrize("entries", [101, 65_536])
def test_too_many_entries_of_a_zip_are_not_even_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: int
) -> None:
    data = zipped(*((str(i), b"") for i in range(entries)))
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("it was looked at"))
    for limit in (100, entries - 1):
        with pytest.raises(FusionError, match=f"holds more than {limit:,} entries"):
            out(tmp_path, data, "a.zip", Limits(entries=limit, bytes_per_entry=10**9))


def test_a_head_without_bound(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 10**9
    with pytest.raises(FusionError, match="a name or head of 1,000,000,000 bytes"):
        out(tmp_path, info.tobuf() + bytes(10_240), "a.tar")


def test_encrypted_archives(tmp_path: Path) -> None:
    data = bytearray(zipped(("secret.txt", b"x" * 100)))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    with pytest.raises(FusionError, match=r"a.zip: 'secret.txt' is encrypted: nothing was unpacked; if you"):
        out(tmp_path, bytes(data), "a.zip")
    sink = io.BytesIO()
    with py7zr.SevenZipFile(sink, "w", password="x") as archive:
        archive.writestr(b"x", "secret.txt")
    with pytest.raises(FusionError, match=r"a.7z: it is encrypted"):
        out(tmp_path, sink.getvalue(), "a.7z")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_archives_cut_off(tmp_path: Path, name: str, share: float) -> None:
    data = packed(name, FILES)
    if name == "a.tar":
        data = data.rstrip(b"\0")  # how many zeros end it is of no weight
    with pytest.raises(FusionError, match=f"{name} is damaged or cut off .*; delete .*{name} and run again"):
        out(tmp_path, data[: int(len(data) * share)], name)
    nothing_left(tmp_path)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip", "a.7z", "a.tar.xz", "a.tar.zst", "a.tar.bz2"])
def test_archives_of_another_kind(tmp_path: Path, name: str) -> None:
    for data in (b"", b"hello", b"\x01" * 700, packed("a.zip" if name != "a.zip" else "a.tar", FILES)):
        with pytest.raises(FusionError, match="is damaged or cut off"):
            out(tmp_path, data, name)
        nothing_left(tmp_path)


@given(st.sampled_from(KINDS), st.data())
@settings(max_examples=80)
def test_damage_is_an_error_with_a_name_or_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, name: str, draw: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("damaged")
    data = bytearray(small(name))
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        out(root, bytes(data), name)
    except FusionError:
        nothing_left(root)


def test_a_damaged_head_is_not_taken_for_the_end(tmp_path: Path) -> None:
    data = bytearray(tar(("a", b"a"), ("b", b"b")))
    data[1024:1030] = b"\xff" * 6
    with pytest.raises(FusionError, match="bad checksum where a file or the end should be"):
        out(tmp_path, bytes(data), "a.tar")
    with pytest.raises(FusionError, match="empty header where a file or the end should be"):
        out(tmp_path, bytes(tar(("a", b"a")))[:1024], "a.tar")


def test_one_name_twice(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="'a' is there twice"):
        out(tmp_path, tar(("a", b"1"), ("a", b"2")), "a.tar")
    with pytest.raises(FusionError, match="'a/b' is there twice"):
        out(tmp_path, tar(("a", b"1"), ("a/b", b"2")), "a.tar")
    nothing_left(tmp_path)


def test_names_this_system_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="cannot be the name of a file here: File name too long"):
        out(tmp_path, tar(("x" * 300, b"")), "a.tar")


def test_separators_of_the_other_system(tmp_path: Path) -> None:
    out(tmp_path, zipped(("images\\a.jpg", b"a")), "a.zip")
    assert held(tmp_path / "out") == {"images/a.jpg": b"a"}


def test_folders_and_modes(tmp_path: Path) -> None:
    info = tarfile.TarInfo("run")
    info.mode = 0o6777
    out(tmp_path, tar(special("./", tarfile.DIRTYPE), special("./empty/", tarfile.DIRTYPE), (info, b"x")), "a.tar")
    assert (tmp_path / "out" / "empty").is_dir()
    assert stat.S_IMODE((tmp_path / "out" / "run").stat().st_mode) & 0o6111 == 0


def test_rar_and_volumes_are_for_a_person(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a.rar: rar archives are not unpacked here: unpack .*a.rar by .*--from PATH"):
        out(tmp_path, b"Rar!", "a.rar")
    with pytest.raises(FusionError, match="zip of several volumes"):
        out(tmp_path, b"PK\x07\x08" + zipped(("a", b"a")), "a.zip")


def test_a_method_that_is_not_known(tmp_path: Path) -> None:
    data = bytearray(zipped(("a", b"a" * 100)))
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(mark) + at] = 9  # deflate64
    with pytest.raises(FusionError, match="a.zip is packed in a way not known here .*: unpack"):
        out(tmp_path, bytes(data), "a.zip")


def test_7z_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py7zr", None)
    with pytest.raises(UsageError, match=r"pip install 'fusionrs-builder\[7z\]'"):
        out(tmp_path, b"7z", "a.7z")


def test_what_a_killed_run_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".out.new" / "images").mkdir(parents=True)
    (tmp_path / ".out.new" / "images" / "a.jpg").write_bytes(b"half")
    out(tmp_path, packed("a.zip", FILES), "a.zip")
    assert held(tmp_path / "out") == FILES
    assert not (tmp_path / ".out.new").exists()


def test_a_full_disk_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        out(tmp_path, packed("a.zip", FILES), "a.zip")


def test_kinds() -> None:
    assert [kind_of(name) for name in ("a.TAR.GZ", "a.tgz", "a.zip", "a.parquet", "a.gz", "tar")] == [
        "gz", "gz", "zip", "", "", "",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip", "a.tar.zst"])
def test_memory_does_not_grow_with_the_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(packed(name, {"a": bytes(30_000_000), "b": bytes(30_000_000)}))
    with peak(8e6):
        unpack([tmp_path / name], tmp_path / "out", name, Limits(ratio=10**6))
