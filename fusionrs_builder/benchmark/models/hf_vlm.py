"""Vision-language models in this process, through transformers: `hf-vlm:ORG/NAME` or `hf-vlm:FOLDER`."""

import hashlib
from collections.abc import Iterable
from importlib.util import find_spec
from operator import length_hint
from pathlib import Path
from typing import Any, NamedTuple

from fusionrs_builder.benchmark.models.answer_store import AnswerStore
from fusionrs_builder.benchmark.models.chat import LONGEST_SIDE, shrunk
from fusionrs_builder.benchmark.models.hugging_face import file_sha256, first_line, hub_commit, versions
from fusionrs_builder.benchmark.models.model import Answer, Question, TextModel
from fusionrs_builder.engines.progress import Progress
from fusionrs_builder.errors import FusionError, UsageError

GIVE_UP = 20
"""Questions that failed, after which no more are asked where none was answered."""

READ = {".json", ".safetensors", ".jinja", ".model", ".txt"}
"""Ends of the names of files that decide what a model says."""


class Source(NamedTuple):
    """Which weights.

    Attributes:
        path: a folder, or a name on the Hub.
        revision: commit on the Hub, or sha256 of the folder's files.
        local: whether it is a folder.
    """

    path: str
    revision: str
    local: bool


def model(rest: str, store: AnswerStore) -> TextModel:
    """A model of a folder or of the Hub.

    Args:
        rest: of the spec: the folder or the name.
        store: of the answers.

    Raises:
        UsageError: the folder holds no model, or transformers is not installed.
        FusionError: there is no such folder, nor a model of that name within reach.
    """
    if find_spec("transformers") is None:
        raise UsageError(f"hf-vlm:{rest}: transformers is not installed: pip install 'fusionrs-builder[offline]'")
    folder = Path(rest).expanduser()
    if folder.is_dir():
        source = Source(str(folder), _folder_sha256(folder), True)
    else:
        source = Source(rest, hub_commit(rest, "config.json", f"hf-vlm:{rest}"), False)
    identity = f"hf-vlm {'' if source.local else rest} {source.revision} {versions('transformers')} side={LONGEST_SIDE}"

    def answer(questions: Iterable[Question], device: str) -> dict[str, Answer]:
        return _answered(source, f"{identity} {device.partition(':')[0]}", store, questions, device)

    return TextModel(
        spec=f"hf-vlm:{rest}",
        name=folder.resolve().name if source.local else rest,
        pretrained=source.revision[:12],
        identity=identity,
        answer=answer,
    )


def _answered(
    source: Source, identity: str, store: AnswerStore, questions: Iterable[Question], device: str
) -> dict[str, Answer]:
    """An answer to each, one after another, by its key.

    Raises:
        FusionError: the model cannot be loaded, its first questions all fail, or the GPU does.
    """
    answers: dict[str, Answer] = {}
    answered = 0
    with Progress(f"hf-vlm:{source.path}", length_hint(questions)) as progress:
        for question in questions:
            asked = (question.prompt, question.pictures_key, question.most_tokens)
            known = store.get(identity, *asked)
            answer = Answer(known) if known is not None else _one(_loaded(source, device), source, question)
            if answer.text is not None:
                answered += 1
                if known is None:
                    store.put(identity, *asked, answer.text)
            answers[question.key] = answer
            if not answered and len(answers) == GIVE_UP:
                raise FusionError(
                    f"hf-vlm:{source.path}: its first {GIVE_UP} questions all failed, the last of: {answer.error}; see "
                    "that it is a model of pictures and words with a chat template, and that it fits the device"
                )
            progress(1)
    return answers


def _one(loaded: "_Model", source: Source, question: Question) -> Answer:
    import torch

    try:
        return Answer(loaded.say(question))
    except torch.AcceleratorError as error:  # every later call would fail of it too
        raise FusionError(
            f"hf-vlm:{source.path}: the GPU failed at {question.key} ({first_line(error)}): run the same command "
            "again: answers that came are kept"
        ) from None
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError):
            torch.cuda.empty_cache()
        return Answer(None, first_line(error))


class _Model:
    """A model that was loaded.

    Args:
        source: which.
        device: torch device.
    """

    def __init__(self, source: Source, device: str) -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        revision = {} if source.local else {"revision": source.revision}
        self._dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        self._device = device
        self._processor: Any = AutoProcessor.from_pretrained(source.path, **revision)  # type: ignore[no-untyped-call]
        load: Any = AutoModelForImageTextToText.from_pretrained
        network, told = load(source.path, dtype=self._dtype, use_safetensors=True, output_loading_info=True, **revision)
        if missing := sorted(told["missing_keys"]):  # transformers would go on with random ones
            raise ValueError(f"its weights lack {len(missing)} tensors, such as {missing[0]}")
        self._network = network.to(device).eval()

    def say(self, question: Question) -> str:
        """The likeliest words, one after another."""
        import torch

        pictures = [{"type": "image", "image": shrunk(picture.convert("RGB"))} for picture in question.pictures()]
        inputs = self._processor.apply_chat_template(
            [{"role": "user", "content": [*pictures, {"type": "text", "text": question.prompt}]}],
            add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
        ).to(self._device, self._dtype)  # fmt: skip
        with torch.inference_mode():
            generated = self._network.generate(
                **inputs, max_new_tokens=question.most_tokens, do_sample=False, num_beams=1,
                temperature=None, top_p=None, top_k=None,
            )  # fmt: skip
        said = generated[0, inputs["input_ids"].shape[1] :]
        text: str = self._processor.decode(said, skip_special_tokens=True)
        return text


_LOADED: dict[tuple[Source, str], _Model] = {}
"""The model that was asked last: it is not loaded again for the next questions, and makes room for another."""


def _loaded(source: Source, device: str) -> _Model:
    if (source, device) not in _LOADED:
        _LOADED.clear()
        try:
            _LOADED[source, device] = _Model(source, device)
        except Exception as error:  # whatever strangers' files do to their loaders
            raise FusionError(
                f"hf-vlm:{source.path} cannot be loaded by transformers on {device} ({first_line(error)}): name a "
                "model of pictures and words whose weights are safetensors, and that fits there"
            ) from error
    return _LOADED[source, device]


def _folder_sha256(folder: Path) -> str:
    """Of names and contents of the files in a folder that decide what its model says."""
    files = sorted(path for path in folder.iterdir() if path.suffix in READ and path.is_file())
    if not (folder / "config.json").is_file() or not any(path.suffix == ".safetensors" for path in files):
        raise UsageError(f"hf-vlm:{folder}: no config.json and *.safetensors in it; name a folder of `save_pretrained`")
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.name} {file_sha256(path)}\n".encode())
    return total.hexdigest()
