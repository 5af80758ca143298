from collections import Counter
from pathlib import Path

import pytest

from fusionrs_builder.config import CorpusSettings
from fusionrs_builder.corpora.formats import reader, voc
from fusionrs_builder.corpora.reader import Refused
from tests.conftest import encoded, picture

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
