import json

import pytest

from fusionrs_builder.corpora.geojson import objects
from fusionrs_builder.corpora.reader import Refused

SQUARE = [[0, 0], [4, 0], [4, 2], [0, 2], [0, 0]]


def parse(features: object, label: str = "") -> list[dict[str, object]]:
    data = json.dumps({"features": features}).encode()
    return objects(data, "a.geojson", lambda ring: [(x * 10, y * 10) for x, y in ring], label)


def feature(geometry: object, **properties: object) -> dict[str, object]:
    return {"properties": properties, "geometry": geometry}


def test_the_label_comes_from_the_feature_or_the_settings() -> None:
    polygon = {"type": "Polygon", "coordinates": [SQUARE]}
    found = parse([feature(polygon, labels=["Boat"]), feature(polygon, name="Dam"), feature(polygon)], "building")
    assert [box["label"] for box in found] == ["Boat", "Dam", "building"]
    assert [found[0][side] for side in ("x0", "y0", "x1", "y1")] == [0, 0, 40, 20]
    assert found[0]["polygon"] == [0, 0, 40, 0, 40, 20, 0, 20, 0, 0]
    with pytest.raises(Refused, match="set object_label"):
        parse([feature(polygon)])


def test_parts_of_one_feature_are_one_object() -> None:
    small = [[10, 10], [11, 10], [11, 11], [10, 10]]
    (box,) = parse([feature({"type": "MultiPolygon", "coordinates": [[small], [SQUARE]]}, name="a")])
    assert [box[side] for side in ("x0", "y0", "x1", "y1")] == [0, 0, 110, 110]
    assert box["polygon"] == [0, 0, 40, 0, 40, 20, 0, 20, 0, 0], "the outline of the largest part"


def test_what_has_no_area_is_left_out() -> None:
    assert parse([feature(None, name="a"), feature({"type": "Point", "coordinates": [1, 1]}, name="a")]) == []


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"[" * 100_000, b'{"features": 3}', b'{"features": [3]}', b"\xff\xfe",
     b'{"features": [{"geometry": {"type": "Polygon"}}]}',
     b'{"features": [{"properties": {"name": "a"}, "geometry": {"type": "Polygon", "coordinates": [[["x", 1]]]}}]}'],
)  # fmt: skip
def test_malformed_files_are_refused(data: bytes) -> None:
    with pytest.raises(Refused) as caught:
        objects(data, "a.geojson", lambda ring: [(float(x), float(y)) for x, y in ring], "")
    assert caught.value.reason == "malformed_annotation"
    assert "a.geojson" in caught.value.message


def test_a_number_beyond_all_maps_is_refused() -> None:
    ring = [[10**400, 0], *SQUARE[1:]]
    data = json.dumps({"features": [feature({"type": "Polygon", "coordinates": [ring]}, name="a")]}).encode()
    with pytest.raises(Refused, match="malformed_annotation: a.geojson"):
        objects(data, "a.geojson", lambda points: [(float(x), float(y)) for x, y in points], "")
