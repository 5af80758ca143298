"""What the infrared view shows, measured: the only source of what captions say about bright and dark.

Every measure treats bright and dark alike: inverting the view inverts what is said, and changes nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.caption.geometry import Placed, locate
from fusionrs_builder.caption.regions import Gray, Region, brighter_side, regions

Tone = Literal["brighter", "darker", "similar", "unclear"]

EDGE_LEVELS = 16
"""Grey levels by which neighbouring pixels must differ to count as an edge."""
DARK_LEVEL, BRIGHT_LEVEL = 63, 192
"""A pixel is dark up to the first level, bright from the second on."""

OBJECT_LEVELS, OBJECT_SPREAD = 12.0, 0.5
"""An object is brighter (darker) when its mean lies so many levels, and so many standard deviations of its
surroundings, above (below) the mean of its surroundings."""
SIMILAR_LEVELS = 5.0
"""An object is similar when the two means differ by no more than this. Between the two nothing is said."""
MIN_RING_PIXELS = 12
"""With fewer pixels of surroundings an object is not compared."""

RELATION_PIXELS = 256
"""The two views are compared on a grid of at most so many pixels a side."""


@dataclass(frozen=True)
class Thing:
    """A labelled object, against the ring of pixels around it.

    Attributes:
        placed: what and where.
        share: of the frame it fills, 0..1.
        alone: the same, pixels that a later object fills too left out, so that a sum counts no pixel twice.
        difference: its mean minus the mean of its surroundings, grey levels; None where it has too few.
        tone: what may be said of it.
    """

    placed: Placed
    share: float
    alone: float
    difference: float | None
    tone: Tone


@dataclass(frozen=True)
class Evidence:
    """Measurements of one infrared view.

    Attributes:
        width, height: pixels.
        brightness: mean, 0..255.
        contrast: 95th minus 5th percentile, 0..255.
        entropy: of the 256-bin histogram, bits, 0..8.
        edges: share of pixels that differ from the next by `EDGE_LEVELS`, 0..1.
        dark_share, bright_share: of pixels at or beyond `DARK_LEVEL` and `BRIGHT_LEVEL`, 0..1.
        brightest, darkest: regions that differ clearly from the mean; None where there is none.
        side: `left`, `right`, `upper` or `lower`: the side that is clearly brighter than the opposite one, if any.
        things: labelled objects of which a part is visible, in their order.
        correlation: of the view with the luma of the visible image, -1..1; None without one, or where either is flat.
        edge_agreement: the same of the two gradient magnitudes.
        cells: means of the 3 x 3 grid, row by row from the upper left, 0..255.
    """

    width: int
    height: int
    brightness: float
    contrast: float
    entropy: float
    edges: float
    dark_share: float
    bright_share: float
    brightest: Region | None
    darkest: Region | None
    side: str | None
    things: tuple[Thing, ...]
    correlation: float | None
    edge_agreement: float | None
    cells: tuple[float, ...]


def measure(ir: Gray, rgb: NDArray[np.uint8] | None, boxes: Iterable[Mapping[str, Any]]) -> Evidence:
    """Measure an infrared view.

    Args:
        ir: uint8 [H, W].
        rgb: uint8 [H', W', 3], the visible image of the same place, or None. Sizes may differ.
        boxes: as `schema.BOX`, in pixels of `rgb`, of `ir` where there is no `rgb`. May overhang or be tiny.

    Raises:
        ValueError: an array has another shape or type, or no pixels.
    """
    if ir.ndim != 2 or ir.dtype != np.uint8 or not ir.size:
        raise ValueError(f"ir must be uint8 [H, W] with pixels, not {ir.dtype} {list(ir.shape)}")
    if rgb is not None and (rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size):
        raise ValueError(f"rgb must be uint8 [H, W, 3] with pixels, not {rgb.dtype} {list(rgb.shape)}")
    height, width = ir.shape
    scale = (1.0, 1.0) if rgb is None else (width / rgb.shape[1], height / rgb.shape[0])
    counts = np.bincount(ir.ravel(), minlength=256)
    brightness = float(counts @ np.arange(256)) / ir.size
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])
    low = int(np.searchsorted(below, 0.05 * ir.size))
    contrast = 255.0 - int(np.searchsorted(above, 0.05 * ir.size)) - low
    shares = counts[counts > 0] / ir.size
    brightest, darkest = regions(ir, brightness, contrast)
    cells = cell_means(ir)
    correlation, agreement = (None, None) if rgb is None else _relation(ir, rgb)
    return Evidence(
        width=width,
        height=height,
        brightness=brightness,
        contrast=max(contrast, 0.0),
        entropy=float(-(shares @ np.log2(shares))) + 0.0,
        edges=edge_density(ir),
        dark_share=float(below[DARK_LEVEL]) / ir.size,
        bright_share=float(above[255 - BRIGHT_LEVEL]) / ir.size,
        brightest=brightest,
        darkest=darkest,
        side=brighter_side(cells),
        things=tuple(_things(ir, locate(boxes, width, height, scale))),
        correlation=correlation,
        edge_agreement=agreement,
        cells=cells,
    )


def cell_means(gray: Gray) -> tuple[float, ...]:
    """Means of the 3 x 3 grid over an image, row by row, 0..255. Cells of an image of fewer pixels share some.

    Args:
        gray: uint8 [H, W].
    """
    rows, columns = (
        [slice(i * side // 3, max(-(-(i + 1) * side // 3), i * side // 3 + 1)) for i in range(3)] for side in gray.shape
    )
    return tuple(float(gray[row, column].mean()) for row in rows for column in columns)


def edge_density(gray: Gray) -> float:
    """Share of pixels that differ from their right or lower neighbour by `EDGE_LEVELS`, 0..1; 0 without neighbours.

    Args:
        gray: uint8 [H, W].
    """
    if min(gray.shape) < 2:
        return 0.0
    here, right, down = gray[:-1, :-1], gray[:-1, 1:], gray[1:, :-1]
    # In uint8 throughout: the larger minus the smaller never wraps.
    step = np.maximum(
        np.maximum(here, right) - np.minimum(here, right), np.maximum(here, down) - np.minimum(here, down)
    )
    return int(np.count_nonzero(step >= EDGE_LEVELS)) / int(step.size)


def _things(gray: Gray, objects: Sequence[Placed]) -> list[Thing]:
    """Each object against a ring around it, other objects left out of the ring where enough of it remains."""
    if not objects:
        return []
    owner = np.zeros(gray.shape, np.int32)
    interiors = [one.interior() for one in objects]
    for number, (one, interior) in enumerate(zip(objects, interiors, strict=True), start=1):
        if interior is None:
            owner[one.window] = number
        else:
            owner[one.window][interior] = number
    filled = np.bincount(owner.ravel(), minlength=len(objects) + 1)
    things = []
    for number, (one, interior) in enumerate(zip(objects, interiors, strict=True), start=1):
        own = gray[one.window] if interior is None else gray[one.window][interior]
        margin = max(4, round(0.5 * own.size**0.5))
        rows, columns = one.window
        top, left = max(rows.start - margin, 0), max(columns.start - margin, 0)
        around = (slice(top, rows.stop + margin), slice(left, columns.stop + margin))
        ring = gray[around][owner[around] == 0]
        if ring.size < MIN_RING_PIXELS:
            apart = np.ones(owner[around].shape, np.bool_)
            inner = apart[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            inner[...] = False if interior is None else ~interior
            ring = gray[around][apart]
        difference = spread = None
        if ring.size >= MIN_RING_PIXELS:
            difference, spread = round(float(own.mean() - ring.mean()), 6), round(float(ring.std()), 6)
        share, alone = own.size / gray.size, float(filled[number]) / gray.size
        things.append(Thing(one, share, alone, difference, _tone(difference, spread)))
    return things


def _tone(difference: float | None, spread: float | None) -> Tone:
    if difference is None or spread is None:
        return "unclear"
    if abs(difference) >= max(OBJECT_LEVELS, OBJECT_SPREAD * spread):
        return "brighter" if difference > 0 else "darker"
    return "similar" if abs(difference) <= SIMILAR_LEVELS else "unclear"


def _relation(ir: Gray, rgb: NDArray[np.uint8]) -> tuple[float | None, float | None]:
    """Correlation of brightness and of gradient magnitude, on a common grid."""
    step = -(-max(ir.shape) // RELATION_PIXELS)
    seen = ir[::step, ::step].astype(np.float32)
    if ir.shape == rgb.shape[:2]:
        colour = rgb[::step, ::step]
    else:
        rows, columns = (
            np.arange(0, mine, step) * other // mine for mine, other in zip(ir.shape, rgb.shape[:2], strict=True)
        )
        colour = rgb[rows[:, None], columns]
    luma = np.asarray(colour @ np.array([0.299, 0.587, 0.114], np.float32), np.float32)
    if min(seen.shape) < 2:
        return _correlation(seen, luma), None
    return _correlation(seen, luma), _correlation(_gradient(seen), _gradient(luma))


def _gradient(values: NDArray[np.float32]) -> NDArray[np.float32]:
    here = values[:-1, :-1]
    right, down = values[:-1, 1:] - here, values[1:, :-1] - here
    return np.asarray(np.sqrt(right * right + down * down), np.float32)


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float | None:
    first, second = (side.ravel() - side.mean() for side in (first, second))
    norm = float(np.sqrt(float(first @ first) * float(second @ second)))
    # Less than half a grey level of variation on either side is noise, not tone.
    if min(float(first @ first), float(second @ second)) < 0.25 * first.size:
        return None
    return min(1.0, max(-1.0, float(first @ second) / norm))
