"""On 34 rows, with an architecture of a few thousand weights beside the word list."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fusionrs_builder.benchmark.models.specs import embedding_model
from fusionrs_builder.errors import FusionError, UsageError
from tests.train.conftest import Release, pair
from train import clip
from train.clip import Settings, main, train
from train.towers import WEIGHTS
from train.training import LOG
from train.validate import validate

ARCH = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
}


@pytest.fixture
def settings(release: Path, tmp_path: Path) -> Settings:
    (tmp_path / "little.json").write_text(json.dumps(ARCH))
    return Settings(
        data=str(release), out=str(tmp_path / "run"), arch=str(tmp_path / "little.json"), batch_size=8, steps=9,
        save_every=2, workers=0, warmup=2, device="cpu",
    )  # fmt: skip


def weights(out: str, *inside: str) -> dict[str, torch.Tensor]:
    return load_file(Path(out).joinpath("model", *inside, WEIGHTS))


def told(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (Path(out) / LOG).read_text().splitlines()]


def test_the_loss_falls_and_the_run_is_a_model_of_the_benchmark(settings: Settings) -> None:
    settings = replace(settings, steps=60, learning_rate=3e-3, augment=False, validate_every=30)
    train(settings)
    losses = [sum(line["terms"].values()) for line in told(settings.out) if "terms" in line]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    validations = [line["validation"] for line in told(settings.out) if "validation" in line]
    assert len(validations) == 2
    model = embedding_model(f"train:{settings.out}")
    encoders = model.open("cpu")
    picture = Image.fromarray(np.zeros((40, 50, 3), np.uint8))
    assert encoders.images([picture]).shape == encoders.texts(["a scene"]).shape == (1, 16)
    assert encoders.infrared is None and not model.two_towers
    card = (Path(settings.out) / "model" / "README.md").read_text()
    assert "little" in card and "rgb_ir" in card and "visible and infrared views alike" in card
    assert (Path(settings.out) / "curves.png").stat().st_size > 5000
    assert list((Path(settings.out) / "tensorboard").glob("events.*"))


@pytest.mark.parametrize(
    ("towers", "change"),
    [
        ("shared", {}),
        ("shared", {"streaming": True}),
        ("lora", {"start_share": 0.0}),
        ("separate", {"precision": "fp32"}),
    ],
)
def test_killed_at_any_step_it_ends_with_the_same_weights(
    settings: Settings, towers: str, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = replace(settings, **{"towers": towers, "ema": 0.9, "start_share": 0.25, **change})
    train(replace(settings, out=str(tmp_path / "whole")))
    one = clip.Training.learn

    def stopped(self, batch):
        if self.step == 5:
            raise KeyboardInterrupt
        return one(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(clip.Training, "learn", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(settings)
    train(settings)
    for inside in ((), ("infrared",)) if towers != "shared" else ((),):
        whole, again = weights(str(tmp_path / "whole"), *inside), weights(settings.out, *inside)
        assert whole.keys() == again.keys() and all(torch.equal(whole[name], again[name]) for name in whole)
    assert [line["step"] for line in told(settings.out) if "terms" in line] == list(range(1, 10))


def test_kill_9_and_go_on(settings: Settings, tmp_path: Path) -> None:
    whole = replace(settings, steps=40, out=str(tmp_path / "whole"))
    train(whole)
    given = {"data": settings.data, "out": settings.out, "arch": settings.arch, "batch-size": 8, "steps": 40,
             "save-every": 2, "workers": 0, "warmup": 2, "device": "cpu"}  # fmt: skip
    flags = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "train.clip", *flags]
    running = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
    for _ in range(600):
        time.sleep(0.05)
        if (Path(settings.out) / "state.pt").is_file() or running.poll() is not None:
            break
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert not (Path(settings.out) / "model").exists()
    assert main(flags) == 0
    one, other = weights(whole.out), weights(settings.out)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_rows_in_chunks_give_the_same_weights(settings: Settings, tmp_path: Path) -> None:
    settings = replace(settings, precision="fp32")  # bf16 rounds a chunk otherwise than a batch
    train(settings)
    train(replace(settings, chunk=3, out=str(tmp_path / "chunks")))
    one, other = weights(settings.out), weights(str(tmp_path / "chunks"))
    for name in one:
        assert torch.allclose(one[name], other[name], atol=1e-3), name


def test_towers_of_two_encoders_see_infrared_by_their_own(settings: Settings) -> None:
    for towers in ("separate", "lora"):
        settings = replace(settings, towers=towers, out=settings.out + towers, learning_rate=1e-2)
        train(settings)
        visible, infrared = weights(settings.out), weights(settings.out, "infrared")
        assert visible.keys() == infrared.keys()
        changed = {name for name in visible if not torch.equal(visible[name], infrared[name])}
        assert changed and all(name.startswith("visual.") for name in changed)
        model = embedding_model(f"train:{settings.out}")
        encoders = model.open("cpu")
        picture = [Image.fromarray(np.full((32, 32, 3), 90, np.uint8))]
        assert model.two_towers and encoders.infrared is not None
        towers_of = clip.Training(settings, 0, 1, torch.device("cpu")).towers.eval()
        before = {name: tensor.clone() for name, tensor in towers_of.state_dict().items()}
        validate(towers_of, settings.data, "cpu")
        towers_of.save(Path(settings.out, "again"))  # neither changes the networks
        assert all(torch.equal(before[name], tensor) for name, tensor in towers_of.state_dict().items())
        assert "that of the model in `infrared`" in (Path(settings.out) / "model" / "README.md").read_text()
        assert not np.allclose(encoders.images(picture), encoders.infrared(picture), atol=1e-4)


def test_the_kept_weights_lie_between_the_start_and_the_end(settings: Settings, tmp_path: Path) -> None:
    train(replace(settings, out=str(tmp_path / "end")))
    train(replace(settings, out=str(tmp_path / "start"), learning_rate=0.0, weight_decay=0.0))
    train(replace(settings, start_share=0.5))
    end, start, found = weights(str(tmp_path / "end")), weights(str(tmp_path / "start")), weights(settings.out)
    for name in found:
        assert torch.allclose(found[name], (end[name] + start[name]) / 2, atol=1e-6), name


def test_norms_biases_and_the_scale_have_no_decay(settings: Settings) -> None:
    Path(settings.out).mkdir()
    training = clip.Training(settings, 0, 1, torch.device("cpu"))
    decayed, bare = training.optimiser.param_groups
    assert (decayed["weight_decay"], bare["weight_decay"]) == (0.1, 0.0)
    assert {parameter.ndim for parameter in bare["params"]} == {0, 1}
    assert any(parameter is training.towers.clip.logit_scale for parameter in bare["params"])
    assert min(parameter.ndim for parameter in decayed["params"]) == 2


def test_a_loss_that_is_not_finite_stops_with_the_last_good_state(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    backward = clip.Training._backward

    def broken(self, views, rows):
        found = backward(self, views, rows)
        return {name: float("nan") for name in found} if self.step == 5 else found

    monkeypatch.setattr(clip.Training, "_backward", broken)
    with pytest.raises(FusionError, match=r"step 6: the loss or its gradient is not .* the state of step 4 stands"):
        train(settings)
    assert not (Path(settings.out) / "model").exists()


def test_out_of_memory_halves_the_rows_once_and_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    backward = clip.Training._backward

    def full(self, views, rows):
        if self.chunk == 0:
            raise torch.OutOfMemoryError
        return backward(self, views, rows)

    monkeypatch.setattr(clip.Training, "_backward", full)
    train(settings)
    assert [line["out_of_memory"] for line in told(settings.out) if "out_of_memory" in line] == [
        "rows are embedded 4 at a time from here on"
    ]


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    backward = clip.Training._backward

    def broken(self, views, rows):
        found = backward(self, views, rows)
        if self.step == 3:
            next(iter(self.towers.parameters())).grad.view(-1)[0] = float("inf")
        return found

    monkeypatch.setattr(clip.Training, "_backward", broken)
    with pytest.raises(FusionError, match=r"step 4: the loss or its gradient is not finite .* the state of step 2"):
        train(settings)


def test_memory_that_stays_out_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self, views, rows):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(clip.Training, "_backward", full)
    with pytest.raises(FusionError, match=r"out of memory: give a smaller --chunk \(it is 2\)"):
        train(settings)


@pytest.mark.parametrize("towers", ["shared", "separate"])
def test_two_processes_learn_as_one(settings: Settings, towers: str, tmp_path: Path) -> None:
    """Infrared enters no term: its tower must not hold up the others."""
    one = replace(settings, towers=towers, ir_text=0.0, rgb_ir=0.0, steps=4, augment=False, precision="fp32")
    train(replace(one, out=str(tmp_path / "one")))
    given = {"data": one.data, "out": one.out, "arch": one.arch, "batch-size": 8, "steps": 4, "save-every": 2,
             "workers": 0, "warmup": 2, "device": "cpu", "towers": towers, "ir-text": 0, "rgb-ir": 0,
             "precision": "fp32"}  # fmt: skip
    flags = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, "-m", "train.clip", *flags, "--no-augment"],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    whole, other = weights(str(tmp_path / "one")), weights(one.out)
    for name in whole:
        assert torch.allclose(whole[name], other[name], atol=2e-3), name


@pytest.mark.parametrize(
    "change",
    [{"save_every": 0}, {"chunk": -1}, {"ema": 1.5}, {"steps": 0}, {"start_share": 1.0}, {"seed": -1},
     {"learning_rate": math.nan}],
)  # fmt: skip
def test_numbers_out_of_range_are_told(settings: Settings, change: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(change))):
        replace(settings, **change)


def test_what_a_kill_left_is_in_nobodys_way(settings: Settings) -> None:
    train(settings)
    (Path(settings.out) / ".tmp-model").mkdir()
    train(settings)


def test_other_records_in_the_same_place_do_not_go_on_with_a_run(settings: Settings, released: Release) -> None:
    data = released("moved", [pair(number) for number in range(12)])
    settings = replace(settings, data=str(data), batch_size=4)
    train(settings)
    table = next((data / "data").glob("train-*.parquet"))
    rows = pq.read_table(table)
    pq.write_table(rows.slice(0, 11), table)
    with pytest.raises(UsageError, match="holds a run of other settings .the train split is not what it was"):
        train(settings)


def test_a_validation_split_that_is_missing_is_told_at_once(settings: Settings, released: Release) -> None:
    data = released("no-validation", [pair(number) for number in range(12)])
    with pytest.raises(UsageError, match="validation"):
        train(replace(settings, data=str(data), validate_every=5))
    assert not Path(settings.out).exists()


def test_what_no_term_needs_is_left_alone(settings: Settings) -> None:
    """Neither embedded nor decayed: an encoder of infrared views of its own stays as it began."""
    one = replace(settings, towers="separate", ir_text=0.0, rgb_ir=0.0, weight_decay=10.0)
    training = clip.Training(one, 0, 1, torch.device("cpu"))
    before = {name: each.clone() for name, each in training.towers.infrared.state_dict().items()}
    seen: list[set[str]] = []
    hook = training.towers.register_forward_pre_hook(lambda _, given: seen.append(set(given[0])))
    for batch in islice(training.loader.epoch(0), 2):
        training.learn(batch)
    hook.remove()
    assert seen == [{"rgb", "scene"}] * 2
    after = training.towers.infrared.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_captions_of_both_kinds_are_embedded_once_where_they_are_the_same(settings: Settings) -> None:
    training = clip.Training(replace(settings, captions="scene"), 0, 1, torch.device("cpu"))
    seen: list[set[str]] = []
    training.towers.register_forward_pre_hook(lambda _, given: seen.append(set(given[0])))
    terms = training.learn(next(training.loader.epoch(0)))
    assert seen == [{"rgb", "infrared", "scene"}] and terms.keys() == {"rgb_text", "ir_text", "rgb_ir"}


def test_the_mean_of_few_steps_is_not_the_start(settings: Settings) -> None:
    training = clip.Training(replace(settings, ema=0.9999, learning_rate=1e-2), 0, 1, torch.device("cpu"))
    start = {name: each.clone() for name, each in training.towers.state_dict().items()}
    for batch in islice(training.loader.epoch(0), 4):
        training.learn(batch)
    moved = {name: (each - start[name]).abs().mean() for name, each in training.towers.state_dict().items()}
    name = max(moved, key=moved.get)
    assert (training.kept.weights()[name] - start[name]).abs().mean() > 0.3 * moved[name]


def test_weights_of_another_width_are_told(settings: Settings, tmp_path: Path) -> None:
    train(replace(settings, steps=1))
    start = str(Path(settings.out, "model", WEIGHTS))
    again = replace(settings, steps=1, pretrained=start, out=str(tmp_path / "again"))
    train(again)  # of the same width they are taken
    (tmp_path / "wide.json").write_text(json.dumps({**ARCH, "embed_dim": 24}))
    with pytest.raises(UsageError, match=r"--arch wide --pretrained .*: cannot be loaded: .*size mismatch"):
        train(replace(again, arch=str(tmp_path / "wide.json"), out=str(tmp_path / "wide")))


def test_the_start_is_not_mixed_into_factors(settings: Settings) -> None:
    with pytest.raises(UsageError, match="would mix the factors of lora"):
        replace(settings, towers="lora", start_share=0.5)


def test_batch_normalisation_must_see_the_whole_batch(settings: Settings, tmp_path: Path) -> None:
    resnet = {**ARCH, "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}}
    (tmp_path / "resnet.json").write_text(json.dumps(resnet))
    with pytest.raises(UsageError, match="--chunk: this architecture has batch normalisation"):
        train(replace(settings, arch=str(tmp_path / "resnet.json"), chunk=2))


def test_other_settings_do_not_go_on_with_a_run(settings: Settings) -> None:
    train(settings)
    with pytest.raises(UsageError, match=r"holds a run of other settings \(steps: 9 before, 12 now\): name another"):
        train(replace(settings, steps=12))
    train(replace(settings, workers=1, chunk=2))  # what changes nothing that is learnt may differ


@pytest.mark.parametrize(
    ("change", "told_"),
    [
        ({"data": ""}, "name the release by --data"),
        ({"data": "nowhere"}, "nowhere: no such folder"),
        ({"arch": "ViT-B-31"}, "open_clip has no such architecture"),
        ({"arch": "none.json"}, "no such file"),
        ({"arch": "local-dir:nowhere"}, "local-dir:nowhere"),
        ({"image_size": 4}, "less than one patch of 16 pixels"),
        ({"pretrained": "no-such-tag"}, "cannot be loaded"),
        ({"batch_size": 500}, "fewer than the 500 of a batch"),
        ({"rgb_text": 0.0, "ir_text": 0.0, "rgb_ir": 0.0}, "weight"),
    ],
)
def test_wrong_settings_are_told(settings: Settings, change: dict[str, object], told_: str) -> None:
    with pytest.raises(UsageError, match=told_):
        train(replace(settings, **change))
    assert not Path(settings.out).exists()
