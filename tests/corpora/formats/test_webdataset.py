import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionrs_builder.corpora import tar_index
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.errors import UsageError
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture
from tests.corpora.reading import build, by_key, captions, faults, peak, reader


def put_tar(path: Path, *members: tuple[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def jpeg(seed: int, channels: int = 3) -> bytes:
    return encoded(picture(seed, channels=channels), "JPEG")


@pytest.fixture
def rs5m(tmp_path: Path) -> Path:
    for name, numbers in (("rs3-train-0000", range(3)), ("rs3-val-0000", range(3, 5))):
        members = [
            member
            for number in numbers
            for member in (
                (f"{number:06d}.caption", f"an aerial view of port {number}".encode()),
                (f"{number:06d}.img_content", jpeg(number)),
                (f"{number:06d}.img_name", f"fmow_{number}.jpg".encode()),
            )
        ]
        put_tar(tmp_path / f"{name}.tar", *members)
    return tmp_path


def test_keys_of_each_tar(rs5m: Path) -> None:
    found = reader(rs5m, "webdataset", columns={"image": "img_content", "caption": "caption"}, caption_origin="model")
    items = by_key(found.items())
    assert {key: item.split for key, item in items.items()} == {
        "rs3-train-0000/000000": "train",
        "rs3-train-0000/000001": "train",
        "rs3-train-0000/000002": "train",
        "rs3-val-0000/000003": "validation",
        "rs3-val-0000/000004": "validation",
    }
    for number, key in ((4, "rs3-val-0000/000004"), (0, "rs3-train-0000/000000"), (3, "rs3-val-0000/000003")):
        sample = found.read(items[key])
        assert sample.rgb == jpeg(number)
        assert sample.model_captions == [f"an aerial view of port {number}"]


def test_the_publishers_name_can_be_the_key(rs5m: Path) -> None:
    items = by_key(reader(rs5m, "webdataset", columns={"id": "img_name"}).items())
    assert list(items) == [f"fmow_{number}" for number in range(5)]


def test_a_whole_corpus(rs5m: Path, ws: Workspace) -> None:
    rows, refused = build(ws, rs5m, "webdataset", include="*train*")
    assert (len(rows), refused.total()) == (3, 0)
    assert rows["rs3-train-0000/000001"]["rgb"]["bytes"] == jpeg(1)


def test_ordinary_samples(tmp_path: Path) -> None:
    put_tar(
        tmp_path / "shard-00000.tar",
        ("./a/1.jpg", jpeg(1)),
        ("./a/1.txt", "\ufeffA port.\n".encode()),
        ("b/1.PNG", encoded(picture(2))),
        ("b/1.json", json.dumps({"caption": ["A field.", "a field"], "id": 1}).encode()),
        ("c.webp", encoded(picture(3), "WEBP")),
        ("c.json", json.dumps({"title": "A lake."}).encode()),
    )
    found = reader(tmp_path, "webdataset")
    items = by_key(found.items())
    assert captions(found, items["shard-00000/a/1"]) == ["A port."]
    assert captions(found, items["shard-00000/b/1"]) == ["A field."]
    with pytest.raises(Refused, match="missing_key: shard-00000/c.json has no caption or text"):
        found.read(items["shard-00000/c"])
    titled = reader(tmp_path, "webdataset", columns={"caption": "title"})
    assert captions(titled, items["shard-00000/c"]) == ["A lake."]


def test_a_pair_needs_no_caption(tmp_path: Path, ws: Workspace) -> None:
    put_tar(
        tmp_path / "train-000.tar",
        ("001.color.png", encoded(picture(1))),
        ("001.thermal.png", encoded(picture(2, channels=1))),
    )
    rows, refused = build(ws, tmp_path, "webdataset", band="lwir")
    row = rows["train-000/001"]
    assert not refused and row["ir_band"] == "lwir" and row["corpus_split"] == "train"
    assert row["ir"]["bytes"] == encoded(picture(2, channels=1))


def test_every_key_of_no_use_is_counted_and_pickles_are_never_opened(tmp_path: Path, ws: Workspace) -> None:
    bomb = b"cos\nsystem\n(S'touch /tmp/never'\ntR."
    put_tar(
        tmp_path / "a.tar",
        ("1.jpg", jpeg(1)),
        ("1.txt", b"A port."),
        ("2.jpg", jpeg(2)),
        ("2.pyd", bomb),
        ("3.txt", b"No image."),
        ("3.pickle", bomb),
        ("4.jpg", jpeg(4)),
        ("4.txt", "Ein Café".encode("latin-1")),
        ("5.jpg", b"not an image"),
        ("5.txt", b"Not an image."),
        ("6.jpg", jpeg(6)),
        ("6.txt", b" \n"),
        ("7.jpg", jpeg(7)),
        ("7.json", b'{"caption": NaN}'),
        ("8.jpg", jpeg(8)),
        ("8.json", b'{"caption": '),
        ("9.zarr.zip", b"PK"),
        ("1.jpg", jpeg(1)),
        ("1.txt", b"The key again."),
    )
    items = list(reader(tmp_path, "webdataset").items())
    assert faults(items) == {"a/2": "no_caption", "a/3": "missing_image", "a/9": "missing_image"}
    rows, refused = build(ws, tmp_path, "webdataset")
    assert list(rows) == ["a/1"]
    assert refused == {
        "no_caption": 1,
        "missing_image": 2,
        "bad_encoding": 1,
        "unreadable_image": 1,
        "empty_caption": 2,
        "malformed_annotation": 1,
        "duplicate_key": 1,
    }


def test_a_name_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    put_tar(
        tmp_path / "a.tar",
        ("1.jpg", jpeg(1)),
        ("1.txt", b"A."),
        ("2.jpg", jpeg(2)),
        ("2.txt", b"B."),
        ("2.id", b"\xff"),
    )
    items = reader(tmp_path, "webdataset", columns={"id": "id"}).items()
    assert faults(items) == {"a/1": "missing_key", "a/2": "bad_encoding"}


def test_links_and_devices_are_left_out(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo("1.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    assert list(reader(tmp_path, "webdataset").items()) == []


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar"])
def test_a_compressed_tar_is_refused_with_what_to_do(rs5m: Path, name: str) -> None:
    (rs5m / name).write_bytes(gzip.compress((rs5m / "rs3-val-0000.tar").read_bytes()))
    with pytest.raises(UsageError, match=f"{name} is a compressed tar; unpack it to a plain one first: gunzip {name}"):
        list(reader(rs5m, "webdataset").items())


def whole(path: Path) -> list[tar_index.Member]:
    return list(tar_index.members(path, path.name))


@settings(max_examples=60)
@given(st.data())
def test_however_a_tar_is_cut_what_stands_before_is_listed_and_the_fault_counted(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("cut")
    put_tar(root / "a.tar", *((f"{number}.{kind}", b"x" * 700) for number in range(4) for kind in ("jpg", "txt")))
    everything = whole(root / "a.tar")
    end = everything[-1].offset + 1024  # the end mark follows, and padding
    length = data.draw(st.integers(0, end + tar_index.BLOCK - 1) | st.sampled_from([0, 512, 1536, end]))
    (root / "a.tar").write_bytes((root / "a.tar").read_bytes()[:length])
    items = list(reader(root, "webdataset").items())
    assert faults(items) == {"a.tar": "damaged_tar"}
    complete = [member for member in everything if member.offset + member.size <= length]
    assert len(items) - 1 <= len(complete) // 2 and len(items) - 1 >= len(complete) // 2 - 1


@pytest.mark.parametrize("damage", [b"\0" * 40, b"\xff" * 40])
def test_a_damaged_head_is_not_taken_for_the_end(rs5m: Path, damage: bytes) -> None:
    path = rs5m / "rs3-train-0000.tar"
    second = next(member for member in whole(path) if member.name == "000001.caption")
    data = bytearray(path.read_bytes())
    data[second.offset - 512 : second.offset - 512 + len(damage)] = damage
    path.write_bytes(data)
    items = list(reader(rs5m, "webdataset").items())
    assert faults(items) == {"rs3-train-0000.tar": "damaged_tar"}
    assert sum(item.key.startswith("rs3-val") for item in items) == 2, "other tars are read on"


def test_a_tar_that_went_away_is_refused(rs5m: Path) -> None:
    found = reader(rs5m, "webdataset")
    items = list(found.items())
    (rs5m / "rs3-train-0000.tar").unlink()
    with pytest.raises(Refused, match="unreadable_file: rs3-train-0000.tar: No such file"):
        found.read(items[0])


def test_memory_does_not_grow_with_the_members_and_no_image_is_read(tmp_path: Path) -> None:
    content = b"x" * 2000
    put_tar(
        tmp_path / "a.tar", *((f"{number:05d}.{kind}", content) for number in range(10_000) for kind in ("jpg", "txt"))
    )
    found = reader(tmp_path, "webdataset")
    next(found.items())
    with peak(1e6):
        assert sum(1 for _ in found.items()) == 10_000
