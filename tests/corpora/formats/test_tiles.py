import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.corpora.formats import reader, tiles
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.settings import CorpusSettings
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture
from tests.corpora.reading import build, put_json

KEYS = {"format": "tiles", "annotations": "../../labels/{folder}/{stem}.geojson", "object_label": "building"}


def settings(**keys: str) -> CorpusSettings:
    return CorpusSettings.model_validate({**KEYS, **keys})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data/1").mkdir(parents=True)
    (tmp_path / "labels/1").mkdir(parents=True)
    west, north = tiles._degrees(1546788, 881058, 21)
    east, south = tiles._degrees(1546789, 881059, 21)
    middle = [(west + east) / 2, (north + south) / 2]
    ring = [[west, north], [middle[0], north], middle, [west, middle[1]], [west, north]]
    feature = {"type": "Feature", "properties": {"osm_id": 1}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    for name in ("OAM-1546788-881058-21", "OAM-1546789-881058-21", "no-number"):
        (tmp_path / f"data/1/{name}.png").write_bytes(encoded(picture(1, 256, 256), "JPEG"))
    (tmp_path / "labels/1/OAM-1546788-881058-21.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": [feature]})
    )
    return tmp_path


def test_outlines_footprint_and_ground_distance(root: Path) -> None:
    found = reader(root, settings(), "c")
    items = {item.key.rpartition("/")[2]: item for item in found.items()}
    sample = found.read(items["OAM-1546788-881058-21"])
    (box,) = sample.boxes
    assert box["label"] == "building"
    assert [round(box[side], 2) for side in ("x0", "y0", "x1", "y1")] == [0, 0, 128, 128]
    assert sample.crs == "EPSG:3857"
    assert sample.gsd_m == pytest.approx(2 * math.pi * 6378137 / 256 / 2**21 * math.cos(math.radians(27.62)), rel=1e-4)
    assert found.read(items["OAM-1546789-881058-21"]).boxes == [], "a tile without a file has no objects"
    assert items["no-number"].fault
    assert items["no-number"].fault[0] == "bad_name"


def test_a_tile_that_cannot_be_is_refused(root: Path) -> None:
    (root / "data/1/OAM-9-9-2.png").write_bytes(encoded(picture(1)))
    found = reader(root, settings(), "c")
    (item,) = [i for i in found.items() if i.key.endswith("9-9-2")]
    with pytest.raises(Refused, match="no tile 9,9 at zoom 2"):
        found.read(item)


def test_annotations_outside_the_corpus_are_not_read(root: Path) -> None:
    (root.parent / "secret.geojson").write_text('{"features": []}')
    items = reader(root, settings(annotations="../../../secret.geojson"), "c").items()
    assert all(item.annotations == () for item in items)


@given(st.integers(1, 22), st.data())
def test_pixels_and_degrees_are_inverse(zoom: int, data: st.DataObject) -> None:
    x, y = (data.draw(st.integers(0, 2**zoom - 1)) for _ in range(2))
    px, py = (data.draw(st.floats(0, 256)) for _ in range(2))
    longitude, latitude = tiles._degrees(x + px / 256, y + py / 256, zoom)
    assert np.allclose(tiles._pixels(longitude, latitude, x, y, zoom), (px, py), atol=1e-3)


def test_the_real_openaerialmap_sample(samples: Path) -> None:
    root = samples / "oam-buildings-hotosm/ramp-data/TRAIN/HOTOSM/2"
    found = reader(root, settings(include="data/*.png"), "c")
    items = list(found.items())
    assert len(items) == 1339
    boxes = [box for item in items for box in found.read(item).boxes]
    assert len(boxes) == 2876
    inside = [b for b in boxes if b["x0"] > -1 and b["y0"] > -1 and b["x1"] < 257 and b["y1"] < 257]
    assert len(inside) == len(boxes), "outlines are cut at the tile, so they must fall on it"


def test_a_label_that_is_half_a_character_is_counted(tmp_path: Path, ws: Workspace) -> None:
    (tmp_path / "OAM-1-1-2.png").write_bytes(encoded(picture(1, 256, 256)))
    ring = [[500, 1], [501, 1], [501, 2], [500, 1]]
    feature = {"properties": {"label": "\ud800"}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    put_json(tmp_path / "OAM-1-1-2.geojson", {"features": [feature]})
    assert build(ws, tmp_path, "tiles") == ({}, {"bad_box": 1})
