import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from fusionrs_builder.corpora.formats import reader
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings

BANDS = {"red": "1", "green": "2", "blue": "3", "nir": "4"}


def write(path: Path, values: np.ndarray, crs: str | None = "EPSG:32614", pixel: float = 2.0, **keys: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=count, dtype=values.dtype, crs=crs,
        transform=from_origin(500_000, 5_000_000, pixel, pixel), **keys,
    ) as sink:  # fmt: skip
        sink.write(values)


def make(root: Path, **keys: Any) -> Any:
    return reader(root, CorpusSettings.model_validate({"format": "geotiff", "bands": BANDS, **keys}), "c")


def ramp(bands: int = 4, height: int = 60, width: int = 80, dtype: str = "uint8") -> np.ndarray:
    return (np.arange(bands * height * width) % 200 + 20).reshape(bands, height, width).astype(dtype)


def test_a_window_holds_the_pixels_and_the_place_of_its_tile(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", ramp())
    found = make(tmp_path, tile=32)
    items = {item.key: item for item in found.items()}
    assert list(items) == ["a_x00000_y00000", "a_x00032_y00000"]
    sample = found.read(items["a_x00032_y00000"])
    assert (sample.rgb == ramp()[:3, :32, 32:64].transpose(1, 2, 0)).all()
    assert (sample.ir == ramp()[3, :32, 32:64]).all()
    assert (sample.band, sample.crs, sample.gsd_m) == ("nir", "EPSG:32614", 2.0)
    west, south, east, north = sample.bbox
    whole = found.read(next(iter(make(tmp_path).items()))).bbox
    assert whole[0] < west < east < whole[2]
    assert whole[1] < south < north <= whole[3] + 1e-6


def test_geographic_pixels_are_given_in_metres(tmp_path: Path) -> None:
    values = ramp()
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=80, height=60, count=4, dtype="uint8", crs="EPSG:4326",
        transform=from_origin(10.0, 60.0, 0.0002, 0.0001),
    ) as sink:  # fmt: skip
        sink.write(values)
    found = make(tmp_path)
    assert found.read(next(found.items())).gsd_m == pytest.approx(11.13, rel=0.01), "cos 60 = 1/2 evens the sides"


def test_prefer_says_which_infrared(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", ramp(5))
    found = make(tmp_path, bands={**BANDS, "lwir": "5"}, prefer=["lwir", "nir"], sensor="S")
    sample = found.read(next(found.items()))
    assert (sample.band, sample.source) == ("lwir", "S lwir")
    assert (sample.ir == ramp(5)[4]).all()


def test_nodata_nan_and_zero_are_without_data(tmp_path: Path) -> None:
    values = ramp(dtype="float32")
    values[:, :10] = np.nan
    write(tmp_path / "nan.tif", values)
    values = ramp(dtype="int16")
    values[:, :10] = -9999
    write(tmp_path / "nodata.tif", values, nodata=-9999)
    values = ramp(dtype="uint16")
    values[:, :10] = 0
    write(tmp_path / "zero.tif", values)
    found = make(tmp_path)
    for item in found.items():
        valid = found.read(item).valid
        assert valid is not None, item.key
        assert valid[:10].sum() == 0 and valid[10:].all(), item.key


def test_polygons_become_boxes_in_pixels(tmp_path: Path) -> None:
    write(tmp_path / "ship.tif", ramp())
    with rasterio.open(tmp_path / "ship.tif") as source:
        corners = [source.transform @ point for point in ((10, 20), (30, 20), (30, 50), (10, 50), (10, 20))]
        xs, ys = rasterio.warp.transform(source.crs, "EPSG:4326", *zip(*corners, strict=True))
    ring = [list(point) for point in zip(xs, ys, strict=True)]
    feature = {"properties": {"labels": ["Boat"]}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (tmp_path / "ship_labels.geojson").write_text(json.dumps({"features": [feature]}))
    found = make(tmp_path, annotations="{stem}_labels.geojson")
    (item,) = found.items()
    (box,) = found.read(item).boxes
    assert box["label"] == "Boat"
    assert np.allclose([box[side] for side in ("x0", "y0", "x1", "y1")], [10, 20, 30, 50], atol=0.01)


def test_damaged_and_wrong_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "cut.tif", ramp())
    data = (tmp_path / "cut.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.tif").write_bytes(b"")
    write(tmp_path / "three.tif", ramp(3))
    found = make(tmp_path)
    reasons = {}
    for item in found.items():
        with pytest.raises(Refused) as caught:
            found.read(item)
        reasons[item.key] = caught.value.reason
    assert reasons == {"cut": "unreadable_image", "empty": "unreadable_image", "three": "missing_band"}
    faults = {item.key: item.fault for item in make(tmp_path, tile=16).items()}
    assert faults["empty"] and faults["empty"][0] == "unreadable_image", "found while listing"


def test_a_band_map_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a band map"):
        make(tmp_path, bands={})
    with pytest.raises(UsageError, match="give numbers"):
        make(tmp_path, bands={"red": "B4"})


@pytest.mark.parametrize(
    ("order", "places"),
    [("eurosat", (4, 3, 2, 8)), ("sen12ms", (4, 3, 2, 8)), ("mmearth", (4, 3, 2, 9)), ("treesatai", (4, 2, 3, 1))],
)
def test_a_published_order_finds_the_bands(tmp_path: Path, order: str, places: tuple[int, ...]) -> None:
    stack = np.stack([np.full((20, 20), 100 * number, "uint16") for number in range(1, 14)])
    write(tmp_path / "a.tif", stack)
    found = make(tmp_path, bands={}, band_order=order)
    sample = found.read(next(found.items()))
    assert (*sample.rgb[0, 0], sample.ir[0, 0]) == tuple(100 * place for place in places)
    narrow = {"eurosat": 13, "sen12ms": 9, "mmearth": 8}.get(order)
    assert sample.ir[0, 0] != 100 * (narrow or 0), "B8A is not B8"


def test_classes_of_an_archive_of_tifs_come_from_the_path(tmp_path: Path) -> None:
    write(tmp_path / "ds/tif/Forest/Forest_1.tif", np.zeros((13, 20, 20), "uint16") + 7)
    found = make(tmp_path, bands={}, band_order="eurosat", label_pattern=r"/tif/(?P<label>\w+)/")
    (item,) = found.items()
    assert (item.key, item.labels) == ("ds/tif/Forest/Forest_1", ("Forest",))


def test_thermal_numbers_of_16_bits_are_kept(tmp_path: Path) -> None:
    values = np.full((11, 20, 20), 9000, "uint16")
    values[9] = 65_000
    write(tmp_path / "all_bands.tif", values)
    found = make(tmp_path, bands={}, band_order="ssl4eo-l", prefer=["lwir"])
    sample = found.read(next(found.items()))
    assert (sample.band, sample.ir.dtype, sample.ir.max()) == ("lwir", np.uint16, 65_000)


def test_a_thinned_view_of_deep_bands(tmp_path: Path) -> None:
    write(tmp_path / "deep.tif", ramp(4, 300, 300, "uint16"))
    write(tmp_path / "flat.tif", ramp(4, 300, 300))
    found = make(tmp_path)
    deep, flat = sorted(found.items(), key=lambda item: item.key)
    assert {band: values.size for band, values in found.values(deep).items()} == dict.fromkeys(BANDS, 128 * 128)
    assert found.values(flat) == {}


def test_the_real_ship_chips(samples: Path) -> None:
    root = samples / "s2-eotdl/tutorials/usecases/useCaseD/data/sentinel_2"
    bands = {"red": "4", "green": "3", "blue": "2", "nir": "8"}
    found = make(root, bands=bands, annotations="{stem}_labels.geojson")
    items = list(found.items())
    assert len(items) == 77
    sample = found.read(items[0])
    assert sample.boxes[0]["label"] == "Boat"
    assert sample.rgb.dtype == np.int16


def test_lists_of_jpegs_split_the_tifs(tmp_path: Path) -> None:
    for name in ("Forest/Forest_1", "Forest/Forest_2", "River/River_1"):
        write(tmp_path / f"tif/{name}.tif", ramp(4, 64, 64))
    (tmp_path / "train.txt").write_text("Forest_1.jpg\n")
    (tmp_path / "test.txt").write_text("River_1.jpg\nSea_9.jpg\n")
    found = make(tmp_path, splits={"train": "train.txt", "test": "test.txt"}, tile=32)
    splits = {item.key: item.split for item in found.items() if not item.fault}
    assert {key.partition("_x")[0]: split for key, split in splits.items()} == {
        "tif/Forest/Forest_1": "train",
        "tif/Forest/Forest_2": "",
        "tif/River/River_1": "test",
    }
    assert len(splits) == 12, "tiles share the split of their image"
    (absent,) = [item for item in found.items() if item.fault]
    assert absent.fault and absent.fault[0] == "missing_image"
