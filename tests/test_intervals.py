import json

import numpy as np
import pytest

from fusionrs_builder.intervals import BOOTSTRAP, average, compare, draws, interval, means, resamples, summarise, table


def test_a_difference_is_taken_image_by_image():
    hard = np.random.default_rng(0).normal(0, 10, 50)
    values = {"new": {"psnr": list(hard + 1)}, "gray": {"psnr": list(hard)}}
    found = table(values)
    assert found["scores"]["new"]["psnr"]["low"] < found["scores"]["gray"]["psnr"]["high"]
    less = found["differences"]["gray"]["psnr"]
    assert (less["mean"], less["low"], less["high"]) == (pytest.approx(1), pytest.approx(1), pytest.approx(1))
    assert list(found["differences"]) == ["gray"]
    assert json.loads(json.dumps(found)) == found


def test_a_difference_that_is_none_has_an_interval_about_it():
    rng = np.random.default_rng(1)
    less = table({"a": {"m": list(rng.normal(size=100))}, "b": {"m": list(rng.normal(size=100))}})["differences"]["b"][
        "m"
    ]
    assert less["low"] < 0 < less["high"]


def test_one_image_has_no_width():
    score = summarise([3.0])
    assert (score.mean, score.low, score.high) == (3, 3, 3)


def test_the_interval_leaves_out_a_fortieth_on_either_side():
    score = interval(50.0, np.arange(101.0))
    assert (score.low, score.high) == (2.5, 97.5)


def test_draws_are_the_resamples_in_parts(monkeypatch):
    monkeypatch.setattr("fusionrs_builder.intervals.CELLS", 7 * 300)
    whole = np.stack([np.bincount(row, minlength=7) for row in resamples(7, 5)])
    parts = list(draws(7, 5))
    assert len(parts) == 7 and len(parts[-1]) == BOOTSTRAP - 6 * 300
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_values_of_an_image_are_resampled_together():
    rng = np.random.default_rng(2)
    images = rng.integers(100, 130, 200)  # several values an image, not as many of each
    values = rng.normal(size=200)
    found = means({"m": (values, images)}, seed=4)["m"]
    names = np.unique(images)
    assert (found.value, found.n) == (pytest.approx(values.mean()), len(names))
    for row, resampled in zip(resamples(len(names), 4), found.resampled, strict=True):
        assert resampled == pytest.approx(np.concatenate([values[images == names[at]] for at in row]).mean())


def test_copies_of_an_image_do_not_make_an_interval_narrower():
    values = np.random.default_rng(3).normal(size=80)
    alone = summarise(list(values))
    found = means({"once": (values, np.arange(80)), "five times": (np.repeat(values, 5), np.repeat(range(80), 5))})
    for each in found.values():
        assert (each.score.mean, each.score.low, each.score.high) == (
            pytest.approx(alone.mean), pytest.approx(alone.low), pytest.approx(alone.high)
        )  # fmt: skip
    assert summarise(list(np.repeat(values, 5))).low > alone.low


def test_metrics_are_resampled_as_one_set_of_images():
    values = np.random.default_rng(4).normal(size=60)
    found = means({"a": (values, np.arange(60)), "b": (1 - values, np.arange(60))})
    mean = average([found["a"], found["b"]])
    np.testing.assert_allclose(mean.resampled, 0.5)
    less = compare({"x": {"m": found["a"]}, "y": {"m": found["a"]}})["differences"]["y"]["m"]
    assert less == {"mean": 0, "low": 0, "high": 0}


def test_a_resample_without_an_image_of_a_metric_is_left_out_of_its_interval():
    found = means({"rare": ([2.0, 2.0], [0, 0]), "common": (np.zeros(4), np.arange(4))})["rare"]
    share = np.isnan(found.resampled).mean()
    assert share == pytest.approx(0.75**4, abs=0.04)
    assert (found.score.low, found.score.high) == (2, 2)


def test_differences_are_of_the_same_images():
    found = [means({"m": (np.zeros(n), np.arange(n))}) for n in (3, 4)]
    with pytest.raises(ValueError, match="same images, not on 3 and 4"):
        compare({"a": found[0], "b": found[1]})


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_means_are_of_finite_values(values):
    with pytest.raises(ValueError, match="recall: no values, or some that are not finite"):
        means({"recall": (values, range(len(values)))})
