import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.caption.geometry import CELLS, cell, fill, group_place, locate, region_place

from .scenes import box


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [(0.1, 0.1, "upper left"), (0.5, 0.1, "upper centre"), (0.9, 0.1, "upper right"), (0.1, 0.5, "centre left"),
     (0.5, 0.5, "centre"), (0.9, 0.5, "centre right"), (0.1, 0.9, "lower left"), (0.5, 0.9, "lower centre"),
     (1.0, 1.0, "lower right")],
)  # fmt: skip
def test_cell(x: float, y: float, words: str) -> None:
    assert CELLS[cell(x, y)] == words


def test_locate_clips_and_leaves_out_what_is_not_in_the_frame() -> None:
    placed = locate(
        [
            box("over", -10, -10, 10, 20),
            box("outside", 100, 0, 120, 10),
            box("empty", 5, 5, 5, 9),
            box("turned", 9, 9, 5, 5),
            box("unknown", float("nan"), 0, 5, 5),
            box("tiny", 50.2, 50.2, 50.4, 50.3),
        ],
        width=100,
        height=80,
    )
    assert [one.label for one in placed] == ["over", "tiny"]
    assert (placed[0].x, placed[0].y) == (0.05, 0.125)
    assert placed[0].window == (slice(0, 20), slice(0, 10))
    assert placed[1].window == (slice(50, 51), slice(50, 51))


def test_locate_scales_boxes_and_outlines() -> None:
    (one,) = locate([box("a", 10, 20, 30, 40, [10, 20, 30, 20, 30, 40])], 50, 25, scale=(0.5, 0.25))
    assert one.window == (slice(5, 10), slice(5, 15))
    assert one.outline is not None
    assert one.outline.tolist() == [[5, 5], [15, 5], [15, 10]]


@given(st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 25)), min_size=3, max_size=9))
def test_fill_agrees_with_the_crossing_rule(points: list[tuple[float, float]]) -> None:
    filled = fill(np.array(points), slice(2, 14), slice(3, 18))
    for row in range(2, 14):
        for column in range(3, 18):
            x, y, inside = column + 0.5, row + 0.5, False
            for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
                if (ay <= y) != (by <= y):
                    crossing = ax + (y - ay) * ((bx - ax) / (by - ay))
                    if abs(crossing - x) < 1e-9:
                        break  # on the line: either answer will do
                    inside ^= crossing < x
            else:
                assert filled[row - 2, column - 3] == inside


def test_an_outline_without_a_pixel_counts_as_its_box() -> None:
    (thin,) = locate([box("a", 2, 2, 9, 3, [2, 2.6, 9, 2.6, 9, 2.7])], 20, 20)
    assert thin.interior() is None


@pytest.mark.parametrize(
    ("weights", "words"),
    [((7, 1, 1, 0, 1, 0, 0, 0, 0), "in the upper left"), ((1, 1, 1, 0, 0, 0, 0, 0, 0), "along the top"),
     ((0, 0, 0, 0, 0, 0, 1, 1, 0.2), "along the bottom"), ((1, 0, 0, 1, 0, 0, 1, 0, 0), "along the left side"),
     ((0, 0, 1, 0, 0, 1, 0, 0, 1), "along the right side"), ((0, 0, 0, 1, 1, 1, 0, 0, 0), "across the middle"),
     ((0, 1, 0, 0, 1, 0, 0, 1, 0), "down the middle"), ((1, 1, 1, 1, 1, 1, 1, 1, 1), "across much of the frame"),
     ((1, 0, 0, 0, 0, 0, 0, 0, 1), None), ((0,) * 9, None)],
)  # fmt: skip
def test_region_place(weights: tuple[float, ...], words: str | None) -> None:
    assert region_place(weights) == words


@pytest.mark.parametrize(
    ("centres", "words"),
    [([(10, 10)], "in the upper left"), ([(50, 50), (45, 55)], "both in the centre"),
     ([(80, 80), (90, 90), (70, 75)], "all in the lower right"), ([(10, 10), (20, 90)], "both in the left half"),
     ([(60, 10), (90, 90), (70, 40)], "all in the right half"), ([(10, 10), (90, 20)], "both in the upper half"),
     ([(10, 60), (90, 90)], "both in the lower half"),
     ([(50, 50), (50, 52), (48, 50), (55, 55), (5, 95)], "mostly in the centre"),
     ([(10, 10), (90, 10), (50, 50), (10, 90), (90, 90)], "spread across the frame"),
     ([(10, 10), (90, 90)], None)],
)  # fmt: skip
def test_group_place(centres: list[tuple[float, float]], words: str | None) -> None:
    assert group_place(locate([box("a", x - 1, y - 1, x + 1, y + 1) for x, y in centres], 100, 100)) == words
