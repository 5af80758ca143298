"""Objects that are not upright boxes: the outline is kept as a polygon, the box is the one around it."""

import math
from collections.abc import Sequence
from typing import Any

from fusionrs_builder.corpora.reader import box


def outlined(label: str, polygon: Sequence[float]) -> dict[str, Any]:
    """An object within an outline x1, y1, x2, y2, ... of at least three corners."""
    across, down = polygon[::2], polygon[1::2]
    return box(label, min(across), min(down), max(across), max(down), list(polygon))


def corners(x: float, y: float, width: float, height: float, angle: float) -> list[float]:
    """The outline of a box turned about its centre.

    Args:
        x: of the centre, in pixels to the right.
        y: of the centre, in pixels down.
        width: in pixels, along the angle.
        height: in pixels, across it.
        angle: in radians, clockwise as seen.
    """
    cos, sin = math.cos(angle), math.sin(angle)
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    halves = [(i * width / 2, j * height / 2) for i, j in signs]
    return [value for u, v in halves for value in (x + u * cos - v * sin, y + u * sin + v * cos)]
