from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder.corpora import registry
from fusionrs_builder.corpora.formats import delimited
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings
from fusionrs_builder.workspace import Workspace
from tests.corpora.reading import build, faults, put_images, reader

VEDAI = "580.5 798.25 1.1 11 1 0 567 588 593 572 773 769 823 827\n"
"""cx cy orientation class contained occluded x1 x2 x3 x4 y1 y2 y3 y4"""

PEOPLE = {"0": "person", "1": "car"}


def settings(**keys: Any) -> CorpusSettings:
    return CorpusSettings.model_validate({"format": "delimited", **keys})


def known(name: str) -> CorpusSettings:
    entry = registry.entry(name)
    assert entry
    return entry.settings


def parsed(text: str, found: CorpusSettings, size: tuple[int, int] = (100, 50)) -> list[tuple[Any, ...]]:
    boxes = delimited.parse(text.encode(), "a.txt", found, size)
    return [
        tuple(round(box[k], 3) if k != "label" else box[k] for k in ("label", "x0", "y0", "x1", "y1")) for box in boxes
    ]


def test_visdrone() -> None:
    text = "684,8,273,116,0,0,0,0\n406,119,265,70,1,4,0,0\n255,22,119,128,1,11,0,0,\n1,2,3,4,1,10,1,2\r\n"
    assert parsed(text, known("visdrone")) == [
        ("car", 406, 119, 671, 189),
        ("others", 255, 22, 374, 150),
        ("motor", 1, 2, 4, 6),
    ]


def test_vedai_classes_and_corners() -> None:
    """Several public tables of the classes are wrong: 3 and 6 never occur, 11 is the pickup, 9 the van."""
    text = VEDAI + VEDAI.replace(" 11 ", " 9 ") + VEDAI.replace(" 11 ", " 1.0000e+00 ")
    assert parsed(text, known("vedai")) == [(label, 567, 769, 593, 827) for label in ("pickup", "van", "car")]
    (box,) = delimited.parse(VEDAI.encode(), "a.txt", known("vedai"), (1024, 1024))
    assert box["polygon"] == [567, 773, 588, 769, 593, 823, 572, 827]


def test_four_files_of_vedai_have_no_box() -> None:
    with pytest.raises(Refused, match=r"a.txt#0: .* no shares of an image: an object without a box"):
        parsed("512.3 400.1 1 1 0\n", known("vedai"))


def test_the_file_of_all_images_of_vedai_is_no_annotation_of_one() -> None:
    combined = "00000001 580.5 798.25 1.1 567 588 593 572 773 769 823 827 11 1 0\n"
    with pytest.raises(Refused, match=r"a.txt#0: 15 columns, not 8, 14, 5 of them"):
        parsed(combined, known("vedai"))
    with pytest.raises(Refused, match=r"a.txt#0: class 3 is none of 1, 2, 4"):
        parsed(VEDAI.replace(" 11 ", " 3 "), known("vedai"))


def test_yolo_shares_of_the_image() -> None:
    assert parsed("0 0.5 0.5 0.2 0.4\n1 0.05 0.1 0.1 0.2\n", settings(classes=PEOPLE)) == [
        ("person", 40, 15, 60, 35),
        ("car", 0, 0, 10, 10),
    ]


def test_columns_by_number() -> None:
    columns = {"x": "1", "y": "2", "w": "3", "h": "4"}
    assert parsed("id7 1 2 3 4 9\n", settings(columns=columns, object_label="ship")) == [("ship", 1, 2, 4, 6)]
    assert parsed("id7;x,1,2,3,4,0\n", settings(columns={**columns, "class": "5"}, classes=PEOPLE)) == [
        ("person", 1, 2, 4, 6)
    ]
    with pytest.raises(Refused, match=r"a.txt#1: 4 columns, not up to column 4"):
        parsed("id7 1 2 3 4\nid8 1 2 3\n", settings(columns=columns, object_label="ship"))


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("0 0.5 0.5 0.2 x\n", "malformed_annotation", "a.txt#0: 'x' is no number"),
        ("0 0.5 0.5 0.2 0.4\n0 0.5\n", "malformed_annotation", "a.txt#1: 2 columns"),
        ("0 0.5 0.5 0.2 1.4\n", "malformed_annotation", "a.txt#0: 0.5, 0.5, 0.2, 1.4 are no shares"),
        ("7 0.5 0.5 0.2 0.4\n", "unknown_class", "a.txt#0: class 7 is none of 0, 1"),
        ("0.5 0.5 0.5 0.2 0.4\n", "unknown_class", "a.txt#0: class 0.5"),
        (b"\x80", "malformed_annotation", "a.txt is no UTF-8"),
    ],
)
def test_a_line_that_is_wrong_is_named(text: str | bytes, reason: str, message: str) -> None:
    with pytest.raises(Refused, match=message) as caught:
        delimited.parse(text.encode() if isinstance(text, str) else text, "a.txt", settings(classes=PEOPLE), (9, 9))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "classes: objects have numbers for classes; name them"),
        (
            {"classes": PEOPLE, "columns": {"x": "0", "y": "1", "class": "2"}},
            "columns: a box needs x,y,w,h, or cx,cy,w,h",
        ),
        ({"classes": PEOPLE, "columns": {"x": "0", "y": "1", "w": "2", "h": "high"}}, "columns: h=high is no number"),
    ],
)
def test_settings_that_make_no_box_are_an_error_before_any_work(tmp_path: Path, keys: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(reader(tmp_path, "delimited", **keys).items())


def test_a_whole_corpus(tmp_path: Path, ws: Workspace) -> None:
    put_images(tmp_path, *(f"images/{split}/{n}.jpg" for split in ("train", "val") for n in range(3)))
    for split in ("train", "val"):
        (tmp_path / "labels" / split).mkdir(parents=True)
        (tmp_path / "labels" / split / "0.txt").write_text("0 0.5 0.5 0.5 0.5\n")
        (tmp_path / "labels" / split / "1.txt").write_text("")
    (tmp_path / "labels/val/9.txt").write_text("")
    (tmp_path / "train.txt").write_text("images/train/0.jpg\nimages/train/1.jpg\nimages/train/2.jpg\n")
    rows, refused = build(ws, tmp_path, "delimited", classes=PEOPLE, splits={"train": "train.txt"})
    assert refused == {"missing_annotation": 2, "missing_image": 1}
    assert {key: (row["corpus_split"], row["labels"]) for key, row in rows.items()} == {
        "images/train/0": ("train", ["person"]),
        "images/train/1": ("train", []),
        "images/val/0": (None, ["person"]),
        "images/val/1": (None, []),
    }
    (box,) = rows["images/val/0"]["boxes"]
    assert [box[side] for side in ("x0", "y0", "x1", "y1")] == [12, 10, 36, 30]  # of 48x40


def test_no_image_takes_the_annotation_of_another_folder(tmp_path: Path) -> None:
    put_images(tmp_path, "train/images/1.jpg", "val/images/1.jpg")
    (tmp_path / "train/annotations").mkdir()
    (tmp_path / "train/annotations/1.txt").write_text("")
    found = reader(tmp_path, "delimited", classes=PEOPLE).items()
    assert faults(found) == {"val/images/1": "missing_annotation"}
