import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionrs_builder.corpora import parquet_rows
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture
from tests.corpora.reading import build, by_key, captions, peak, reader

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def image(seed: int, name: str | None = None, channels: int = 3) -> dict[str, Any]:
    return {"bytes": encoded(picture(seed, channels=channels), "JPEG"), "path": name}


def put(path: Path, rows: dict[str, pa.Array], features: dict[str, Any] | None = None, group: int = 4) -> None:
    """A file as `datasets` writes it: image columns as structs, names of classes in the metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(rows)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=group)


@pytest.fixture
def rsicd(tmp_path: Path) -> Path:
    for split, count in (("train", 10), ("valid", 2), ("test", 1)):
        put(
            tmp_path / f"data/{split}-00000-of-00001-abc.parquet",
            {
                "filename": pa.array([f"rsicd_images/{split}_{number}.jpg" for number in range(count)]),
                "captions": pa.array([["Many planes.", "many planes .", f"Port {number}."] for number in range(count)]),
                "image": pa.array([image(number, f"{split}_{number}.jpg") for number in range(count)], IMAGE),
            },
        )
    return tmp_path


def test_rows_of_every_split(rsicd: Path) -> None:
    found = reader(rsicd, "parquet")
    items = by_key(found.items())
    assert len(items) == 13
    splits = [items[f"data/{name}-00000-of-00001-abc/0000000"].split for name in ("train", "valid", "test")]
    assert splits == ["train", "validation", "test"]
    for number in (9, 0, 5, 4, 3):  # across row groups of four, in any order
        item = items[f"data/train-00000-of-00001-abc/{number:07d}"]
        assert captions(found, item) == ["Many planes.", f"Port {number}."]
        assert found.read(item).rgb == image(number)["bytes"]


def test_a_column_or_the_path_of_the_image_can_be_the_key(rsicd: Path) -> None:
    assert "rsicd_images/train_7" in by_key(reader(rsicd, "parquet", columns={"id": "filename"}).items())
    found = reader(rsicd, "parquet", columns={"id": "image.path", "image": "image", "caption": "captions"})
    item = by_key(found.items())["train_7"]
    assert captions(found, item)[1] == "Port 7."


def test_a_whole_corpus(rsicd: Path, ws: Workspace) -> None:
    rows, refused = build(ws, rsicd, "parquet", include="data/t*.parquet")
    assert (len(rows), refused.total()) == (11, 0)
    row = rows["data/train-00000-of-00001-abc/0000003"]
    assert row["rgb"]["bytes"] == image(3)["bytes"], "published bytes are kept"


def test_labels_have_their_names(tmp_path: Path, ws: Workspace) -> None:
    names = ["AnnualCrop", "Forest"]
    put(
        tmp_path / "train.parquet",
        {
            "image": pa.array([image(number) for number in range(5)], IMAGE),
            "label": pa.array([1, 0, -1, None, 2]),
            "image_id": pa.array([f"Forest_{number}.jpg" for number in range(5)]),
        },
        {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}},
    )
    rows, refused = build(ws, tmp_path, "parquet", columns={"id": "image_id"})
    assert {key: row["labels"] for key, row in rows.items()} == {
        "Forest_0": ["Forest"],
        "Forest_1": ["AnnualCrop"],
        "Forest_2": [],
        "Forest_3": [],
    }
    assert refused == {"unknown_class": 1}


@pytest.mark.parametrize(
    "feature", [[{"names": ["road", "tree"]}], {"feature": {"names": ["road", "tree"]}, "_type": "List"}]
)
def test_several_labels_a_row(tmp_path: Path, feature: Any) -> None:
    rows = {"image": pa.array([image(0)], IMAGE), "label": pa.array([[1, 0]])}
    put(tmp_path / "a.parquet", rows, {"label": feature})
    (item,) = reader(tmp_path, "parquet").items()
    assert item.labels == ("tree", "road")


def test_numbers_that_nothing_names_are_asked_for(tmp_path: Path) -> None:
    put(tmp_path / "a.parquet", {"image": pa.array([image(0)], IMAGE), "label": pa.array([13])})
    with pytest.raises(UsageError, match="does not name class 13; say what it is, e.g. --classes 13=forest"):
        list(reader(tmp_path, "parquet").items())
    (item,) = reader(tmp_path, "parquet", classes={"13": "vehicle"}).items()
    assert item.labels == ("vehicle",)


def test_a_second_image_is_the_infrared_of_the_first(tmp_path: Path, ws: Workspace) -> None:
    """As SegFly has it: thermal rows with a visible view, and visible rows beside them."""
    put(
        tmp_path / "data/train-00000-of-00001.parquet",
        {
            "image": pa.array([image(0, channels=1), image(1), image(2, channels=1)], IMAGE),
            "label": pa.array([image(3, channels=1)] * 3, IMAGE),
            "RGB_aligned": pa.array([image(4), None, image(5)], IMAGE),
            "modality": pa.array(["thermal", "rgb", "thermal"]),
        },
    )
    columns = {"image": "RGB_aligned", "ir": "image", "where": "modality:thermal"}
    rows, refused = build(ws, tmp_path, "parquet", columns=columns, band="lwir", sensor="cam")
    assert [key[-1] for key in rows] == ["0", "2"] and not refused
    row = rows["data/train-00000-of-00001/0000002"]
    assert (row["ir_band"], row["ir_source"]) == ("lwir", "cam lwir")
    assert row["ir"]["bytes"] == image(2, channels=1)["bytes"]
    assert row["rgb"]["bytes"] == image(5)["bytes"]


def test_every_row_of_no_use_is_counted(tmp_path: Path, ws: Workspace) -> None:
    put(
        tmp_path / "a.parquet",
        {
            "name": pa.array(["0", "1", None, "3", "4", "0"]),
            "image": pa.array([image(0), image(1), image(2), None, {"bytes": b"x", "path": "4.jpg"}, image(5)], IMAGE),
            "text": pa.array(["A port.", " ", "A field.", "A lake.", "A road.", "Again."]),
        },
    )
    rows, refused = build(ws, tmp_path, "parquet", columns={"id": "name"})
    assert list(rows) == ["0"]
    assert refused == {
        "empty_caption": 1,
        "missing_key": 1,
        "missing_image": 1,
        "unreadable_image": 1,
        "duplicate_key": 1,
    }


def test_plain_bytes_are_images_too(tmp_path: Path) -> None:
    put(tmp_path / "a.parquet", {"jpg": pa.array([image(0)["bytes"]])})
    found = reader(tmp_path, "parquet")
    (item,) = found.items()
    assert found.read(item).rgb == image(0)["bytes"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"image": "img"}, "a.parquet has no column 'img' for image; it has image"),
        ({"image": "text"}, "no column 'text' for image"),
        ({"caption": "title"}, "no column 'title' for caption; it has text"),
        ({"id": "key.path"}, "no column 'key' for id"),
        ({"where": "kind:x"}, "no column 'kind' for where"),
        ({"split": "fold"}, "no column 'fold' for split"),
    ],
)
def test_a_column_that_is_not_there_is_named(tmp_path: Path, columns: dict[str, str], said: str) -> None:
    put(tmp_path / "a.parquet", {"image": pa.array([image(0)], IMAGE), "text": pa.array(["A port."])})
    with pytest.raises(UsageError, match=said):
        list(reader(tmp_path, "parquet", columns=columns).items())


def test_a_file_that_is_broken_is_named(rsicd: Path) -> None:
    path = rsicd / "data/train-00000-of-00001-abc.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FusionError, match=r"data/train-.*parquet cannot be read .*; fetch it again"):
        list(reader(rsicd, "parquet").items())
    put(path, {"text": pa.array(["A port."])})
    with pytest.raises(UsageError, match="has no column of images; it has text"):
        list(reader(rsicd, "parquet").items())


def test_damaged_images_are_refused_while_reading(rsicd: Path) -> None:
    found = reader(rsicd, "parquet")
    item = by_key(found.items())["data/train-00000-of-00001-abc/0000000"]
    path = rsicd / "data/train-00000-of-00001-abc.parquet"
    data = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(0).column(2).data_page_offset
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(Refused, match="unreadable_file: data/train.*row group 0"):
        found.read(item)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 39)), max_size=30), st.sampled_from([0, 1500, 10**9]))
def test_any_row_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[int, int]], kept: int
) -> None:
    root = tmp_path_factory.getbasetemp() / "rows"
    if not root.exists():
        root.mkdir()
        pq.write_table(
            pa.table({"n": pa.array(range(120)), "other": ["x"] * 120}), root / "a.parquet", row_group_size=40
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_rows, "KEPT_BYTES", kept)
        rows = parquet_rows.ParquetRows(root, lambda _: ["n"])
        for group, row in asked:
            assert rows.row("a.parquet", group, row) == {"n": group * 40 + row}


def test_listing_reads_no_image_and_a_large_row_group_is_not_held(tmp_path: Path, monkeypatch: Any) -> None:
    noise = [bytes([number]) * 200_000 for number in range(200)]
    table = pa.table({"image": noise, "text": ["A port."] * 200})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=200, write_batch_size=4, use_dictionary=False)
    del table
    monkeypatch.setattr(parquet_rows, "KEPT_BYTES", 1_000_000)
    found = reader(tmp_path, "parquet")
    before = pa.total_allocated_bytes()
    items = list(found.items())
    assert pa.total_allocated_bytes() - before < 1_000_000
    with peak(5e6):
        for number, item in enumerate(items):
            assert found.read(item).rgb == noise[number]
            assert pa.total_allocated_bytes() - before < 20e6, "of 40 MB"
