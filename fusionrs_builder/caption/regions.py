"""Bright and dark parts of a picture, found on a coarse grid of blocks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.caption.geometry import region_place

Gray = NDArray[np.uint8]

REGION_LEVELS, REGION_CONTRAST = 20.0, 0.25
"""A block is bright (dark) when its mean lies so many levels, and this part of the contrast, above (below) the mean."""
OUTSTANDING_LEVELS = 5.0
"""A region is `the` brightest when no block outside it comes within so many levels of its brightest block."""
SIDE_LEVELS = 15.0
"""Two sides of the frame differ when their means lie so many levels apart."""

BLOCKS = 24
"""Regions are found on a grid of so many blocks a side."""


@dataclass(frozen=True)
class Region:
    """The connected blocks around the brightest or darkest block.

    Attributes:
        place: words for where it lies, `in the upper left`; None where no words fit.
        share: of the frame, 0..1: the pixels of these blocks that differ as clearly from the mean.
        outstanding: no block elsewhere comes near its extreme.
    """

    place: str | None
    share: float
    outstanding: bool


def block_means(gray: Gray) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Means of a grid of at most `BLOCKS` x `BLOCKS` blocks.

    Args:
        gray: uint8 [H, W].

    Returns:
        Mean, share of the frame, and cell (0..8) of each block, [rows, columns] each.
    """
    cuts = _cuts(gray.shape)
    sums = _block_sums(gray, cuts)
    areas = np.outer(np.diff(cuts[0]), np.diff(cuts[1])).astype(np.float64)
    centres = [(cut[:-1] + cut[1:]) / 2 / side for cut, side in zip(cuts, gray.shape, strict=True)]
    third = [np.minimum((3 * centre).astype(np.intp), 2) for centre in centres]
    return sums / areas, areas / gray.size, 3 * third[0][:, None] + third[1][None]


def _cuts(shape: tuple[int, ...]) -> list[NDArray[np.intp]]:
    return [np.linspace(0, side, min(BLOCKS, side) + 1).astype(np.intp) for side in shape]


def _block_sums(values: NDArray[Any], cuts: list[NDArray[np.intp]]) -> NDArray[np.uint32]:
    # Four times as fast as one `reduceat` over all rows, which converts them a few at a time.
    strips = pairwise(cuts[0].tolist())
    rows = np.stack([values[top:bottom].sum(axis=0, dtype=np.uint32) for top, bottom in strips])
    return np.asarray(np.add.reduceat(rows, cuts[1][:-1], axis=1), np.uint32)


def brighter_side(cells: Sequence[float]) -> str | None:
    """The side, `left`, `right`, `upper` or `lower`, that is clearly brighter than the opposite one; None without one.

    Args:
        cells: means of the 3 x 3 grid, row by row, 0..255.
    """
    grid = np.asarray(cells).reshape(3, 3)
    differences = {}
    for names, means in ((("upper", "lower"), grid.mean(1)), (("left", "right"), grid.mean(0))):
        # Rounded, so that inverting the view cannot move a side across the limit by the last bit.
        differences[names] = round(float(means[0] - means[2]), 6)
    names = max(differences, key=lambda pair: abs(differences[pair]))
    return names[0 if differences[names] > 0 else 1] if abs(differences[names]) >= SIDE_LEVELS else None


def regions(gray: Gray, mean: float, contrast: float) -> tuple[Region | None, Region | None]:
    """What stands out of a view.

    Args:
        gray: uint8 [H, W].
        mean: its mean, 0..255.
        contrast: its contrast, 0..255.

    Returns:
        The brightest region and the darkest; None for each that is not there.
    """
    means, shares, cells = block_means(gray)
    limit = max(REGION_LEVELS, REGION_CONTRAST * contrast)
    # Rounded, so that inverting the view cannot move a block across a limit by the last bit.
    excess = np.round(means - mean, 6)
    high, low = math.ceil(round(mean + limit, 6)), math.floor(round(mean - limit, 6))
    brightest = _region(excess, shares, cells, limit, lambda: gray >= high)
    return brightest, _region(-excess, shares, cells, limit, lambda: gray <= low)


def _region(
    excess: NDArray[np.float64],
    shares: NDArray[np.float64],
    cells: NDArray[np.intp],
    limit: float,
    clear: Callable[[], NDArray[np.bool_]],
) -> Region | None:
    """The connected blocks around the block of the highest excess; their pixels that are `clear` are its share."""
    marked = excess >= limit
    if not marked.any():
        return None
    columns = excess.shape[1]
    waiting = set(np.flatnonzero(marked).tolist())
    start = int(np.argmax(excess))
    waiting.remove(start)
    component, front = [start], [start]
    while front:
        block = front.pop()
        near = [block - columns, block + columns]
        near += [block - 1] if block % columns else []
        near += [block + 1] if (block + 1) % columns else []
        for other in near:
            if other in waiting:
                waiting.remove(other)
                component.append(other)
                front.append(other)
    per_cell = np.bincount(cells.ravel()[component], shares.ravel()[component], 9)
    elsewhere = np.delete(excess.ravel(), component)
    marked_pixels = clear()
    amount = int(_block_sums(marked_pixels, _cuts(marked_pixels.shape)).ravel()[component].sum())
    outstanding = not elsewhere.size or float(excess.max() - elsewhere.max()) >= OUTSTANDING_LEVELS
    return Region(region_place(per_cell.tolist()), amount / marked_pixels.size, outstanding)
