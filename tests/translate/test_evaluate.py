import json

import numpy as np
import pytest

from fusionrs_builder.errors import FusionError
from fusionrs_builder.translate import translator
from fusionrs_builder.translate.evaluate import as_markdown, evaluate, evaluate_translator, image_scores, summarise
from fusionrs_builder.translate.pairs import Pair
from fusionrs_builder.translate.translator import load_translator
from tests.translate.conftest import fill, record, scene


def pairs(n=6, side=40):
    """Scenes whose measured band is their inverted luma with a little noise."""
    made = []
    for seed in range(n):
        rgb = scene(side, side, seed)
        luma = translator.CONTROLS["gray"].draw(rgb.transpose(2, 0, 1)[None])[0].astype(int)
        noise = np.random.default_rng(seed).integers(-10, 11, luma.shape)
        made.append(Pair(f"p{seed}", rgb, np.clip(255 - luma + noise, 0, 255).astype(np.uint8)))
    return made


def test_image_scores_are_the_textbook_ones():
    a, b = scene(32, 32)[..., 0], scene(32, 32, 1)[..., 0]
    found = image_scores(a, b)
    error = ((a.astype(float) - b) ** 2).mean()
    assert found["psnr"] == pytest.approx(10 * np.log10(255**2 / error))
    assert found["correlation"] == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    same = image_scores(a, a)
    assert (same["ssim"], same["correlation"]) == (pytest.approx(1), pytest.approx(1))
    assert np.isfinite(same["psnr"])


def test_the_interval_is_that_of_the_mean():
    values = np.random.default_rng(3).normal(10, 2, 400)
    score = summarise(values)
    assert score.mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert score.high - score.mean == pytest.approx(half, rel=0.15)
    assert score.mean - score.low == pytest.approx(half, rel=0.15)
    assert summarise(values) == score


def test_every_table_has_the_controls_and_the_right_one_wins():
    result = evaluate(load_translator("duplicate"), pairs())
    assert list(result["scores"]) == ["duplicate", "gray", "gray-inverted"]
    assert (result["n"], result["source"]) == (6, "duplicate")
    scores = {name: of["correlation"] for name, of in result["scores"].items()}
    assert scores["gray-inverted"]["mean"] > 0.9
    assert scores["gray"]["mean"] == pytest.approx(-scores["gray-inverted"]["mean"], abs=1e-3)
    assert all(score["low"] <= score["mean"] <= score["high"] for score in scores.values())
    assert json.loads(json.dumps(result)) == result


def test_tiles_are_full_and_from_the_top_left():
    given = pairs(1, 40)
    result = evaluate(load_translator("gray"), given, tile=32)
    drawn = load_translator("gray").translate(given[0].rgb[:32, :32].transpose(2, 0, 1)[None])[0, 0]
    assert result["n"] == 1
    assert result["scores"]["gray"]["psnr"]["mean"] == pytest.approx(image_scores(drawn, given[0].ir[:32, :32])["psnr"])
    assert evaluate(load_translator("gray"), given, tile=20)["n"] == 4


def test_markdown_says_n_and_intervals():
    result = evaluate(load_translator("gray"), pairs(4))
    text = as_markdown(result)
    assert "n = 4 images" in text
    score = result["scores"]["gray-inverted"]["ssim"]
    assert f"{score['mean']:.2f} ({score['low']:.2f} to {score['high']:.2f})" in text
    assert len([line for line in text.splitlines() if line.startswith("| gray")]) == 2


def test_nothing_to_score_is_an_error():
    with pytest.raises(FusionError, match="nothing to score"):
        evaluate(load_translator("gray"), [])
    with pytest.raises(FusionError, match="tile of 64 px"):
        evaluate(load_translator("gray"), pairs(1), tile=64)
    with pytest.raises(FusionError, match="p0"):
        evaluate(load_translator("gray"), [Pair("p0", scene(5, 5), scene(5, 5)[..., 0])])


def test_on_a_workspace_by_key(workspace):
    fill(workspace, [record(f"d{n % 2}/{p.key}", p.rgb, p.ir) for n, p in enumerate(pairs())])
    result = evaluate_translator(workspace, "gray-inverted", keys="/d1/", device="cpu")
    assert (result["n"], result["keys"], result["band"]) == (3, "/d1/", "nir")
    assert result["scores"]["gray-inverted"]["correlation"]["mean"] > 0.9
    assert evaluate_translator(workspace, "gray", device="cpu")["n"] == 6
    with pytest.raises(FusionError, match="no record with measured nir has a key that matches 'd9'"):
        evaluate_translator(workspace, "gray", keys="d9")
