"""Grey views by fixed formulas: what a translator must beat."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fusionrs_builder.translate.protocol import Array, ArrayTranslator, Identity, Precision


def _gray(rgb: Array) -> Array:
    """ITU-R BT.601 luma in Pillow's 16-bit fixed point: 0.299 R + 0.587 G + 0.114 B, rounded to nearest."""
    r, g, b = (rgb[:, channel].astype(np.uint32) for channel in range(3))
    return ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16).astype(np.uint8)


def _gray_inverted(rgb: Array) -> Array:
    """255 - gray: as near infrared has it where water is bright and crops are dark in the visible."""
    return 255 - _gray(rgb)


def _duplicate(rgb: Array) -> Array:
    """The RGB image itself standing in for the infrared one.

    One channel has to hold it: (R + G + B) / 3, rounded to nearest. Every channel alike; `gray` weighs them as the
    eye does.
    """
    total = rgb.astype(np.uint16).sum(axis=1, dtype=np.uint16)
    mean: Array = ((total + 1) // 3).astype(np.uint8)
    return mean


CONTROLS = {
    name: ArrayTranslator(name, Identity(name, None, None), draw)
    for name, draw in (("gray", _gray), ("gray-inverted", _gray_inverted), ("duplicate", _duplicate))
}


def claims(spec: str, path: Path | None) -> bool:
    """By name."""
    return spec in CONTROLS


def describe(spec: str, path: Path | None, precision: Precision) -> tuple[Identity, Mapping[str, Any]]:
    """Exact at any precision."""
    return CONTROLS[spec].identity, {}


def load(spec: str, path: Path | None, device: str, precision: Precision) -> ArrayTranslator:
    """Computed on the CPU, whatever the device."""
    return CONTROLS[spec]
