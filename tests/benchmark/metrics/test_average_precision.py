import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from fusionrs_builder.benchmark.metrics.average_precision import presence
from fusionrs_builder.errors import FusionError
from fusionrs_builder.intervals import compare, resamples

CLASSES = ("car", "person", "ship")


def example(seed, count, levels=6):
    """Scores of few levels, so that many tie, and what the images show."""
    random = np.random.default_rng(seed)
    truth = random.random((count, 3)) < (0.5, 0.2, 0.1)
    truth[0] = True
    scores = random.integers(0, levels, (count, 3)) / levels + (0.3 * truth).round(1)
    return scores, truth


@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.sampled_from([1, 6, 10**6]))
@settings(max_examples=40, deadline=None)
def test_it_is_that_of_scikit_learn(seed, count, levels):
    scores, truth = example(seed, count, levels)
    found = presence(scores, truth, CLASSES)
    expected = [average_precision_score(truth[:, c], scores[:, c]) for c in range(3)]
    assert [found.classes[name].value for name in CLASSES] == pytest.approx(expected, abs=1e-12)
    assert found.mean.value == pytest.approx(average_precision_score(truth, scores, average="macro"), abs=1e-12)
    assert (found.absent, found.images, found.failed) == ((), count, 0)


def test_resamples_are_scored_as_tables_of_their_own():
    scores, truth = example(1, 50)
    found = presence(scores, truth, CLASSES, seed=3)
    for number, rows in enumerate(resamples(50, 3)[:200]):
        shown = truth[rows].any(axis=0)
        values = [average_precision_score(truth[rows, c], scores[rows, c]) if shown[c] else np.nan for c in range(3)]
        np.testing.assert_allclose([found.classes[name].resampled[number] for name in CLASSES], values, atol=1e-12)
        assert found.mean.resampled[number] == pytest.approx(np.nanmean(values), abs=1e-12)


def test_a_class_that_no_image_shows_is_left_out_and_named():
    scores, truth = example(2, 30)
    truth[:, 1] = False
    found = presence(scores, truth, CLASSES)
    assert found.absent == ("person",)
    assert list(found.classes) == ["car", "ship"]
    assert found.mean.value == pytest.approx(np.mean([each.value for each in found.classes.values()]))


def test_positives_of_failed_images_are_never_found_and_stay_in_the_denominator():
    scores, truth = example(4, 60)
    failed = np.arange(60) % 6 == 0
    scores[failed] = np.nan
    found = presence(scores, truth, CLASSES, failed)
    assert found.failed == 10
    for c, name in enumerate(CLASSES):
        kept = average_precision_score(truth[~failed, c], scores[~failed, c])
        assert found.classes[name].value == pytest.approx(kept * truth[~failed, c].sum() / truth[:, c].sum())
    assert presence(scores, truth, CLASSES, np.ones(60, bool)).mean.value == 0


def test_two_models_are_compared_on_the_same_images():
    scores, truth = example(5, 200, 10**6)
    a, b = (presence(given, truth, CLASSES) for given in (scores, scores + 1e-3 * (np.arange(200) % 5)[:, None]))
    table = compare({"a": {"mAP": a.mean, **a.classes}, "b": {"mAP": b.mean, **b.classes}})
    alone, less = table["scores"]["a"]["mAP"], table["differences"]["b"]["mAP"]
    assert less["high"] - less["low"] < 0.2 * (alone["high"] - alone["low"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": [[0.1, np.nan]]}, r"image 0 \(from 0, of 1\): the score of 'ship' is not a number"),
        ({"truth": [[False, False]]}, "no image shows any of the classes car, ship: are labels spelled"),
        ({"truth": [[True, False, True]]}, r"scores \(1, 2\), truth \(1, 3\)"),
        ({"classes": ["car"]}, "and 1 classes do not fit"),
        ({"classes": ["car", "car"]}, "each its own: 'car', 'car'"),
        ({"classes": ["car", " "]}, "must have names"),
        ({"scores": np.empty((0, 2)), "truth": np.empty((0, 2))}, "no image shows any"),
        ({"failed": [True, False]}, r"failed \(2,\)"),
    ],
)
def test_bad_input_is_told_plainly(change, message):
    given = {"scores": [[0.1, 0.2]], "truth": [[True, False]], "classes": ["car", "ship"]} | change
    with pytest.raises(FusionError, match=message):
        presence(**given)
