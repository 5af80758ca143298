from typing import Any

import numpy as np
import pytest
import rasterio

from fusionrs_builder.corpora import formats
from fusionrs_builder.corpora.catalogue import scene_of, share_of
from fusionrs_builder.corpora.registry import Stac
from fusionrs_builder.errors import FusionError
from tests.corpora.stac_place import scene, sentinel
from tests.corpora.stac_server import StacServer


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
    catalogue: StacServer, properties: dict[str, Any], bands: dict[str, float] | None, offset: float
) -> None:
    scene(catalogue, "S2A", **properties)
    if bands:
        for name in ("B04", "B03", "B02", "B08", "B11"):
            catalogue.items[0]["assets"][name]["raster:bands"] = [bands]
    place = sentinel(catalogue)
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


def test_the_clearest_scenes_come_first_whatever_the_order_of_pages(catalogue: StacServer) -> None:
    for day, cloud in enumerate((40.2, 3.1, 90.0, 2.8, None), 1):
        clouds = {} if cloud is None else {"eo:cloud_cover": cloud}
        scene(catalogue, f"S2_{day}", f"2021-07-{day:02d}T10:00:00Z", **clouds)
    ring = catalogue.items[1]["geometry"]["coordinates"][0]
    ring[:] = [[x, min(y, catalogue.items[1]["bbox"][1] + 0.012)] for x, y in ring]
    place = sentinel(catalogue, max_scenes=2)
    report = place.fetch()
    assert [search.get("token", 0) for search in catalogue.searches] == [0, 2, 4]
    assert sorted(report.sha256) == ["S2_2.tif", "S2_4.tif"], "3.1 and 2.8 percent are both 3"
    assert report.notes == ["2 of 5 scenes taken, the clearest first; --max-scenes takes more"]
    catalogue.items.reverse()
    place.ask(max_scenes=1)
    assert list(place.fetch().sha256) == ["S2_4.tif"], "of equally clear ones the one that covers more"


@pytest.mark.parametrize("status", [400, 404, 429, 503])
def test_a_catalogue_that_refuses_is_named_with_its_answer(catalogue: StacServer, status: int) -> None:
    scene(catalogue, "S2_1")
    catalogue.fail["/api/search"] = [status] * 9
    with pytest.raises(FusionError, match=rf"catalogue http://.* HTTP {status}: out of order.*--stac-url"):
        sentinel(catalogue).fetch()


def test_a_short_refusal_is_waited_out(catalogue: StacServer) -> None:
    scene(catalogue, "S2_1")
    catalogue.fail = {"/api/search": [429], "/api": [503], "/data/S2_1/B04.tif": [503]}
    assert sentinel(catalogue).fetch().fetched_files == 1


def test_an_address_that_is_no_catalogue(catalogue: StacServer) -> None:
    scene(catalogue, "S2_1")
    for path in ("/token", "/data/S2_1/B04.tif", "/nowhere"):
        with pytest.raises(FusionError, match="does not answer as a STAC API"):
            sentinel(catalogue, stac_url=catalogue.url.replace("/api", path)).fetch()


def test_nothing_found_says_what_was_asked(catalogue: StacServer) -> None:
    scene(catalogue, "S2_1")
    with pytest.raises(
        FusionError, match=r"nothing found \(collection sentinel-2-l2a .*bbox -.*year 1999\); widen --bbox"
    ):
        sentinel(catalogue, year=1999).fetch()


def test_scenes_without_an_asset_are_left_out_and_counted(catalogue: StacServer) -> None:
    scene(catalogue, "S2_1")
    scene(catalogue, "S2_2")
    del catalogue.items[0]["assets"]["B11"]
    place = sentinel(catalogue)
    report = place.fetch()
    assert list(report.sha256) == ["S2_2.tif"]
    assert report.notes == ["1 of 2 scenes lack one of the assets B02, B03, B04, B08, B11, SCL"]
    del catalogue.items[1]["assets"]["SCL"]
    place.ask(max_scenes=3)
    with pytest.raises(FusionError, match=r"none of 2 scenes can be used .*their assets are B02, B03"):
        place.fetch()


def test_scenes_that_are_not_described_as_they_should_are_left_out_and_counted(catalogue: StacServer) -> None:
    for number in range(8):
        scene(catalogue, f"S2_{number}")
    items, given = catalogue.items, catalogue.found
    place = sentinel(catalogue, max_scenes=9)
    items[1]["properties"]["s2:processing_baseline"] = "N0400"
    items[2]["properties"]["eo:cloud_cover"] = "some"
    del items[3]["assets"]["B04"]["href"]
    items[4]["assets"]["B04"] = None
    without = {5: "assets", 6: "id"}
    catalogue.found = (
        lambda asked: (
            [  # type: ignore[method-assign]
                {key: value for key, value in item.items() if key != without.get(number)}
                for number, item in enumerate(given(asked)[:7])
            ]
            + ["nothing"]
        )
    )  # type: ignore[list-item]
    report = place.fetch()
    assert list(report.sha256) == ["S2_0.tif"]
    assert report.notes == ["7 of 8 scenes are not described as STAC asks"]


def test_a_catalogue_that_gives_its_pages_again_and_again(catalogue: StacServer) -> None:
    for number in range(5):
        scene(catalogue, f"S2_{number}")
    given = catalogue.found
    catalogue.found = lambda asked: given(asked) * 50  # type: ignore[method-assign]
    report = sentinel(catalogue, max_scenes=9).fetch()
    assert report.files == 5
    assert report.notes == ["the catalogue gives a page again after 5 scenes: no more were looked for"]
    assert len(catalogue.searches) == 4


def test_the_share_of_a_box_that_a_footprint_covers() -> None:
    half = {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 0]]]}
    assert share_of(half, [0, 0, 10, 10], (0, 0, 10, 10)) == pytest.approx(0.5, abs=0.02)
    assert share_of(half, [0, 0, 10, 10], (-10, -10, 10, 10)) == pytest.approx(0.125, abs=0.01)
    assert share_of(half, None, (20, 20, 30, 30)) == 0
    assert share_of(None, None, (0, 0, 1, 1)) == 1
    assert share_of(half, [0, 0, -5, 10, 10, 900], (0, 0, 10, 10)) == pytest.approx(0.5, abs=0.02), "with heights"
    far = {"type": "Polygon", "coordinates": [[[0, 0], [0.01, 0], [0.01, 0.01], [0, 0.01], [0, 0]]]}
    assert share_of(far, None, (-50, -50, 50, 50)) > 0, "a small image in a large box is found"
