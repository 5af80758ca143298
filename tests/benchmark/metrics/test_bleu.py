import math

import pytest

from fusionrs_builder.benchmark.metrics.bleu import bleu

from .captioned import NAMES, assert_equal, captions, of


@pytest.mark.parametrize("name", NAMES)
def test_as_pycocoevalcap(name: str) -> None:
    for order, scores in enumerate(bleu(captions(name)), 1):
        assert_equal(scores, name, f"BLEU-{order}")


def test_by_hand() -> None:
    scores = bleu(of(["the the the cat", "the cat sat on the mat", "a"]))
    # `the` counts twice, as often as in one reference; of the bigrams `the cat` counts.
    shortness = math.exp(1 - 6 / 4)
    assert [each.corpus for each in scores] == pytest.approx(
        [shortness * 3 / 4, shortness * (3 / 4 * 1 / 3) ** 0.5, 0, 0], abs=1e-4
    )


@pytest.mark.parametrize(
    ("references", "penalty"),
    [(["a b c d e f", "a b"], 1), (["a b c d e f", "a"], math.exp(1 - 6 / 4)), (["a b c d", "a b c d e"], 1)],
)
def test_the_reference_nearest_in_length_counts_and_of_two_the_shorter(references: list[str], penalty: float) -> None:
    one, *_ = bleu(of(["a b c d", *references]))
    assert one.corpus == pytest.approx(penalty)


def test_a_corpus_pools_the_counts_of_its_images() -> None:
    one, *_ = bleu(of(["a b", "a b"], ["c d e f g h", "x c d y z w"]))
    assert one.images == pytest.approx([1, 2 / 6])
    assert one.corpus == pytest.approx(4 / 8)


def test_empty_captions() -> None:
    scores = bleu(of(["", "a b"], ["", ""], ["a", ""], ["a b c d", "a b c d"]))
    assert [each.images.tolist() for each in scores] == [[pytest.approx(value, abs=1e-5) for value in (0, 0, 0, 1)]] * 4
