"""Known shifts between views that differ as light and heat do; and views that have nothing in common."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from fusionrs_builder.corpora import registration
from tests.conftest import encoded

SIDE = 256


def scene(seed: int, side: int = 400) -> NDArray[np.float32]:
    """Blocks of many sizes and greys, as fields and roofs are."""
    random = np.random.default_rng(seed)
    values = np.full((side, side), 90, np.float32)
    for _ in range(250):
        x, y = random.integers(0, side - 8, 2)
        width, height = random.integers(4, 40, 2)
        values[y : y + height, x : x + width] = random.integers(10, 245)
    return values


def heat(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same outlines in another light: polarity turned, blurred, noisy."""
    noise = np.random.default_rng(0).normal(0, 4, values.shape)
    return (ndimage.gaussian_filter(255 - 0.6 * values, 1.5) + noise).astype(np.float32)


def cut(values: NDArray[np.float32], x: int = 70, y: int = 70) -> NDArray[np.uint8]:
    return np.clip(values[y : y + SIDE, x : x + SIDE], 0, 255).astype(np.uint8)


@settings(max_examples=25)
@given(st.integers(0, 50), st.integers(-60, 60), st.integers(-60, 60))
def test_the_shift_is_found_whatever_the_polarity(seed: int, across: int, down: int) -> None:
    values = scene(seed)
    found = registration.between(
        cut(values).astype(np.float32), cut(heat(values), 70 + across, 70 + down).astype(np.float32)
    )
    assert found.is_known
    assert abs(found.columns - across) <= 1
    assert abs(found.rows - down) <= 1


def test_views_with_nothing_in_common_are_not_judged() -> None:
    for seed in range(20):
        found = registration.between(cut(scene(seed)), cut(heat(scene(seed + 100))))
        assert not found.is_known


@pytest.mark.parametrize("level", [0, 128])
def test_a_view_without_outlines_is_not_judged(level: int) -> None:
    flat = np.full((SIDE, SIDE), level, np.float32)
    assert not registration.between(flat, cut(scene(1)).astype(np.float32)).is_known
    assert not registration.between(flat, flat).is_known


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_files_are_compared_small_and_the_shift_told_in_their_pixels(kind: str) -> None:
    large = ndimage.zoom(scene(3), 4, order=1)
    one, other = (np.clip(values, 0, 255).astype(np.uint8)[:800, :1000] for values in (large, heat(large)))
    moved = np.roll(other, (-24, 40), (0, 1))
    found = registration.shift(encoded(one, kind), encoded(moved, kind))
    assert found is not None
    assert found.is_known
    assert (found.columns, found.rows) == (pytest.approx(-40, abs=5), pytest.approx(24, abs=5))
    assert found.distance == pytest.approx(46.6, abs=5)


def test_a_border_is_not_looked_at() -> None:
    values, border = scene(4), 100
    framed = [
        np.pad(cut(view, x), border, constant_values=255) for view, x in ((values, 70), (heat(values), 90))
    ]  # fmt: skip
    bordered = registration.shift(*(encoded(view) for view in framed), border=border)
    assert bordered is not None
    assert bordered.is_known
    assert bordered.columns == pytest.approx(20, abs=1)


def test_sixteen_bit_thermal_is_compared_too() -> None:
    values = scene(5)
    deep = Image.fromarray((cut(heat(values), 82).astype(np.uint16) * 40 + 7000).astype(np.uint16))
    found = registration.shift(encoded(cut(values)), encoded(deep, "TIFF"))
    assert found is not None
    assert found.is_known
    assert found.columns == pytest.approx(12, abs=1)


def test_files_that_cannot_be_compared() -> None:
    sound = encoded(cut(scene(6)))
    assert registration.shift(sound, b"") is None
    assert registration.shift(sound[:200], sound) is None
    assert registration.shift(sound, encoded(cut(scene(6))[:100])) is None
    assert registration.shift(sound, sound, border=128) is None


def test_measured_near_infrared_lies_where_red_does(samples: Path) -> None:
    """Real NAIP: pairs as published stay, pairs moved by 24 to 60 pixels are found, strangers are not judged."""
    windows = []
    for path in sorted((samples / "naip-opengeos").rglob("*.tif"))[:5]:
        with rasterio.open(path) as source:
            bands = source.read().astype(np.float32)
        red, nir = bands[:3].mean(0), bands[3]
        for y, x in ((70, 70), (200, 300), (380, 560)):
            for dx, dy in ((0, 0), (24, -31), (-60, 5)):
                moved = nir[y + dy : y + dy + SIDE, x + dx : x + dx + SIDE]
                windows.append((red[y : y + SIDE, x : x + SIDE], moved, dx, dy))
    found = [(registration.between(one, other), dx, dy) for one, other, dx, dy in windows]
    right = [abs(one.columns - dx) <= 2 and abs(one.rows - dy) <= 2 for one, dx, dy in found]
    assert np.mean([one.is_known and good for (one, _, _), good in zip(found, right, strict=True)]) >= 0.95
    assert not any(one.is_known and not good for (one, _, _), good in zip(found, right, strict=True))
    strangers = [registration.between(windows[i][0], windows[i + 3][1]) for i in range(0, 30, 3) if i % 9 < 6]
    assert not any(one.is_known for one in strangers)
