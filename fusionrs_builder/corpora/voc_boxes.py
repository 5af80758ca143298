"""Objects in XML annotations of the Pascal VOC family: one parser, six ways to draw a box.

    bndbox      xmin, ymin, xmax, ymax                              DIOR, RSOD, HIT-UAV normal_xml, LLVIP, DIOR-RSVG
    polygon     x1, y1, ... x4, y4                                  DroneVehicle
    robndbox    cx, cy, w, h, angle (radians, clockwise)            HIT-UAV rotate_xml
    HRSC_Object mbox_cx, mbox_cy, mbox_w, mbox_h, mbox_ang          HRSC2016; the label is its Class_ID
    points      point "x,y", the first again at the end             FAIR1M; the label is possibleresult/name

Coordinates stay as published, those that count pixels from 1 included. Oriented boxes keep their outline as a polygon.
"""

import re
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from fusionrs_builder.corpora.annotated_images import number
from fusionrs_builder.corpora.outlines import corners, outlined
from fusionrs_builder.corpora.reader import Refused, box

OBJECTS = ("object", "HRSC_Object")

NAMES = ("name", "possibleresult/name", "Class_ID")

SIZES = (("size/width", "size/height"), ("Img_SizeWidth", "Img_SizeHeight"))

ENCODING = re.compile(rb"\s*<\?xml[^>]*\bencoding\s*=\s*[\"']([\w.-]+)")


def parse(data: bytes, where: str) -> tuple[list[dict[str, Any]], tuple[int, int] | None]:
    """Boxes of a file as in `schema.BOX`, and width and height of the image it was made for, None where it says none.

    The label of a box is empty where the file has an empty name for it (DroneVehicle).

    Args:
        data: the file.
        where: how errors call it.

    Raises:
        Refused: not XML, an entity bomb, or an object without a name or a box; the message names file and element.
    """
    root = document(data, where)
    return boxes(root, where), size(root, where)


def document(data: bytes, where: str) -> Element:
    """The root of a file.

    Raises:
        Refused: not XML, or with entities.
    """
    try:
        encoding = ENCODING.match(data)
        text = data.decode(encoding[1].decode("ascii")) if encoding else data  # expat knows few encodings
        root: Element = fromstring(text.strip())
    except DefusedXmlException:
        raise Refused("malformed_annotation", f"{where} declares entities, which may grow without end") from None
    except (ParseError, ValueError, LookupError) as error:
        raise Refused("malformed_annotation", f"{where}: {error}") from None
    return root


def objects(root: Element) -> list[Element]:
    return [element for element in root.iter() if element.tag in OBJECTS]


def boxes(root: Element, where: str) -> list[dict[str, Any]]:
    """As `parse`."""
    return [_box(element, where) for element in objects(root)]


def size(root: Element, where: str) -> tuple[int, int] | None:
    """Width and height; None where they are not said, or said to be 0."""
    for names in SIZES:
        if root.find(names[0].rpartition("/")[0] or names[0]) is not None:
            width, height = (int(value) for value in _numbers(root, names, where))
            return (width, height) if width > 0 and height > 0 else None
    return None


def descriptions(root: Element) -> list[str]:
    """The phrases that name the objects with a bndbox (DIOR-RSVG); what FAIR1M calls a description is `None`."""
    named = [element.find("description") for element in objects(root) if element.find("bndbox") is not None]
    return [phrase.text or "" for phrase in named if phrase is not None]


def _box(element: Element, where: str) -> dict[str, Any]:
    """One object, by the first outline it has."""
    label = _label(element, where)
    bounds, polygon, turned = (element.find(name) for name in ("bndbox", "polygon", "robndbox"))
    if bounds is not None:
        x0, y0, x1, y1 = _numbers(bounds, ("xmin", "ymin", "xmax", "ymax"), where)
        return box(label, x0, y0, x1, y1)
    if polygon is not None:
        return outlined(label, _numbers(polygon, [f"{axis}{corner}" for corner in range(1, 5) for axis in "xy"], where))
    if turned is not None:
        return outlined(label, corners(*_numbers(turned, ("cx", "cy", "w", "h", "angle"), where)))
    if element.tag == "HRSC_Object":
        names = [f"mbox_{name}" for name in ("cx", "cy", "w", "h", "ang")]
        return outlined(label, corners(*_numbers(element, names, where)))
    points = [_point(point, where) for point in element.findall("points/point")]
    if len(points) < 3:
        raise Refused("malformed_annotation", f"{where}: {label or 'an object'} has no bndbox, polygon or points")
    return outlined(label, [value for point in points[: -1 if points[0] == points[-1] else None] for value in point])


def _label(element: Element, where: str) -> str:
    found = next((label for name in NAMES if (label := element.findtext(name)) is not None), None)
    if found is None:
        raise Refused("malformed_annotation", f"{where}: <{element.tag}> has no <name>")
    return found.strip()


def _numbers(element: Element, names: Sequence[str], where: str) -> list[float]:
    return [_number(element, name, where) for name in names]


def _number(element: Element, name: str, where: str) -> float:
    text = element.findtext(name, "").strip()
    if not text:
        raise Refused("malformed_annotation", f"{where}: <{element.tag}> has no <{name}>")
    return number(text, f"{where}: <{name}>")


def _point(element: Element, where: str) -> tuple[float, float]:
    x, _, y = (element.text or "").partition(",")
    return number(x, f"{where}: <point>"), number(y, f"{where}: <point>")
