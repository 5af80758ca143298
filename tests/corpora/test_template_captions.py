from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.corpora import template_captions
from fusionrs_builder.corpora.reader import box

SIZE = (100, 80)
MIDDLE, CORNER = (45, 35, 55, 45), (2, 2, 8, 8)


def put(label: str, place: tuple[int, int, int, int] = CORNER, count: int = 1) -> list[dict[str, Any]]:
    return [box(label, *map(float, place)) for _ in range(count)]


def test_what_is_in_the_centre_what_is_not_and_how_many_there_are() -> None:
    boxes = put("car", MIDDLE, 2) + put("storage_tank", MIDDLE) + put("car", count=11)
    assert template_captions.of(boxes, {}, SIZE) == [
        "There are two cars and one storage tank in the center of the image.",
        "There are many cars away from the center of the image.",
        "The image shows many cars and one storage tank.",
    ]


def test_an_object_alone_takes_the_singular() -> None:
    assert template_captions.of(put("ship", MIDDLE), {}, SIZE) == ["There is one ship in the center of the image."]


def test_ten_are_counted_and_eleven_are_many() -> None:
    assert "ten cars" in template_captions.of(put("car", count=10), {}, SIZE)[0]
    assert "many cars" in template_captions.of(put("car", count=11), {}, SIZE)[0]


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"water": 1.0}, "Nearly all of the image is covered by water."),
        ({"water": 0.49, "low vegetation": 0.26, "road": 0.1, "dust": 0.004},
         "About half of the image is covered by water, about a quarter by low vegetation and about a tenth by roads."),
        ({"building": 0.34, "tree": 0.66},
         "About two thirds of the image is covered by trees and about a third by buildings."),
        ({"water": 0.03}, "A small part of the image is covered by water."),
    ],
)  # fmt: skip
def test_areas_are_told_in_plain_fractions(shares: dict[str, float], said: str) -> None:
    assert template_captions.of([], shares, SIZE) == [said]


@pytest.mark.parametrize(
    ("label", "many"),
    [
        ("person", "people"), ("bus", "buses"), ("aircraft", "aircraft"), ("OtherVehicle", "other vehicles"),
        ("ferry", "ferries"), ("vehicles", "vehicles"), ("glass", "glasses"), ("swimming-pool", "swimming pools"),
    ],
)  # fmt: skip
def test_labels_become_words(label: str, many: str) -> None:
    assert template_captions.of(put(label, count=3), {}, SIZE) == [
        f"There are three {many} away from the center of the image."
    ]


def test_nothing_to_say() -> None:
    assert template_captions.of([], {"water": 0.001}, SIZE) == []


@given(
    st.lists(st.tuples(st.text(max_size=12), st.floats(0, 90), st.floats(0, 70)), max_size=40),
    st.dictionaries(st.text(max_size=12), st.floats(0, 1), max_size=8),
)
def test_any_label_gives_whole_sentences(objects: list[tuple[str, float, float]], shares: dict[str, float]) -> None:
    boxes = [box(label, x, y, x + 10, y + 10) for label, x, y in objects]
    for sentence in template_captions.of(boxes, shares, SIZE):
        assert sentence.endswith(".")
        assert "  " not in sentence
