import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate import train as training
from fusionrs_builder.translate.evaluate import evaluate
from fusionrs_builder.translate.networks import GeneratorConfig
from fusionrs_builder.translate.pairs import Pair
from fusionrs_builder.translate.train import TrainSettings, change_light, draw_batch, train, train_translator
from fusionrs_builder.translate.translator import load_translator
from tests.translate.conftest import fill, record

QUICK = TrainSettings(
    GeneratorConfig(ngf=8, n_blocks=1), steps=60, batch_size=4, crop=32, learning_rate=5e-3, radiometric=0.1, ema=0.9
)


def blobs(seed, side=48):
    """Fields of two covers: green ones that are bright in the infrared, brown ones that are dark."""
    rng = np.random.default_rng(seed)
    cover = np.kron(rng.integers(0, 2, (side // 8, side // 8)), np.ones((8, 8), int))[..., None]
    rgb = np.where(cover, [60, 120, 50], [110, 95, 55]) + rng.integers(-8, 9, (side, side, 3))
    ir = np.where(cover[..., 0], 200, 60) + rng.integers(-8, 9, (side, side))
    return Pair(f"blobs/{seed}", rgb.astype(np.uint8), ir.astype(np.uint8))


def weights(network):
    return torch.cat([tensor.flatten() for tensor in network.state_dict().values()])


def test_it_learns_a_small_set_and_beats_the_controls(workspace, tmp_path):
    rows = [record(pair.key, pair.rgb, pair.ir) for pair in map(blobs, range(8))]
    fill(workspace, rows)
    told = []
    result = train_translator(
        workspace,
        tmp_path / "mine",
        hold_out="blobs/[67]$",
        settings=QUICK,
        progress=lambda done, facts: told.append((done, facts)),
    )
    scores = {name: of["correlation"] for name, of in result["scores"].items()}
    assert result["n"] == 2
    assert scores["mine"]["mean"] > 0.8 > 0.5 > max(scores["gray"]["mean"], scores["gray-inverted"]["mean"])
    assert scores["mine"]["low"] > scores["gray"]["high"]

    again = evaluate(load_translator(str(tmp_path / "mine")), [blobs(6), blobs(7)])
    assert again["scores"] == result["scores"]
    config = json.loads((tmp_path / "mine" / "config.json").read_text())
    assert config["scores"] == result
    assert (config["name"], config["band"], config["training"]["steps"], config["training"]["pairs"]) == (
        "mine",
        "nir",
        60,
        6,
    )
    card = (tmp_path / "mine" / "README.md").read_text()
    mean = scores["mine"]["mean"]
    for words in ("CC0-1.0", "Nobody", "toy-sensor nir", "blobs/[67]$", f"{mean:.2f} (", "## Limits", "seed 0"):
        assert words in card, words
    assert [done for done, _ in told] == pytest.approx([n / 6 for n in range(1, 7)])
    assert told[-1][1]["step"] == 60
    assert told[-1][1]["loss"] < told[0][1]["loss"]


def test_the_same_seed_gives_the_same_weights():
    pairs, short = [blobs(0), blobs(1)], replace(QUICK, steps=3)
    first = weights(train(pairs, short))
    assert torch.equal(first, weights(train(pairs, short)))
    assert not torch.equal(first, weights(train(pairs, replace(short, seed=1))))


def test_minutes_end_it_too():
    told = []
    settings = replace(QUICK, steps=None, minutes=0.005, report_every=1)
    train([blobs(0)], settings, lambda done, facts: told.append((done, facts)))
    assert told[-1][0] == 1
    assert told[-1][1]["seconds"] >= 0.3


def test_without_an_end_or_pairs_it_does_not_begin():
    with pytest.raises(UsageError, match="steps or minutes"):
        train([blobs(0)], replace(QUICK, steps=None))
    with pytest.raises(UsageError, match="no pairs"):
        train([], QUICK)


def test_a_loss_that_is_no_number_stops_it(monkeypatch):
    monkeypatch.setattr(training, "paired_loss", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(FusionError, match="loss is nan at step 0: train with a lower learning rate"):
        train([blobs(0)], QUICK)


def test_crops_keep_both_views_together_and_take_all_eight_positions():
    y, x = np.mgrid[0:48, 0:48]
    ir = (x * 5).astype(np.uint8)
    pair = Pair("p", np.dstack([ir, y * 5, 255 - ir]).astype(np.uint8), ir)
    rgb, measured = draw_batch([pair], 64, 16, np.random.default_rng(0))
    assert (rgb.shape, measured.shape) == ((64, 3, 16, 16), (64, 1, 16, 16))
    assert torch.equal(rgb[:, :1], measured)
    step_x = (measured[:, 0, 0, 1] - measured[:, 0, 0, 0]).sign()
    step_y = (measured[:, 0, 1, 0] - measured[:, 0, 0, 0]).sign()
    other_y = (rgb[:, 1, 1, 0] - rgb[:, 1, 0, 0]).sign()
    other_x = (rgb[:, 1, 0, 1] - rgb[:, 1, 0, 0]).sign()
    assert len(set(zip(*(s.tolist() for s in (step_x, step_y, other_y, other_x)), strict=True))) == 8


def test_an_image_smaller_than_the_crop_is_mirrored():
    small = blobs(0, 16)
    rgb, measured = draw_batch([small], 2, 40, np.random.default_rng(0))
    assert rgb.shape == (2, 3, 40, 40)
    assert set(np.unique((measured * 255).round())) <= set(np.unique(small.ir))


def test_light_changes_within_range_and_not_at_strength_zero():
    rgb = torch.rand(16, 3, 8, 8).clamp_min(0.01)
    torch.testing.assert_close(change_light(rgb, 0.0, np.random.default_rng(0)), rgb)
    changed = change_light(rgb, 1.0, np.random.default_rng(0))
    assert 0 <= changed.min() <= changed.max() <= 1
    ratio = changed.mean((2, 3)) / rgb.mean((2, 3))
    assert 0.05 < ratio.mean(1).std() < 0.5
    assert 0.02 < (ratio - ratio.mean(1, keepdim=True)).std() < 0.3
