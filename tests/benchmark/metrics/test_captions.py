from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.benchmark.metrics.captions import ORDERS, Captions
from fusionrs_builder.errors import FusionError

from .captioned import of

TEXTS = st.lists(st.sampled_from("abc"), max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("candidates", "references", "told"),
    [
        ({}, {}, "no captions"),
        ({"naip/1": "a"}, {}, "naip/1 has a candidate and no reference"),
        ({"naip/1": "a"}, {"naip/1": []}, "naip/1 has a candidate and no reference"),
        ({"naip/1": "a"}, {"naip/1": ["a"], "naip/2": ["b"]}, "naip/2 has references and no candidate"),
        ({"naip/1": "a"}, {"naip/1": "a red car"}, "naip/1 has a string for its references"),
    ],
)
def test_what_cannot_be_scored_is_named(
    candidates: dict[str, str], references: dict[str, list[str]], told: str
) -> None:
    with pytest.raises(FusionError, match=told):
        Captions(candidates, references)


def test_many_such_images_are_counted() -> None:
    with pytest.raises(FusionError, match="image 0, 1, 2, 3, 4 has a candidate and no reference, and 7 more"):
        Captions({str(image): "a" for image in range(12)}, {})


def test_references_come_in_any_order() -> None:
    captions = Captions({"b": "b", "a": "a"}, {"a": ["a a"], "b": ["b b"]})
    assert captions.ids == ("b", "a")
    assert captions.references == [["b b"], ["a a"]]


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=4), min_size=1, max_size=4))
def test_ngrams_of_every_caption_are_counted(images: list[list[str]]) -> None:
    captions = of(*images)
    for order, grams, texts in zip(range(1, ORDERS + 1), captions.ngrams, captions.spelt(), strict=True):
        for image, told in enumerate(images):
            sides = [grams.candidates, *grams.references][: len(told)]
            for caption, counts in zip(told, sides, strict=True):
                words = caption.split()
                found = Counter(" ".join(words[start : start + order]) for start in range(len(words) - order + 1))
                row = counts.toarray()[image]
                assert {text: count for text, count in zip(texts, row, strict=True) if count} == found
            assert all(counts.toarray()[image].sum() == 0 for counts in grams.references[len(told) - 1 :])


def test_lengths() -> None:
    assert of(["a b", "", "a"], ["", "c c c"]).lengths.tolist() == [[2, 0], [0, 3], [1, -1]]
