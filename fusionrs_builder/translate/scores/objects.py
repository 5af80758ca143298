"""Labelled objects as masks, and the ring of ground around each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

RING = 0.5
"""Width of the surroundings, in sides of a square of the object's area; at least `LEAST_RING` px."""

LEAST_RING = 3

LEAST = 16
"""Pixels that an object and its surroundings must have at least."""

Mask = NDArray[np.bool_]


def masks(boxes: Sequence[Mapping[str, Any]], shape: tuple[int, int]) -> list[tuple[Mask, Mask]]:
    """Each object and its surroundings.

    Args:
        boxes: as `schema.BOX`, in pixels of the view; outlines where there are, else the boxes themselves.
        shape: height, width of the view.

    Returns:
        bool [H, W] of the object, and of the ring around it without the other objects. An object that has, or whose
        ring has, fewer than `LEAST` px is left out.
    """
    inside = [_inside(box, shape) for box in boxes]
    anything = np.logical_or.reduce(inside) if inside else np.zeros(shape, bool)
    found = []
    for mask in inside:
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if mask.sum() < LEAST:
            continue
        width = max(LEAST_RING, round(RING * float(mask.sum()) ** 0.5))
        ring = np.zeros(shape, bool)
        ring[max(0, rows[0] - width) : rows[-1] + width + 1, max(0, columns[0] - width) : columns[-1] + width + 1] = (
            True
        )
        ring &= ~anything
        if ring.sum() >= LEAST:
            found.append((mask, ring))
    return found


def _inside(box: Mapping[str, Any], shape: tuple[int, int]) -> Mask:
    image = Image.new("1", shape[::-1])
    pen = ImageDraw.Draw(image)
    if len(box["polygon"] or ()) >= 6:
        pen.polygon(list(box["polygon"]), fill=1)
    elif box["x1"] >= box["x0"] + 1 and box["y1"] >= box["y0"] + 1:
        pen.rectangle((box["x0"], box["y0"], box["x1"] - 1, box["y1"] - 1), fill=1)  # Pillow draws the far edge too
    return np.asarray(image).astype(bool)


def contrast(view: NDArray[np.uint8], mask: Mask, ring: Mask) -> float:
    """Mean of the object less mean of its surroundings, grey levels."""
    return float(view[mask].mean() - view[ring].mean())
