import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionrs_builder import pixels
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate import train as training
from fusionrs_builder.translate.networks import GeneratorConfig
from fusionrs_builder.translate.objectives import Weights
from fusionrs_builder.translate.recipe import TrainSettings
from fusionrs_builder.translate.train import DivergedError, train
from fusionrs_builder.translate.training_data import TrainingData, read

QUICK = TrainSettings(
    objective="cyclegan",
    generator=GeneratorConfig(ngf=4, n_blocks=1, norm="none"),
    weights=Weights(statistics=1.0),
    steps=6,
    batch_size=2,
    crop=64,
    ndf=4,
    pool=3,
    validate_every=2,
    device="cpu",
)


def blobs(seed, side=48):
    """Fields of two covers: green ones that are bright in the infrared, brown ones that are dark."""
    rng = np.random.default_rng(seed)
    cover = np.kron(rng.integers(0, 2, (side // 8, side // 8)), np.ones((8, 8), int))[..., None]
    rgb = np.where(cover, [60, 120, 50], [110, 95, 55]) + rng.integers(-8, 9, (side, side, 3))
    ir = np.where(cover[..., 0], 200, 60) + rng.integers(-8, 9, (side, side))
    return rgb.astype(np.uint8), ir.astype(np.uint8)


def folders(root, n=14):
    """Two folders of n images each, of one name where they are pairs."""
    for seed in range(n):
        for name, image in zip(("visible", "infrared"), blobs(seed), strict=True):
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name / f"{seed}.png").write_bytes(pixels.encode_png(image))
    return [str(root / "visible")], [str(root / "infrared")]


@pytest.fixture
def data(tmp_path):
    return read(*folders(tmp_path / "data"), "lwir", paired=True)


def flat(network):
    return torch.cat([tensor.flatten() for tensor in network.state_dict().values()])


EXPERTS = replace(
    QUICK, objective="pix2pix", generator=GeneratorConfig(ngf=4, n_blocks=1, local=4), context="visible/1", batch_size=4
)


SHORT = replace(EXPERTS, local_steps=3)
"""The local expert has learnt when the training is cut short."""

VIEWS = replace(
    QUICK, objective="cut", generator=GeneratorConfig(ngf=4, n_blocks=1, norm="none", tone=9), batch_size=2,
    weights=Weights(adversarial=0, views=1, nce=0, statistics=1),
)  # fmt: skip


@pytest.mark.parametrize(
    "settings", [*(replace(QUICK, objective=name) for name in ("cyclegan", "cut", "pix2pix")), EXPERTS, SHORT, VIEWS]
)
def test_a_training_cut_short_goes_on_to_the_same_weights_bit_for_bit(data, tmp_path, settings):
    whole, facts = train(data, settings, tmp_path / "whole")

    def kill(told):
        if told["step"] == 5:  # after the state of step 4 was saved
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(data, settings, tmp_path / "cut", kill)
    seen = []
    again, other = train(data, settings, tmp_path / "cut", lambda told: seen.append(told["step"]))
    assert seen == [5, 6]
    assert torch.equal(flat(whole), flat(again))
    assert (facts["step"], facts["validation"]) == (other["step"], other["validation"])
    lines = [json.loads(line) for line in (tmp_path / "cut" / "history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation" in line] == [2, 4, 6]


PROGRAM = """
import sys, torch
from fusionrs_builder.translate.train import train
from fusionrs_builder.translate.training_data import TrainingData, read
from tests.translate.test_train import QUICK, replace
torch.set_num_threads(1)
data = read([sys.argv[1] + "/visible"], [sys.argv[1] + "/infrared"], "lwir", paired=True)
def told(facts):
    print(facts["step"], flush=True)
network, _ = train(data, replace(QUICK, steps=12), __import__("pathlib").Path(sys.argv[2]), told)
torch.save(network.state_dict(), sys.argv[2] + "/end.pt")
"""


def test_killed_by_the_system_at_a_random_step_it_still_ends_with_the_same_weights(tmp_path):
    folders(tmp_path / "data")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "data")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [*command, str(tmp_path / "cut")], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        for _ in range(int(np.random.default_rng().integers(1, 8))):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    subprocess.run([*command, str(tmp_path / "cut")], check=True, env=environment, stdout=subprocess.DEVNULL)
    cut = torch.load(tmp_path / "cut" / "end.pt", weights_only=True)
    data = read([str(tmp_path / "data/visible")], [str(tmp_path / "data/infrared")], "lwir", paired=True)
    whole = train(data, replace(QUICK, steps=12), tmp_path / "whole")[0].state_dict()
    assert all(torch.equal(cut[key], whole[key]) for key in whole)


def test_the_seed_decides(data, tmp_path):
    first, _ = train(data, QUICK, tmp_path / "a")
    other, _ = train(data, replace(QUICK, seed=1), tmp_path / "b")
    assert not torch.equal(flat(first), flat(other))


def test_a_run_of_another_recipe_is_not_gone_on_with(data, tmp_path):
    train(data, QUICK, tmp_path / "run")
    with pytest.raises(UsageError, match="of another recipe or of other data"):
        train(data, replace(QUICK, crop=68), tmp_path / "run")
    seen = []
    train(data, replace(QUICK, device="auto"), tmp_path / "run", lambda told: seen.append(told))
    assert seen == []  # it had ended


def test_it_leaves_pictures_curves_and_numbers(data, tmp_path):
    train(data, QUICK, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"state.pt", "history.jsonl", "curves.png", "samples-000002.png", "samples-000006.png"} <= names
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert pixels.rgb_array((tmp_path / "samples-000006.png").read_bytes()).shape == (4 * 48, 3 * 48, 3)
    assert pixels.rgb_array((tmp_path / "curves.png").read_bytes()).std() > 0


@pytest.mark.parametrize(
    ("scores", "step", "mean"),
    [
        ([0.5, 0.7, 0.3, 0.2, 0.9], 4, 0.6),
        ([0.3, 0.9, 0.5, 0.55, 0.2, 0.1], 8, 0.65),  # not that of the one high score
    ],
)
def test_the_weights_of_the_best_three_scores_are_kept_and_patience_ends_it(
    scores, step, mean, data, tmp_path, monkeypatch
):
    scores = iter(scores)
    monkeypatch.setattr(training, "validate", lambda draw, data: {"score": next(scores)})
    monkeypatch.setattr(type(data), "validates", lambda self: True)
    network, facts = train(data, replace(QUICK, steps=20, patience=2), tmp_path)
    seen = []
    train(data, replace(QUICK, steps=20, patience=2), tmp_path, seen.append)
    assert seen == []  # it had stopped
    assert (facts["step"], facts["done"], facts["validation"]) == (step, step + 4, pytest.approx(mean))
    state = torch.load(tmp_path / "state.pt", weights_only=True)["state"]
    best, last = (torch.cat([t.flatten() for t in each.values()]) for each in (state["best"]["weights"], state["mean"]))
    assert torch.equal(flat(network), best)
    assert not torch.equal(best, last)


@pytest.mark.parametrize(("patience", "done"), [(None, 12), (2, 8)])
def test_of_equal_scores_the_last_weights_are_kept_and_they_are_no_gain(patience, done, data, tmp_path, monkeypatch):
    scores = iter([0.5, 0.5, 0.5, 0.50002, 0.49999, 0.5])
    monkeypatch.setattr(training, "validate", lambda draw, data: {"score": next(scores)})
    monkeypatch.setattr(type(data), "validates", lambda self: True)
    network, facts = train(data, replace(QUICK, steps=12, patience=patience), tmp_path)
    assert (facts["step"], facts["done"], facts["validation"]) == (done, done, 0.5)
    state = torch.load(tmp_path / "state.pt", weights_only=True)["state"]
    assert torch.equal(flat(network), torch.cat([tensor.flatten() for tensor in state["mean"].values()]))


def test_a_loss_that_is_no_number_stops_it_and_gives_the_last_good_weights(data, tmp_path, monkeypatch):
    good, _ = train(data, replace(QUICK, steps=3), tmp_path / "good")

    def spoil(told):
        if told["step"] == 3:
            monkeypatch.setattr(
                training.OBJECTIVES["cyclegan"],
                "generator_losses",
                lambda self, batch, rng: {"cycle": torch.tensor(float("nan"), requires_grad=True)},
            )

    with pytest.raises(
        DivergedError, match="the loss `cycle` is nan at step 3: train with a lower learning rate"
    ) as told:
        train(data, QUICK, tmp_path / "spoilt", spoil)
    assert torch.isfinite(flat(told.value.network)).all()
    assert flat(told.value.network).shape == flat(good).shape


def test_too_little_memory_halves_the_batch_once_and_says_so(data, tmp_path, monkeypatch, caplog):
    real, sizes = training.OBJECTIVES["cut"].generator_losses, []

    def scarce(most):
        def losses(self, batch, rng):
            sizes.append(len(batch.visible))
            if len(batch.visible) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(self, batch, rng)

        return losses

    settings = replace(QUICK, objective="cut", batch_size=4, steps=3)
    monkeypatch.setattr(training.OBJECTIVES["cut"], "generator_losses", scarce(2))
    train(data, settings, tmp_path / "a")
    assert sizes == [4, 2, 2, 2]
    assert [r.getMessage() for r in caplog.records if "memory" in r.getMessage()] == [
        "out of memory: going on with 2 images a step instead of 4"
    ]
    monkeypatch.setattr(training.OBJECTIVES["cut"], "generator_losses", scarce(1))
    with pytest.raises(FusionError, match="out of memory with 2 images a step: give a smaller batch"):
        train(data, settings, tmp_path / "b")


def test_with_experts_no_batch_becomes_too_small_to_be_shared(data, tmp_path, monkeypatch):
    seen = []

    def losses(self, batch, rng):
        seen.append(batch)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training.OBJECTIVES["pix2pix"], "generator_losses", losses)
    with pytest.raises(FusionError, match="out of memory with 2 images a step"):
        train(data, replace(EXPERTS, batch_size=2), tmp_path / "least")
    assert len(seen) == 1  # it was not tried with one
    seen.clear()
    with pytest.raises(FusionError, match="out of memory with 4 images a step"):
        train(data, replace(EXPERTS, batch_size=8, exposure=1.0), tmp_path / "halved")
    whole, half = seen
    for kept, all_of_it in zip(half.pair, whole.pair, strict=True):
        assert torch.equal(kept, all_of_it[[0, 1, 4, 5]])  # of each expert's half the first
    assert half.familiar.tolist() == [1, 1, 0, 0]


def test_the_local_expert_and_the_gates_learn_no_longer_than_they_are_to(data, tmp_path):
    weights = Weights(adversarial=0, paired=1)  # no gradient is so long that it is cut together with others
    recipe = replace(EXPERTS, ema=0.0, validate_every=100, weights=weights)

    def learnt(name, **changes):
        network, _ = train(data, replace(recipe, **changes), tmp_path / name)
        local = torch.cat([parameter.flatten() for parameter in network.local_parameters()])
        return local, torch.cat([parameter.flatten() for parameter in network.model.parameters()])

    (short, of_short), (long, of_long) = learnt("short", steps=4, local_steps=3), learnt("long", local_steps=3)
    assert torch.equal(short, long)
    assert not torch.equal(of_short, of_long)
    ever, of_ever = learnt("ever")
    assert torch.equal(of_ever, of_long)
    assert not torch.equal(ever, long)
    assert torch.equal(ever, learnt("all", local_steps=99)[0])


def test_rates_rise_stay_and_fall_and_what_learns_no_more_does_not_cut_the_gradients_of_the_rest():
    parts = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = training._optimizer(parts[:1], replace(QUICK, steps=1000, learning_rate=0.5))
    optimizer.add_param_group({"params": parts[1:], "steps": 200})
    rates = {}
    for step in (0, 49, 100, 150, 199, 200, 500, 750, 999):
        training._learn({"both": parts[0].sum() + 1e6 * parts[1].sum()}, optimizer, step, world=1)
        rates[step] = [round(group["lr"] / 0.5, 4) for group in optimizer.param_groups]
        assert parts[0].grad.item() == pytest.approx(1e-5 if step < 200 else 1)  # 10 is the longest of all that learn
    before = parts[1].item()
    training._learn({"infinite": (parts[0] + torch.sqrt(0 * parts[1])).sum()}, optimizer, 500, world=1)
    assert parts[1].item() == before
    assert rates == {
        0: [0.02, 0.02], 49: [1, 1], 100: [1, 1], 150: [1, 0.5], 199: [1, 0.01],
        200: [1, 0], 500: [1, 0], 750: [0.5, 0], 999: [0.002, 0],
    }  # fmt: skip


@pytest.mark.parametrize("wrong", ["nothing like it", "(", "visible"])
def test_a_context_that_names_no_pair_is_refused(data, tmp_path, wrong):
    with pytest.raises(UsageError, match=re.escape(repr(wrong))):
        train(data, replace(EXPERTS, context=wrong), tmp_path)


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="crop 30: a multiple of 4, at least 32"):
        replace(QUICK, crop=30)
    for one in ({"batch_size": 1}, {"objective": "cut"}, {"context": None}):
        with pytest.raises(UsageError, match="a local expert .* needs the objective pix2pix, a context .* 2 or more"):
            replace(EXPERTS, **one)
    with pytest.raises(UsageError, match="context visible/1: without a local expert the ResNet learns from all"):
        replace(EXPERTS, generator=QUICK.generator)
    with pytest.raises(UsageError, match="local steps 5: 1 or more, and of a local expert"):
        replace(QUICK, local_steps=5)
    with pytest.raises(UsageError, match="local steps 0"):
        replace(EXPERTS, local_steps=0)
    with pytest.raises(UsageError, match="judges no whole views"):
        replace(EXPERTS, weights=Weights(views=1))
    with pytest.raises(UsageError, match="crop 32: at least 64 where statistics have a weight"):
        replace(QUICK, crop=32)
    with pytest.raises(UsageError, match="clouds 2: from 0 to 1"):
        replace(QUICK, clouds=2)
    with pytest.raises(UsageError, match="learning_rate nan: a number of 0 or more"):
        replace(QUICK, learning_rate=float("nan"))
    with pytest.raises(UsageError, match="device nowhere: .*: give auto, cpu or cuda"):
        train(TrainingData(), replace(QUICK, device="nowhere"), Path())
    with pytest.raises(UsageError, match="patience needs a validation score"):
        train(TrainingData(), replace(QUICK, patience=1), Path())


def test_a_gradient_that_is_no_number_changes_nothing(data, tmp_path):
    grown = []

    def spoil(told):
        if told["step"] == 2:
            for parameter in grown[0].parameters():
                parameter.register_hook(lambda gradient: gradient * float("inf"))

    class Grown(training.OBJECTIVES["cut"]):
        def __init__(self, *shape):
            super().__init__(*shape)
            grown.append(self.generator)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(training.OBJECTIVES, "cut", Grown)
        with pytest.raises(DivergedError, match="the gradient of .* is .* at step 2") as told:
            train(data, replace(QUICK, objective="cut"), tmp_path, spoil)
    assert torch.isfinite(flat(told.value.network)).all()
