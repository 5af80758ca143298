import json

import numpy as np
import pytest

from fusionrs_builder.translate.scores.intervals import interval, summarise, table


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
