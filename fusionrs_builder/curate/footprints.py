"""Footprints on the ground, and which of them overlap."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.curate.groups import Numbers, Pairs, connected, equal

Boxes = NDArray[np.float64]
"""[M, 4]: west, south, east, north in degrees."""

METRES_PER_DEGREE = 111_320.0

MIN_SHARED = 0.02
"""Share of the smaller footprint that two have in common, at least: neighbouring tiles of one raster share less, as far
as `footprint` cannot tell, and tiles that were cut with an overlap share more."""

QUERIED = 1 << 8
"""Footprints looked up in one go: each may overlap all others."""

LINKS = 1 << 20
"""Links above which only as many are held as connect the same footprints."""


def footprint(bbox: Sequence[float], pixels: int, gsd_m: float | None) -> tuple[float, float, float, float]:
    """The ground that a picture shows, as a box of the picture's own area about the middle of `bbox`.

    The box in degrees about a raster that is turned against the meridians (UTM away from its central one) is larger
    than the raster, so that the boxes of neighbours overlap although they share no pixel.

    Args:
        bbox: west, south, east, north in degrees, about the picture; east < west across the antimeridian.
        pixels: of the picture: width times height.
        gsd_m: metres a pixel; None leaves the box as it is.
    """
    west, south, east, north = bbox
    if east < west:  # it lies across the antimeridian
        east += 360
    area = (east - west) * (north - south) * METRES_PER_DEGREE**2 * math.cos(math.radians((south + north) / 2))
    if gsd_m and area > 0:
        half = min(1.0, math.sqrt(pixels * gsd_m**2 / area)) / 2
        x, y, wide, high = (west + east) / 2, (south + north) / 2, (east - west) * half, (north - south) * half
        west, south, east, north = x - wide, y - high, x + wide, y + high
    return west, south, east, north


def links(boxes: Boxes, records: Numbers) -> Pairs:
    """Records whose footprints overlap by `MIN_SHARED`, int64 [L, 2].

    Args:
        boxes: the footprints.
        records: whose they are.
    """
    import shapely  # heavy: only where something is georeferenced

    beyond = boxes[:, 2] > 180  # they are looked for on both sides of the antimeridian
    boxes = np.concatenate([boxes, boxes[beyond] - (360, 0, 360, 0)])
    records = np.concatenate([records, records[beyond]])
    places, which = np.unique(boxes, axis=0, return_inverse=True)  # pictures of other dates have equal ones
    which = which.reshape(-1)
    tree = shapely.STRtree(shapely.box(*places.T))
    _, some = np.unique(which, return_index=True)
    found = [np.empty((0, 2), np.int64)]
    group = np.arange(len(places))
    for start in range(0, len(places), QUERIED):
        left, right = tree.query(shapely.box(*places[start : start + QUERIED].T))
        left += start
        apart = (left < right) & (group[left] != group[right])
        left, right = left[apart], right[apart]
        shared = _area(_common(places[left], places[right]))
        smaller = np.minimum(_area(places[left]), _area(places[right]))
        overlap = (shared >= MIN_SHARED * smaller) & (smaller > 0)
        found.append(np.stack([left[overlap], right[overlap]], axis=1))
        if sum(map(len, found)) > LINKS + len(places):
            group = connected(len(places), found)
            found = [equal(group.astype(np.uint64) + np.uint64(1))]
    again = equal(which.astype(np.uint64) + np.uint64(1), records)
    return np.concatenate([again, records[some[np.concatenate(found)]]])


def _common(one: Boxes, other: Boxes) -> Boxes:
    return np.concatenate([np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])], axis=1)


def _area(boxes: Boxes) -> NDArray[np.float64]:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    area: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return area
