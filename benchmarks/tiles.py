"""Tiles of the sample imagery, for benchmarks that compare pictures."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image

from fusionrs_builder.config import samples_folder
from fusionrs_builder.corpora.procedural import render

TILE = 128

ONE_FIELD, OF_ONE_FIELD = "1_80_70_0", "1_90_90_0"
"""Two flights of HIT-UAV over one sports field, by the eye of a person."""

Picture = NDArray[np.uint8]
"""[H, W] or [H, W, 3]."""


def tiles() -> list[tuple[str, Picture]]:
    """Tiles of the sample imagery with the place each was cut from; tiles of one place are no strangers."""
    folder = samples_folder()
    if folder is None:
        return [(f"scene {seed}", render(seed).rgb) for seed in range(400)]
    return [*_rasters(folder), *_pictures(folder)]


def _rasters(folder: Path) -> Iterator[tuple[str, Picture]]:
    bands = {"naip-opengeos/naip/*.tif": (1, 2, 3), "s2-eotdl/**/*.tif": (4, 3, 2), "landsat8-*/**/*B[2345].tif": (1,)}
    for pattern, wanted in bands.items():
        for path in sorted(folder.glob(pattern)):
            with rasterio.open(path) as source:
                if source.count < max(wanted):
                    continue
                place = "naip" if "naip" in pattern else _place(path, source)
                values = np.moveaxis(source.read(wanted).astype(np.float32), 0, -1)
            if values.max() > 255:
                low, high = np.percentile(values[values > 0], (1, 99))
                values = (values - low) * (255 / (high - low))
            eight_bit = np.clip(values, 0, 255).astype(np.uint8)
            side = min(TILE, *eight_bit.shape[:2])
            for row, column in itertools.product(
                *(range(0, length - side + 1, side) for length in eight_bit.shape[:2])
            ):
                cut = eight_bit[row : row + side, column : column + side]
                yield f"{place} {row} {column}", np.ascontiguousarray(cut[..., 0] if len(wanted) == 1 else cut)


def _place(path: Path, source: Any) -> str:
    """Chips of ships within one fiftieth of a degree show one place, and so do the five scenes of the reservoir."""
    if not path.stem.startswith("ship"):
        return path.parent.name
    west, south = source.bounds[:2]
    return f"ship {round(west * 50)} {round(south * 50)}"


def _pictures(folder: Path) -> Iterator[tuple[str, Picture]]:
    for path in sorted([*folder.glob("oam-buildings-hotosm/**/*.png"), *folder.glob("s2-eotdl/**/*.jpg")]):
        yield path.name, np.asarray(Image.open(path).convert("RGB"))
    for path in sorted(folder.glob("hit-uav/normal_xml/**/*.jpg")):
        flight = path.stem.rsplit("_", 1)[0]
        yield f"flight {ONE_FIELD if flight == OF_ONE_FIELD else flight}", np.asarray(Image.open(path).convert("L"))
