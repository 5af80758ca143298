"""A vision-language model in this process: a tiny Qwen2-VL, random but real."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fusionrs_builder.benchmark.models import hf_vlm
from fusionrs_builder.benchmark.models.answer_store import AnswerStore
from fusionrs_builder.benchmark.models.model import Question
from fusionrs_builder.benchmark.models.text_specs import text_model
from fusionrs_builder.errors import FusionError, UsageError
from tests.caption.chat.tiny_vlm import save_tiny_vlm

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_vlm(tmp_path_factory.mktemp("models") / "tiny-vlm")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnswerStore]:
    with AnswerStore(tmp_path / "answers.sqlite") as store:
        yield store


def pictures(number: int, count: int = 1) -> Sequence[Image.Image]:
    colours = ("red", "green", "blue", "white", "gray")
    return [Image.new("RGB", (50, 50), colours[(number + i) % 5]) for i in range(count)]


def question(number: int, **more: Any) -> Question:
    given = {"prompt": "What is it?", "pictures": lambda: pictures(number), "most_tokens": 12, **more}
    return Question(key=f"a/{number}", pictures_key=f"pixels:{number}", **given)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the questions that the model itself is asked."""
    seen, say = [], hf_vlm._Model.say

    def saying(self: Any, asked: Question) -> str:
        seen.append(asked.key)
        return say(self, asked)

    monkeypatch.setattr(hf_vlm._Model, "say", saying)
    return seen


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, *good: str) -> None:
    say = hf_vlm._Model.say

    def saying(self: Any, asked: Question) -> str:
        if asked.key in good:
            return say(self, asked)
        raise error

    monkeypatch.setattr(hf_vlm._Model, "say", saying)


def test_answers_are_kept_and_not_asked_for_again(
    folder: Path, store: AnswerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = counted(monkeypatch)
    model = text_model(f"hf-vlm:{folder}", store)
    answers = model.answer((question(i) for i in range(4)), "cpu")
    assert list(answers) == seen == ["a/0", "a/1", "a/2", "a/3"]
    assert all(answer.text for answer in answers.values())
    assert len({answer.text for answer in answers.values()}) > 1  # it sees the pictures
    monkeypatch.setattr(hf_vlm, "_loaded", None)  # nor loaded for what it said
    assert text_model(f"hf-vlm:{folder}", store).answer([question(i) for i in range(4)], "cpu") == answers
    assert len(seen) == 4


def test_it_says_what_transformers_says(folder: Path, store: AnswerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor, network = AutoProcessor.from_pretrained(folder), AutoModelForImageTextToText.from_pretrained(folder)
    two = pictures(1, 2)
    content = [*({"type": "image"} for _ in two), {"type": "text", "text": "What is it?"}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    assert prompt.index("<|image_pad|>") < prompt.index("What is it?")
    inputs = processor(text=[prompt], images=list(two), return_tensors="pt")
    said = network.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]

    loaded, shown = hf_vlm._loaded(hf_vlm.Source(str(folder), "any", True), "cpu"), {}
    generate = loaded._network.generate
    monkeypatch.setattr(loaded._network, "generate", lambda **given: shown.update(given) or generate(**given))
    assert loaded.say(question(1, pictures=lambda: two)) == processor.decode(said, skip_special_tokens=True)
    assert torch.equal(shown["input_ids"], inputs["input_ids"])
    assert torch.equal(shown["pixel_values"], inputs["pixel_values"])  # both, in their order


def test_greedy_whatever_the_folder_says(folder: Path, tmp_path: Path) -> None:
    warm = shutil.copytree(folder, tmp_path / "warm")
    config = json.loads((warm / "generation_config.json").read_text())
    (warm / "generation_config.json").write_text(
        json.dumps({**config, "do_sample": True, "temperature": 9.0, "top_k": 9})
    )
    said = []
    for number in range(2):
        torch.manual_seed(number)
        with AnswerStore(tmp_path / f"{number}.sqlite") as store:
            said.append(text_model(f"hf-vlm:{warm}", store).answer([question(0), question(1)], "cpu"))
    assert said[0] == said[1]


def test_the_identity_is_of_the_weights(folder: Path, tmp_path: Path, store: AnswerStore) -> None:
    model = text_model(f"hf-vlm:{folder}", store)
    assert (model.name, len(model.pretrained)) == ("tiny-vlm", 12)
    assert model.pretrained in model.identity
    assert "transformers=" in model.identity
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "README.md").write_text("A card.")
    assert text_model(f"hf-vlm:{copy}", store).identity == model.identity
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert text_model(f"hf-vlm:{copy}", store).identity != model.identity


def test_a_model_of_the_hub_is_known_by_its_commit(
    folder: Path, tmp_path: Path, store: AnswerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(folder, home / "snapshots" / COMMIT)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = text_model("hf-vlm:org/tiny", store)
    assert (model.name, model.pretrained) == ("org/tiny", COMMIT[:12])
    assert f"org/tiny {COMMIT}" in model.identity
    local = text_model(f"hf-vlm:{folder}", store)
    assert model.answer([question(0)], "cpu") == local.answer([question(0)], "cpu")
    (home / "refs" / "main").write_text("f" * 40)  # it moved on; what is loaded is what was named
    hf_vlm._LOADED.clear()
    assert model.answer([question(1)], "cpu") == local.answer([question(1)], "cpu")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("too large"), RuntimeError("shapes do not fit")])
def test_a_question_that_fails_is_counted_and_asked_again(
    folder: Path, store: AnswerStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    model = text_model(f"hf-vlm:{folder}", store)
    with monkeypatch.context() as patch:
        failing(patch, error, "a/0")
        answers = model.answer([question(i) for i in range(30)], "cpu")
    assert answers["a/0"].text
    assert {answers[f"a/{i}"].text for i in range(1, 30)} == {None}
    assert answers["a/1"].error == f"{type(error).__name__}: {error}"
    assert model.answer([question(1)], "cpu")["a/1"].text


def test_a_picture_that_cannot_be_read_is_a_failure(folder: Path, store: AnswerStore) -> None:
    def damaged() -> Sequence[Image.Image]:
        raise FusionError("a/1: its rgb view cannot be read")

    answers = text_model(f"hf-vlm:{folder}", store).answer([question(1, pictures=damaged), question(2)], "cpu")
    assert answers["a/1"].text is None
    assert "a/1: its rgb view cannot be read" in answers["a/1"].error
    assert answers["a/2"].text


def test_a_model_that_answers_nothing(folder: Path, tmp_path: Path, store: AnswerStore) -> None:
    mute = shutil.copytree(folder, tmp_path / "mute")
    (mute / "chat_template.jinja").unlink()
    taken = 0

    def many() -> Iterator[Question]:
        nonlocal taken
        for taken in range(1, 100):
            yield question(taken)

    with pytest.raises(FusionError, match=r"hf-vlm:.*mute: its first 20 questions all failed.*chat template"):
        text_model(f"hf-vlm:{mute}", store).answer(many(), "cpu")
    assert taken == hf_vlm.GIVE_UP


def test_a_gpu_that_fails_stops_it(folder: Path, store: AnswerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    model = text_model(f"hf-vlm:{folder}", store)
    failing(monkeypatch, torch.AcceleratorError("device-side assert triggered"), "a/0", "a/1")
    with pytest.raises(FusionError, match="the GPU failed at a/2 .*device-side assert.*run the same command again"):
        model.answer([question(i) for i in range(9)], "cpu")
    seen = counted(monkeypatch)
    with pytest.raises(FusionError, match="the GPU failed at a/2"):
        model.answer([question(i) for i in range(9)], "cpu")
    assert seen == ["a/2"]


def test_one_model_is_in_memory_at_a_time(
    folder: Path, tmp_path: Path, store: AnswerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads, load = [], hf_vlm._Model.__init__

    def loading(self: Any, source: hf_vlm.Source, device: str) -> None:
        assert not hf_vlm._LOADED
        loads.append(Path(source.path).name)
        load(self, source, device)

    monkeypatch.setattr(hf_vlm._Model, "__init__", loading)
    hf_vlm._LOADED.clear()
    one = text_model(f"hf-vlm:{folder}", store)
    one.answer([question(0)], "cpu")
    one.answer([question(1)], "cpu")
    text_model(f"hf-vlm:{shutil.copytree(folder, tmp_path / 'other')}", store).answer([question(2)], "cpu")
    assert loads == ["tiny-vlm", "other"]


def test_weights_that_are_damaged(folder: Path, tmp_path: Path, store: AnswerStore) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(FusionError, match=r"hf-vlm:.*copy cannot be loaded by transformers on cpu"):
        text_model(f"hf-vlm:{copy}", store).answer([question(0)], "cpu")


def test_weights_that_are_not_all_there(folder: Path, tmp_path: Path, store: AnswerStore) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    del weights[sorted(weights)[0]]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(FusionError, match=r"cannot be loaded.*its weights lack 1 tensors"):
        text_model(f"hf-vlm:{copy}", store).answer([question(0)], "cpu")


def test_pickles_are_not_loaded(folder: Path, tmp_path: Path, store: AnswerStore) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"no config\.json and \*\.safetensors"):
        text_model(f"hf-vlm:{copy}", store)


@pytest.mark.parametrize("rest", ["no/such/folder", "org/none", "spaces in it"])
def test_a_model_that_is_nowhere(
    tmp_path: Path, store: AnswerStore, monkeypatch: pytest.MonkeyPatch, rest: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FusionError, match=f"hf-vlm:{rest} is no folder"):
        text_model(f"hf-vlm:{rest}", store)
