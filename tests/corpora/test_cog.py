import resource

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import Affine

from fusionrs_builder.corpora import cog, formats, raster
from fusionrs_builder.corpora.cog import window_of
from fusionrs_builder.errors import FusionError
from fusionrs_builder.pixels import gray_array
from tests.corpora.stac_place import DAY, UTM, Place, scene, sentinel
from tests.corpora.stac_server import StacServer, landsat_like, naip_like, write_cog


def test_the_window_of_an_aerial_image_crosses_the_wire_and_little_more(catalogue: StacServer) -> None:
    path = naip_like(catalogue)
    place = Place(catalogue, "naip", path, (700, 900, 300, 200), year=2020)
    assert place.fetch().fetched_files == 1
    blocks = 2 * 2 * 256 * 256 * 4
    assert place.data_served() < 1.1 * blocks < 0.06 * (catalogue.folder / path).stat().st_size
    with rasterio.open(place.image()) as cut, rasterio.open(catalogue.folder / path) as whole:
        window = rasterio.windows.Window(700, 900, 300, 200)
        assert (cut.read() == whole.read(window=window)).all()
        assert cut.bounds == pytest.approx(rasterio.windows.bounds(window, whole.transform))
        assert cut.descriptions == ("red", "green", "blue", "nir")
        nir = whole.read(4, window=window)
    row = place.row()
    assert (row["ir_band"], row["ir_source"], row["acquired"]) == (
        "nir",
        "NAIP aerial camera nir",
        "2020-05-01T00:00:00Z",
    )
    assert (gray_array(row["ir"]["bytes"]) == nir).all(), "8-bit infrared is kept as measured"
    assert row["gsd_m"] == 0.6
    assert (row["license"], row["redistributable"]) == ("public-domain", True)


def test_landsat_gives_kelvin_and_reflectance(catalogue: StacServer) -> None:
    paths = landsat_like(catalogue)
    place = Place(catalogue, "landsat-c2-l2", paths[0], (300, 300, 200, 200), year=2022)
    place.fetch()
    assert place.data_served() < 0.09 * sum((catalogue.folder / path).stat().st_size for path in paths)
    reader = formats.reader(place.folder / "files", place.settings, "c")
    (item,) = reader.items()
    sample = reader.read(item)
    kelvin = 0.00341802 * (44_177 + 300 + np.arange(200)) + 149.0
    assert sample.ir == pytest.approx(np.broadcast_to(kelvin, (200, 200)), abs=1e-3)
    assert sample.ir_raw[0, 0] == 44_477
    with rasterio.open(catalogue.folder / paths[0]) as red:
        expected = red.read(1, window=rasterio.windows.Window(300, 300, 200, 200)) * 0.0000275 - 0.2
    assert sample.rgb[..., 0] == pytest.approx(expected, abs=1e-6)
    row = place.row()
    assert row["ir_band"] == "lwir"
    low, high = place.settings.stretch["lwir"]
    assert gray_array(row["ir"]["bytes"])[0, 0] == round((kelvin[0] - low) * 255 / (high - low))
    stretch = {found["band"]: found for found in row["stretch"]}
    assert stretch["lwir"]["scale"] == pytest.approx(0.00341802)
    assert stretch["lwir"]["offset"] == 149.0


def test_clouds_and_missing_temperature_are_seen(catalogue: StacServer) -> None:
    paths = landsat_like(catalogue, side=512)
    place = Place(catalogue, "landsat-c2-l2", paths[0], (0, 100, 32, 32), max_cloud=0.5)
    place.fetch()
    reader = formats.reader(place.folder / "files", place.settings, "c")
    (item,) = reader.items()
    sample = reader.read(item)
    assert sample.cloud.mean() == 0.25, "8 of 32 columns"
    assert sample.valid.mean() == 30 / 32, "no temperature in two columns, though there is reflectance"


def test_bands_of_20_m_come_to_10_m(catalogue: StacServer) -> None:
    scene(catalogue, "S2A")
    step = np.repeat(np.arange(128, dtype="uint16")[None], 128, 0)[None] * 100 + 1000
    write_cog(catalogue.folder / "S2A/B11.tif", step, UTM @ Affine.scale(2), nodata=0, blocksize=128)
    classes = np.where(np.arange(128) % 2, 9, 4).astype("uint8")[None, None].repeat(128, 1)
    write_cog(catalogue.folder / "S2A/SCL.tif", classes, UTM @ Affine.scale(2), nodata=0, blocksize=128)
    place = sentinel(catalogue)
    place.fetch()
    with rasterio.open(place.image()) as cut:
        assert cut.shape == (64, 64)
        swir, cloud = cut.read(5).astype(int), cut.read(6)
    assert set(np.unique(cloud)) == {4, 9}, "classes are not blended"
    assert (cloud[0, :4] == [4, 4, 9, 9]).all()
    assert set(np.diff(swir[0])) == {50}, "bilinear: half a step a pixel"


def test_a_window_in_parts_is_the_same_window(catalogue: StacServer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = naip_like(catalogue, side=1024)
    place = Place(catalogue, "naip", path, (100, 130, 700, 500))
    whole = place.fetch()
    at_once = place.data_served()
    with rasterio.open(place.image()) as cut:
        expected = cut.read()
    monkeypatch.setattr(cog, "CHUNK", 512)
    place.ask(max_scenes=9)
    (place.folder / "files/tx_m_3009743_ne.json").unlink()
    assert place.fetch().fetched_bytes == whole.fetched_bytes
    assert place.data_served() < 1.3 * at_once, "no block is fetched twice, some are read ahead"
    with rasterio.open(place.image()) as cut:
        assert (cut.read() == expected).all()


@given(
    st.floats(-0.01, 0.03), st.floats(-0.01, 0.03), st.floats(1e-4, 0.03), st.floats(1e-4, 0.03),
    st.sampled_from([10, 7.3]),
)  # fmt: skip
def test_the_window_covers_the_box_and_no_row_more(x: float, y: float, wide: float, high: float, pixel: float) -> None:
    with rasterio.MemoryFile() as memory, memory.open(
        driver="GTiff", width=300, height=200, count=1, dtype="uint8", crs="EPSG:32614",
        transform=Affine(pixel, 0, 600_000, 0, -pixel, 3_360_000),
    ) as grid:  # fmt: skip
        west, _, _, north = rasterio.warp.transform_bounds(grid.crs, "EPSG:4326", *grid.bounds)
        box = west + x, north - y - high, west + x + wide, north - y
        left, bottom, right, top = rasterio.warp.transform_bounds("EPSG:4326", grid.crs, *box)
        inside = [max(left, grid.bounds.left), max(bottom, grid.bounds.bottom)]
        inside += [min(right, grid.bounds.right), min(top, grid.bounds.top)]
        if inside[0] >= inside[2] - 1e-3 or inside[1] >= inside[3] - 1e-3:
            return  # beside the raster, or at its rim
        column, row, width, height = window_of(grid, box)
        found = rasterio.windows.bounds(rasterio.windows.Window(column, row, width, height), grid.transform)
    slack = 1e-4
    assert found[0] <= inside[0] + slack and found[1] <= inside[1] + slack
    assert found[2] >= inside[2] - slack and found[3] >= inside[3] - slack
    assert found[0] > inside[0] - pixel - slack and found[3] < inside[3] + pixel + slack


def test_the_file_is_what_the_reader_expects(catalogue: StacServer) -> None:
    scene(catalogue, "S2_1")
    place = sentinel(catalogue)
    place.fetch()
    with rasterio.open(place.image()) as cut:
        assert cut.tags()[raster.ACQUIRED] == DAY
        assert (cut.profile["tiled"], cut.profile["compress"], cut.nodata, cut.dtypes[0]) == (
            True,
            "deflate",
            0,
            "uint16",
        )
        assert cut.descriptions == tuple(place.settings.bands)


@pytest.mark.parametrize("limit", [2_000, 100_000])
def test_a_full_disk_is_said(catalogue: StacServer, limit: int) -> None:
    place = Place(catalogue, "naip", naip_like(catalogue, side=512), (100, 100, 300, 300))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(FusionError, match=r"scene tx_m_3009743_ne: could not write into .*free some space"):
            place.fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((place.folder / "files").iterdir())
    assert place.fetch().fetched_files == 1


@pytest.mark.parametrize("cuts", [[50], [700, 0], [20_000], [300] * 2])
def test_a_line_that_is_cut_in_an_answer(catalogue: StacServer, cuts: list[int]) -> None:
    scene(catalogue, "S2_1", values=1234)
    for path in ("B04", "SCL"):
        catalogue.drop[f"/data/S2_1/{path}.tif"] = list(cuts)
    assert sentinel(catalogue).fetch().notes == []
    with rasterio.open(sentinel(catalogue).image()) as cut:
        assert (cut.read((1, 2, 3, 4)) == 1234).all()
    assert not any(catalogue.drop.values())


def test_an_address_that_is_not_http_is_noted(catalogue: StacServer) -> None:
    for number in (1, 2):
        scene(catalogue, f"S2_{number}")
    catalogue.items[0]["assets"]["B03"]["href"] = "s3://bucket/B03.tif"
    report = sentinel(catalogue).fetch()
    assert report.notes == ["S2_1: left out, s3://bucket/B03.tif is no http address: take another catalogue"]
