"""The same questions answered by a model in this process, through vLLM where it is installed, else transformers."""

import importlib.util
import time
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from itertools import islice
from typing import Any, Protocol

from PIL import Image

from fusionrs_builder import devices
from fusionrs_builder.caption.chat.answer import MAX_REPLY
from fusionrs_builder.caption.chat.ledger import Answer, Ledger
from fusionrs_builder.caption.chat.question import SCHEMA, Question
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CaptionSettings

VLLM_BATCH, BATCH = 512, 8
"""Questions handed over at once: vLLM schedules them itself, transformers pads them to one length."""

VIA = "offline"


class Engine(Protocol):
    """Answers a list of questions.

    Attributes:
        batch: questions that it wants at once.
    """

    batch: int

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """An answer for each question, in order."""


def load_engine(settings: CaptionSettings, device: str) -> Engine:
    """A vLLM engine where it is installed and there is a GPU for it, else one of transformers.

    Args:
        settings: model (a folder or a name on the Hub) and parameters.
        device: torch device.

    Raises:
        UsageError: neither is installed, or the model cannot be loaded.
    """
    cuda = devices.chosen(device).type == "cuda"
    for name, engine in (("vllm", _VLLM), ("transformers", _Transformers)):
        if importlib.util.find_spec(name) is None or (name == "vllm" and not cuda):
            continue
        try:
            return engine(settings, "cuda" if cuda else "cpu")
        except (OSError, ValueError, ImportError) as error:
            raise UsageError(f"caption.model: {settings.model} cannot be loaded by {name}: {error}") from None
    raise UsageError("caption.offline: install vllm, or transformers: pip install 'fusionrs-builder[offline]'")


def answer_all(questions: Iterable[Question], engine: Engine, ledger: Ledger) -> int:
    """Answer questions into the ledger, a batch after the other. Returns how many."""
    count, source = 0, iter(questions)
    while batch := list(islice(source, engine.batch)):
        answers = engine.answer(batch)
        written = [ledger.answered(None, q.asked, a) for q, a in zip(batch, answers, strict=True)]
        for each in written:
            each.result()
        count += len(batch)
    return count


class _VLLM:
    batch = VLLM_BATCH

    def __init__(self, settings: CaptionSettings, device: str) -> None:
        import vllm  # type: ignore[import-not-found]
        from vllm.sampling_params import StructuredOutputsParams  # type: ignore[import-not-found]

        self._model = vllm.LLM(settings.model, limit_mm_per_prompt={"image": 2})
        self._sampling = vllm.SamplingParams(
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            structured_outputs=StructuredOutputsParams(json=SCHEMA),
        )

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        started = time.monotonic()
        outputs = self._model.chat([question.messages() for question in questions], self._sampling, use_tqdm=False)
        seconds = (time.monotonic() - started) / len(questions)
        return [
            Answer(
                each.outputs[0].text[:MAX_REPLY], str(each.outputs[0].finish_reason), len(each.prompt_token_ids),
                len(each.outputs[0].token_ids), None, round(seconds, 3), VIA,
            )
            for each in outputs
        ]  # fmt: skip


class _Transformers:
    batch = BATCH

    def __init__(self, settings: CaptionSettings, device: str) -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self._settings, self._device = settings, device
        self._processor: Any = AutoProcessor.from_pretrained(settings.model, padding_side="left")  # type: ignore[no-untyped-call]
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        model: Any = AutoModelForImageTextToText.from_pretrained(settings.model, dtype=dtype)
        self._model = model.to(device).eval()

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        import torch

        started = time.monotonic()
        inputs = self._processor.apply_chat_template(
            [list(_messages(question)) for question in questions], add_generation_prompt=True, tokenize=True,
            return_dict=True, return_tensors="pt", padding=True,
        ).to(self._device)  # fmt: skip
        warm = self._settings.temperature > 0
        # Seeded by what is asked: the same questions get the same answers.
        torch.manual_seed(int(questions[0].asked.key[:15], 16))
        with torch.inference_mode():
            generated = self._model.generate(
                **inputs,
                max_new_tokens=self._settings.max_tokens,
                do_sample=warm,
                **({"temperature": self._settings.temperature} if warm else {}),
            )
        length = inputs["input_ids"].shape[1]
        texts = self._processor.batch_decode(generated[:, length:], skip_special_tokens=True)
        seconds = (time.monotonic() - started) / len(questions)
        tokens_in = inputs["attention_mask"].sum(dim=1).tolist()
        tokens_out = (generated[:, length:] != self._padding()).sum(dim=1).tolist()
        return [
            Answer(text[:MAX_REPLY], "length" if out >= self._settings.max_tokens else "stop", into, out, None,
                   round(seconds, 3), VIA)
            for text, into, out in zip(texts, tokens_in, tokens_out, strict=True)
        ]  # fmt: skip

    def _padding(self) -> int:
        token = self._processor.tokenizer.pad_token_id
        return -1 if token is None else int(token)


def _messages(question: Question) -> Iterator[dict[str, Any]]:
    """As the processors of transformers want them: images decoded, in their places."""
    yield {"role": "system", "content": [{"type": "text", "text": question.system}]}
    images = [{"type": "image", "image": Image.open(BytesIO(image)).convert("RGB")} for image in question.images]
    yield {"role": "user", "content": [{"type": "text", "text": question.asked.text}, *images]}
