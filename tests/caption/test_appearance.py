import numpy as np
import pytest

from fusionrs_builder.caption.appearance import colours, look, luminance

from .scenes import colour


@pytest.mark.parametrize(
    ("rgb", "name"),
    [((40, 140, 50), "green"), ((40, 60, 170), "blue"), ((30, 110, 120), "blue-green"), ((120, 85, 50), "brown"),
     ((220, 190, 150), "tan"), ((190, 30, 30), "red"), ((120, 120, 120), "grey"), ((240, 240, 240), "white"),
     ((20, 22, 18), "dark"), ((120, 105, 103), "muted"), ((110, 110, 70), "olive"), ((130, 60, 150), "purple"),
     ((150, 105, 98), "brown")],
)  # fmt: skip
def test_a_single_colour_is_named(rgb: tuple[int, int, int], name: str) -> None:
    assert colours(colour(*rgb)) == (name,)


def test_two_colours_and_none() -> None:
    green, brown, blue = colour(40, 140, 50), colour(120, 85, 50), colour(40, 60, 170)
    assert colours(np.concatenate([green, green[:10], brown])) == ("green", "brown")
    assert colours(np.concatenate([green, brown, blue])) in (("green", "brown"), ("brown", "green"), ("brown", "blue"))
    many = np.concatenate([green, brown, blue, colour(120, 120, 120)])
    assert colours(many) == ()


def test_luma_and_brightest_cell() -> None:
    rgb = colour(60, 60, 60)
    rgb[64:, :32] = 200
    seen = look(rgb)
    assert (seen.brightest, seen.darkest) == ("lower left", None)
    assert seen.brightness == pytest.approx(60 + 140 / 9, abs=2)
    rgb[:32, 32:64] = 0
    assert look(rgb).darkest == "upper centre"
    rgb[:32, :32] = 200
    assert look(rgb).brightest is None
    assert luminance(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)).tolist() == [
        [76, 149, 28, 255]
    ]


def test_any_size_is_measured_and_what_is_no_image_refused() -> None:
    assert look(np.zeros((1, 1, 3), np.uint8)).colours == ("dark",)
    with pytest.raises(ValueError, match="rgb must be"):
        look(np.zeros((5, 5), np.uint8))
