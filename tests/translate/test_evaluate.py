import json

import numpy as np
import pytest
from click.testing import CliRunner

from fusionrs_builder.cli.main import main
from fusionrs_builder.errors import FusionError
from fusionrs_builder.translate import translator
from fusionrs_builder.translate.evaluate import as_markdown, evaluate, evaluate_translator, image_scores, summarise
from fusionrs_builder.translate.pairs import Pair
from fusionrs_builder.translate.translator import load_translator
from fusionrs_builder.workspace import Workspace
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
    first = text.split("**")[2]
    assert len([line for line in first.splitlines() if line.startswith("| gray")]) == 2
    less = result["differences"]["gray-inverted"]["psnr"]
    assert f"| less gray-inverted | {less['mean']:.2f} ({less['low']:.2f} to {less['high']:.2f})" in text


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


def mixed(workspace):
    """Pairs of two places, visible images alone, and frames of a thermal camera."""
    rows = [record(f"d{n % 2}/{p.key}", p.rgb, p.ir) for n, p in enumerate(pairs(6, 64))]
    rows += [record(f"hot/{n}", None, scene(70, 80, 50 + n)[..., 1], ir_band="lwir") for n in range(12)]
    fill(workspace, rows + [record(f"seen/{n}", scene(128, 128, 80 + n)) for n in range(12)])


def test_regressions_are_fitted_on_what_is_not_scored(workspace):
    mixed(workspace)
    result = evaluate_translator(workspace, "gray", keys="/d1/", device="cpu")
    assert list(result["scores"]) == ["gray", "gray-inverted", "quadratic regression", "boosted regression"]
    assert result["scores"]["quadratic regression"]["correlation"]["mean"] > 0.9
    assert result["differences"]["quadratic regression"]["psnr"]["high"] < 0
    assert set(result["not_measured"]) == {"lpips", "unpaired", "polarity", "neighbours"}
    assert "LPIPS" not in as_markdown(result).split("Not measured")[0]
    every = evaluate_translator(workspace, "gray", device="cpu")
    assert "every pair is scored: name some by --keys" in every["not_measured"]["regressions"]
    without = evaluate_translator(workspace, "gray", keys="/d1/", regressions=False, device="cpu")
    assert list(without["scores"]) == ["gray", "gray-inverted"]
    assert "regressions" not in without["not_measured"]


def test_where_nothing_was_measured_of_the_same_scene_real_frames_are_compared_with(workspace, tmp_path):
    mixed(workspace)
    result = evaluate_translator(workspace, "gray", band="lwir", out=tmp_path / "r", device="cpu")
    assert (result["n"], result["scores"]) == (0, {})
    assert (result["unpaired"]["n"], result["unpaired"]["frames_of"]) == (12, ["toy"])
    assert result["neighbours"]["n"] == 12
    assert result["not_measured"]["paired scores"] == "no record with rgb and measured lwir"
    assert json.loads((tmp_path / "r/report.json").read_text()) == result
    assert (tmp_path / "r/frames.jpg").is_file()


def test_real_frames_may_lie_in_another_workspace(workspace, tmp_path):
    mixed(workspace)
    other = Workspace.open(tmp_path / "other", create=True)
    fill(other, [record(f"p{n}", scene(64, 64, n), scene(64, 64, n)[..., 2]) for n in range(11)])
    result = evaluate_translator(workspace, "gray", keys="seen", real=other, device="cpu")
    assert (result["n"], result["unpaired"]["n"]) == (0, 11)


def test_corpora_are_told_apart():
    given = [pair._replace(key=f"{'ab'[n % 2]}/{n}") for n, pair in enumerate(pairs(4))]
    result = evaluate(load_translator("gray"), given)
    assert {corpus: of["n"] for corpus, of in result["corpora"].items()} == {"a": 2, "b": 2}
    parts = [of["scores"]["gray"]["psnr"]["mean"] for of in result["corpora"].values()]
    assert np.mean(parts) == pytest.approx(result["scores"]["gray"]["psnr"]["mean"])
    assert "| a | 2 |" in as_markdown(result)
    assert "corpora" not in evaluate(load_translator("gray"), given[::2])


def test_scores_of_near_infrared_have_its_index_error_and_polarity():
    result = evaluate(load_translator("gray"), pairs(3), band="nir")
    gray, inverted = result["scores"]["gray"], result["scores"]["gray-inverted"]
    assert inverted["ndvi_error"]["mean"] < gray["ndvi_error"]["mean"]
    assert (gray["polarity"]["mean"], inverted["polarity"]["mean"]) == (0, 1)
    assert gray["edge_agreement"]["mean"] > 0.999 > result["measured"]["edge_agreement"]["mean"] > 0.5
    assert "ndvi_error" not in evaluate(load_translator("gray"), pairs(1))["scores"]["gray"]


def test_the_command_prints_tables_or_json(workspace, tmp_path):
    mixed(workspace)
    where = ["-w", workspace.root, "--keys", "/d1/", "--no-regressions"]
    done = CliRunner().invoke(main, ["translator", "evaluate", "gray", *where, "--out", str(tmp_path / "r")])
    assert done.exit_code == 0, done.output
    assert "| less gray-inverted |" in done.stdout
    assert "open index.html" in done.stderr
    as_json = CliRunner().invoke(main, ["translator", "evaluate", "gray", *where, "--json"])
    assert json.loads(as_json.stdout) == json.loads((tmp_path / "r/report.json").read_text())
    wrong = CliRunner().invoke(main, ["translator", "evaluate", "gray", "-w", workspace.root, "--keys", "("])
    assert (wrong.exit_code, "not a regular expression" in wrong.stderr) == (2, True)
