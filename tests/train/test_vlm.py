"""Fine-tuning of a tiny Qwen2-VL, random but real, on small releases."""

import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor, GPT2Config, GPT2LMHeadModel
from trl.trainer import base_trainer
from trl.trainer.sft_trainer import SFTTrainer

from fusionrs_builder import pixels
from fusionrs_builder.benchmark.models import hf_vlm
from fusionrs_builder.benchmark.models.answer_store import AnswerStore
from fusionrs_builder.benchmark.models.model import Question
from fusionrs_builder.benchmark.prompts import CAPTION_INFRARED, CAPTION_PAIR, CAPTION_VISIBLE
from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.benchmark.vqa.questions import questions
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release.load import load_split
from tests.benchmark.conftest import FEATURES, records, row
from tests.benchmark.vqa.scenes import towns, truth
from tests.caption.chat.tiny_vlm import save_tiny_vlm
from tests.train.conftest import Release, pair, thermal
from train import vlm
from train.vlm import Collator, Rows, Settings, main, train

CAPTIONS = {"ir_captions": ["Dark roofs in the upper left."], "scene_captions": ["Fields and dark roofs."]}


def hashed(given: dict[str, Any]) -> dict[str, Any]:
    """A record as a build has it, with the hash of its infrared view."""
    return given | {"ir_sha256": pixels.pixel_sha256(pixels.gray_array(given["ir"]["bytes"]))}


def both(number: int, **special: Any) -> dict[str, Any]:
    return hashed(pair(number, **CAPTIONS | special))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_vlm(tmp_path_factory.mktemp("models") / "tiny-vlm")


@pytest.fixture(scope="module")
def data(released: Release) -> Path:
    """Four records of both views, and one of infrared alone."""
    return released("vlm", [*map(both, range(4)), hashed(thermal(50))])


@pytest.fixture(scope="module")
def one(released: Release) -> Path:
    return released("vlm-one", [both(1)])


@pytest.fixture
def run(base: Path, data: Path, tmp_path: Path) -> Settings:
    """Steps of a moment, whose checkpoints come every other one."""
    return Settings(
        str(data), str(base), str(tmp_path / "run"), steps=6, batch_size=2, learning_rate=1e-3, save_every=2,
        device="cpu",
    )  # fmt: skip


def log_of(settings: Settings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(settings.out) / "log.jsonl").read_text().splitlines()]


def adapter_of(settings: Settings) -> dict[str, torch.Tensor]:
    return load_file(Path(settings.out) / "adapter" / "adapter_model.safetensors")


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def failing(monkeypatch: pytest.MonkeyPatch, step: int, fail: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Let the loss of a step be something else."""
    compute, seen = SFTTrainer.compute_loss, Counter[str]()

    def failed(self: Any, *args: Any, **more: Any) -> Any:
        loss = compute(self, *args, **more)
        seen["steps"] += 1
        return fail(loss) if self.state.global_step + 1 == step else loss

    monkeypatch.setattr(SFTTrainer, "compute_loss", failed)


def die(loss: torch.Tensor) -> torch.Tensor:
    raise KeyboardInterrupt


class TestRows:
    """Which row is which."""

    OF = records(
        [
            *(row(f"both {n}", n, ir_captions=["i", "j"], scene_captions=["s"]) for n in range(40)),
            *(row(f"thermal {n}", 100 + n, rgb=False) for n in range(10)),
            row("plain", 200, ir_captions=[]),
            row("infrared only", 201, scene_captions=[]),
            row("silent", 202, ir_captions=[], scene_captions=[]),
        ],
        "train",
    )

    def rows(self, of: Records | None = None, **given: Any) -> Rows:
        return Rows(of or self.OF, Settings("d", "m", "o", **{"questions": 0.0, "caption_stage": 0.0, **given}))

    def test_modality_drop(self) -> None:
        rows = self.rows()
        seen = [rows.row(number) for number in range(52 * 40)]
        both = [ask for place, ask in seen if place < 40]
        assert len(both) == 40 * 40
        count = Counter(ask.prompt for ask in both)
        assert count[CAPTION_PAIR] / len(both) == pytest.approx(0.7, abs=0.03)
        assert count[CAPTION_INFRARED] / len(both) == pytest.approx(0.15, abs=0.03)
        assert count[CAPTION_VISIBLE] / len(both) == pytest.approx(0.15, abs=0.03)
        views = {CAPTION_PAIR: ("rgb", "infrared"), CAPTION_INFRARED: ("infrared",), CAPTION_VISIBLE: ("rgb",)}
        answers = {CAPTION_PAIR: {"i", "j"}, CAPTION_INFRARED: {"i", "j"}, CAPTION_VISIBLE: {"s"}}
        for prompt in views:
            assert {ask.views for ask in both if ask.prompt == prompt} == {views[prompt]}
            assert {ask.answers[0] for ask in both if ask.prompt == prompt} == answers[prompt]
        assert {ask.prompt for place, ask in seen if 40 <= place < 50} == {CAPTION_INFRARED}
        assert {ask.prompt for place, ask in seen if place == 50} == {CAPTION_VISIBLE}
        assert {ask.prompt for place, ask in seen if place == 51} == {CAPTION_PAIR, CAPTION_INFRARED}
        assert 52 not in {place for place, _ in seen}

    @pytest.mark.parametrize(("drop", "views"), [(0.0, {2}), (1.0, {1})])
    def test_none_and_all_are_dropped(self, drop: float, views: set[int]) -> None:
        rows = self.rows(modality_drop=drop)
        seen = [rows.row(number) for number in range(200)]
        assert {len(ask.views) for place, ask in seen if place < 40} == views

    def test_an_epoch_has_every_record_once(self) -> None:
        rows = self.rows()
        first, second = ([rows.row(52 * epoch + n) for n in range(52)] for epoch in (0, 1))
        assert sorted(place for place, _ in first) == sorted(place for place, _ in second) == list(range(52))
        assert [place for place, _ in first] != [place for place, _ in second]
        assert [rows.row(n) for n in range(52)] == first == [self.rows().row(n) for n in range(52)]
        assert [self.rows(seed=1).row(n) for n in range(52)] != first

    def test_rows_are_as_trl_takes_them(self) -> None:
        rows = self.rows(modality_drop=0.0)
        number = next(n for n in range(52) if rows.row(n)[0] < 40)
        place, ask = rows.row(number)
        found = rows[number]
        assert found["prompt"] == [{"role": "user", "content": CAPTION_PAIR}]
        assert found["completion"] == [{"role": "assistant", "content": ask.answers[0]}]
        for image, view in zip(found["images"], ("rgb", "infrared"), strict=True):
            assert image.tobytes() == self.OF.picture(place, view).tobytes()

    def test_questions_are_mixed_in(self) -> None:
        of = records([{**town, "ir_captions": ["A town."]} for town in towns(60, 5)], "train")
        rows = self.rows(of, questions=0.3)
        seen = [rows.row(number) for number in range(2000)]
        asked = [(place, ask) for place, ask in seen if ask.prompt != CAPTION_INFRARED]
        assert len(asked) / len(seen) == pytest.approx(0.3, abs=0.03)
        assert len({ask.prompt for _, ask in asked}) > 5
        known = {(question.place, question.prompt): question.answer for question in questions(of)}
        assert all((ask.views, ask.answers[0]) == (("infrared",), known[place, ask.prompt]) for place, ask in asked)
        place, ask = asked[0]
        raw = [{**town, "ir_captions": ["A town."]} for town in towns(60, 5)][place]
        assert truth(raw, ask.prompt.partition(" Answer with")[0]) == ask.answers[0]
        assert all(ask.prompt == CAPTION_INFRARED for _, ask in map(self.rows(of).row, range(200)))

    def test_no_captions(self) -> None:
        with pytest.raises(FusionError, match="no record of train has a caption and the view it describes"):
            self.rows(records([row("a", 1, ir_captions=[], scene_captions=[]), row("b", 2, rgb=False, ir_captions=[])],
                              "train"))  # fmt: skip


class TestBatch:
    """What of a batch is learnt."""

    @pytest.fixture
    def rows(self) -> Rows:
        of = [row(f"r{n}", n, ir_captions=[f"Roofs number {n}."]) for n in range(3)]
        of += [row("long", 9, rgb=False, ir_captions=["roofs " * 400])]
        return Rows(records(of, "train"), Settings("d", "m", "o", questions=0.0, caption_stage=0.0, modality_drop=0.4))

    def test_the_answer_alone_is_learnt(self, rows: Rows, base: Path) -> None:
        processor: Any = AutoProcessor.from_pretrained(base)
        numbers = list(range(4))
        assert {len(rows.row(n)[1].views) for n in numbers} == {1, 2}
        batch = Collator(rows, processor, 10**6)([{"row": n} for n in numbers])
        assert batch["image_grid_thw"].shape[0] == sum(len(rows.row(n)[1].views) for n in numbers)
        pad = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
        for number, ids, labels, mask in zip(
            numbers, batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True
        ):
            ask, learnt = rows.row(number)[1], labels != -100
            assert processor.decode(labels[learnt]) == f"{ask.answers[0]}<|im_end|>\n"
            assert torch.equal(labels[learnt], ids[learnt])
            assert not (learnt & (ids == pad)).any()
            assert not (learnt & (mask == 0)).any()
            # What stands before the answer is what the benchmark asks, token by token.
            content = [*({"type": "image", "image": image} for image in rows[number]["images"]),
                       {"type": "text", "text": ask.prompt}]  # fmt: skip
            asked = processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True, return_dict=True,
                return_tensors="pt",
            )["input_ids"][0]  # fmt: skip
            assert torch.equal(ids[: len(asked)], asked)
            assert not learnt[: len(asked)].any()
            assert learnt[len(asked)]

    def test_a_row_that_is_too_long_is_not_learnt_and_not_cut(self, rows: Rows, base: Path) -> None:
        batch = Collator(rows, AutoProcessor.from_pretrained(base), 300)([{"row": n} for n in range(4)])
        long = [rows.row(n)[0] == 3 for n in range(4)]
        assert batch["too_long"].tolist() == long
        assert [(labels != -100).any().item() for labels in batch["labels"]] == [not each for each in long]
        assert batch["input_ids"].shape[1] > 400


def test_it_learns_of_two_images_a_row(base: Path, one: Path, tmp_path: Path) -> None:
    settings = Settings(
        str(one), str(base), str(tmp_path / "run"), steps=25, batch_size=2, learning_rate=1e-2, modality_drop=0.0,
        caption_stage=0.0, lora_rank=8, device="cpu",
    )  # fmt: skip
    train(settings)
    losses = [line["loss"] for line in log_of(settings)]
    assert [line["step"] for line in log_of(settings)] == list(range(1, 26))
    # Always the same batch: two rows of one record with one caption. The random last layer lets it fall no further.
    assert losses[-1] < losses[0] - 0.5
    assert losses[::6] == sorted(losses[::6], reverse=True)


def test_the_whole_way(run: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds of records; then the model, its adapter, the card, and the same again."""
    told: list[Any] = []
    monkeypatch.setattr(base_trainer, "send_telemetry", lambda *args, **more: told.append(args), raising=True)
    monkeypatch.delenv("CI", raising=False)
    train(run)
    assert not told
    out = Path(run.out)
    assert sorted(path.name for path in out.iterdir()) == [
        "adapter", "checkpoints", "log.jsonl", "model", "settings.toml", "sources.json",
    ]  # fmt: skip
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["checkpoint-4", "checkpoint-6"]

    merged: Any = AutoModelForImageTextToText.from_pretrained(out / "model")
    whole: Any = AutoModelForImageTextToText.from_pretrained(run.model)
    adapted: Any = PeftModel.from_pretrained(whole, out / "adapter")
    processor: Any = AutoProcessor.from_pretrained(out / "model")
    rows = Rows(Records(load_split(run.data, "train"), "vlm", "train"), run)
    batch = Collator(rows, processor, 10**6)([{"row": number} for number in range(4)])
    shown = {name: value for name, value in batch.items() if name not in ("labels", "too_long")}
    with torch.no_grad():
        ours, theirs = (network.eval()(**shown).logits for network in (merged, adapted))
        with adapted.disable_adapter():
            before = adapted(**shown).logits
    assert (ours - theirs).abs().max() < 1e-5
    assert (ours - before).abs().max() > 1e-3
    assert json.loads((out / "model" / "config.json").read_text()).get("use_cache", True)

    with AnswerStore(tmp_path / "answers.sqlite") as store:
        model = hf_vlm.model(str(out / "model"), store)
        asked = Question("a", CAPTION_PAIR, lambda: rows[0]["images"], "pixels:a", 8)
        assert model.answer([asked], "cpu")["a"].text is not None

    written, weights = log_of(run), (out / "model" / "model.safetensors").read_bytes()
    train(replace(run, device="auto", save_every=3))  # neither decides what is learnt
    assert log_of(run) == written
    assert (out / "model" / "model.safetensors").read_bytes() == weights


def test_the_card_says_how_to_load(run: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(replace(run, steps=1))
    text = (Path(run.out) / "adapter" / "README.md").read_text()
    for words in (
        "given the visible, then the infrared view",
        "| translated | 3 |",
        "| measured | 2 |",
        "| MIT | 5 |",
        "1 steps of 2 records; learning rate 0.001; fp32; seed 0.",
        "LoRA of rank 16, alpha 32, beside ",
        r"down\_proj",
        '"modality_drop": 0.3',
    ):
        assert words in text, words
    code = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[0]
    rows = Rows(Records(load_split(run.data, "train"), "vlm", "train"), replace(run, modality_drop=0.0))
    images = next(found for n in range(5) if len(found := rows[n]["images"]) == 2)
    monkeypatch.chdir(tmp_path)
    for image, name in zip(images, ("rgb.jpg", "ir.jpg"), strict=True):
        image.save(name)
    exec(code.replace('name = "run"', f'name = "{run.out}/adapter"').replace("200", "3"), {})


@pytest.mark.parametrize("last", [4, 2])
def test_killed_and_gone_on_is_as_if_never_killed(
    run: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    never = replace(run, out=str(tmp_path / "never"))
    train(never)
    with monkeypatch.context() as patch:
        failing(patch, 6, die)
        with pytest.raises(KeyboardInterrupt):
            train(run)
    out = Path(run.out)
    assert not (out / "model").exists()
    with (out / "log.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    if last == 2:  # as if killed while the newest was being written
        (out / "checkpoints" / "checkpoint-4" / vlm.WHOLE).unlink()
        (out / "checkpoints" / "checkpoint-4" / "adapter_model.safetensors").write_bytes(b"half")
    seen, get = list[int](), Rows.__getitem__
    monkeypatch.setattr(Rows, "__getitem__", lambda self, number: seen.append(number) or get(self, number))
    train(run)
    assert seen == list(range(2 * last, 2 * 6))
    assert same(adapter_of(run), adapter_of(never))
    ours, theirs = ([{**line, "seconds": 0} for line in log_of(one)] for one in (run, never))
    assert ours == theirs
    assert [line["seconds"] for line in log_of(run)] == sorted(line["seconds"] for line in log_of(run))


def test_other_settings_or_records_are_refused(
    run: Settings, released: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    train(replace(run, steps=2))
    flags = ["--data", run.data, "--model", run.model, "--out", run.out, "--device", "cpu", "--steps", "4"]
    assert main([*flags, "--batch-size", "2", "--save-every", "2", "--learning-rate", "0.5"]) == 2
    said = capsys.readouterr().err
    assert "steps: 2 before, 4 now; learning_rate: 0.001 before, 0.5 now): name another --out" in said
    other = released("vlm-other", list(map(both, range(3))))
    with pytest.raises(UsageError, match="the train split is not what it was"):
        train(replace(run, steps=2, data=str(other)))


def test_a_loss_that_is_no_number_stops_it(
    run: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, 4, lambda loss: loss * float("nan"))
    with pytest.raises(FusionError, match="the loss is nan at step 4: .*last good checkpoint is .*checkpoint-2$"):
        train(run)
    assert not (Path(run.out) / "model").exists()


def test_weights_that_are_no_numbers_are_not_kept(run: Settings) -> None:
    with pytest.raises(FusionError, match="the weights are not finite after step 1: .*there is no checkpoint yet"):
        train(replace(run, learning_rate=1e39, save_every=1))
    assert not list((Path(run.out) / "checkpoints").glob("*/*.safetensors"))


def test_one_record_and_no_network_calls(base: Path, one: Path, tmp_path: Path) -> None:
    settings = Settings(str(one), str(base), str(tmp_path / "run"), steps=1, batch_size=4, device="cpu")
    train(settings)
    assert (tmp_path / "run" / "model" / "config.json").is_file()


def test_texts_longer_than_the_context_are_counted(base: Path, released: Release, tmp_path: Path) -> None:
    data = released("vlm-long", [both(0), both(1, ir_captions=["roofs " * 400])])
    small = shutil.copytree(base, tmp_path / "small")
    shape = json.loads((small / "config.json").read_text())
    shape["text_config"]["max_position_embeddings"] = 300
    (small / "config.json").write_text(json.dumps(shape))
    settings = Settings(
        str(data), str(small), str(tmp_path / "run"), steps=3, batch_size=2, modality_drop=0.0, caption_stage=0.0,
        device="cpu",
    )  # fmt: skip
    train(settings)
    assert [line["too_long"] for line in log_of(settings)] == [1, 2, 3]
    assert log_of(settings)[0]["loss"] > 1
    card = (tmp_path / "run" / "adapter" / "README.md").read_text()
    assert "- 3 rows were longer than its context, and not learnt from." in card


def test_parts_and_workers_change_nothing(run: Settings, tmp_path: Path) -> None:
    of = [replace(run, steps=2, batch_size=4, out=str(tmp_path / f"run{n}"), **given)
          for n, given in enumerate(({}, {"accumulate": 2}, {"workers": 1}))]  # fmt: skip
    for settings in of:
        train(settings)
    whole, parts, worked = map(adapter_of, of)
    assert same(whole, worked)
    for name in whole:
        torch.testing.assert_close(whole[name], parts[name], rtol=0, atol=2e-5)


def test_a_worker_that_dies(run: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    parent, get = os.getpid(), Rows.__getitem__

    def getting(self: Rows, number: int) -> dict[str, Any]:
        if os.getpid() != parent and number >= 6:
            os.kill(os.getpid(), 9)
        return get(self, number)

    monkeypatch.setattr(Rows, "__getitem__", getting)
    failing(monkeypatch, 1, lambda loss: time.sleep(1) or loss)  # it dies amid something else
    with pytest.raises(FusionError, match="a worker .* died: .*with fewer --workers"):
        train(replace(run, workers=1))


def test_too_little_memory(run: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(loss: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    failing(monkeypatch, 2, fail)
    with pytest.raises(FusionError, match="out of memory .*larger --accumulate"):
        train(run)


def test_a_picture_that_is_damaged(run: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = row("a", 1, ir={"bytes": b"no picture", "path": None})
    monkeypatch.setattr(vlm, "load_split", lambda data, split: Dataset.from_list([damaged], features=FEATURES))
    with pytest.raises(FusionError, match="eurosat/a: its ir view cannot be read"):
        train(replace(run, modality_drop=0.0))


def gpt2(folder: Path, base: Path) -> None:
    GPT2LMHeadModel(GPT2Config(vocab_size=400, n_positions=64, n_embd=32, n_layer=1, n_head=2)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, folder)


def without_template(folder: Path, base: Path) -> None:
    shutil.copytree(base, folder)
    (folder / "chat_template.jinja").unlink()


def without_a_tensor(folder: Path, base: Path) -> None:
    from safetensors.torch import save_file

    shutil.copytree(base, folder)
    weights = load_file(folder / "model.safetensors")
    del weights[sorted(weights)[0]]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (gpt2, "Can't load image processor"),
        (without_template, "no chat template"),
        (without_a_tensor, "lack 1 tensors"),
        (lambda folder, base: folder.mkdir(), "Error"),
    ],
)
def test_models_that_cannot_be_trained(
    run: Settings, base: Path, tmp_path: Path, make: Callable[[Path, Path], None], said: str
) -> None:
    make(tmp_path / "model", base)
    with pytest.raises(UsageError, match=f"model cannot be trained .*{said}.*: name an image-text-to-text model"):
        train(replace(run, model=str(tmp_path / "model")))
    assert not Path(run.out).exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--data", ""], "--data is missing"),
        (["--model", ""], "--model is missing"),
        (["--steps", "0"], "steps 0: 1 or more"),
        (["--learning-rate", "nan"], "learning_rate nan: 0 or more"),
        (["--seed", "-1"], "seed -1: 0 or more"),
        (["--seed", str(2**32)], "seed 4294967296: less than 2 ** 32"),
        (["--modality-drop", "1.5"], "modality_drop 1.5: a share, from 0 to 1"),
        (["--batch-size", "3", "--accumulate", "2"], "batch_size 3: a multiple of accumulate 2"),
        (["--data", "no/such/release/here"], "no such folder"),
        *([] if torch.cuda.is_available() else [(["--device", "cuda"], "device cuda")]),
    ],
)
def test_calls_that_are_wrong(
    run: Settings, flags: Iterable[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", run.data, "--model", run.model, "--out", run.out, *flags]) == 2
    assert said in capsys.readouterr().err
    assert not Path(run.out).exists()


def test_the_command(run: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data", run.data, "--model", run.model, "--out", run.out, "--steps", "1", "--device", "cpu"]
    assert main(flags) == 0
    assert f"--model hf-vlm:{run.out}/model" in capsys.readouterr().err
    (Path(run.out) / "settings.toml").rename(Path(run.out) / "kept.toml")
    assert main(["--config", f"{run.out}/kept.toml", "--out", f"{run.out}2", "--seed", "3"]) == 0
    assert "seed = 3\n" in Path(f"{run.out}2/settings.toml").read_text()
