"""What a captioner needs of a record, from the joined row of the rgb and the ir layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder import pixels
from fusionrs_builder.caption.facts import Record
from fusionrs_builder.shards import Row

LAYERS = {
    "rgb": ("rgb", "publisher_captions", "model_captions", "template_captions", "labels", "boxes", "gsd_m"),
    "ir": ("ir", "ir_origin", "ir_band", "reason"),
}
"""Columns of each layer."""


@dataclass(frozen=True)
class Views:
    """The images of a record, as they are kept and decoded.

    Attributes:
        rgb: file and uint8 [H, W, 3]; None where there is none.
        ir: file and uint8 [H, W]; None where there is none.
    """

    rgb: tuple[bytes, NDArray[np.uint8]] | None
    ir: tuple[bytes, NDArray[np.uint8]] | None


def views_of(row: Row) -> tuple[Views, str | None]:
    """The images of a row, and why there is no infrared one.

    Raises:
        ValueError: an image cannot be decoded.
    """
    rgb = _bytes(row["rgb"])
    ir, reason = infrared_of(row)
    visible = None if rgb is None else (rgb, pixels.rgb_array(rgb))
    infrared = None if ir is None else (ir, pixels.gray_array(ir))
    return Views(visible, infrared), reason


def infrared_of(row: Row) -> tuple[bytes | None, str | None]:
    """The infrared view of a row as it is kept, or why there is none."""
    ir = _bytes(row["ir"])
    if row["reason"] or ir is None:
        return None, f"no_infrared: {row['reason'] or 'the record has no infrared view'}"
    return ir, None


def record_of(row: Row) -> Record:
    """What is known of the record besides its pixels."""
    return Record(
        id=row["id"],
        labels=row["labels"] or (),
        boxes=row["boxes"] or (),
        publisher=row["publisher_captions"] or (),
        model=row["model_captions"] or (),
        template=row["template_captions"] or (),
        gsd_m=row["gsd_m"],
        origin=row["ir_origin"],
        band=row["ir_band"],
    )


def _bytes(image: Mapping[str, Any] | None) -> bytes | None:
    return image["bytes"] if image else None
