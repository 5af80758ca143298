"""A small release: visible and infrared, infrared alone, and captions of all kinds."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionrs_builder import pixels
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture
from tests.release.conftest import lay, push, record

Record = dict[str, Any]
Release = Callable[[str, Iterable[Record]], Path]

PAIRS, THERMAL, SILENT = 28, 6, 2
"""Rows of `train` with both views, with infrared alone, and, of the first, without captions of one kind."""

SHAPES = ((48, 40), (40, 40), (64, 80))
"""Width and height of the pairs, in turn."""


def luma(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).convert("L"))


def image(array: np.ndarray) -> dict[str, Any]:
    return {"bytes": encoded(array), "path": "image.png"}


def pair(number: int, split: str = "train", **special: Any) -> Record:
    """Infrared that is the luma of the visible image; of every fourth it is said that a sensor saw it."""
    rgb = picture(number, *SHAPES[number % len(SHAPES)])
    captions = {
        "scene_captions": [f"A scene, number {number}.", f"a SCENE number {number}", "Water & land!", "water  land"],
        "ir_captions": [f"Bright outlines of {number}", "a dark patch", "A dark patch."],
    }
    seen = {"ir_origin": "measured", "ir_band": "nir", "ir_source": "NAIP nir"} if number % 4 == 0 else {}
    views = {"rgb": image(rgb), "ir": image(luma(rgb)), "ir_sha256": pixels.pixel_sha256(luma(rgb))}
    return record(f"{number:03d}", split, **{**views, **captions, **seen, **special})


def thermal(number: int, split: str = "train") -> Record:
    seen = {"ir_origin": "measured", "ir_band": "lwir", "ir_source": "FLIR lwir"}
    grey = picture(number, 64, 48, 1)
    views = {"rgb": None, "ir": image(grey), "ir_sha256": pixels.pixel_sha256(grey)}
    return record(f"{number:03d}", split, **views, **seen, ir_captions=["a warm spot", "one warm spot"])


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Push records as a release of this name; `datasets` gets a cache of its own."""
    import datasets.config

    place = tmp_path_factory.mktemp("train")

    def make(name: str, records: Iterable[Record]) -> Path:
        workspace = Workspace.open(place / name, create=True)
        lay(workspace, {"corpus-00000": records})
        push(workspace)
        return Path(workspace.path("release", "fusionrs"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", place / "cache")
        yield make


@pytest.fixture(scope="session")
def release(released: Release) -> Path:
    """`PAIRS` and `THERMAL` rows in `train`; 8 and 4 in `validation`, and in `test`."""
    silent = {1: {"ir_captions": []}, 2: {"scene_captions": ["..."]}}
    records = [pair(number, **silent.get(number, {})) for number in range(PAIRS)]
    records += [thermal(100 + number) for number in range(THERMAL)]
    for start, split in ((200, "validation"), (300, "test")):
        records += [pair(start + number, split) for number in range(8)]
        records += [thermal(start + 50 + number, split) for number in range(4)]
    return released("whole", records)
