"""Captions compared by their words, and what they say of a flipped image."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.captions import key, normalised, turned


@pytest.mark.parametrize(
    ("said", "mirrored", "turned_over"),
    [
        ("Brighter on the left side than on the right.", "Brighter on the right side than on the left.", None),
        ("Its darkest part is in the upper left.", "Its darkest part is in the upper right.",
         "Its darkest part is in the lower left."),
        ("The upper side is brighter than the lower.", None, "The lower side is brighter than the upper."),
        ("Upper and lower halves differ.", None, "Lower and upper halves differ."),
        ("Ships at the top-left, cars at the bottom", "Ships at the top-right, cars at the bottom",
         "Ships at the bottom-left, cars at the top"),
        ("The leftmost car is warm.", "The rightmost car is warm.", None),
        ("Left of the road, in the centre.", "Right of the road, in the centre.", None),
        ("A top-down view of a right-angled bend, in top view.", None, None),
        ("Ships on the left, by the pier.", "Ships on the right, by the pier.", None),
        ("Lower contrast than before, a right angle, a mast on top of a roof.", None, None),
    ],
)  # fmt: skip
def test_sides_change_places(said: str, mirrored: str | None, turned_over: str | None) -> None:
    assert turned(said, 0) == said
    assert turned(said, 1) == (mirrored or said)
    assert turned(said, 2) == (turned_over or said)
    assert {turned(said, turn) for turn in range(4, 8)} == {None if mirrored or turned_over else said}


def test_what_lies_stands_after_a_quarter_turn() -> None:
    assert [turned("A horizontal road.", turn) for turn in (0, 1, 3, 4, 7)] == ["A horizontal road."] * 3 + [None] * 2


@pytest.mark.parametrize("said", ["Ships on the left by the pier.", "Trees right next to it.", "A wall left standing."])
def test_what_may_be_a_side_or_not_is_not_turned(said: str) -> None:
    assert [turned(said, turn) for turn in range(8)] == [said] + [None] * 7


def test_no_turn_keeps_the_points_of_the_compass() -> None:
    said = "Houses in the northern part, left of the road."
    assert [turned(said, turn) for turn in range(8)] == [said] + [None] * 7


SAID = ["left", "Right", "upper", "lower", "top", "bottom", "on", "of", "half", "the", ",", ".", "and", "UPPER"]
words = st.lists(st.sampled_from(SAID)).map(" ".join)


@given(words | st.text(), st.integers(1, 7))
def test_turned_twice_it_is_as_it_was(text: str, turn: int) -> None:
    once = turned(text, turn)
    if once is None:
        return
    if turn < 4:  # flips are their own inverse
        again = turned(once, turn)
        assert again is not None and normalised(again) == normalised(text) and key(again) == key(text)
    else:
        assert once == text
