import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fusionrs_builder.corpora import mask_boxes

NAMES = ("building", "water", "car")


def mask(*rectangles: tuple[int, int, int, int, int]) -> np.ndarray:
    found = np.full((60, 80), -1, np.int16)
    for number, x0, y0, x1, y1 in rectangles:
        found[y0:y1, x0:x1] = number
    return found


def sides(boxes: list[dict]) -> list[tuple]:
    return [(one["label"], one["x0"], one["y0"], one["x1"], one["y1"]) for one in boxes]


def test_each_component_of_a_class_of_things_is_a_box() -> None:
    found = mask((0, 2, 3, 12, 9), (0, 20, 3, 24, 7), (1, 30, 30, 60, 50), (2, 0, 20, 4, 25))
    assert sides(mask_boxes.boxes(found, NAMES)) == [
        ("building", 2, 3, 12, 9), ("building", 20, 3, 24, 7), ("car", 0, 20, 4, 25),
    ]  # fmt: skip


def test_pixels_that_meet_at_a_corner_are_one_and_specks_are_none() -> None:
    found = mask((0, 0, 0, 5, 5), (0, 5, 5, 10, 10), (0, 40, 40, 43, 43))
    assert sides(mask_boxes.boxes(found, NAMES)) == [("building", 0, 0, 10, 10)]


def test_only_so_many_boxes_are_kept_the_largest() -> None:
    found = np.full((600, 600), -1, np.int16)
    for number in range(400):
        y, x = divmod(number, 20)
        found[y * 30 : y * 30 + 5, x * 30 : x * 30 + 5 + number // 40] = 0
    boxes = mask_boxes.boxes(found, NAMES)
    assert len(boxes) == mask_boxes.MAX_BOXES
    assert min(one["x1"] - one["x0"] for one in boxes) >= 7


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        ("building", True), ("Buildings", True), ("swimming pool", True), ("storage_tank", True), ("water", False),
        ("tree", False), ("impervious surface", False), ("developed structures", False), ("", False),
    ],
)  # fmt: skip
def test_things_are_told_from_ground_by_the_last_word(name: str, thing: bool) -> None:
    assert mask_boxes.is_thing(name) == thing


@given(arrays(np.int16, (9, 13), elements=st.integers(-1, 2)))
def test_shares_and_boxes_hold_for_any_mask(classes: np.ndarray) -> None:
    shares = mask_boxes.shares(classes, NAMES)
    assert sum(shares.values()) == pytest.approx((classes >= 0).mean())
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    for one in mask_boxes.boxes(classes, NAMES):
        inside = classes[int(one["y0"]) : int(one["y1"]), int(one["x0"]) : int(one["x1"])]
        assert (inside == NAMES.index(one["label"])).sum() >= mask_boxes.MIN_PIXELS
