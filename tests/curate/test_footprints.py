import math

import numpy as np
import pytest
from rasterio.warp import transform_bounds

from fusionrs_builder.curate import footprints, groups


def linked(*boxes: tuple[float, float, float, float]) -> list[int]:
    records = np.arange(len(boxes))
    links = footprints.links(np.array(boxes, np.float64).reshape(-1, 4), records)
    return groups.connected(len(boxes), [links]).tolist()


def test_overlap_equal_and_apart() -> None:
    assert linked((0, 0, 1, 1), (0.9, 0.9, 2, 2), (5, 5, 6, 6), (5, 5, 6, 6)) == [0, 1, 2, 2], "1 % of the smaller"
    assert linked((0, 0, 1, 1), (0.8, 0.8, 2, 2)) == [0, 0]


def test_neighbours_that_touch() -> None:
    assert linked((0, 0, 1, 1), (1, 0, 2, 1), (0, 1, 1, 2), (1, 1, 2, 2)) == [0, 1, 2, 3]


def test_a_small_one_within_a_large_one() -> None:
    assert linked((0, 0, 10, 10), (4, 4, 4.01, 4.01), (11, 11, 12, 12)) == [0, 0, 1]


def test_nothing_is_georeferenced() -> None:
    assert footprints.links(np.empty((0, 4)), np.empty(0, np.int64)).shape == (0, 2)


def test_blocks_of_footprints_see_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprints, "QUERIED", 1)
    assert linked((5, 5, 6, 6), (0, 0, 1, 1), (0.5, 0.5, 1.5, 1.5), (5.5, 5, 6.5, 6)) == [0, 1, 1, 0]


@pytest.mark.parametrize("epsg", [32633, 26914, 3857, 2154])
@pytest.mark.parametrize("north", [100_000, 3_400_000, 6_600_000])
def test_neighbours_in_any_projection_are_apart_and_overlaps_are_not(epsg: int, north: float) -> None:
    """The boxes in degrees of a grid that is turned against the meridians overlap; the pictures do not."""
    east, pixels, gsd = 180_000.0, 512 * 512, 10.0
    side = 512 * gsd

    def placed(column: float, row: float) -> tuple[float, float, float, float]:
        left, bottom = east + column * side, north + row * side
        bbox = transform_bounds(f"EPSG:{epsg}", "EPSG:4326", left, bottom, left + side, bottom + side)
        return footprints.footprint(bbox, pixels, gsd)

    if epsg == 2154 and north < 6_000_000:
        pytest.skip("Lambert 93 is for France")
    assert linked(*(placed(column, row) for column in range(3) for row in range(3))) == list(range(9))
    assert linked(placed(0, 0), placed(0.875, 0), placed(0, 0.875)) == [0, 0, 0], "64 of 512 pixels shared"


def test_a_footprint_of_degrees_stays_as_it_is() -> None:
    degrees = 0.001
    gsd = footprints.METRES_PER_DEGREE * degrees / 100 * math.sqrt(math.cos(math.radians(60.0005)))
    assert footprints.footprint((10, 60, 10.001, 60.001), 100 * 100, gsd) == pytest.approx((10, 60, 10.001, 60.001))
    assert footprints.footprint((10, 60, 11, 61), 100, None) == (10, 60, 11, 61)
    assert footprints.footprint((10, 60, 10, 61), 100, 5.0) == (10, 60, 10, 61)


def test_across_the_antimeridian() -> None:
    across = footprints.footprint((179.9, -17, -179.9, -16.9), 1, None)
    assert across == pytest.approx((179.9, -17, 180.1, -16.9))
    assert linked(across, (179.8, -17, 180, -16.9), (-180, -17, -179.8, -16.9), (-0.1, -17, 0.1, -16.9)) == [0, 0, 0, 1]


def test_many_footprints_of_one_place_are_held_as_few_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprints, "LINKS", 1000)
    corners = np.random.default_rng(0).uniform(0, 0.001, (2000, 2))
    boxes = np.concatenate([np.concatenate([corners, corners + 0.002], axis=1), [[5, 5, 6, 6], [5.5, 5, 6.5, 6]]])
    links = footprints.links(boxes, np.arange(2002))
    assert len(links) < 600_000, "of two million"
    assert groups.connected(2002, [links]).tolist() == [*[0] * 2000, 1, 1]
