import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.benchmark.metrics.rouge import rouge_l

from .captioned import NAMES, assert_equal, captions, of


@pytest.mark.parametrize("name", NAMES)
def test_as_pycocoevalcap(name: str) -> None:
    assert_equal(rouge_l(captions(name)), name, "ROUGE-L")


def score(precision: float, recall: float) -> float:
    return (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)


def test_by_hand() -> None:
    scores = rouge_l(of(["a b c d", "b x d", "a y z w v u c"], ["a", "a"], ["a", "b"]))
    assert scores.images == pytest.approx([score(2 / 4, 2 / 3), 1, 0]), "the best precision and the best recall"
    assert scores.corpus == pytest.approx(scores.images.mean())


def test_a_caption_of_no_words_is_one_empty_word() -> None:
    assert rouge_l(of(["", "a b"], ["a b", ""], ["", ""], ["", "a", ""])).images.tolist() == [0, 0, 1, 1]


def longest_common(one: list[str], other: list[str]) -> int:
    lengths = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, word in enumerate(one, 1):
        for j, their in enumerate(other, 1):
            here = lengths[i - 1][j - 1] + 1 if word == their else 0
            lengths[i][j] = max(here, lengths[i - 1][j], lengths[i][j - 1])
    return lengths[-1][-1]


WORDS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=80)


@given(WORDS, WORDS)
def test_the_longest_common_subsequence(one: list[str], other: list[str]) -> None:
    common = longest_common(one, other)
    expected = score(common / len(one), common / len(other)) if common else 0
    assert rouge_l(of([" ".join(one), " ".join(other)])).corpus == pytest.approx(expected)
