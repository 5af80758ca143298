import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.corpora import spool
from fusionrs_builder.corpora.formats.coco import _ring
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture
from tests.corpora.reading import build, by_key, faults, peak, put_images, put_json, reader

CATEGORIES = [{"id": 1, "name": "airplane", "supercategory": "none"}, {"id": 2, "name": "ship"}]


def image(number: int, name: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "file_name": name, "width": 48, "height": 40, **more}


def objects(image_id: Any, *boxes: list[float], category: int = 1, **more: Any) -> list[dict[str, Any]]:
    return [
        {"id": 7, "image_id": image_id, "category_id": category, "bbox": bbox, "iscrowd": 0, **more} for bbox in boxes
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As NWPU VHR-10: the id is the number of the file less one; names come twice, in two folders."""
    data = tmp_path / "NWPU VHR-10 dataset"
    put_images(data, *(f"positive image set/{n:03d}.jpg" for n in (1, 2, 3)), "negative image set/001.jpg")
    put_json(
        data / "annotations.json",
        {
            "info": {"year": 2019, "contributors": [{"name": "a"}]},
            "annotations": objects(0, [1, 2, 10, 20], [5, 5, 3, 3]) + objects(1, [0, 0, 9, 9], category=2),
            "images": [image(n - 1, f"{n:03d}.jpg") for n in (1, 2, 3)],
            "licenses": [],
            "categories": CATEGORIES,
        },
    )
    return tmp_path


KEYS = {"include": "*positive image set/*"}
FOLDER = "NWPU VHR-10 dataset/positive image set"


def test_boxes_by_image_whatever_the_order_of_the_lists(root: Path, ws: Workspace) -> None:
    rows, refused = build(ws, root, "coco", **KEYS)
    assert not refused
    assert {key: row["labels"] for key, row in rows.items()} == {
        f"{FOLDER}/001": ["airplane"],
        f"{FOLDER}/002": ["ship"],
        f"{FOLDER}/003": [],
    }
    boxes = rows[f"{FOLDER}/001"]["boxes"]
    assert [[box[side] for side in ("x0", "y0", "x1", "y1")] for box in boxes] == [[1, 2, 11, 22], [5, 5, 8, 8]]


@given(st.permutations(["images", "categories", "annotations", "info"]), st.booleans())
def test_any_order_and_other_names(tmp_path_factory: pytest.TempPathFactory, order: list[str], aliases: bool) -> None:
    root = tmp_path_factory.mktemp("coco")
    (root / "1.jpg").touch()
    record = image(3, "1.jpg")
    if aliases:
        record["filename"] = record.pop("file_name")
    parts = {"images": [record], "categories": CATEGORIES, "annotations": objects(3, [1, 2, 3, 4]), "info": {"a": [{}]}}
    put_json(root / "a.json", {"annotation" if aliases and key == "annotations" else key: parts[key] for key in order})
    (item,) = reader(root, "coco").items()
    assert item.found() == {
        "boxes": [{"label": "airplane", "x0": 1, "y0": 2, "x1": 4, "y1": 6, "polygon": []}],
        "size": [48, 40],
    }


@pytest.mark.parametrize("kind", ["normal", "rotate"])
def test_the_real_hit_uav_files(samples: Path, kind: str) -> None:
    captions = f"{kind}_json/annotations/[vt]*.json"
    found = reader(samples / "hit-uav", "coco", captions=captions, include="normal_xml/*", modality="ir", band="lwir")
    items = list(found.items())
    assert faults(items) == {item.key: "missing_image" for item in items if item.fault}
    good = [item for item in items if not item.fault]
    assert Counter(item.split for item in good) == {"validation": 290, "test": 193}
    labels = Counter(box["label"] for item in good for box in found.read(item).boxes)
    assert labels == {"Person": 2072, "Car": 1152, "Bicycle": 883, "OtherVehicle": 18, "DontCare": 17}
    xml = reader(
        samples / "hit-uav", "voc", include="normal_xml/*", annotations=f"../../{kind}_xml/Annotations/{{stem}}.xml"
    )
    expected = {item.files[0]: xml.read(item).boxes for item in xml.items()}
    for item in good:
        boxes = sorted(
            (box["label"], *(round(box[s], 2) for s in ("x0", "y0", "x1", "y1"))) for box in found.read(item).boxes
        )
        assert boxes == sorted(
            (box["label"], *(round(box[s], 2) for s in ("x0", "y0", "x1", "y1"))) for box in expected[item.files[0]]
        )


def test_splits_by_the_name_of_the_file(tmp_path: Path) -> None:
    put_images(tmp_path, "train/images/P0000.png", "val/images/P0003.png", "val/images/P0004.png")
    put_json(tmp_path / "train/Annotations/iSAID_train.json", {"images": [image(0, "P0000.png")]})
    put_json(tmp_path / "val/Annotations/iSAID_val.json", {"images": [image(0, "P0003.png"), image(1, "P0004.png")]})
    items = by_key(reader(tmp_path, "coco", captions="*iSAID_*.json").items())
    assert [item.split for item in items.values()] == ["train", "validation", "validation"]
    (tmp_path / "test.txt").write_text("P0004.png\nP0009.png\n")
    items = by_key(reader(tmp_path, "coco", splits={"test": "test.txt"}, split_pattern="(?P<split>train)").items())
    assert {key: (item.split, item.fault and item.fault[0]) for key, item in items.items()} == {
        "train/images/P0000": ("train", None),
        "val/images/P0003": ("validation", None),
        "val/images/P0004": ("test", None),
        "test.txt#1": ("", "missing_image"),
    }


def test_segmentations() -> None:
    small, large = [0, 0, 4, 0, 4, 4], [0, 0, 0, 9, 9, 9, 9, 0]
    assert _ring([small, large]) == large
    assert _ring([small, [0, 0, 1, 1], [0, 0, 9, 0, 9, 9, 9], "x"]) == small
    for none in (None, [], {"counts": "PPYo1", "size": [1080, 1920]}, [[]], [["a"] * 6], "RLE"):
        assert _ring(none) == []


def test_what_fits_nothing_is_counted(root: Path) -> None:
    data = root / "NWPU VHR-10 dataset"
    put_images(data, *(f"positive image set/{n:03d}.jpg" for n in range(4, 10)))
    put_json(
        data / "annotations.json",
        {
            "images": [
                *(image(n, f"{n:03d}.jpg") for n in (1, 2, 3, 4, 5)),
                image(6, "001.jpg"),
                image(7, "999.jpg"),
                image(8, "006.jpg"),
                image(8, "007.jpg"),
                {"id": 9},
                image(10, "008.jpg", width=0),
            ],
            "categories": CATEGORIES,
            "annotations": [
                *objects(1, [1, 2, 3, 4]),
                *objects(2, [1, 2, 3, 4], category=9),
                *objects(3, [1, 2, 3, 4]),
                *objects(3, [1, 2, 3]),
                {"image_id": 4, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]},
                *objects(5, ["1", 2, 3, 4]),
                *objects(77, [1, 2, 3, 4]),
                *objects(7, [1, 2, 3, 4]),
            ],
        },
    )
    items = by_key(reader(root, "coco", **KEYS).items())
    file = "NWPU VHR-10 dataset/annotations.json"
    assert faults(items.values()) == {
        f"{FOLDER}/002": "unknown_class",
        f"{FOLDER}/003": "malformed_annotation",
        f"{FOLDER}/004": "malformed_annotation",
        f"{FOLDER}/005": "malformed_annotation",
        f"{FOLDER}/006": "duplicate_image_id",
        f"{FOLDER}/007": "duplicate_image_id",
        f"{FOLDER}/009": "missing_annotation",
        f"{file}#images/5": "duplicate_filename",
        f"{file}#images/6": "missing_image",
        f"{file}#images/9": "missing_image",
        f"{file}#annotations/6": "unknown_image_id",
    }
    assert items[f"{FOLDER}/008"].found()["size"] is None
    told = {key: item.fault[1] for key, item in items.items() if item.fault}
    assert told[f"{FOLDER}/002"] == f"{file}: annotation 1 of 2: its category 9 has no name; give it by --classes"
    assert told[f"{FOLDER}/003"] == f"{file}: annotation 3 of 3: its bbox is [1, 2, 3], not x, y, width, height"
    assert told[f"{FOLDER}/004"].endswith("its bbox is None, not x, y, width, height")
    assert told[f"{file}#annotations/6"] == f"{file}: annotation 6 is of image 77, which it does not list"
    named = by_key(reader(root, "coco", classes={"9": "bridge"}, **KEYS).items())
    assert named[f"{FOLDER}/002"].found()["boxes"][0]["label"] == "bridge"


def test_one_id_in_two_files_is_two_images(tmp_path: Path) -> None:
    put_images(tmp_path, "a.jpg", "b.jpg")
    for name, label in (("a", "plane"), ("b", "ship")):
        categories = [{"id": 1, "name": label}]
        parts = {"images": [image(0, f"{name}.jpg")], "categories": categories, "annotations": objects(0, [1, 1, 2, 2])}
        put_json(tmp_path / f"{name}.json", parts)
    found = reader(tmp_path, "coco")
    assert {key: [box["label"] for box in found.read(item).boxes] for key, item in by_key(found.items()).items()} == {
        "a": ["plane"],
        "b": ["ship"],
    }


def test_tiles_carry_their_own_objects_only(tmp_path: Path, ws: Workspace) -> None:
    (tmp_path / "1.png").write_bytes(encoded(picture(1, 70, 64)))
    boxes = objects(0, [1, 1, 4, 4], [28, 2, 10, 10], segmentation=[[28, 2, 38, 2, 38, 12]])
    put_json(
        tmp_path / "a.json",
        {"images": [image(0, "1.png", width=70, height=64)], "categories": CATEGORIES, "annotations": boxes},
    )
    items = by_key(reader(tmp_path, "coco", tile=32).items())
    assert {key[-13:]: len(item.found()["boxes"]) for key, item in items.items()} == {
        "x00000_y00000": 2,
        "x00032_y00000": 1,
        "x00000_y00032": 0,
        "x00032_y00032": 0,
    }
    rows, refused = build(ws, tmp_path, "coco", tile=32)
    assert not refused
    assert {key[-13:]: [(box["x0"], box["x1"]) for box in row["boxes"]] for key, row in rows.items()} == {
        "x00000_y00000": [(1, 5)],  # less than half of the other lies in it
        "x00032_y00000": [(0, 6)],
        "x00000_y00032": [],
        "x00032_y00032": [],
    }


def test_files_of_another_shape(root: Path) -> None:
    put_json(root / "log.json", {"summary": {"Person": 1}})
    put_json(root / "list.json", [{"image": "001.jpg", "caption": "a"}])
    assert not faults(reader(root, "coco", **KEYS).items())
    with pytest.raises(UsageError, match=r"captions: no COCO file.*looked at .*log.json"):
        list(reader(root, "coco", captions="*.json", **KEYS).items())
    with pytest.raises(UsageError, match=r"captions: no COCO file.*looked at gone.json in .*, of which there is none"):
        list(reader(root, "coco", captions="gone.json", **KEYS).items())
    file = root / "NWPU VHR-10 dataset/annotations.json"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(FusionError, match=r"annotations.json ends in the middle"):
        list(reader(root, "coco", **KEYS).items())


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "BATCH", 50)
    put_images(tmp_path, "0.jpg")
    rng = random.Random(1)
    ring = [rng.random() for _ in range(200)]
    parts = {
        "images": [image(n, f"{n}.jpg") for n in range(500)],
        "categories": CATEGORIES,
        "annotations": [found for n in range(1000) for found in objects(n % 500, [1, 2, 3, 4], segmentation=[ring])],
    }
    put_json(tmp_path / "a.json", parts)
    assert (tmp_path / "a.json").stat().st_size > 3e6
    del parts
    with peak(1.5e6):
        items = reader(tmp_path, "coco").items()
        assert sum(1 for item in items if item.fault) == 499


def test_the_real_outlines_of_trees(samples: Path, tmp_path: Path) -> None:
    file = samples / "neon-trees-deepforest/src/deepforest/data/coco_sample_file.json"
    (tmp_path / "trees.json").write_bytes(file.read_bytes())
    for name in ("5dded5bc0140b80006d2e565_23.tif", "5b90f92da0d7280005fab355_4310.tif"):
        (tmp_path / name).touch()  # the images are not among the samples
    boxes = {item.key: item.found()["boxes"] for item in reader(tmp_path, "coco").items()}
    assert sorted(map(len, boxes.values())) == [1, 5]
    for box in (box for found in boxes.values() for box in found):
        assert box["label"] == "tree"
        for axis, sides in enumerate((("x0", "x1"), ("y0", "y1"))):
            outline = box["polygon"][axis::2]
            assert [min(outline), max(outline)] == pytest.approx([box[side] for side in sides], abs=1.01)


def test_images_left_out_are_not_missed(tmp_path: Path, ws: Workspace) -> None:
    put_images(tmp_path, "train/1.jpg", "val/2.jpg")
    names = [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}]
    boxes = [{"image_id": 2, "category_id": 1, "bbox": [1, 1, 5, 5]}]
    categories = [{"id": 1, "name": "ship"}]
    put_json(tmp_path / "a.json", {"images": names, "annotations": boxes, "categories": categories})
    rows, refused = build(ws, tmp_path, "coco", include="train/*")
    assert (list(rows), refused) == (["train/1"], {})
