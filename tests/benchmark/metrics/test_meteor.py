import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.benchmark.metrics.meteor import meteor_exact

from .captioned import NAMES, captions, fixture, of


@pytest.mark.parametrize("name", NAMES)
def test_as_meteor_1_5_with_its_first_stage(name: str) -> None:
    scores, stored = meteor_exact(captions(name)), fixture(name)
    above = scores.images - stored["images"]["METEOR-exact"]
    assert above.min() > -1e-6
    # Of these captions METEOR's 40 alignments miss the best one once; there its score is lower.
    assert (above > 1e-6).sum() == {"random": 0, "written": 1}[name]
    assert scores.corpus == pytest.approx(stored["corpus"]["METEOR-exact"], abs=1e-6 if name == "random" else 3e-4)


def meteor(precision: float, recall: float, fragments: float) -> float:
    return precision * recall / (0.85 * precision + 0.15 * recall) * (1 - 0.6 * fragments**0.2)


def test_by_hand() -> None:
    scores = meteor_exact(of(["red car", "car red"], ["the red car", "the red car stops"], ["red car", "blue bus"]))
    assert scores.images == pytest.approx([meteor(1, 1, 2 / 2), meteor(1, (0.25 + 1.5) / (0.25 + 2.25), 1 / 3), 0])
    assert scores.corpus == pytest.approx(meteor((1.5 + 1.75) / 4.75, (1.5 + 1.75) / (1.5 + 2.5 + 1.5), 3 / 5))


def test_an_equal_caption_has_no_fragments() -> None:
    scores = meteor_exact(of(["red car", "red car"], ["the bus the", "the bus the", "bus the the"]))
    assert scores.images.tolist() == [1, 1]
    assert scores.corpus == 1


def test_the_best_reference_counts() -> None:
    one, other = "a red car", "a red car on a road"
    best = meteor_exact(of(["a red car on a wet road", one, other])).corpus
    assert best == max(meteor_exact(of(["a red car on a wet road", each])).corpus for each in (one, other))


def test_empty_captions() -> None:
    assert meteor_exact(of(["", "a b"], ["a b", ""], ["", ""])).images.tolist() == [0, 0, 0]
    assert meteor_exact(of(["", ""])).corpus == 0


def fewest_chunks(words: list[str], others: list[str]) -> tuple[int, int]:
    """Words matched, and the runs they make up, of the best of all alignments."""
    best = (0, 0)
    choices = [[None, *(place for place, other in enumerate(others) if other == word)] for word in words]
    for chosen in itertools.product(*choices):
        taken = [place for place in chosen if place is not None]
        if len(set(taken)) == len(taken):
            steps = itertools.pairwise((None, *chosen))
            runs = sum(here is not None and (last is None or here != last + 1) for last, here in steps)
            best = max(best, (len(taken), -runs))
    return best[0], -best[1]


WORDS = st.lists(st.sampled_from(["red", "car", "road"]), min_size=1, max_size=6)


@given(WORDS, WORDS)
def test_the_best_alignment_is_found(words: list[str], others: list[str]) -> None:
    matched, chunks = fewest_chunks(words, others)
    expected = meteor(matched / len(words), matched / len(others), chunks / matched) if matched else 0
    found = meteor_exact(of([" ".join(words), " ".join(others)])).corpus
    assert found == pytest.approx(1 if words == others else expected)


def test_a_caption_that_repeats_one_word_is_soon_scored() -> None:
    scores = meteor_exact(of(["the car " * 60, "the car the road " * 20]))
    assert np.isfinite(scores.corpus) and 0 < scores.corpus < 1
