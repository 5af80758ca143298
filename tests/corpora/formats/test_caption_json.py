import json
from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture
from tests.corpora.reading import build, by_key, captions, faults, put_images, put_json, reader

LONG = "The image shows a large area of trees on the left, and crops at the top right."


@pytest.fixture
def chatearthnet(tmp_path: Path) -> Path:
    put_images(tmp_path / "s2_images", *(f"{number}.png" for number in range(5)))
    folder = tmp_path / "json_files"
    train = [{"image": f"{number}.png", "caption": [LONG, f"Tile {number}."]} for number in range(3)]
    put_json(folder / "ChatEarthNet_caps_35_train.json", train)
    put_json(folder / "ChatEarthNet_caps_35_val.json", [{"image_id": "3", "caption": LONG}])
    put_json(folder / "ChatEarthNet_caps_35_test.json", [{"image_id": 4, "caption": LONG}])
    put_json(folder / "ChatEarthNet_caps_4v_val.json", [{"image": "0.png", "caption": "By another model."}])
    return tmp_path


def test_captions_of_several_files_meet_and_the_name_of_a_file_tells_the_split(chatearthnet: Path) -> None:
    found = reader(chatearthnet, "caption-json", caption_origin="model")
    items = by_key(found.items())
    assert {key.rpartition("/")[2]: item.split for key, item in items.items()} == {
        "0": "validation",  # in train of one file, and in val of the other: never trained on
        "1": "train",
        "2": "train",
        "3": "validation",
        "4": "test",
    }
    sample = found.read(items["s2_images/0"])
    assert sample.model_captions == [LONG, "Tile 0.", "By another model."]
    assert sample.captions == []


def test_files_can_be_named(chatearthnet: Path) -> None:
    found = reader(chatearthnet, "caption-json", captions="*_35_*.json")
    assert by_key(found.items())["s2_images/0"].split == "train"


def test_blank_tiles_are_listed_like_any_other(chatearthnet: Path, ws: Workspace) -> None:
    for number, level in (("0", 255), ("1", 0)):
        blank = picture(0, 256, 256) * 0 + level
        (chatearthnet / f"s2_images/{number}.png").write_bytes(encoded(blank.astype("uint8")))
    rows, refused = build(ws, chatearthnet, "caption-json")
    assert len(rows) == 5 and not refused, "curation is what judges pixels"


def vrsbench(image: str, *objects: dict[str, Any]) -> dict[str, Any]:
    return {
        "image": image,
        "caption": "A harbour with two ships.",
        "qa_pairs": [{"ques_id": 0, "question": "How many ships?", "type": "object quantity", "answer": "2"}],
        "objects": list(objects),
    }


def ship(*sides: Any, **more: Any) -> dict[str, Any]:
    return {
        "obj_id": 0,
        "obj_cls": "ship",
        "obj_coord": list(sides),
        "obj_corner": [0.1, 0.2, 0.5, 0.2, 0.5, 0.6, 0.1, 0.6],
        "obj_position": "top-left",
        "is_unique": True,
        "referring_sentence": "The large ship at the top left.",
        **more,
    }


def test_a_file_an_image_with_boxes_in_parts_of_it(tmp_path: Path) -> None:
    put_images(tmp_path, "Images_train/P1.png", "Images_val/P2.png")
    put_json(tmp_path / "Annotations_train/P1.json", vrsbench("P1.png", ship(0.1, 0.2, 0.5, 0.6)))
    nested = ship(0, 0, 1, 1, obj_corner=[[0, 0], [1, 0], [1, 1], [0, 1]])
    put_json(tmp_path / "Annotations_val/P2.json", vrsbench("P2.png", nested))
    put_json(tmp_path / "VRSBench_EVAL_vqa.json", [{"image_id": "P2.png", "question": "?", "ground_truth": "2"}])
    found = reader(tmp_path, "caption-json")
    items = by_key(found.items())
    assert {key: item.split for key, item in items.items()} == {
        "Images_train/P1": "train",
        "Images_val/P2": "validation",
    }
    sample = found.read(items["Images_train/P1"])
    assert sample.captions == ["A harbour with two ships."], "answers and sentences about one ship are none"
    (box,) = sample.boxes
    assert box["label"] == "ship"
    assert [box[side] for side in ("x0", "y0", "x1", "y1")] == pytest.approx([4.8, 8, 24, 24])  # of 48 x 40 pixels
    assert box["polygon"] == pytest.approx([4.8, 8, 24, 8, 24, 24, 4.8, 24])
    assert found.read(items["Images_val/P2"]).boxes[0]["polygon"] == [0, 0, 48, 0, 48, 40, 0, 40]


@pytest.mark.parametrize("corners", [[[0, 0], 1.5], "none", {"a": 1}, [[0, 0], [1, "x"]]])
def test_corners_that_are_none_leave_the_box(tmp_path: Path, corners: Any) -> None:
    put_images(tmp_path, "P1.png")
    put_json(tmp_path / "P1.json", vrsbench("P1.png", ship(0.1, 0.2, 0.5, 0.6, obj_corner=corners)))
    found = reader(tmp_path, "caption-json")
    (item,) = found.items()
    assert found.read(item).boxes[0]["polygon"] == []


@pytest.mark.parametrize(
    "bad",
    [
        ship(10, 20, 50, 60),  # percent, as the files for evaluation have it
        ship(0.1, 0.2, 0.5),
        ship(0.1, 0.2, "x", 0.6),
        ship(0.1, 0.2, 0.5, 0.6, obj_cls=None),
        "text",
    ],
)
def test_boxes_that_are_not_in_parts_of_the_image_are_refused(tmp_path: Path, bad: Any) -> None:
    put_images(tmp_path, "P1.png", "P2.png")
    put_json(tmp_path / "a/P1.json", vrsbench("P1.png", bad))
    put_json(tmp_path / "a/P2.json", vrsbench("P2.png", ship(0.1, 0.2, 0.5, 0.6)))
    assert faults(reader(tmp_path, "caption-json").items()) == {"a/P1.json": "bad_box"}


def test_one_broken_file_among_many_is_refused(tmp_path: Path, ws: Workspace) -> None:
    put_images(tmp_path, *(f"Images/{number}.png" for number in range(4)))
    for number in range(4):
        put_json(tmp_path / f"Annotations/{number}.json", vrsbench(f"{number}.png", ship(0.1, 0.2, 0.5, 0.6)))
    (tmp_path / "Annotations/1.json").write_text('{"image": "1.png", "capt')
    (tmp_path / "Annotations/2.json").write_bytes('{"image": "2.png", "caption": "Größe"}'.encode("latin-1"))
    (tmp_path / "Annotations/3.json").write_text('{"image": "3.png", "caption": NaN}')
    rows, refused = build(ws, tmp_path, "caption-json", captions="Annotations/*.json")
    assert list(rows) == ["Images/0"] and refused == {"malformed_annotation": 3}
    assert rows["Images/0"]["boxes"][0]["label"] == "ship"


@pytest.mark.parametrize(
    "data", ["", '[{"image": "0.png", "caption": "a"}, {"im', '[{"image": "0.png", "caption": NaN}]']
)
def test_a_broken_list_is_an_error(chatearthnet: Path, data: str) -> None:
    for path in (chatearthnet / "json_files").iterdir():
        path.write_text(data)
    with pytest.raises(FusionError, match=r"ChatEarthNet_caps_\w+.json"):
        list(reader(chatearthnet, "caption-json").items())


def test_every_record_of_no_use_is_counted(tmp_path: Path) -> None:
    put_images(tmp_path, *(f"{number}.png" for number in range(6)))
    put_json(
        tmp_path / "captions.json",
        [
            {"image": "0.png", "caption": "A field."},
            {"image": "1.png"},
            {"image": "2.png", "caption": ""},
            {"image": "3.png", "caption": []},
            {"caption": "Of what?"},
            {"image": "gone.png", "caption": "Gone."},
            {"image": "0.png", "caption": ["A FIELD", "Grass."], "split": "dev"},
            {"image": True, "caption": "Of what?"},
            None,
        ],
    )
    found = reader(tmp_path, "caption-json")
    items = by_key(found.items())
    assert faults(items.values()) == {
        "captions.json#1": "missing_key",
        "captions.json#2": "empty_caption",
        "captions.json#3": "empty_caption",
        "captions.json#4": "missing_key",
        "captions.json#5": "missing_image",
        "captions.json#7": "missing_key",
        "captions.json#8": "missing_key",
        "4": "missing_annotation",
        "5": "missing_annotation",
    }
    assert captions(found, items["0"]) == ["A field.", "Grass."]
    assert items["0"].split == "validation"


def test_other_keys_and_a_record_a_line(tmp_path: Path) -> None:
    put_images(tmp_path, "0.png")
    lines = [{"id": "0.png", "answer": "A field."}, {"id": "0.png", "answer": "Grass."}]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(UsageError, match="no JSON of records with the keys image .*--columns image=id,caption=text"):
        list(reader(tmp_path, "caption-json").items())
    found = reader(tmp_path, "caption-json", columns={"image": "id", "caption": "answer"})
    (item,) = found.items()
    assert (captions(found, item), item.split) == (["A field.", "Grass."], "train")
