import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import Affine

from fusionrs_builder.config import CorpusSettings
from fusionrs_builder.corpora import cog, formats, raster, registry, signing
from fusionrs_builder.corpora.catalogue import scene_of, share_of
from fusionrs_builder.corpora.cog import window_of
from fusionrs_builder.corpora.harmonise import harmonise
from fusionrs_builder.corpora.registry import Stac
from fusionrs_builder.corpora.stac import Report, fetch_scenes
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.pixels import gray_array
from tests.corpora.stac_server import StacServer, box_of, landsat_like, naip_like, write_cog

DAY = "2021-07-01T10:00:00Z"

UTM = Affine(10, 0, 600_000, 0, -10, 3_360_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StacServer]:
    with StacServer(tmp_path / "served").running() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "RETRY", signing.RETRY.new(backoff_factor=0, backoff_jitter=0))
    monkeypatch.setitem(cog.HTTP, "GDAL_HTTP_RETRY_DELAY", "0.01")


class Place:
    """A box in the catalogue, asked for by an entry of the registry."""

    def __init__(
        self, server: StacServer, name: str, path: str, window: tuple[int, int, int, int], **keys: Any
    ) -> None:
        self.server, self.name, self.folder = server, name, server.folder.parent / name
        entry = registry.entry(name)
        assert entry and entry.stac
        self.source = entry.stac.model_copy(update={"url": server.url, "sign": ""})
        self.settings = entry.settings
        self.ask(**{"bbox": box_of(server.folder / path, window), **keys})

    def ask(self, **keys: Any) -> None:
        given = {**self.settings.model_dump(exclude_unset=True), **keys}
        self.settings = CorpusSettings.model_validate(given)

    def fetch(self) -> Report:
        self.server.served.clear()
        self.server.requests.clear()
        return fetch_scenes(self.name, self.source, self.settings, self.folder)

    def image(self) -> Path:
        (path,) = (self.folder / "files").glob("*.tif")
        return path

    def row(self) -> dict[str, Any]:
        """The only record that is made of it, through the reader."""
        reader = formats.reader(self.folder / "files", self.settings, self.name)
        (item,) = reader.items()
        assert item.fault is None
        return harmonise(item, reader.read(item), self.name, self.settings, dict(self.settings.stretch or {}))

    def data_served(self) -> int:
        return sum(count for path, count in self.server.served.items() if path.startswith("/data/"))


def test_the_window_of_an_aerial_image_crosses_the_wire_and_little_more(server: StacServer) -> None:
    path = naip_like(server)
    place = Place(server, "naip", path, (700, 900, 300, 200), year=2020)
    assert place.fetch().fetched_files == 1
    blocks = 2 * 2 * 256 * 256 * 4
    assert place.data_served() < 1.1 * blocks < 0.06 * (server.folder / path).stat().st_size
    with rasterio.open(place.image()) as cut, rasterio.open(server.folder / path) as whole:
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


def test_landsat_gives_kelvin_and_reflectance(server: StacServer) -> None:
    paths = landsat_like(server)
    place = Place(server, "landsat-c2-l2", paths[0], (300, 300, 200, 200), year=2022)
    place.fetch()
    assert place.data_served() < 0.09 * sum((server.folder / path).stat().st_size for path in paths)
    reader = formats.reader(place.folder / "files", place.settings, "c")
    (item,) = reader.items()
    sample = reader.read(item)
    kelvin = 0.00341802 * (44_177 + 300 + np.arange(200)) + 149.0
    assert sample.ir == pytest.approx(np.broadcast_to(kelvin, (200, 200)), abs=1e-3)
    assert sample.ir_raw[0, 0] == 44_477
    with rasterio.open(server.folder / paths[0]) as red:
        expected = red.read(1, window=rasterio.windows.Window(300, 300, 200, 200)) * 0.0000275 - 0.2
    assert sample.rgb[..., 0] == pytest.approx(expected, abs=1e-6)
    row = place.row()
    assert row["ir_band"] == "lwir"
    low, high = place.settings.stretch["lwir"]
    assert gray_array(row["ir"]["bytes"])[0, 0] == round((kelvin[0] - low) * 255 / (high - low))
    stretch = {found["band"]: found for found in row["stretch"]}
    assert stretch["lwir"]["scale"] == pytest.approx(0.00341802)
    assert stretch["lwir"]["offset"] == 149.0


def test_clouds_and_missing_temperature_are_seen(server: StacServer) -> None:
    paths = landsat_like(server, side=512)
    place = Place(server, "landsat-c2-l2", paths[0], (0, 100, 32, 32), max_cloud=0.5)
    place.fetch()
    reader = formats.reader(place.folder / "files", place.settings, "c")
    (item,) = reader.items()
    sample = reader.read(item)
    assert sample.cloud.mean() == 0.25, "8 of 32 columns"
    assert sample.valid.mean() == 30 / 32, "no temperature in two columns, though there is reflectance"


def scene(
    server: StacServer, id: str, when: str = "2021-07-01T10:00:00Z", values: int = 3000, **properties: Any
) -> None:
    """A Sentinel-2-like scene of 10 m and 20 m files."""
    assets = {}
    for band, pixel in {"B04": 10, "B03": 10, "B02": 10, "B08": 10, "B11": 20, "SCL": 20}.items():
        kind = "uint8" if band == "SCL" else "uint16"
        block = np.full((1, 2560 // pixel, 2560 // pixel), 4 if band == "SCL" else values, kind)
        write_cog(server.folder / f"{id}/{band}.tif", block, UTM @ Affine.scale(pixel / 10), nodata=0, blocksize=128)
        assets[band] = server.asset(f"{id}/{band}.tif")
    server.add(id, "sentinel-2-l2a", assets, when, **properties)


def sentinel(server: StacServer, **keys: Any) -> Place:
    window = (100, 100, 64, 64)
    return Place(server, "sentinel2-l2a", f"{server.items[0]['id']}/B04.tif", window, **{"year": 2021, **keys})


@pytest.mark.parametrize(
    ("properties", "bands", "offset"),
    [
        ({"s2:processing_baseline": "03.01"}, None, 0.0),
        ({"s2:processing_baseline": "04.00"}, None, -0.1),
        ({"s2:processing_baseline": "05.11"}, None, -0.1),
        ({}, None, 0.0),
        ({"s2:processing_baseline": "05.00"}, {"scale": 0.0001, "offset": -0.1}, -0.1),
        ({"s2:processing_baseline": "03.00"}, {"scale": 0.0001, "offset": 0}, 0.0),
        ({"s2:processing_baseline": "05.00", "earthsearch:boa_offset_applied": True},
         {"scale": 0.0001, "offset": -0.1}, 0.0),
        ({"s2:processing_baseline": "05.00", "earthsearch:boa_offset_applied": False},
         {"scale": 0.0001, "offset": -0.1}, -0.1),
        ({"s2:processing_baseline": "05.00", "earthsearch:boa_offset_applied": True}, None, 0.0),
    ],
)  # fmt: skip
def test_the_offset_of_sentinel2_is_taken_off_just_once(
    server: StacServer, properties: dict[str, Any], bands: dict[str, float] | None, offset: float
) -> None:
    scene(server, "S2A", **properties)
    if bands:
        for name in ("B04", "B03", "B02", "B08", "B11"):
            server.items[0]["assets"][name]["raster:bands"] = [bands]
    place = sentinel(server)
    place.fetch()
    with rasterio.open(place.image()) as cut:
        assert cut.scales == pytest.approx((0.0001,) * 5 + (1.0,))
        assert cut.offsets == pytest.approx((offset,) * 5 + (0.0,)), "classes have none"
    reader = formats.reader(place.folder / "files", place.settings, "c")
    sample = reader.read(next(iter(reader.items())))
    assert sample.rgb == pytest.approx(0.3 + offset, abs=1e-6)
    assert sample.ir == pytest.approx(0.3 + offset, abs=1e-6)
    assert sample.ir_raw.dtype == np.uint16 and (sample.ir_raw == 3000).all()


def test_what_stac_1_1_states_of_a_band_is_read() -> None:
    asset = {"href": "http://x/a.tif", "nodata": 0, "bands": [{}, {"raster:scale": 0.5, "raster:offset": 7}]}
    item = {"id": "a", "properties": {}, "assets": {"image": asset}}
    source = Stac(url="", collection="", assets={"red": "image", "nir": "image#2"}, scale={"red": (2.0, 1.0)})
    red, nir = scene_of(item, source, (0, 0, 1, 1)).assets
    assert (red.number, red.scale, red.offset, red.nodata) == (1, 2.0, 1.0, 0)
    assert (nir.number, nir.scale, nir.offset, nir.nodata) == (2, 0.5, 7.0, 0)


def test_bands_of_20_m_come_to_10_m(server: StacServer) -> None:
    scene(server, "S2A")
    step = np.repeat(np.arange(128, dtype="uint16")[None], 128, 0)[None] * 100 + 1000
    write_cog(server.folder / "S2A/B11.tif", step, UTM @ Affine.scale(2), nodata=0, blocksize=128)
    classes = np.where(np.arange(128) % 2, 9, 4).astype("uint8")[None, None].repeat(128, 1)
    write_cog(server.folder / "S2A/SCL.tif", classes, UTM @ Affine.scale(2), nodata=0, blocksize=128)
    place = sentinel(server)
    place.fetch()
    with rasterio.open(place.image()) as cut:
        assert cut.shape == (64, 64)
        swir, cloud = cut.read(5).astype(int), cut.read(6)
    assert set(np.unique(cloud)) == {4, 9}, "classes are not blended"
    assert (cloud[0, :4] == [4, 4, 9, 9]).all()
    assert set(np.diff(swir[0])) == {50}, "bilinear: half a step a pixel"


def test_the_clearest_scenes_come_first_whatever_the_order_of_pages(server: StacServer) -> None:
    for day, cloud in enumerate((40.2, 3.1, 90.0, 2.8, None), 1):
        clouds = {} if cloud is None else {"eo:cloud_cover": cloud}
        scene(server, f"S2_{day}", f"2021-07-{day:02d}T10:00:00Z", **clouds)
    server.items[3]["geometry"]["coordinates"] = [
        [[x, min(y, server.items[3]["bbox"][1] + 0.012)] for x, y in server.items[3]["geometry"]["coordinates"][0]]
    ]
    place = sentinel(server, max_scenes=2)
    report = place.fetch()
    assert [search.get("token", 0) for search in server.searches] == [0, 2, 4]
    assert sorted(report.sha256) == ["S2_2.tif", "S2_4.tif"], "3.1 and 2.8 percent are both 3"
    assert report.notes == ["2 of 5 scenes taken, the clearest first; --max-scenes takes more"]
    server.items.reverse()
    place.ask(max_scenes=1)
    assert list(place.fetch().sha256) == ["S2_2.tif"], "of equally clear ones the one that covers more"


def test_a_request_that_stands_asks_nothing_again(server: StacServer) -> None:
    scene(server, "S2_1")
    scene(server, "S2_2")
    place = sentinel(server)
    first = place.fetch()
    assert (first.fetched_files, first.kept_files) == (2, 0)
    again = place.fetch()
    assert not server.requests
    assert (again.fetched_files, again.kept_files, again.sha256) == (0, 2, first.sha256)


def test_what_a_killed_run_left_is_taken_up(server: StacServer) -> None:
    for number in (1, 2, 3):
        scene(server, f"S2_{number}")
    place = sentinel(server)
    server.fail["/data/S2_3/B08.tif"] = [404] * 9
    with pytest.raises(FusionError, match=r"scene S2_3: http://[^?]*B08.tif: HTTP response code: 404"):
        place.fetch()
    files = place.folder / "files"
    (files / "S2_2.json").unlink()  # killed between the two
    (files / ".tmp-0").write_bytes(b"half")
    server.fail.clear()
    report = place.fetch()
    read = {path.split("/")[2] for path in server.requests if path.startswith("/data")}
    assert read == {"S2_2", "S2_3"}
    assert (report.fetched_files, report.kept_files, report.files) == (2, 1, 3)
    assert sorted(path.name for path in files.iterdir()) == [
        f"S2_{number}.{kind}" for number in (1, 2, 3) for kind in ("json", "tif")
    ]


def test_another_request_replaces_what_it_does_not_share(server: StacServer) -> None:
    scene(server, "S2_2021", "2021-07-01T10:00:00Z")
    scene(server, "S2_2022", "2022-07-01T10:00:00Z")
    place = sentinel(server)
    before = place.fetch().sha256
    place.ask(year=2022)
    assert list(place.fetch().sha256) == ["S2_2022.tif"]
    assert not (place.folder / "files/S2_2021.tif").exists()
    place.ask(bbox=box_of(server.folder / "S2_2021/B04.tif", (30, 30, 100, 90)), year=2021)
    report = place.fetch()
    assert list(report.sha256) == list(before) and report.sha256 != before
    with rasterio.open(place.image()) as cut:
        assert cut.shape == (90, 100)


def test_beside_a_scene_it_is_said_what_it_is(server: StacServer) -> None:
    scene(server, "S2_1", **{"s2:processing_baseline": "04.00"})
    place = sentinel(server)
    place.fetch()
    beside = json.loads((place.folder / "files/S2_1.json").read_text())
    assert (beside["item"], beside["acquired"], beside["window"]) == (
        "S2_1",
        "2021-07-01T10:00:00Z",
        [100, 100, 64, 64],
    )
    assert beside["bands"][0]["href"].endswith("/data/S2_1/B04.tif")
    assert beside["bands"][0]["offset"] == pytest.approx(-0.1)


def test_a_token_is_had_renewed_and_never_written(server: StacServer, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2):
        scene(server, f"S2_{number}")
    server.tokens, server.token_life_s = ["sig=of-another"], 60.0  # too short to begin another scene with
    place = sentinel(server)
    place.source = place.source.model_copy(update={"sign": server.url.replace("/api", "/token")})
    server.fail = {"/data/S2_2/B03.tif": [503], "/data/S2_1/B02.tif": [403]}
    with caplog.at_level(logging.DEBUG):
        report = place.fetch()
    assert report.fetched_files == 2
    assert len(server.tokens) > 3
    assert "Retrying again" in caplog.text, "what GDAL says of a retry holds the address"
    server.fail = {"/data/S2_1/B04.tif": [500] * 99}
    place.ask(max_scenes=1)
    with pytest.raises(FusionError) as caught, caplog.at_level(logging.DEBUG):
        place.ask(bbox=box_of(server.folder / "S2_1/B04.tif", (0, 0, 20, 20)))
        place.fetch()
    written = [path.read_bytes() for path in place.folder.rglob("*") if path.is_file()]
    for secret in server.tokens:
        assert secret not in caplog.text + str(caught.value)
        assert not any(secret.encode() in data for data in written)


def test_a_token_goes_to_no_other_catalogue(server: StacServer) -> None:
    scene(server, "S2_1")
    place = sentinel(server, stac_url=server.url)
    place.source = place.source.model_copy(update={"url": "http://127.0.0.1:9/", "sign": "http://127.0.0.1:9/token"})
    assert place.fetch().fetched_files == 1


def test_assets_that_stay_forbidden_are_named(server: StacServer) -> None:
    scene(server, "S2_1")
    server.tokens = ["sig=never-given"]
    with pytest.raises(FusionError, match=r"sentinel2-l2a: scene S2_1: .*B04\.tif: HTTP response code: 403"):
        sentinel(server).fetch()


def test_where_there_is_no_token_it_is_said(server: StacServer) -> None:
    scene(server, "S2_1")
    place = sentinel(server)
    place.source = place.source.model_copy(update={"sign": server.url.replace("/api", "/other")})
    with pytest.raises(FusionError, match="no token from .*/other: HTTP 404: not here"):
        place.fetch()


@pytest.mark.parametrize("status", [400, 404, 429, 503])
def test_a_catalogue_that_refuses_is_named_with_its_answer(server: StacServer, status: int) -> None:
    scene(server, "S2_1")
    server.fail["/api/search"] = [status] * 9
    with pytest.raises(FusionError, match=rf"catalogue http://.* HTTP {status}: out of order.*--stac-url"):
        sentinel(server).fetch()


def test_a_short_refusal_is_waited_out(server: StacServer) -> None:
    scene(server, "S2_1")
    server.fail = {"/api/search": [429], "/api": [503], "/data/S2_1/B04.tif": [503]}
    assert sentinel(server).fetch().fetched_files == 1


def test_an_address_that_is_no_catalogue(server: StacServer) -> None:
    scene(server, "S2_1")
    for path in ("/token", "/data/S2_1/B04.tif", "/nowhere"):
        with pytest.raises(FusionError, match="does not answer as a STAC API"):
            sentinel(server, stac_url=server.url.replace("/api", path)).fetch()


def test_nothing_found_says_what_was_asked(server: StacServer) -> None:
    scene(server, "S2_1")
    with pytest.raises(
        FusionError, match=r"nothing found \(collection sentinel-2-l2a .*bbox -.*year 1999\); widen --bbox"
    ):
        sentinel(server, year=1999).fetch()


def test_the_place_must_be_given(server: StacServer) -> None:
    scene(server, "S2_1")
    with pytest.raises(UsageError, match="--bbox W,S,E,N"):
        sentinel(server, bbox=None).fetch()


def test_scenes_without_an_asset_are_left_out_and_counted(server: StacServer) -> None:
    scene(server, "S2_1")
    scene(server, "S2_2")
    del server.items[0]["assets"]["B11"]
    place = sentinel(server)
    report = place.fetch()
    assert list(report.sha256) == ["S2_2.tif"]
    assert report.notes == ["1 of 2 scenes lack one of the assets B02, B03, B04, B08, B11, SCL"]
    del server.items[1]["assets"]["SCL"]
    place.ask(max_scenes=3)
    with pytest.raises(FusionError, match=r"none of 2 scenes can be used .*their assets are B02, B03"):
        place.fetch()


def test_a_scene_without_data_in_the_box_is_noted(server: StacServer) -> None:
    scene(server, "S2_1", values=0)
    place = sentinel(server)
    with pytest.raises(FusionError, match="no scene has data in the box"):
        place.fetch()
    scene(server, "S2_2")
    report = place.fetch()
    assert list(report.sha256) == ["S2_2.tif"]
    assert report.notes == ["S2_1: left out, no pixel has data in the box"]
    assert not list((place.folder / "files").glob("*1*"))


def test_scenes_whose_files_do_not_fit_are_noted(server: StacServer) -> None:
    scene(server, "S2_1")
    block = np.full((1, 256, 256), 9, "uint16")
    write_cog(server.folder / "S2_1/B03.tif", block, UTM @ Affine.translation(40, 0), nodata=0)
    scene(server, "S2_2")
    report = sentinel(server).fetch()
    assert report.files == 1
    assert "S2_1: left out, B03.tif is 256x256" in report.notes[0]


def test_a_window_in_parts_is_the_same_window(server: StacServer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = naip_like(server, side=1024)
    place = Place(server, "naip", path, (100, 130, 700, 500))
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


def test_the_share_of_a_box_that_a_footprint_covers() -> None:
    half = {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 0]]]}
    assert share_of(half, [0, 0, 10, 10], (0, 0, 10, 10)) == pytest.approx(0.5, abs=0.02)
    assert share_of(half, [0, 0, 10, 10], (-10, -10, 10, 10)) == pytest.approx(0.125, abs=0.01)
    assert share_of(half, None, (20, 20, 30, 30)) == 0
    assert share_of(None, None, (0, 0, 1, 1)) == 1
    far = {"type": "Polygon", "coordinates": [[[0, 0], [0.01, 0], [0.01, 0.01], [0, 0.01], [0, 0]]]}
    assert share_of(far, None, (-50, -50, 50, 50)) > 0, "a small image in a large box is found"


def test_the_file_is_what_the_reader_expects(server: StacServer) -> None:
    scene(server, "S2_1")
    place = sentinel(server)
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
