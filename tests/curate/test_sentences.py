import time

import numpy as np
import pytest

from fusionrs_builder.captions import normalised
from fusionrs_builder.curate import groups, sentences
from fusionrs_builder.curate.sentences import BOILERPLATE, COMMON, Sentences


def told(*captions: list[str]) -> Sentences:
    pairs = [(n, key) for n, texts in enumerate(captions) for key in sorted({sentences.key(text) for text in texts})]
    return Sentences(
        np.array([record for record, _ in pairs], np.int64),
        np.array([key for _, key in pairs], np.uint64),
        len(captions),
    )


def grouped(*captions: list[str]) -> list[int]:
    return groups.connected(len(captions), [told(*captions).links()]).tolist()


def test_normalised_as_fusionrs_does() -> None:
    assert normalised("  Two planes,  are parked!") == "two planes are parked"
    assert normalised("STRASSE ﬁne") == normalised("straße fine")
    assert normalised("the airport's runway") == "the airports runway"
    assert normalised("... !?") == ""


def test_one_caption_each() -> None:
    assert grouped(["A red roof."], ["a green field"], ["a red roof"]) == [0, 1, 0]


def test_lists_that_share_half_of_the_shorter() -> None:
    a, b, c, d, e = "a one", "b two", "c three", "d four", "e five"
    assert grouped([a, b, c, d, e], [a, "x", "y", "z", "w"]) == [0, 1], "one of five is a common phrase"
    assert grouped([a, b, c, d, e], [a, b, c, "z", "w"]) == [0, 0]
    assert grouped([a, b, c, d, e], [c]) == [0, 0], "one corpus kept one caption of the five"
    assert grouped([a, b], [b, c]) == [0, 0]


def test_a_common_sentence_links_only_where_all_captions_are_equal() -> None:
    common = [["many trees are in a forest"]] * (COMMON + 1)
    found = grouped(*common, ["many trees are in a forest", "a lone pond"])
    assert set(found[:-1]) == {0}
    assert found[-1] == 1


def test_records_without_captions_join_nothing() -> None:
    assert grouped([], [], ["a"], []) == [0, 1, 2, 3]
    assert grouped([], []) == [0, 1]


def test_repeats_of_the_rarest_sentence() -> None:
    assert told(["a", "b"], ["b"], [], ["b", "c"]).repeats().tolist() == [1, 3, 0, 1]


def test_blocks_of_records_see_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "ROWS", 2)
    assert grouped(["a"], ["b"], ["c"], ["b", "d"], ["a"]) == [0, 1, 2, 1, 0]


@pytest.mark.parametrize(
    "text",
    ["IMG_0231.jpg", "photo", "", "12", "© 2019 Getty Images", "see https://example.org", "No caption", "Image 5"],
)
def test_boilerplate(text: str) -> None:
    assert BOILERPLATE.search(text)


@pytest.mark.parametrize(
    "text", ["a photo of a harbour", "12 ships", "an image of imgr", "a copy of a picture of a field"]
)
def test_no_boilerplate(text: str) -> None:
    assert not BOILERPLATE.search(text)


def test_a_long_rule_of_dashes_takes_no_time() -> None:
    started = time.perf_counter()
    assert not BOILERPLATE.search("-" * 2000 + " a harbour")
    assert time.perf_counter() - started < 1
