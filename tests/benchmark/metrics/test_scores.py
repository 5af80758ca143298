import numpy as np
import pytest

from fusionrs_builder.benchmark.metrics.bleu import bleu
from fusionrs_builder.benchmark.metrics.captions import Captions
from fusionrs_builder.benchmark.metrics.meteor import meteor_exact
from fusionrs_builder.benchmark.metrics.rouge import rouge_l
from fusionrs_builder.benchmark.metrics.scores import Scores
from fusionrs_builder.intervals import resamples

from .captioned import captions


@pytest.fixture(scope="module")
def some() -> list[tuple[str, list[str]]]:
    stored = captions("written")
    return list(zip(stored.candidates, stored.references, strict=True))[::10]


def scored(chosen: list[tuple[str, list[str]]]) -> list[Scores]:
    told = Captions(
        {str(image): candidate for image, (candidate, _) in enumerate(chosen)},
        {str(image): references for image, (_, references) in enumerate(chosen)},
    )
    return [*bleu(told), rouge_l(told), meteor_exact(told)]


def test_a_resample_scores_what_a_corpus_of_these_images_does(some: list[tuple[str, list[str]]]) -> None:
    first = resamples(len(some), 7)[0]
    again = scored([some[image] for image in first])
    for scores, expected in zip(scored(some), again, strict=True):
        estimate = scores.estimate(7)
        assert estimate.resampled[0] == pytest.approx(expected.corpus)
        assert estimate.value == scores.corpus
        assert estimate.score.low < estimate.value < estimate.score.high
        assert estimate.n == len(some)


def test_the_same_each_time(some: list[tuple[str, list[str]]]) -> None:
    for one, other in zip(scored(some), scored(some), strict=True):
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.estimate().resampled, other.estimate().resampled)


def test_the_order_of_images_changes_nothing(some: list[tuple[str, list[str]]]) -> None:
    for one, other in zip(scored(some), scored(some[::-1]), strict=True):
        assert one.images == pytest.approx(other.images[::-1])
        assert one.corpus == pytest.approx(other.corpus)
