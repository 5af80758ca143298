from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder.corpora import spool
from fusionrs_builder.corpora.formats import reader, voc
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.errors import FusionError
from fusionrs_builder.settings import CorpusSettings
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture
from tests.corpora import reading
from tests.corpora.reading import build, by_key, peak, put_images
from tests.corpora.test_voc_boxes import DIOR_RSVG, DRONE_VEHICLE, FAIR1M, HRSC

OBJECT = (
    "<object><name>Car</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>22.5</ymax></bndbox></object>"
)
XML = f"<annotation><size><width>48</width><height>40</height></size>{OBJECT}</annotation>"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    for i in range(3):
        (tmp_path / "JPEGImages" / f"{i}.jpg").write_bytes(encoded(picture(i), "JPEG"))
        (tmp_path / "Annotations" / f"{i}.xml").write_text(XML)
    (tmp_path / "ImageSets/Main/val.txt").write_text("0\n1 -1\n")
    (tmp_path / "ImageSets/Main/test.txt").write_text("2\n")
    (tmp_path / "ImageSets/Main/trainval.txt").write_text("0\n1\n2\n")
    return tmp_path


def test_boxes_size_and_split(root: Path) -> None:
    found = reader(root, CorpusSettings(format="voc"), "c")
    items = {item.key: item for item in found.items()}
    assert [items[k].split for k in "012"] == ["validation", "validation", "test"]
    sample = found.read(items["0"])
    assert sample.size == (48, 40)
    assert sample.boxes == [{"label": "Car", "x0": 1, "y0": 2, "x1": 11, "y1": 22.5, "polygon": []}]
    assert sample.rgb == (root / "JPEGImages/0.jpg").read_bytes()


def test_one_without_the_other_is_refused(root: Path) -> None:
    (root / "Annotations/0.xml").unlink()
    (root / "JPEGImages/1.jpg").unlink()
    faults = {i.key: i.fault and i.fault[0] for i in reader(root, CorpusSettings(format="voc"), "c").items()}
    assert faults == {"0": "missing_annotation", "1": "missing_image", "2": None}


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "<annotation>",
        "<annotation><object><name>Car</name></object></annotation>",
        XML.replace("<name>Car</name>", ""),
        XML.replace("<xmin>1</xmin>", "<xmin>one</xmin>"),
        XML.replace("<width>48</width>", ""),
        '<!DOCTYPE b [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>' + XML.replace("Car", "&b;"),
        '<!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + XML.replace("Car", "&a;"),
    ],
)
def test_a_malformed_file_is_refused(xml: str) -> None:
    with pytest.raises(Refused) as caught:
        voc.parse(xml.encode(), "a.xml")
    assert caught.value.reason == "malformed_annotation"
    assert "a.xml" in caught.value.message


def test_the_real_hit_uav_sample(samples: Path) -> None:
    found = reader(samples / "hit-uav/normal_xml", CorpusSettings(format="voc", modality="ir", band="lwir"), "c")
    items = list(found.items())
    assert len(items) == 483
    assert Counter(item.split for item in items) == {"validation": 290, "test": 193}
    labels = Counter(box["label"] for item in items for box in found.read(item).boxes)
    assert labels == {"Person": 2072, "Car": 1152, "Bicycle": 883, "OtherVehicle": 18, "DontCare": 17}


def test_of_two_annotations_of_one_name_the_nearest_is_taken_and_the_other_counted(root: Path) -> None:
    other = root / "other" / "Annotations"
    other.mkdir(parents=True)
    (other / "0.xml").write_text(XML.replace("Car", "Bus"))
    found = reader(root, CorpusSettings(format="voc"), "c")
    items = [item for item in found.items() if item.key == "0"]
    assert [item.fault and item.fault[0] for item in items] == [None, "missing_image"]
    assert found.read(items[0]).boxes[0]["label"] == "Car"
    assert items[1].annotations == ("other/Annotations/0.xml",)


def put(root: Path, **texts: str) -> None:
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def test_the_real_rotated_boxes_enclose_the_real_upright_ones(samples: Path) -> None:
    upright, turned = (
        reading.reader(
            samples / "hit-uav", "voc", include="normal_xml/*", annotations=f"../../{kind}_xml/Annotations/{{stem}}.xml"
        )
        for kind in ("normal", "rotate")
    )
    items = list(turned.items())
    assert len(items) == 483 and not [item.fault for item in items if item.fault]
    near = total = 0
    for one, other in zip(upright.items(), items, strict=True):
        expected = upright.read(one).boxes
        found = turned.read(other).boxes
        assert [box["label"] for box in found] == [box["label"] for box in expected]
        for box, bounds in zip(found, expected, strict=True):
            assert len(box["polygon"]) == 8
            total += 1
            near += all(abs(box[side] - bounds[side]) <= 3 for side in ("x0", "y0", "x1", "y1"))
    assert total == 4142
    assert near / total > 0.99


def test_folders_split_by_subset_and_classes_by_number(tmp_path: Path) -> None:
    put_images(tmp_path, "Train/AllImages/100000001.jpg", "Test/AllImages/100000002.jpg")
    put(tmp_path, **{"Train/Annotations/100000001.xml": HRSC, "Test/Annotations/100000002.xml": HRSC})
    keys = {"split_pattern": "^(?P<split>Train|Test)/", "classes": {"100000013": "aircraft carrier"}}
    found = reading.reader(tmp_path, "voc", **keys)
    items = by_key(found.items())
    assert {key: item.split for key, item in items.items()} == {"100000001": "train", "100000002": "test"}
    assert [box["label"] for box in found.read(items["100000001"]).boxes] == ["aircraft carrier"]


def test_equal_names_in_several_parts_stay_apart(tmp_path: Path) -> None:
    put_images(tmp_path, "train/part1/images/0.tif", "train/part2/images/0.tif", "validation/images/0.tif")
    folders = ("train/part1", "validation")
    put(tmp_path, **{f"{folder}/labelXml/0.xml": FAIR1M.replace("Boeing737", folder) for folder in folders})
    found = reading.reader(tmp_path, "voc", split_pattern="^(?P<split>train|validation)/")
    items = by_key(found.items())
    assert {key: item.fault and item.fault[0] for key, item in items.items()} == {
        "train/part1/images/0": None,
        "train/part2/images/0": "missing_annotation",  # that of part1 is part1's
        "validation/images/0": None,
    }
    for folder in folders:
        assert found.read(items[f"{folder}/images/0"]).boxes[0]["label"] == folder


def test_which_of_two_annotations_is_asked_rather_than_guessed(tmp_path: Path) -> None:
    put_images(tmp_path, "JPEGImages/1.jpg")
    kinds = ("Horizontal Boxes", "Oriented Boxes")
    put(tmp_path, **{f"Annotations/{kind}/1.xml": XML.replace("Car", kind) for kind in kinds})
    (item,) = reading.reader(tmp_path, "voc").items()
    assert item.fault and item.fault[0] == "ambiguous_annotation"
    assert "Annotations/Horizontal Boxes/1.xml or Annotations/Oriented Boxes/1.xml" in item.fault[1]
    found = reading.reader(tmp_path, "voc", annotations="../Annotations/Oriented Boxes/{stem}.xml")
    (item,) = found.items()
    assert found.read(item).boxes[0]["label"] == "Oriented Boxes"


def test_annotations_of_images_that_include_leaves_out_are_not_alone(tmp_path: Path) -> None:
    put_images(tmp_path, "infrared/train/1.jpg", "visible/train/1.jpg", "visible/train/2.jpg")
    put(tmp_path, **{f"Annotations/{number}.xml": XML for number in (1, 2, 3)})
    items = by_key(reading.reader(tmp_path, "voc", include="infrared/*").items())
    assert {key: item.fault and item.fault[0] for key, item in items.items()} == {"1": None, "3": "missing_image"}


def test_names_that_are_empty_need_a_word(tmp_path: Path) -> None:
    put_images(tmp_path, "1.jpg")
    put(tmp_path, **{"1.xml": DRONE_VEHICLE})

    def labels(**keys: Any) -> list[str]:
        found = reading.reader(tmp_path, "voc", **keys)
        return [box["label"] for box in found.read(next(found.items())).boxes]

    with pytest.raises(Refused, match=r"1.xml: a <name> is empty; set --object-label"):
        labels()
    assert labels(ignore_labels=["*", ""]) == ["feright car", "*", ""]
    assert labels(object_label="vehicle") == ["feright car", "*", "vehicle"]


def rsvg(root: Path, *counts: int) -> None:
    """As DIOR-RSVG: so many objects in 00001.xml, 00002.xml, ..."""
    one = DIOR_RSVG[DIOR_RSVG.index("<object>") : DIOR_RSVG.index("</annotation>")]
    for number, count in enumerate(counts, 1):
        put_images(root / "JPEGImages", f"{number:05d}.jpg")
        objects = "".join(one.replace("lower left", f"side {i}") for i in range(count))
        put(root, **{f"Annotations/{number:05d}.xml": f"<annotation>{objects}</annotation>"})


RSVG_LISTS = {"train": "train.txt", "validation": "val.txt", "test": "test.txt"}


def test_lists_of_dior_rsvg_number_objects_not_images(tmp_path: Path, ws: Workspace) -> None:
    rsvg(tmp_path, 2, 1, 0, 3, 1)
    put(tmp_path, **{"train.txt": "0\n1\n2\n3\n", "val.txt": "4\r\n", "test.txt": "5\n"})
    rows, refused = build(ws, tmp_path, "voc", splits=RSVG_LISTS, include="*JPEGImages/*")
    assert not refused
    assert {key: row["corpus_split"] for key, row in rows.items()} == {
        "00001": "train",  # 0 and 1
        "00002": "train",  # 2
        "00003": None,
        "00004": "test",  # 3 in train, 4 in validation, 5 in test
        "00005": None,  # 6, in no list
    }
    assert rows["00001"]["publisher_captions"] == ["The vehicle on the side 0", "The vehicle on the side 1"]
    assert rows["00001"]["labels"] == ["vehicle"]
    found = reading.reader(tmp_path, "voc", caption_origin="model")
    assert found.read(next(found.items())).model_captions[0] == "The vehicle on the side 0"


def test_tiles_have_no_phrases_of_the_whole(tmp_path: Path) -> None:
    rsvg(tmp_path, 1)
    found = reading.reader(tmp_path, "voc", tile=16)
    assert {tuple(found.read(item).captions) for item in found.items()} == {()}


@pytest.mark.parametrize(
    ("lines", "message"),
    [("0\n4\n", "number objects up to 4, and there are 4"), ("0\nvehicle\n", "train.txt#1 is vehicle")],
)
def test_lists_of_another_release_are_an_error(tmp_path: Path, lines: str, message: str) -> None:
    rsvg(tmp_path, 2, 2)
    put(tmp_path, **{"train.txt": lines})
    with pytest.raises(FusionError, match=message):
        list(reading.reader(tmp_path, "voc", splits={"train": "train.txt"}).items())
    put(tmp_path, **{"train.txt": "0\n", "Annotations/00002.xml": "<annotation>"})
    with pytest.raises(FusionError, match=r"one cannot be counted: Annotations/00002.xml"):
        list(reading.reader(tmp_path, "voc", splits={"train": "train.txt"}).items())


def test_lists_of_names_that_are_numbers_stay_names(tmp_path: Path) -> None:
    put_images(tmp_path, "JPEGImages/00001.jpg", "JPEGImages/00002.jpg")
    put(tmp_path, **{f"Annotations/0000{number}.xml": XML for number in (1, 2)}, **{"test.txt": "00002\n"})
    items = by_key(reading.reader(tmp_path, "voc", splits={"test": "test.txt"}).items())
    assert {key: item.split for key, item in items.items()} == {"00001": "", "00002": "test"}


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "BATCH", 50)
    for number in range(2000):
        for path in (f"{number % 40}/Annotations/{number:06d}.xml", f"{number % 40}/JPEGImages/{number:06d}.jpg"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
    with peak(500_000):
        assert sum(1 for item in reading.reader(tmp_path, "voc").items() if not item.fault) == 2000


def test_the_real_trees_of_neon(samples: Path) -> None:
    found = reading.reader(samples / "neon-trees-deepforest", "voc", include="*.png")
    items = by_key(found.items())
    assert {key: item.fault and item.fault[0] for key, item in items.items()} == {
        "2019_YELL_2_541000_4977000_image_crop": None,
        "OSBS_029": None,
        "SOAP_031": "missing_annotation",
        "SOAP_061": None,
    }
    labels = Counter(box["label"] for item in items.values() if not item.fault for box in found.read(item).boxes)
    assert labels == {"Tree": 340, "Dead": 28, "Alive": 9}
