import numpy as np
import pytest

from fusionrs_builder.translate.scores.c2st import features, told_apart


def views(n, seed, blur=0):
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        view = rng.integers(0, 256, (32, 32)).astype(float)
        for _ in range(blur):
            view = (view + np.roll(view, 1, 0) + np.roll(view, 1, 1) + np.roll(view, (1, 1), (0, 1))) / 4
        made.append(view.astype(np.uint8))
    return [features(view) for view in made]


def names(*counts):
    return [f"{kind}{n}" for kind, count in zip("dr", counts, strict=True) for n in range(count)]


def test_two_samples_of_one_kind_cannot_be_told_apart():
    right = told_apart(views(60, 0), views(60, 1), names(60, 60))
    assert len(right) == 120
    assert 0.3 < np.mean(right) < 0.7


def test_two_kinds_can():
    assert np.mean(told_apart(views(40, 0), views(40, 1, blur=2), names(40, 40))) > 0.95


def test_a_group_is_never_in_both_sets():
    # Copies of a few views: whoever has seen one knows its copies, unless they are kept together.
    few, others = views(10, 0), views(10, 1)
    drawn, real = few * 8, others * 8
    apart = told_apart(drawn, real, names(80, 80))
    together = told_apart(drawn, real, [f"{kind}{n % 10}" for kind in "dr" for n in range(80)])
    assert np.mean(apart) > 0.95 > 0.8 > np.mean(together)


def test_the_same_seed_says_the_same():
    a, b = views(20, 0), views(20, 1, blur=1)
    assert told_apart(a, b, names(20, 20), seed=3) == told_apart(a, b, names(20, 20), seed=3)


def test_one_group_cannot_be_folded():
    assert "one group" in told_apart(views(5, 0), views(5, 1), ["d"] * 5 + names(0, 5))


def test_features_are_shares_and_a_slope():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 64), dtype=np.uint8)
    found = features(noise)
    assert found.shape == (47,)
    for part in (found[:16], found[16:28], found[28:38]):
        assert part.sum() == pytest.approx(1)
    assert abs(found[-1]) < 0.3  # white noise has a flat spectrum
    smooth = np.cumsum(np.cumsum(noise.astype(float) - 127.5, 0), 1)
    smooth = ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)
    assert features(smooth)[-1] < -1.5
    assert features(np.rot90(noise))[28:38] == pytest.approx(found[28:38])


def test_a_flat_view_has_features():
    assert np.isfinite(features(np.full((32, 32), 9, np.uint8))).all()
