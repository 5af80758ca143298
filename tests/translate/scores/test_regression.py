import numpy as np
import pytest
import torch

from fusionrs_builder.translate.pairs import Pair
from fusionrs_builder.translate.scores import regression
from fusionrs_builder.translate.scores.paired import image_scores
from fusionrs_builder.translate.scores.regression import contextual, fit_regressions, quadratic
from tests.translate.conftest import scene


def fitted(make, n=4):
    pairs = [Pair(f"p{seed}", scene(40, 44, seed), make(scene(40, 44, seed))) for seed in range(n)]
    return {each.name: each for each in fit_regressions(pairs, n)}


def error(translator, make):
    rgb = scene(40, 44, 9)
    return image_scores(translator.translate(rgb.transpose(2, 0, 1)[None])[0, 0], make(rgb))["mae"]


def product(rgb):
    r, g, b = (rgb[..., n].astype(float) / 255 for n in range(3))
    return (255 * (0.2 + 0.5 * r * g + 0.3 * b * b)).round().astype(np.uint8)


def texture(rgb):
    return np.clip(600 * contextual(rgb).reshape(*rgb.shape[:2], -1)[..., 6], 0, 255).astype(np.uint8)


def test_the_quadratic_one_finds_a_quadratic_band():
    assert error(fitted(product)["quadratic regression"], product) < 1


def test_the_boosted_one_sees_what_lies_around():
    found = fitted(texture)
    assert error(found["boosted regression"], texture) < 0.5 * error(found["quadratic regression"], texture)


def test_features_are_what_they_say():
    rgb = scene(24, 30)
    assert quadratic(rgb).shape == (720, 10)
    seen = contextual(rgb).reshape(24, 30, 21)
    part = rgb[8:13, 10:15].reshape(-1, 3) / 255
    assert seen[10, 12, :3] == pytest.approx(rgb[10, 12] / 255)
    assert seen[10, 12, 3:6] == pytest.approx(part.mean(0), abs=1e-5)
    assert seen[10, 12, 6:9] == pytest.approx(part.std(0), abs=1e-4)


def test_they_are_translators_and_the_same_for_the_same_seed():
    found, again = fitted(product), fitted(product)
    batch = np.stack([scene(20, 26, seed).transpose(2, 0, 1) for seed in range(2)])
    for name, each in found.items():
        drawn = each.translate(batch)
        assert (drawn.shape, drawn.dtype, each.source, each.band) == ((2, 1, 20, 26), np.uint8, name, "nir")
        assert np.array_equal(drawn, again[name].translate(batch))
        assert np.array_equal(drawn[1], each.translate(batch[1:])[0])
        assert torch.equal(each.translate(torch.from_numpy(batch)), torch.from_numpy(drawn))
        with pytest.raises(ValueError, match="uint8"):
            each.translate(batch.astype(np.float32))


def test_no_more_pixels_are_fitted_on_than_are_said(monkeypatch):
    from sklearn.ensemble import HistGradientBoostingRegressor

    seen = []
    fit = HistGradientBoostingRegressor.fit
    monkeypatch.setattr(
        HistGradientBoostingRegressor, "fit", lambda self, x, y: seen.append(x.shape) or fit(self, x, y)
    )
    monkeypatch.setattr(regression, "PIXELS", 100)
    fitted(product)
    assert seen == [(100, 21)]


def test_without_pairs_there_are_none():
    assert fit_regressions([], 0) == []
