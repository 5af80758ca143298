import numpy as np
import pytest

from fusionrs_builder.translate.scores.paired import image_scores, ndvi_error


def test_mae_is_in_grey_levels():
    a = np.full((8, 8), 10, np.uint8)
    assert image_scores(a, a + np.uint8(200))["mae"] == 200
    assert image_scores(a + np.uint8(200), a)["mae"] == 200


def test_ndvi_error_is_that_of_the_ratios():
    rgb = np.zeros((1, 3, 3), np.uint8)
    rgb[..., 0] = [50, 100, 0]
    drawn, measured = np.array([[150, 100, 0]], np.uint8), np.array([[50, 0, 0]], np.uint8)
    # 100/200 against 0; 0 against -1; a pixel black in both bands is 0.
    assert ndvi_error(drawn, measured, rgb) == pytest.approx((0.5 + 1 + 0) / 3)
    assert ndvi_error(measured, measured, rgb) == 0
