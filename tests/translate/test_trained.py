import json
from dataclasses import replace

import numpy as np
import pytest

from fusionrs_builder.errors import UsageError
from fusionrs_builder.translate import checkpoint, trained
from fusionrs_builder.translate.evaluate import evaluate
from fusionrs_builder.translate.networks import GeneratorConfig
from fusionrs_builder.translate.objectives import Weights
from fusionrs_builder.translate.pairs import Pair
from fusionrs_builder.translate.recipe import TrainSettings
from fusionrs_builder.translate.train import DivergedError
from fusionrs_builder.translate.trained import train_translator
from fusionrs_builder.translate.translator import load_translator
from tests.translate.conftest import fill, record
from tests.translate.test_train import QUICK, blobs, folders

REGRESSION = TrainSettings(
    objective="pix2pix",
    generator=GeneratorConfig(ngf=8, n_blocks=1, norm="none"),
    weights=Weights(adversarial=0, paired=1),
    steps=60,
    batch_size=4,
    crop=32,
    learning_rate=5e-3,
    beta1=0.9,
    radiometric=0.1,
    ema=0.9,
    validate_every=30,
    device="cpu",
)


def test_it_learns_a_small_set_and_beats_the_controls(workspace, tmp_path):
    fill(workspace, [record(f"blobs/{n}", *blobs(n)) for n in range(8)])
    place, out = [workspace.root], tmp_path / "mine"
    result = train_translator(out, place, place, hold_out="blobs/[67]$", settings=REGRESSION)
    scores = {name: of["correlation"] for name, of in result["scores"].items()}
    assert result["n"] == 2
    assert scores["mine"]["mean"] > 0.8 > 0.5 > max(scores["gray"]["mean"], scores["gray-inverted"]["mean"])
    assert scores["mine"]["low"] > scores["gray"]["high"]

    again = evaluate(load_translator(str(out)), [Pair(f"toy/blobs/{n}", *blobs(n)) for n in (6, 7)])
    assert again["scores"] == result["scores"]
    config = json.loads((out / "config.json").read_text())
    assert config["scores"]["scores"] == result["scores"]
    assert (config["name"], config["band"], config["training"]["steps"]) == ("mine", "nir", 60)
    assert config["training"]["records"]["pairs"] == 6
    card = (out / "README.md").read_text()
    mean = scores["mine"]["mean"]
    for words in (
        "CC0-1.0", "Nobody", "toy-sensor nir", "blobs/[67]$", f"{mean:.2f} (", "## Limits", "seed 0",
        "Paired, without an adversary: L1 + 0.1 (1 - SSIM) + 0.2 (1 - SSIM's structure term of the whole crop)",
        "nothing was kept to choose them by",
    ):  # fmt: skip
        assert words in card, words


def test_two_experts_are_saved_loaded_and_told_of_on_the_card(workspace, tmp_path):
    """One corpus is right side up in the infrared, the other upside down; the gate tells them by their brightness."""
    fill(workspace, [record(f"blobs/{n}", *blobs(n)) for n in range(6)])
    fill(workspace, [record(f"far/{n}", blobs(n)[0] // 3, 255 - blobs(n)[1]) for n in range(6)], "toy-00001")
    place, out = [workspace.root], tmp_path / "mine"
    generator = GeneratorConfig(ngf=8, n_blocks=1, local=8)
    settings = replace(REGRESSION, generator=generator, context="blobs", batch_size=8, steps=120)
    result = train_translator(out, place, place, hold_out="/5$", settings=settings)
    assert result["n"] == 2
    assert result["scores"]["mine"]["correlation"]["low"] > 0.5
    translator = load_translator(str(out))
    for rgb, ir in (blobs(5), (blobs(5)[0] // 3, 255 - blobs(5)[1])):
        drawn = translator.translate(np.ascontiguousarray(rgb.transpose(2, 0, 1)[None]))[0, 0]
        assert np.corrcoef(drawn.ravel(), ir.ravel())[0, 1] > 0.5
    card = (out / "README.md").read_text()
    for words in (
        "beside it an expert that sees 7 pixels",
        "The ResNet learns from the pairs whose key matches `blobs`",
    ):
        assert words in card, words


def test_unpaired_folders_become_a_translator_whose_card_says_so(tmp_path):
    out = tmp_path / "thermal"
    result = train_translator(out, *folders(tmp_path / "data"), band="lwir", settings=QUICK)
    assert (result["n"], result["training"]["done"]) == (0, 6)
    assert checkpoint.find(out).band == "lwir"
    card = (out / "README.md").read_text()
    for words in (
        "none used as pairs. Sources:",
        "visible: licence not stated",
        "CycleGAN",
        "cycle 10",
        "None: nothing was held",
    ):
        assert words in card, words
    assert (out / "training" / "state.pt").is_file()


def test_data_paired_in_part_are_learnt_from_in_full(tmp_path, caplog):
    visible, infrared = folders(tmp_path / "data")
    (tmp_path / "data" / "infrared" / "0.png").unlink()
    caplog.set_level("INFO")
    train_translator(tmp_path / "out", visible, infrared, band="lwir", paired=True, settings=QUICK)
    assert any("of the records are pairs, and are learnt from as such too" in r.getMessage() for r in caplog.records)
    last = json.loads((tmp_path / "out" / "config.json").read_text())["training"]["records"]
    assert last["visible"] > last["pairs"] > 0


def test_one_that_diverges_leaves_its_last_good_weights(tmp_path, monkeypatch):
    def diverge(data, settings, folder, progress, start):
        network = trained.ResnetGenerator(settings.generator)
        raise DivergedError("the loss `cycle` is nan at step 3: train with a lower learning rate", network)

    monkeypatch.setattr(trained, "train", diverge)
    with pytest.raises(DivergedError, match=r"nan at step 3.*; the weights of the step before are kept in .*out"):
        train_translator(tmp_path / "out", *folders(tmp_path / "data"), band="lwir", settings=QUICK)
    load_translator(str(tmp_path / "out"))
    assert "**It failed: the loss `cycle` is nan" in (tmp_path / "out" / "README.md").read_text()


def test_too_little_to_learn_from_is_said_before_anything_is_made(tmp_path):
    visible, infrared = folders(tmp_path / "data")
    _, other = folders(tmp_path / "others")
    for path in (tmp_path / "others" / "infrared").iterdir():
        path.rename(path.with_name(f"other-{path.name}"))
    with pytest.raises(UsageError, match="no pairs of RGB and measured nir"):
        train_translator(tmp_path / "out", visible, other, settings=replace(REGRESSION, steps=1))
    with pytest.raises(UsageError, match="no image in the visible domain"):
        train_translator(tmp_path / "out", infrared, infrared, hold_out=".", settings=QUICK)
    assert not (tmp_path / "out").exists()


def test_it_begins_with_the_weights_of_another(workspace, tmp_path):
    fill(workspace, [record(f"blobs/{n}", *blobs(n)) for n in range(8)])
    place, hold = [workspace.root], "blobs/[67]$"
    first = train_translator(tmp_path / "first", place, place, hold_out=hold, settings=REGRESSION)
    few = replace(REGRESSION, steps=3)
    tuned = train_translator(
        tmp_path / "tuned", place, place, hold_out=hold, settings=few, start=str(tmp_path / "first")
    )
    fresh = train_translator(tmp_path / "fresh", place, place, hold_out=hold, settings=few)

    def correlation(result, name):
        return result["scores"][name]["correlation"]["mean"]

    assert correlation(tuned, "tuned") > correlation(first, "first") - 0.05
    assert correlation(fresh, "fresh") < correlation(tuned, "tuned") - 0.2
    start = load_translator(str(tmp_path / "first")).source
    assert json.loads((tmp_path / "tuned" / "config.json").read_text())["training"]["start"] == start
    assert f"It began with the weights of `{start}`." in (tmp_path / "tuned" / "README.md").read_text()
    with pytest.raises(UsageError, match="holds a training of another"):
        train_translator(tmp_path / "tuned", place, place, hold_out=hold, settings=few)


def test_weights_of_another_band_are_said_to_be(workspace, tmp_path, folder, caplog):
    fill(workspace, [record(f"blobs/{n}", *blobs(n)) for n in range(8)])
    visible, infrared = folders(tmp_path / "data")
    settings = replace(QUICK, steps=1, generator=checkpoint.shape(checkpoint.find(folder)))
    for band, place in (("nir", [workspace.root]), ("lwir", None)):
        caplog.clear()
        paired = replace(settings, objective="pix2pix") if place else settings
        train_translator(
            tmp_path / band, place or visible, place or infrared, band=band, settings=paired, start=str(folder)
        )
        said = "draws nir: its weights are where the training of lwir begins" in caplog.text
        assert said == (band == "lwir")


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("nir-small", "nir-small has another shape than the recipe's generator: give the recipe .*local=24"),
        ("gray", "gray is no generator that could be trained on"),
        ("nir-smal", "did you mean `nir-small`"),
    ],
)
def test_what_cannot_be_begun_with(start, said, tmp_path):
    visible, infrared = folders(tmp_path / "data")
    with pytest.raises(UsageError, match=said):
        train_translator(tmp_path / "out", visible, infrared, band="lwir", settings=QUICK, start=start)
    assert not (tmp_path / "out").exists()
