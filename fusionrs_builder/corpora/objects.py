"""Labelled objects of a record: named as the corpus settings say, clipped to the image or its tile, in its pixels."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from fusionrs_builder.corpora.reader import Refused, Sample, Window

MIN_VISIBLE_OF_BOX = 0.5
"""Share of a box that must lie within a tile for the tile to keep it."""

Box = dict[str, Any]
"""As in `schema.BOX`."""


def placed(sample: Sample, window: Window | None, whole: tuple[int, int]) -> list[Box]:
    """The boxes of a sample clipped to the window, in its pixels.

    Args:
        sample: its boxes are in pixels of the whole published image, or of the window for a raster.
        window: the part of the image that becomes the record, None for all of it.
        whole: width and height of what the boxes refer to.

    Raises:
        Refused: a box is empty or lies outside the image it was drawn on, or was drawn on another size of it.
    """
    if sample.size and sample.size != whole and sample.boxes:
        raise Refused(
            "other_size", f"annotated at {sample.size[0]}x{sample.size[1]}, the image is {whole[0]}x{whole[1]}"
        )
    # Boxes of a published image are in its pixels; those of a raster are in the window's already.
    column, row, width, height = window if window and sample.published else (0, 0, *whole)
    kept = []
    for box in sample.boxes:
        x0, y0, x1, y1 = (box[side] for side in ("x0", "y0", "x1", "y1"))
        if not all(math.isfinite(value) for value in (x0, y0, x1, y1)) or x1 <= x0 or y1 <= y0:
            raise Refused("bad_box", f"{box['label']}: {x0, y0, x1, y1} is empty")
        clipped = [max(x0 - column, 0), max(y0 - row, 0), min(x1 - column, width), min(y1 - row, height)]
        inside = max(clipped[2] - clipped[0], 0) * max(clipped[3] - clipped[1], 0) / ((x1 - x0) * (y1 - y0))
        outside = x1 <= 0 or y1 <= 0 or x0 >= whole[0] or y0 >= whole[1]
        if outside and (sample.published or window is None):
            raise Refused("bad_box", f"{box['label']}: {x0, y0, x1, y1} lies outside the {whole[0]}x{whole[1]} image")
        if window and inside < MIN_VISIBLE_OF_BOX:
            continue
        shifted = [value - (row if i % 2 else column) for i, value in enumerate(box["polygon"])]
        bounded = [min(max(value, 0), height if i % 2 else width) for i, value in enumerate(shifted)]
        kept.append(dict(zip(("x0", "y0", "x1", "y1"), clipped, strict=True), label=box["label"], polygon=bounded))
    return kept


def named(boxes: list[Box], names: Mapping[str, str]) -> list[Box]:
    """The boxes with the publisher's labels replaced by those of `label_names`."""
    labels = renamed((box["label"] for box in boxes), names)
    return [{**box, "label": label} for box, label in zip(boxes, labels, strict=True)]


def renamed(labels: Iterable[str], names: Mapping[str, str]) -> list[str]:
    """Labels under their new names. Copies of one corpus differ in case, blanks, `-` and `_`, which do not count."""
    folded = {_fold(label): name for label, name in names.items()}
    return [names.get(label) or folded.get(_fold(label), label) for label in labels]


def _fold(label: str) -> str:
    return re.sub(r"[\s_-]", "", label).casefold()


def scaled(boxes: list[Box], scale: float) -> list[Box]:
    """The boxes in pixels of the image resized by a factor."""
    return [
        {
            **{side: box[side] * scale for side in ("x0", "y0", "x1", "y1")},
            "label": box["label"],
            "polygon": [value * scale for value in box["polygon"]],
        }
        for box in boxes
    ]
