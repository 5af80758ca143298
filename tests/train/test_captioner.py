"""A captioner from scratch: pictures of one colour, whose words are known."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, VisionEncoderDecoderModel

from fusionrs_builder import pixels
from fusionrs_builder.benchmark.models import predictions
from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.benchmark.tasks.captioning import captioning
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release.load import load_split
from tests.benchmark.conftest import records, row
from tests.train.conftest import Release, image, pair
from train.captioner import main, train
from train.captioner_data import LONGEST, SIDE, Settings, batches, lessons, seen, tensor

COLOURS = {"red": (250, 10, 10), "blue": (10, 10, 250), "green": (10, 250, 10), "white": (250, 250, 250)}
GRAYS = {"dark": 20, "bright": 230}
CPU = torch.device("cpu")


def scene(number: int, colour: str, gray: str, split: str = "train", rgb: bool = True, **special: Any) -> Any:
    """A place of one colour, whose infrared view has nothing to do with it: each has a word of the caption."""
    visible = np.full((40, 40, 3), COLOURS[colour], np.uint8)
    infrared = np.full((40, 40), GRAYS[gray], np.uint8)
    given = {
        "ir": image(infrared),
        "rgb": image(visible) if rgb else None,
        "ir_sha256": pixels.pixel_sha256(infrared),
        "ir_captions": [f"A {gray} near-infrared view, of a {colour} bird's-eye field: 1.5 km across."],
        "scene_captions": [f"A {colour} field."],
        "ir_origin": "measured",
        **special,
    }
    return pair(number, split, **given)


ALL = [(colour, gray) for colour in COLOURS for gray in GRAYS]


@pytest.fixture(scope="module")
def data(released: Release) -> Path:
    """Eight scenes to learn; as many and twelve of infrared alone to caption, in two corpora's worth of numbers."""
    test = [scene(100 + n, *ALL[n % 8], "test") for n in range(24)]
    test += [scene(200 + n, *ALL[n % 8], "test", rgb=False) for n in range(4)]
    silent = [scene(300, "red", "dark", "test", ir_captions=[])]
    alone = [scene(50, "red", "dark", rgb=False), scene(51, "red", "dark", ir_captions=[], scene_captions=[])]
    return released("captioner", [*(scene(n, *each) for n, each in enumerate(ALL)), *alone, *test, *silent])


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Settings:
    return Settings(str(data), str(tmp_path / "run"), steps=3, batch_size=8, width=32, device="cpu")


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Settings]:
    """A run of each kind that learnt what it can."""
    out = tmp_path_factory.mktemp("runs")
    found = {}
    for shows in ("rgb", "infrared", "pair"):
        found[shows] = Settings(
            str(data), str(out / shows), shows, steps=90, batch_size=8, width=64, learning_rate=3e-3,
            device="cpu",
        )  # fmt: skip
        train(found[shows])
    return found


def said_by(settings: Settings) -> dict[str, str]:
    lines = (Path(settings.out) / "predictions.jsonl").read_text().splitlines()
    return {found["id"]: found["caption"] for found in map(json.loads, lines)}


def weights_of(settings: Settings) -> dict[str, torch.Tensor]:
    return load_file(Path(settings.out) / "model" / "model.safetensors")


def split_of(data: Path, name: str = "test") -> Records:
    return Records(load_split(data, name), "captioner", name)


def test_what_was_learnt_comes_back_word_for_word(runs: dict[str, Settings], data: Path) -> None:
    of = split_of(data)
    said = said_by(runs["pair"])
    both = [record for record in of if record.ir_captions and record.rgb_sha256]
    assert len(both) == 24
    assert [said[record.id] for record in both] == [record.ir_captions[0] for record in both]


def test_what_is_not_shown_is_not_known(runs: dict[str, Settings], data: Path) -> None:
    both = [record for record in split_of(data) if record.ir_captions and record.rgb_sha256]
    truth = [record.ir_captions[0].split() for record in both]
    for shows, known in (("rgb", 6), ("infrared", 1)):  # the place of the word that tells
        said = [said_by(runs[shows])[record.id].split() for record in both]
        other = 7 - known
        assert all(ours[known] == theirs[known] for ours, theirs in zip(said, truth, strict=True))
        assert len({tuple(ours) for ours in said}) <= (4 if shows == "rgb" else 2)
        assert sum(ours[other] == theirs[other] for ours, theirs in zip(said, truth, strict=True)) <= 12


def test_without_a_visible_image_infrared_alone_is_seen(runs: dict[str, Settings], data: Path) -> None:
    of = split_of(data)
    place = next(place for place, record in enumerate(of) if record.rgb_sha256 is None)
    found = seen(of, place, "pair")
    assert not found[:3].any()
    assert (found[3] == GRAYS["dark"] - 128).all()
    assert not seen(of, place, "rgb").any()
    assert not seen(of, 0, "infrared")[:3].any()
    assert not seen(of, 0, "rgb")[3].any()
    assert [channel.flat[0] for channel in seen(of, 0, "pair")] == [122, -118, -118, GRAYS["dark"] - 128]
    assert found.shape == (4, SIDE, SIDE)
    assert tensor([found], CPU).dtype == torch.float32


def test_the_benchmark_takes_the_predictions(runs: dict[str, Settings], data: Path) -> None:
    of = split_of(data)
    asked = {record.id for record in of if record.ir_captions}
    assert len(asked) == 28
    assert said_by(runs["pair"]).keys() == asked
    model = predictions.model(f"{runs['pair'].out}/predictions.jsonl")
    results = list(captioning(of, model, ("infrared",), "cpu", lambda *given: (), None))
    assert [(result.inputs, result.origin, result.counts["failed"]) for result in results][:1] == [
        ("infrared", "measured", 0)
    ]


def test_the_same_again(run: Settings, tmp_path: Path) -> None:
    train(run)
    again, other = replace(run, out=str(tmp_path / "again")), replace(run, out=str(tmp_path / "other"), seed=1)
    for settings in (again, other):
        train(settings)
    ours, theirs, others = map(weights_of, (run, again, other))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not all(torch.equal(ours[name], others[name]) for name in ours)
    assert said_by(run) == said_by(again)
    log = [json.loads(line) for line in (Path(run.out) / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3]
    assert (Path(run.out) / "settings.toml").read_text().replace(run.out, again.out) == (
        Path(again.out) / "settings.toml"
    ).read_text()


def test_all_three_see_the_same_in_the_same_order(data: Path, run: Settings) -> None:
    of = split_of(data, "train")
    orders = []
    for shows in ("pair", "rgb", "infrared"):
        found, _, _ = lessons(of, replace(run, shows=shows))
        assert len(found) == 8  # neither what lacks a view nor what lacks words
        orders.append(
            [[(one.id, turn, text) for one, turn, text in batch] for batch in batches(found, replace(run, shows=shows))]
        )
    assert orders[0] == orders[1] == orders[2]
    assert len(orders[0]) == 3
    assert all(len({id for id, *_ in batch}) == 8 for batch in orders[0])
    assert len({tuple(id for id, *_ in batch) for batch in orders[0]}) == 3


def test_every_caption_of_a_record_is_shown() -> None:
    of = records([row("a", 1, ir_captions=["one", "two", "three"])], "train")
    found, tokenizer, _ = lessons(of, Settings("d", "o"))
    texts = [tokenizer.decode(text[:-1]) for batch in batches(found, Settings("d", "o", steps=20, batch_size=2))
             for *_, text in batch]  # fmt: skip
    assert len(texts) == 40  # a batch larger than the set goes on with the next epoch
    assert set(texts) == {"one", "two", "three"}


def test_scene_captions_can_be_learnt_instead(run: Settings, data: Path) -> None:
    found, tokenizer, _ = lessons(split_of(data, "train"), replace(run, target="scene"))
    assert {tokenizer.decode(text[:-1]) for one in found for _, text in one.captions} == {
        f"A {colour} field." for colour in COLOURS
    }


def test_words_are_kept_as_they_are() -> None:
    texts = ["It's a near-infrared-style view: 1.5 km, (30 % dark).", "Ships? Yes;  two", "été 街道"]
    _, tokenizer, _ = lessons(records([row("a", 1, ir_captions=texts)], "train"), Settings("d", "o"))
    for text in texts:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_captions_that_are_too_long_are_counted() -> None:
    just = " ".join(["roof"] * (LONGEST - 1))
    of = records([row("a", 1, ir_captions=[just, f"{just} roof"]), row("b", 2, ir_captions=[f"{just} roof"])], "train")
    found, _, too_long = lessons(of, Settings("d", "o"))
    assert too_long == 2
    assert [(one.id, len(one.captions)) for one in found] == [("eurosat/a", 8)]
    with pytest.raises(FusionError, match=r"of up to 64 words \(1 captions are longer\)"):
        lessons(records([row("b", 2, ir_captions=[f"{just} roof"])], "train"), Settings("d", "o"))


def test_the_model_is_whole(runs: dict[str, Settings], data: Path) -> None:
    folder = Path(runs["pair"].out) / "model"
    model: Any = VisionEncoderDecoderModel.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    of = split_of(data)
    written = model.eval().generate(tensor([seen(of, 0, "pair")], CPU), max_new_tokens=LONGEST - 1, num_beams=3)
    assert tokenizer.decode(written[0], skip_special_tokens=True) == of[0].ir_captions[0]


@pytest.mark.parametrize("column", ["rgb", "infrared", "captions"])
def test_nothing_to_learn_from(column: str) -> None:
    given = {"rgb": {"rgb": False}, "infrared": {"ir": None}, "captions": {"ir_captions": []}}[column]
    with pytest.raises(FusionError, match="no record of train has both views and ir_captions"):
        lessons(records([row("a", 1, **given)], "train"), Settings("d", "o"))


def test_a_picture_that_is_damaged() -> None:
    of = records([row("a", 1) | {"rgb": {"bytes": b"none", "path": None}}], "train")
    with pytest.raises(FusionError, match="eurosat/a: its rgb view cannot be read"):
        lessons(of, Settings("d", "o"))
    assert len(lessons(of, Settings("d", "o", shows="infrared"))[0]) == 1


def test_a_loss_that_is_no_number(run: Settings) -> None:
    with pytest.raises(FusionError, match="the loss is nan at step"):
        train(replace(run, learning_rate=1e30))
    assert not (Path(run.out) / "model").exists()


@pytest.mark.parametrize(
    ("flags", "said", "code"),
    [
        (["--data", ""], "--data is missing", 2),
        (["--steps", "0"], "steps 0: 1 or more", 2),
        (["--width", "40"], "width 40: a multiple of 32", 2),
        (["--split", "validation"], "no validation split", 2),
        *([] if torch.cuda.is_available() else [(["--device", "cuda"], "device cuda", 2)]),
    ],
)
def test_calls_that_are_wrong(
    run: Settings, flags: Iterable[str], said: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", run.data, "--out", run.out, "--steps", "1", *flags]) == code
    assert said in capsys.readouterr().err
    assert not Path(run.out).exists()


def test_a_run_of_other_settings_stands(run: Settings) -> None:
    train(run)
    train(run)  # the same may be made again
    with pytest.raises(UsageError, match=r"holds a run of other settings \(.*steps.*\): name another --out"):
        train(replace(run, steps=2))


def test_images_are_turned_as_far_as_words_follow() -> None:
    of = records([row("a", 1, ir_captions=["on the left", "bright"])], "train")
    found, tokenizer, _ = lessons(of, Settings("d", "o"))
    said = [(turn, tokenizer.decode(text[:-1])) for turn, text in found[0].captions]
    sides = ["on the left", "on the right", "on the left", "on the right"]
    assert said == [*enumerate(sides), *((turn, "bright") for turn in range(8))]


def test_too_few_to_score(released: Release, run: Settings) -> None:
    few = released("captioner-few", [scene(n, *ALL[n], split) for n, split in enumerate(["train", "test"])])
    with pytest.raises(FusionError, match="test has too few infrared captions to score"):
        train(replace(run, data=str(few)))


def test_the_command(run: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data", run.data, "--out", run.out, "--steps", "1", "--width", "32", "--device", "cpu"]
    assert main(flags) == 0
    said = capsys.readouterr().err
    assert "8 records, " in said and "0 captions too long" in said
    assert f"--data {run.data}:test --model predictions:{run.out}/predictions.jsonl" in said
