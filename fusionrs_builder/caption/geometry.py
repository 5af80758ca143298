"""Where labelled objects are in a frame, and the words for a place.

Places are cells of a 3 x 3 grid over the frame, numbered row by row from the upper left.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CELLS = (
    "upper left", "upper centre", "upper right",
    "centre left", "centre", "centre right",
    "lower left", "lower centre", "lower right",
)  # fmt: skip

IN_CELL = 0.6
"""Share of a region that must lie in one cell before the cell is named for it."""
IN_BAND = 0.8
"""Share of a region that must lie in one row or column of cells before that side is named for it."""
MOST = 0.7
"""Share of a group of objects of which `most of them` is said."""
SPREAD_CELLS = 5
"""Cells that must hold a part each before something is said to be spread across the frame."""

BANDS = (
    ((0, 1, 2), "along the top"),
    ((6, 7, 8), "along the bottom"),
    ((0, 3, 6), "along the left side"),
    ((2, 5, 8), "along the right side"),
    ((3, 4, 5), "across the middle"),
    ((1, 4, 7), "down the middle"),
)


@dataclass(frozen=True)
class Placed:
    """The visible part of a labelled object.

    Attributes:
        label: as published.
        x, y: centre of the visible part of its box, 0..1 of the frame's width and height.
        window: rows and columns of the pixels its box touches, at least one each.
        outline: float64 [V, 2] x, y in pixels of the frame; None where only a box is known.
    """

    label: str
    x: float
    y: float
    window: tuple[slice, slice]
    outline: NDArray[np.float64] | None

    def interior(self) -> NDArray[np.bool_] | None:
        """Pixels of `window` whose centre lies in the outline; None for the whole window.

        An outline too thin to hold any pixel centre counts as its box.
        """
        if self.outline is None:
            return None
        inside = fill(self.outline, *self.window)
        return inside if inside.any() else None


def locate(
    boxes: Iterable[Mapping[str, Any]], width: int, height: int, scale: tuple[float, float] = (1.0, 1.0)
) -> list[Placed]:
    """The objects of which a part lies in the frame, in the order given.

    Args:
        boxes: as `schema.BOX`; may overhang the frame, be smaller than a pixel, or lie outside.
        width: of the frame, pixels.
        height: of the frame, pixels.
        scale: pixels of the frame per unit of the boxes, horizontally and vertically.
    """
    placed = []
    for box in boxes:
        sides = [float(box[name]) for name in ("x0", "y0", "x1", "y1")]
        if not all(map(math.isfinite, sides)):
            continue
        x0, x1 = (min(max(value * scale[0], 0.0), float(width)) for value in (sides[0], sides[2]))
        y0, y1 = (min(max(value * scale[1], 0.0), float(height)) for value in (sides[1], sides[3]))
        if x1 <= x0 or y1 <= y0:
            continue
        outline = np.asarray(box.get("polygon") or [], np.float64)
        usable = len(outline) >= 6 and len(outline) % 2 == 0 and bool(np.isfinite(outline).all())
        placed.append(
            Placed(
                str(box["label"] or ""),
                (x0 + x1) / 2 / width,
                (y0 + y1) / 2 / height,
                (slice(int(y0), math.ceil(y1)), slice(int(x0), math.ceil(x1))),
                outline.reshape(-1, 2) * scale if usable else None,
            )
        )
    return placed


def fill(outline: NDArray[np.float64], rows: slice, columns: slice) -> NDArray[np.bool_]:
    """Pixels of a window whose centre lies inside a polygon, by the even-odd rule.

    Args:
        outline: float64 [V, 2] x, y in pixels; closed or not.
        rows: of the window.
        columns: of the window.

    Returns:
        bool [rows, columns].
    """
    height, width = rows.stop - rows.start, columns.stop - columns.start
    after = np.roll(outline, -1, axis=0)
    x0, y0, x1, y1 = (side[:, None] for side in (outline[:, 0], outline[:, 1], after[:, 0], after[:, 1]))
    y = rows.start + 0.5 + np.arange(height)[None]
    edge, row = np.nonzero((y0 <= y) != (y1 <= y))
    slope = (x1 - x0)[edge, 0] / (y1 - y0)[edge, 0]
    crossing = x0[edge, 0] + (y[0, row] - y0[edge, 0]) * slope
    # Every pixel centre right of a crossing changes side; crossings left of the window change its whole row.
    column = np.clip(np.ceil(crossing - 0.5 - columns.start), 0, width).astype(np.intp)
    flips = np.bincount(row * (width + 1) + column, minlength=height * (width + 1)).reshape(height, width + 1)
    return (np.cumsum(flips, axis=1)[:, :width] & 1).astype(np.bool_)


def cell(x: float, y: float) -> int:
    """The cell of a point, both coordinates 0..1 of the frame."""
    return 3 * min(int(3 * y), 2) + min(int(3 * x), 2)


def region_place(weights: Sequence[float]) -> str | None:
    """Words for where a region lies, from its amount in each of the nine cells; None where no words fit.

    Returns:
        `in the upper left`, `along the top`, `across much of the frame` ...
    """
    total = sum(weights)
    if total <= 0:
        return None
    shares = [weight / total for weight in weights]
    best = max(range(9), key=shares.__getitem__)
    if shares[best] >= IN_CELL:
        return f"in the {CELLS[best]}"
    for band, words in BANDS:
        if sum(shares[i] for i in band) >= IN_BAND:
            return words
    if sum(share >= 0.05 for share in shares) >= SPREAD_CELLS:
        return "across much of the frame"
    return None


def group_place(objects: Sequence[Placed]) -> str | None:
    """Words for where the centres of a group of objects lie; None where no words fit.

    Returns:
        For one object `in the upper left`; for more `both in the centre`, `all in the left half`,
        `mostly in the lower right`, `spread across the frame` ...
    """
    cells = [cell(one.x, one.y) for one in objects]
    if len(cells) == 1:
        return f"in the {CELLS[cells[0]]}"
    every = "both" if len(cells) == 2 else "all"
    common = max(sorted(set(cells)), key=cells.count)
    if cells.count(common) == len(cells):
        return f"{every} in the {CELLS[common]}"
    halves = (
        ("left half", [one.x < 0.5 for one in objects]),
        ("right half", [one.x > 0.5 for one in objects]),
        ("upper half", [one.y < 0.5 for one in objects]),
        ("lower half", [one.y > 0.5 for one in objects]),
    )
    for name, inside in halves:
        if all(inside):
            return f"{every} in the {name}"
    if len(cells) >= 4 and cells.count(common) >= MOST * len(cells):
        return f"mostly in the {CELLS[common]}"
    if len(set(cells)) >= SPREAD_CELLS:
        return "spread across the frame"
    for name, inside in halves:
        if len(cells) >= 4 and sum(inside) >= MOST * len(cells):
            return f"mostly in the {name}"
    return None
