"""What a vision-language model is trained on: a prompt, the views it is about, and the answer.

The prompts are those of the benchmark, so that what is trained is what is asked.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from fusionrs_builder.benchmark.models.chat import shrunk
from fusionrs_builder.benchmark.prompts import CAPTION_INFRARED, CAPTION_PAIR, CAPTION_VISIBLE
from fusionrs_builder.benchmark.records import Record, Records
from fusionrs_builder.benchmark.vqa.questions import hashed, questions
from fusionrs_builder.errors import FusionError, UsageError
from train.vlm_stage import CaptionStage

WORLD = int(os.environ.get("WORLD_SIZE", "1"))
"""Processes that train together, a GPU each, as torchrun has it."""


@dataclass(frozen=True)
class Settings:
    """What is trained, on what and how.

    Attributes:
        data: folder of a release, or its name ORG/NAME on the Hub
        model: to begin with: a folder or a name on the Hub, any image-text-to-text model of transformers
        out: folder of the run
        steps: of the optimiser
        batch_size: rows a step, over all GPUs
        accumulate: parts that a GPU takes its rows of a step in; more need less memory
        learning_rate: the highest; it rises at first, then falls to nothing along a cosine
        lora_rank: of the adapter, which stands beside every linear layer but the last
        lora_alpha: the adapter's output is scaled by lora_alpha / lora_rank
        modality_drop: share of the captions of records with both views that are asked of one view alone
        questions: share of the rows that are questions made from boxes, where the release has boxes
        caption_stage: share of the rows that are asked as `fusionrs-build caption` asks, with facts, answered in JSON
        save_every: steps between checkpoints
        workers: processes that read and decode ahead of the training
        seed: of the adapter and of all that is drawn
        device: auto, cpu or cuda
    """

    data: str = ""
    model: str = ""
    out: str = ""
    steps: int = 1000
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 1e-4
    lora_rank: int = 16
    lora_alpha: int = 32
    modality_drop: float = 0.3
    questions: float = 0.3
    caption_stage: float = 0.2
    save_every: int = 100
    workers: int = 0
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name in ("data", "model", "out"):
            if not getattr(self, name):
                raise UsageError(f"--{name} is missing: see python -m train.vlm --help")
        for name in ("steps", "batch_size", "accumulate", "lora_rank", "lora_alpha", "save_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} {getattr(self, name)}: 1 or more")
        for name in ("learning_rate", "workers", "seed"):
            if not 0 <= getattr(self, name) < math.inf:  # NaN neither
                raise UsageError(f"{name} {getattr(self, name):g}: 0 or more")
        if self.seed >= 2**32:
            raise UsageError(f"seed {self.seed}: less than 2 ** 32")
        for name in ("modality_drop", "questions", "caption_stage"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} {getattr(self, name):g}: a share, from 0 to 1")
        if self.questions + self.caption_stage > 1:
            raise UsageError(f"questions {self.questions:g} + caption_stage {self.caption_stage:g}: 1 at most")
        if self.batch_size % (WORLD * self.accumulate):
            raise UsageError(f"batch_size {self.batch_size}: a multiple of accumulate {self.accumulate} x {WORLD} GPUs")


class Ask(NamedTuple):
    """What may be asked of a record: the words, the views they are about, and the answers of which each is right."""

    prompt: str
    views: tuple[Literal["rgb", "infrared"], ...]
    answers: Sequence[str]


def captions(record: Record) -> list[Ask]:
    """The captions that can be asked for: where there are both views and infrared captions, of the pair first."""
    found = (
        Ask(CAPTION_PAIR, ("rgb", "infrared"), record.ir_captions),
        Ask(CAPTION_INFRARED, ("infrared",), record.ir_captions),
        Ask(CAPTION_VISIBLE, ("rgb",), record.scene_captions),
    )
    return [ask for ask in found if ask.answers and all(record.key(view) is not None for view in ask.views)]


class Rows:
    """The rows of a whole training, in order. A row follows from its number, the settings and the records alone.

    Args:
        records: the train split.
        settings: `seed` and the shares of them.

    Raises:
        FusionError: no record has a caption and the views that it is about.
    """

    def __init__(self, records: Records, settings: Settings) -> None:
        self._records, self._settings = records, settings
        self.places = [place for place, record in enumerate(records) if captions(record)]
        if not self.places:
            raise FusionError(
                f"{records.dataset}: no record of {records.split} has a caption and the view it describes: build the "
                "release with captions (`fusionrs-build caption`), or name another as --data"
            )
        self._asked = questions(records, settings.seed) if settings.questions else []
        self._stage = CaptionStage(records)
        self._epoch, self._order = -1, np.arange(0)

    def row(self, number: int) -> tuple[int, Ask]:
        """The place of the record, and what is asked, with one answer.

        An epoch goes through all records in an order of its own; a question takes the place of a record's caption.
        """
        if self._asked and self._share(f"kind|{number}") < self._settings.questions:
            one = self._asked[self._draw(f"which|{number}") % len(self._asked)]
            return one.place, Ask(one.prompt, ("infrared",), (one.answer,))
        epoch, at = divmod(number, len(self.places))
        if epoch != self._epoch:
            order = np.random.default_rng([self._settings.seed, epoch]).permutation(len(self.places))
            self._epoch, self._order = epoch, order
        place = self.places[self._order[at]]
        record: Record = self._records[place]
        found, key = captions(record), f"{epoch}|{record.id}"
        if len(found[0].views) == 2:
            pair, *found = found
            if self._share(f"drop|{key}") >= self._settings.modality_drop:
                found = [pair]
        ask = found[self._draw(f"view|{key}") % len(found)]
        answer = ask.answers[self._draw(f"caption|{key}") % len(ask.answers)]
        return place, ask._replace(answers=(answer,))

    def __getitem__(self, number: int) -> dict[str, Any]:
        """As trl takes it: `prompt` and `completion`, in messages, and `images`."""
        if self._stage.places and self._share(f"kind|{number}") >= 1 - self._settings.caption_stage:
            return self._stage.row(self._stage.places[self._draw(f"stage|{number}") % len(self._stage.places)])
        place, ask = self.row(number)
        return {
            "prompt": [{"role": "user", "content": ask.prompt}],
            "completion": [{"role": "assistant", "content": ask.answers[0]}],
            "images": [shrunk(self._records.picture(place, view)) for view in ask.views],
        }

    def _draw(self, what: str) -> int:
        return hashed(self._settings.seed, what)

    def _share(self, what: str) -> float:
        return self._draw(what) / 2**64


class Collator:
    """Numbers of rows -> a batch. Rows longer than the context are `too_long`, and not learnt from."""

    def __init__(self, rows: Rows, processor: Any, context: int) -> None:
        self._rows, self._context = rows, context
        # A row is never cut: that would take tokens from under its pictures.
        self._collate = DataCollatorForVisionLanguageModeling(processor, max_length=None, completion_only_loss=True)

    def __call__(self, examples: Sequence[Mapping[str, int]]) -> Any:
        batch: Any = self._collate([self._rows[example["row"]] for example in examples])
        batch["too_long"] = batch["attention_mask"].sum(1) > self._context
        batch["labels"][batch["too_long"]] = -100
        return batch
