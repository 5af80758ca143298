import json

import numpy as np
import pytest
import rasterio

from fusionrs_builder.translate import checkpoint
from fusionrs_builder.translate.evaluate import evaluate
from fusionrs_builder.translate.pairs import Pair
from fusionrs_builder.translate.translator import WEIGHTS, embedded, load_translator, translator_identity
from tests.translate.conftest import scene

HELD_OUT = ("20190904", "20200831")


@pytest.mark.parametrize("name", embedded())
def test_embedded_weights_are_small_and_have_a_card(name):
    folder = WEIGHTS / name
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 5_000_000
    found = checkpoint.find(folder)
    card = (folder / "README.md").read_text()
    assert found.name == name
    for words in (found.sha256, "## Data", "## Recipe", "## Scores", "## Limits", "gray-inverted"):
        assert words in card, words
    config = json.loads((folder / "config.json").read_text())
    mean = config["scores"]["scores"][name]["correlation"]["mean"]
    assert f"| {mean:.2f} (" in card


def test_nir_small_comes_with_the_package():
    drawer = load_translator("nir-small")
    assert translator_identity("nir-small") == (drawer.source, "nir", drawer.sha256)
    rgb = np.stack([scene(48, 64, seed).transpose(2, 0, 1) for seed in range(3)])
    drawn = drawer.translate(rgb)
    assert (drawn.shape, drawn.dtype) == ((3, 1, 48, 64), np.uint8)
    assert (np.concatenate([drawer.translate(rgb[i : i + 1]) for i in range(3)]) == drawn).all()


def test_nir_small_beats_the_controls_on_held_out_dates(samples):
    pairs = []
    for date in HELD_OUT:
        with rasterio.open(samples / "naip-opengeos" / "naip" / f"m_4709963_se_14_1_{date}.tif") as source:
            bands = source.read()
        pairs.append(Pair(date, np.ascontiguousarray(bands[:3].transpose(1, 2, 0)), bands[3]))
    result = evaluate(load_translator("nir-small"), pairs, tile=128)
    assert result["n"] == 70
    scores = result["scores"]
    # What the controls score is known; another number would mean another measure.
    known = {"gray": (9.62, 0.28, 0.18), "gray-inverted": (10.86, 0.42, -0.18)}
    for name, values in known.items():
        found = [scores[name][metric]["mean"] for metric in ("psnr", "ssim", "correlation")]
        assert found == pytest.approx(values, abs=0.006)
        for metric in ("psnr", "ssim", "correlation"):
            assert scores["nir-small"][metric]["low"] > scores[name][metric]["high"], (name, metric)
    published = json.loads((WEIGHTS / "nir-small" / "config.json").read_text())["scores"]["scores"]["nir-small"]
    for metric, score in published.items():
        assert scores["nir-small"][metric]["mean"] == pytest.approx(score["mean"], abs=0.01), metric
