from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionrs_builder.corpora.formats import reader
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings
from tests.corpora.formats.test_geotiff import ramp, write

BANDS = {"red": "*_B4.tif", "green": "*_B3.tif", "blue": "*_B2.tif", "nir": "*_B5.tif"}


def make(root: Path, **keys: Any) -> Any:
    return reader(root, CorpusSettings.model_validate({"format": "bands", "bands": BANDS, **keys}), "c")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in (1, 2, 3, 4, 5, 10):
        write(tmp_path / "scenes" / f"l8_B{number}.tif", ramp(1, dtype="uint16") + number * 100)
    write(tmp_path / "scenes" / "l9_B4.tif", ramp(1, dtype="uint16"))
    (tmp_path / "scenes/l8_MTL.txt").write_text("text")
    return tmp_path


def test_bands_of_a_scene_meet(root: Path) -> None:
    found = make(root)
    scenes = {item.key: item for item in found.items()}
    assert list(scenes) == ["scenes/l8", "scenes/l9"]
    sample = found.read(scenes["scenes/l8"])
    assert (sample.rgb[..., 0] - ramp(1, dtype="uint16")[0] == 400).all()
    assert (sample.rgb[..., 2] - ramp(1, dtype="uint16")[0] == 200).all()
    assert (sample.ir - ramp(1, dtype="uint16")[0] == 500).all()
    assert scenes["scenes/l9"].fault == ("missing_band", "no file for green, blue, nir")


def test_one_pattern_does_not_take_another_band(root: Path) -> None:
    found = make(root, bands={**BANDS, "lwir": "*_B10.tif", "swir": "*_B1.tif"}, prefer=["lwir"])
    scene = next(i for i in found.items() if i.key.endswith("l8"))
    assert [path.rpartition("_")[2] for path in scene.files] == [
        "B4.tif",
        "B3.tif",
        "B2.tif",
        "B5.tif",
        "B10.tif",
        "B1.tif",
    ]
    assert (found.read(scene).ir - ramp(1, dtype="uint16")[0] == 1000).all()


def test_bands_of_another_size_are_refused(root: Path) -> None:
    write(root / "scenes/l8_B5.tif", ramp(1, 30, 40, "uint16"))
    found = make(root)
    with pytest.raises(Refused) as caught:
        found.read(next(found.items()))
    assert caught.value.reason == "unequal_bands"


def test_a_folder_of_bare_names_is_a_scene(tmp_path: Path) -> None:
    for name in ("B2", "B3", "B4", "B8", "B8A", "B12"):
        side = {"B8A": 30, "B12": 30}.get(name, 60)
        write(tmp_path / f"s2a/0000000/20200604T054639/{name}.tif", ramp(1, side, side, "uint16"), pixel=600 / side)
    bands = {"red": "*B4.tif", "green": "*B3.tif", "blue": "*B2.tif", "nir": "*B8A.tif"}
    found = make(tmp_path, bands=bands, acquired=r"/(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)T")
    (scene,) = found.items()
    assert (scene.key, scene.fault) == ("s2a/0000000/20200604T054639", None)
    assert [path.rpartition("/")[2] for path in scene.files] == ["B4.tif", "B3.tif", "B2.tif", "B8A.tif"]
    sample = found.read(scene)
    assert sample.ir.shape == sample.rgb.shape[:2] == (60, 60), "20 m came to the 10 m grid"
    assert sample.gsd_m == 10


def test_tiles_lie_on_the_finest_visible_grid(tmp_path: Path) -> None:
    for name, side in {"B60": 20, "B10": 120}.items():
        write(tmp_path / f"p/p_{name}.tif", ramp(1, side, side, "uint16"), pixel=1200 / side)
    bands = {"nir": "*_B60.tif", "red": "*_B10.tif", "green": "*_B10.tif", "blue": "*_B10.tif"}
    found = make(tmp_path, bands=bands, tile=60)
    assert [item.window for item in found.items()] == [
        (0, 0, 60, 60),
        (60, 0, 60, 60),
        (0, 60, 60, 60),
        (60, 60, 60, 60),
    ]
    assert {found.read(item).ir.shape for item in found.items()} == {(60, 60)}


def test_a_band_named_cloud_is_looked_at_where_the_mask_is_named(root: Path) -> None:
    qa = np.full((1, 60, 80), 21_824, "uint16")
    qa[:, :15] = 22_280
    write(root / "scenes/l8_QA_PIXEL.tif", qa)
    bands = {**BANDS, "cloud": "*_QA_PIXEL.tif"}
    for mask, share in {"landsat-qa": 0.25, "": None}.items():
        found = make(root, bands=bands, cloud_mask=mask)
        cloud = found.read(next(found.items())).cloud
        assert (cloud is None) if share is None else (cloud.mean() == share)


def test_scenes_are_held_a_folder_at_a_time(tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1_B4.tif").touch()
    listed = make(tmp_path, bands={"red": "*_B4.tif"}).items()
    assert next(listed).key == "a/1"
    (tmp_path / "c/2_B4.tif").touch()  # seen only if that folder was not looked into before
    assert [item.key for item in listed] == ["b/1", "c/1", "c/2"]


def test_a_scene_that_cannot_be_opened_is_refused_while_listing(root: Path) -> None:
    (root / "scenes/l8_B4.tif").write_bytes(b"II*\0")
    scene = next(i for i in make(root, tile=16).items() if i.key == "scenes/l8")
    assert scene.fault
    assert scene.fault[0] == "unreadable_image"


def test_patterns_are_asked_for(tmp_path: Path) -> None:
    for bands in ({}, {"red": "B4.tif"}, {"red": "*_*.tif"}):
        with pytest.raises(UsageError, match=r"one pattern a band with one \*"):
            make(tmp_path, bands=bands)


def test_the_real_landsat_scenes(samples: Path) -> None:
    zion = make(samples / "landsat8-zion-spdatalarge/inst/raster", tile=256, bands={
        "red": "*_b4.tif", "green": "*_b3.tif", "blue": "*_b2.tif", "nir": "*_b5.tif"})  # fmt: skip
    items = list(zion.items())
    assert len(items) == 20
    assert zion.read(items[0]).rgb.dtype == np.uint16
    tirs = make(samples / "landsat8-tirs-sattestdata", tile=128, bands={**BANDS, "lwir": "*_B10.tif"}, prefer=["lwir"])
    assert len(list(tirs.items())) == 16


def test_lists_name_scenes(tmp_path: Path) -> None:
    for patch in ("S2A_T33UUP_32_64", "S2A_T33UUP_32_65"):
        for number in (2, 3, 4, 5):
            write(tmp_path / patch / f"{patch}_B{number}.tif", ramp(1, dtype="uint16"))
    (tmp_path / "test.csv").write_text("S2A_T33UUP_32_65,x\n")
    found = make(tmp_path, splits={"test": "test.csv"})
    assert {item.key.rpartition("/")[2]: item.split for item in found.items()} == {
        "S2A_T33UUP_32_64": "",
        "S2A_T33UUP_32_65": "test",
    }
