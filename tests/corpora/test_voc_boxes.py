from typing import Any

import pytest

from fusionrs_builder.corpora import voc_boxes
from fusionrs_builder.corpora.reader import Refused

DRONE_VEHICLE = """<annotation><filename>00001.jpg</filename><size><width>840</width><height>712</height></size>
<object><name>feright car</name><polygon><x1>254</x1><y1>259</y1><x2>256</x2><y2>321</y2><x3>279</x3><y3>318</y3>
<x4>275</x4><y4>258</y4></polygon></object>
<object><name>*</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>
<object><name/><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>"""

HRSC = """<HRSC_Image><Img_FileName>100000001</Img_FileName><Img_SizeWidth>1166</Img_SizeWidth>
<Img_SizeHeight>753</Img_SizeHeight><HRSC_Objects><HRSC_Object><Object_ID>100000008</Object_ID>
<Class_ID>100000013</Class_ID><box_xmin>628</box_xmin><box_ymin>40</box_ymin><box_xmax>815</box_xmax>
<box_ymax>783</box_ymax><mbox_cx>100</mbox_cx><mbox_cy>50</mbox_cy><mbox_w>40</mbox_w><mbox_h>10</mbox_h>
<mbox_ang>1.5707963</mbox_ang><difficult>0</difficult></HRSC_Object></HRSC_Objects></HRSC_Image>"""

FAIR1M = """<?xml version="1.0" encoding="utf-8"?>
<annotation><source><filename>0.tif</filename><origin>GF2/GF3</origin></source>
<size><width>1000</width><height>900</height><depth>3</depth></size>
<objects><object><coordinate>pixel</coordinate><type>rectangle</type><description>None</description>
<possibleresult><name>Boeing737</name></possibleresult><points><point>548.000000,20.5</point><point>558,20</point>
<point>558,40</point><point>548,40</point><point>548.000000,20.5</point></points></object></objects></annotation>"""

DIOR_RSVG = """<annotation><filename>00001.jpg</filename><size><width>800</width><height>800</height></size>
<object><name>vehicle</name><pose>Unspecified</pose><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>22</ymax>
</bndbox><description>The vehicle on the lower left</description></object></annotation>"""

PART = """<annotation><object><name>ship</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>
<part><name>bow</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>2</xmax><ymax>3</ymax></bndbox></part></object>
</annotation>"""


def parsed(text: str) -> tuple[list[dict[str, Any]], tuple[int, int] | None]:
    return voc_boxes.parse(text.encode(), "a.xml")


def sides(box: dict[str, Any]) -> list[float]:
    return [round(box[side], 3) for side in ("x0", "y0", "x1", "y1")]


def test_drone_vehicle_polygons_and_names_that_are_none() -> None:
    boxes, size = parsed(DRONE_VEHICLE)
    assert size == (840, 712)
    assert [(box["label"], sides(box)) for box in boxes] == [
        ("feright car", [254, 258, 279, 321]),
        ("*", [1, 2, 3, 4]),
        ("", [1, 2, 3, 4]),
    ]
    assert [box["polygon"] for box in boxes] == [[254, 259, 256, 321, 279, 318, 275, 258], [], []]


def test_hrsc_boxes_are_turned_about_their_centre() -> None:
    (box,), size = parsed(HRSC)
    assert (size, box["label"], sides(box)) == ((1166, 753), "100000013", [95, 30, 105, 70])
    assert [round(value) for value in box["polygon"]] == [105, 30, 105, 70, 95, 70, 95, 30]


def test_fair1m_points_without_the_one_that_closes_them() -> None:
    (box,), size = parsed(FAIR1M)
    assert (size, box["label"], sides(box)) == ((1000, 900), "Boeing737", [548, 20, 558, 40])
    assert box["polygon"] == [548, 20.5, 558, 20, 558, 40, 548, 40]


def test_dior_rsvg_phrases() -> None:
    (box,), _ = parsed(DIOR_RSVG)
    assert (box["label"], sides(box)) == ("vehicle", [1, 2, 11, 22])
    assert voc_boxes.descriptions(voc_boxes.document(DIOR_RSVG.encode(), "a")) == ["The vehicle on the lower left"]
    assert voc_boxes.descriptions(voc_boxes.document(FAIR1M.encode(), "a")) == []


def test_robndbox() -> None:
    turned = "<cx>10</cx><cy>20</cy><w>8</w><h>4</h><angle>0.0</angle>"
    (box,), size = parsed(f"<a><object><name>Car</name><robndbox>{turned}</robndbox></object></a>")
    assert (size, sides(box), box["polygon"]) == (None, [6, 18, 14, 22], [6, 18, 14, 18, 14, 22, 6, 22])


def test_parts_of_objects_are_no_objects() -> None:
    assert [box["label"] for box in parsed(PART)[0]] == ["ship"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DRONE_VEHICLE.replace("<x3>279</x3>", ""), "a.xml: <polygon> has no <x3>"),
        (DRONE_VEHICLE.replace("<x3>279</x3>", "<x3>nan</x3>"), "a.xml: <x3>: 'nan' is no number"),
        (HRSC.replace("<mbox_ang>1.5707963</mbox_ang>", ""), "a.xml: <HRSC_Object> has no <mbox_ang>"),
        (HRSC.replace("<Class_ID>100000013</Class_ID>", ""), "a.xml: <HRSC_Object> has no <name>"),
        (HRSC.replace("<Img_SizeHeight>753</Img_SizeHeight>", ""), "a.xml: <HRSC_Image> has no <Img_SizeHeight>"),
        (FAIR1M.replace("558,20<", "558<"), "a.xml: <point>: '' is no number"),
        (FAIR1M.replace("points", "spots"), "a.xml: Boeing737 has no bndbox, polygon or points"),
        (FAIR1M.replace("possibleresult", "result"), "a.xml: <object> has no <name>"),
        (DIOR_RSVG.replace("<ymin>2</ymin>", "<ymin> </ymin>"), "a.xml: <bndbox> has no <ymin>"),
        (
            "<annotation><object><name>car</name><point><x>1</x><y>2</y></point></object></annotation>",
            "car has no bndb",
        ),
        (DIOR_RSVG[:-13], "a.xml: no element found"),
    ],
)
def test_what_is_missing_is_named(text: str, message: str) -> None:
    with pytest.raises(Refused) as caught:
        parsed(text)
    assert caught.value.reason == "malformed_annotation"
    assert message in caught.value.message


@pytest.mark.parametrize(
    "bomb",
    [
        '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><a><object><name>&c;</name></object></a>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a><object><name>&b;</name></object></a>',
        '<?xml version="1.0" encoding="utf-7"?>+ADw-a/+AD4-x',
        '<?xml version="1.0" encoding="rot13"?><a/>',
    ],
)
def test_bombs_and_odd_encodings_are_refused(bomb: str) -> None:
    with pytest.raises(Refused, match="malformed_annotation"):
        parsed(bomb)


@pytest.mark.parametrize("encoding", ["utf-8", "gb2312", "gbk", "latin-1", "utf-16", "utf-8-sig"])
def test_the_encoding_a_file_declares(encoding: str) -> None:
    name = "café" if encoding == "latin-1" else "飞机"
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    text = f'<?xml version="1.0" encoding="{declared}"?>\n' + DIOR_RSVG.replace("vehicle", name, 1)
    assert voc_boxes.parse(text.encode(encoding), "a.xml")[0][0]["label"] == name


def test_blank_lines_before_the_declaration_and_a_size_of_nothing() -> None:
    assert parsed("\n\n" + FAIR1M)[1] == (1000, 900)
    assert parsed(DIOR_RSVG.replace("<width>800</width>", "<width>0</width>"))[1] is None
