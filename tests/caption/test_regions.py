import numpy as np
import pytest

from fusionrs_builder.caption.evidence import measure
from fusionrs_builder.caption.regions import block_means

from .scenes import SIDE, flat, square


@pytest.mark.parametrize(("x", "y", "place"), [(2, 2, "upper left"), (40, 40, "centre"), (70, 70, "lower right")])
def test_a_bright_square_is_the_brightest_region(x: int, y: int, place: str) -> None:
    seen = measure(square(flat(60), x, y, x + 20, y + 20, 230), None, [])
    assert seen.brightest is not None
    assert seen.brightest.place == f"in the {place}"
    assert seen.brightest.share == 400 / SIDE**2
    assert seen.brightest.outstanding
    assert seen.darkest is None


def test_equally_bright_squares_are_not_the_brightest() -> None:
    ir = square(square(flat(60), 4, 4, 24, 24, 230), 72, 72, 92, 92, 230)
    seen = measure(ir, None, [])
    assert seen.brightest is not None
    assert not seen.brightest.outstanding
    assert seen.brightest.share == 400 / SIDE**2


def test_sides() -> None:
    assert measure(square(flat(60), 0, 0, 40, SIDE, 200), None, []).side == "left"
    assert measure(square(flat(60), 0, 60, SIDE, SIDE, 200), None, []).side == "lower"
    assert measure(square(flat(60), 0, 60, SIDE, SIDE, 70), None, []).side is None
    # Seven columns: a third is 0-2, 2-4, 4-6 to whoever measures, 120, 80 and 100 on average.
    assert measure(np.array([[120, 120, 120, 120, 0, 181, 120]], np.uint8), None, []).side == "left"


def test_block_means_cover_every_pixel_once() -> None:
    gray = np.random.default_rng(1).integers(0, 256, (101, 37)).astype(np.uint8)
    means, shares, cells = block_means(gray)
    assert shares.sum() == pytest.approx(1)
    assert (means * shares).sum() == pytest.approx(gray.mean())
    assert cells[0, 0] == 0
    assert cells[-1, -1] == 8
