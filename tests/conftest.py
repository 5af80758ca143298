"""What many tests share: tiny corpora in true layouts, and the sample corpora where they are at hand."""

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fusionrs_builder.workspace import Workspace

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# A core for each worker of pytest: threads of several that share the cores wait for one another, for twice the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "ws", create=True)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of sample corpora."""
    named = os.environ.get("FUSIONRS_SAMPLES")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not (folder / "hit-uav").is_dir():
        pytest.skip("the sample corpora are not at hand (FUSIONRS_SAMPLES)")
    return folder


def picture(seed: int, width: int = 48, height: int = 40, channels: int = 3) -> NDArray[np.uint8]:
    """Smooth random pixels: distinct for every seed, and gentle to JPEG."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, channels), dtype=np.uint8)
    image = Image.fromarray(small if channels == 3 else small[..., 0]).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def encoded(pixels: NDArray[Any] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    sink = BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(sink, kind, **options)
    return sink.getvalue()


@pytest.fixture
def class_folders(tmp_path: Path) -> Callable[..., Path]:
    """Make a corpus of class folders: `make(n)` gives n JPEGs in two classes."""

    def make(count: int, name: str = "corpus", size: tuple[int, int] = (48, 40)) -> Path:
        for i in range(count):
            folder = tmp_path / name / ("Forest" if i % 2 else "River")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{i:05d}.jpg").write_bytes(encoded(picture(i, *size), "JPEG", quality=90))
        return tmp_path / name

    return make
