from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder.corpora.formats import dota
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture
from tests.corpora.reading import build, by_key, faults, put_images, reader

TEXT = """imagesource:GoogleEarth
gsd:0.146343590398
5.0 1.0 9.0 4.0 5.0 8.0 1.0 4.0 small-vehicle 1
10 10 20 10 20 20 10 20 plane 0
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put_images(tmp_path, "train/images/P0000.png", "train/images/P0001.png", "val/images/P0003.png")
    for place in ("train/annotations/version1.0", "train/annotations/version2.0", "val/annotations/version2.0"):
        (tmp_path / place).mkdir(parents=True)
        for name in ("P0000", "P0001") if "train" in place else ("P0003",):
            (tmp_path / place / f"{name}.txt").write_text(TEXT if "2.0" in place else "")
    return tmp_path


KEYS: dict[str, Any] = {
    "annotations": "../annotations/version2.0/{stem}.txt",
    "split_pattern": "(?:^|/)(?P<split>train|val)/",
}


def test_outlines_classes_and_ground_sampling_distance() -> None:
    boxes, gsd_m = dota.parse(TEXT.encode(), "a.txt")
    assert gsd_m == 0.146343590398
    assert boxes == [
        {"label": "small-vehicle", "x0": 1, "y0": 1, "x1": 9, "y1": 8, "polygon": [5, 1, 9, 4, 5, 8, 1, 4]},
        {"label": "plane", "x0": 10, "y0": 10, "x1": 20, "y1": 20, "polygon": [10, 10, 20, 10, 20, 20, 10, 20]},
    ]


@pytest.mark.parametrize(
    ("text", "objects", "gsd_m"),
    [
        ("", 0, None),
        ("imagesource:null\ngsd:null\n", 0, None),
        ("imagesource:GF-2\r\ngsd:None\r\n1 1 9 1 9 9 1 9 ship 0\r\n", 1, None),
        ("\ufeffimagesource:JL-1\ngsd:0.5\n\n1 1 9 1 9 9 1 9 ship 2\n\n", 1, 0.5),
        ("1 1 9 1 9 9 1 9 ship\n", 1, None),
        ("gsd:0\n1e0 1 9 1 9 9 1 9 container-crane 0", 1, None),
    ],
)
def test_header_lines_may_be_missing_or_say_nothing(text: str, objects: int, gsd_m: float | None) -> None:
    boxes, found = dota.parse(text.encode(), "a.txt")
    assert (len(boxes), found) == (objects, gsd_m)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 1 9 1 9 9 1 ship 0\n", "a.txt#0: '.*ship' is no number"),
        ("gsd:1\n1 1 9 1 9 9 1 9\n", "a.txt#1: 8 cells"),
        ("1 1 9 1 9 9 1 9 small vehicle 0\n", "a.txt#0: 11 cells"),
        ("1 1 9 1 9 9 1 inf ship 0\n", "a.txt#0: 'inf' is no number"),
        ("gsd:fine\n", "a.txt#0: 'fine' is no number"),
        ("gsd 1\n", "a.txt#0: 2 cells"),
        (b"\xff\xfe1\x00", "a.txt is no UTF-8 text"),
    ],
)
def test_a_line_that_is_wrong_is_named(text: str | bytes, message: str) -> None:
    with pytest.raises(Refused, match=message) as caught:
        dota.parse(text.encode() if isinstance(text, str) else text, "a.txt")
    assert caught.value.reason == "malformed_annotation"


def test_a_whole_corpus(root: Path, ws: Workspace) -> None:
    (root / "train/annotations/version2.0/P0001.txt").write_text("")
    rows, refused = build(ws, root, "dota", **KEYS)
    assert not refused
    assert {key: (row["corpus_split"], len(row["boxes"])) for key, row in rows.items()} == {
        "train/images/P0000": ("train", 2),
        "train/images/P0001": ("train", 0),
        "val/images/P0003": ("validation", 2),
    }
    first = rows["train/images/P0000"]
    assert first["labels"] == ["plane", "small-vehicle"]
    assert first["gsd_m"] == pytest.approx(0.146343590398)
    assert first["boxes"][0]["polygon"] == [5, 1, 9, 4, 5, 8, 1, 4]


def test_one_without_the_other_is_counted(root: Path) -> None:
    (root / "train/images/P0000.png").unlink()
    (root / "val/annotations/version2.0/P0003.txt").unlink()
    assert faults(reader(root, "dota", **KEYS).items()) == {
        "P0000": "missing_image",  # version 1.0's is not asked for
        "val/images/P0003": "missing_annotation",
    }


def test_of_several_versions_one_must_be_named(root: Path) -> None:
    found = reader(root, "dota").items()
    reasons = {item.key: item.fault[0] for item in found if item.fault}
    assert reasons == {"train/images/P0000": "ambiguous_annotation", "train/images/P0001": "ambiguous_annotation"}


def test_files_meet_by_name_and_other_text_is_no_annotation(tmp_path: Path) -> None:
    put_images(tmp_path, "images/P0000.png")
    for path in ("labelTxt/P0000.txt", "labelTxt/P0009.txt", "readme.txt", "trainset.txt"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(TEXT)
    items = by_key(reader(tmp_path, "dota").items())
    assert items["images/P0000"].annotations == ("labelTxt/P0000.txt",)
    assert faults(items.values()) == {"P0009": "missing_image"}


def test_large_images_are_tiled_and_objects_cut_with_them(tmp_path: Path, ws: Workspace) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/P0000.png").write_bytes(encoded(picture(1, 70, 64)))
    (tmp_path / "images/P0000.txt").write_text(
        "gsd:0.5\n30 4 42 4 42 12 30 12 ship 0\n40 40 50 40 50 50 40 50 plane 0\n"
    )
    rows, refused = build(ws, tmp_path, "dota", tile=32)
    assert not refused
    boxes = {key[-13:]: [(box["label"], box["x0"], box["x1"]) for box in row["boxes"]] for key, row in rows.items()}
    assert boxes == {
        "x00000_y00000": [],
        "x00032_y00000": [("ship", 0, 10)],
        "x00000_y00032": [],
        "x00032_y00032": [("plane", 8, 18)],
    }
    assert {row["gsd_m"] for row in rows.values()} == {0.5}
