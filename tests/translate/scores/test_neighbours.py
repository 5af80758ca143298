from dataclasses import dataclass

import numpy as np

from fusionrs_builder.translate.scores.neighbours import SMALLEST, neighbours, overlaps
from fusionrs_builder.translate.scores.records import Entry, Record
from fusionrs_builder.translate.translator import CONTROLS
from tests.translate.conftest import scene


@dataclass
class Moody:
    """Inverts what is darker than the middle as a whole: as a norm over the tile may."""

    name: str = "moody"

    def translate(self, rgb):
        gray = CONTROLS["gray"].translate(rgb)
        dark = gray.mean(axis=(1, 2, 3), keepdims=True) < 128
        return np.where(dark, 255 - gray, gray).astype(np.uint8)


def record(rgb):
    return Record(Entry("s", 0, "toy/a", "toy/a", min(rgb.shape[:2]), (), 0, True, None), rgb, None, ())


def half_dark(side=SMALLEST):
    rgb = (scene(side, side) // 4).astype(np.uint8)
    rgb[:, side // 2 :] += 180
    return rgb


def test_a_formula_of_the_pixel_never_flips():
    found = neighbours({name: CONTROLS[name] for name in ("gray", "gray-inverted")}, [record(half_dark())])
    assert found["n"] == 1
    for of in found["scores"].values():
        assert (of["flips"]["mean"], of["jumps"]["mean"]) == (0, 0)


def test_a_mood_of_the_tile_is_found_out():
    flips, jumps = overlaps(Moody(), half_dark())
    assert (len(flips), len(jumps)) == (12, 12)
    assert 0 < sum(flips) < 12
    assert all((jump > 20) == bool(flip) for flip, jump in zip(flips, jumps, strict=True))


def test_noise_on_even_ground_is_no_flip():
    rng = np.random.default_rng(0)

    class Noisy(Moody):
        def translate(self, rgb):
            return rng.integers(100, 110, (len(rgb), 1, *rgb.shape[2:]), dtype=np.uint8)

    flips, jumps = overlaps(Noisy(), half_dark())
    assert sum(flips) == 0 < min(jumps)


def test_the_overlap_is_the_same_ground():
    rng = np.random.default_rng(0)
    for height, width in ((128, 128), (131, 150), (200, 129)):
        flips, jumps = overlaps(CONTROLS["gray"], rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        assert (sum(flips), sum(jumps)) == (0, 0)


def test_without_images_the_reason():
    assert "128 px" in neighbours({"gray": CONTROLS["gray"]}, [])
