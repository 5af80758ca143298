import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from fusionrs_builder.translate.scores.statistics import STATISTICS, gaps, saturation, statistics


def test_statistics_of_a_ramp():
    view = np.repeat(np.arange(0, 160, 10, dtype=np.uint8)[None], 16, axis=0)
    found = statistics(view)
    assert tuple(found) == STATISTICS
    assert found["intensity"] == 75
    assert found["contrast"] == pytest.approx(view.std())
    assert found["entropy"] == pytest.approx(4)
    assert found["edges"] == 80  # (1 + 2 + 1) * (10 + 10)
    assert found["laplacian"] == 0
    assert found["saturation"] == saturation(view) == 1 / 16


def test_a_sharp_view_has_a_larger_laplacian():
    view = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    smooth = ((view[:-1, :-1].astype(int) + view[1:, 1:]) // 2).astype(np.uint8)
    assert statistics(view)["laplacian"] > statistics(smooth)["laplacian"] > 0


values = st.lists(st.floats(-100, 100), min_size=12, max_size=12)


@given(values, values)
def test_the_gap_is_scipys_wasserstein_distance(drawn, real):
    unit = np.std(real) or 1.0
    (found,) = gaps({"a": drawn}, real)[0].values()
    assert found.mean == pytest.approx(wasserstein_distance(drawn, real) / unit, rel=1e-6, abs=1e-6)


def test_spread_counts_where_means_agree():
    real = list(np.linspace(0, 10, 60))
    near, far = gaps({"like": list(np.linspace(0.1, 9.9, 60)), "flat": [5.0] * 60}, real)[0].values()
    assert near.mean < 0.1 < 0.5 < far.mean


def test_closer_is_negative_and_sure_when_it_is():
    rng = np.random.default_rng(0)
    real = list(rng.normal(0, 1, 80))
    drawn = {"new": list(rng.normal(0.2, 1, 80)), "gray": list(rng.normal(3, 1, 80))}
    scores, farther = gaps(drawn, real)
    assert list(farther) == ["gray"]
    assert farther["gray"].mean == pytest.approx(scores["new"].mean - scores["gray"].mean)
    assert farther["gray"].high < 0


def test_a_unit_has_a_floor():
    assert gaps({"a": [0.5] * 9}, [0.0] * 9)[0]["a"].mean == 0.5
    assert gaps({"a": [0.5] * 9}, [0.0] * 9, least=0.01)[0]["a"].mean == pytest.approx(50)
