"""What a small captioning model learns from: pictures of 64 x 64 pixels and words by number, drawn by a seed.

Images are shown in their eight turns, as far as the words of a caption can follow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from fusionrs_builder.benchmark.records import Records, View
from fusionrs_builder.benchmark.vqa.questions import hashed
from fusionrs_builder.captions import turned
from fusionrs_builder.errors import FusionError, UsageError

SIDE, PATCH = 64, 8
"""Pixels of a side of what is seen, and of one token of it."""

Shows = Literal["pair", "rgb", "infrared"]

SHOWN: dict[Shows, tuple[View, ...]] = {"pair": ("rgb", "infrared"), "rgb": ("rgb",), "infrared": ("infrared",)}
"""The views that a model sees."""

LONGEST = 64
"""Words and marks of a caption, its end among them; longer ones are not learnt from, and counted."""

VOCABULARY = 8192
"""The most words and marks that are known; the rarest of more are one and the same."""

WORD = r" ?[^\s.,;:!?]+| ?[.,;:!?]"
"""A word or a mark with the space before it, so that joined they are the text again."""


@dataclass(frozen=True)
class Settings:
    """What is trained, on what and how.

    Attributes:
        data: folder of a release, or its name ORG/NAME on the Hub
        out: folder of the run
        shows: pair (both views), rgb or infrared
        target: the captions to learn: ir (of the infrared view) or scene
        split: whose infrared views are captioned in the end: test or validation
        steps: of the optimiser
        batch_size: captions a step
        learning_rate: the highest; it rises at first, then falls to nothing along a cosine
        width: of a token in both networks, a multiple of 32
        seed: of the weights, the order and the captions chosen
        device: auto, cpu or cuda
    """

    data: str = ""
    out: str = ""
    shows: Shows = "pair"
    target: Literal["ir", "scene"] = "ir"
    split: Literal["test", "validation"] = "test"
    steps: int = 1500
    batch_size: int = 32
    learning_rate: float = 1e-3
    width: int = 128
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name in ("data", "out"):
            if not getattr(self, name):
                raise UsageError(f"--{name} is missing: see python -m train.captioner --help")
        for name in ("steps", "batch_size", "width"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} {getattr(self, name)}: 1 or more")
        if self.width % 32:
            raise UsageError(f"width {self.width}: a multiple of 32")


class Lesson(NamedTuple):
    """A record to learn from.

    Attributes:
        id: of the record.
        seen: of it, see `seen`.
        captions: a turn of the image, in the order of `pixels.dihedral`, and the words that hold of it then, by number.
    """

    id: str
    seen: NDArray[np.int8]
    captions: list[tuple[int, list[int]]]


def seen(records: Records, place: int, shows: Shows) -> NDArray[np.int8]:
    """RGB and infrared of a record, less 128: int8 [4, SIDE, SIDE], 0 in the channels of what is not shown or there."""
    found = np.zeros((4, SIDE, SIDE), np.int8)
    for view in SHOWN[shows]:
        if records[place].key(view) is not None:
            small = records.picture(place, view).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
            levels = (np.asarray(small, np.int16) - 128).transpose(2, 0, 1)
            if view == "rgb":
                found[:3] = levels
            else:
                found[3] = levels[0]
    return found


def tensor(several: Sequence[NDArray[np.int8]], device: torch.device) -> torch.Tensor:
    """As the network takes them: float32 [N, 4, SIDE, SIDE] in -1..1."""
    return torch.from_numpy(np.stack(several)).to(device).float() / 128


def lessons(records: Records, settings: Settings) -> tuple[list[Lesson], Any, int]:
    """What there is to learn from, a tokenizer made of its captions, and how many captions are too long.

    Raises:
        FusionError: there is nothing; a picture is damaged.
    """
    column = f"{settings.target}_captions"
    texts: dict[int, list[tuple[int, str]]] = {
        place: [(turn, said) for text in getattr(record, column) for turn in range(8) if (said := turned(text, turn))]
        for place, record in enumerate(records)
        if record.rgb_sha256 and record.ir_sha256 and getattr(record, column)
    }
    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "isolated")
    words.decoder = decoders.Fuse()
    trainer = trainers.WordLevelTrainer(vocab_size=VOCABULARY, special_tokens=["<bos>", "<eos>", "<pad>", "<unk>"])
    words.train_from_iterator((text for several in texts.values() for _, text in several), trainer)
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )
    found, too_long = [], 0
    for place, several in texts.items():
        known = [(turn, tokenizer(text)["input_ids"] + [tokenizer.eos_token_id]) for turn, text in several]
        fitting = [(turn, caption) for turn, caption in known if len(caption) <= LONGEST]
        too_long += sum(turn == 0 and len(caption) > LONGEST for turn, caption in known)
        if fitting:
            found.append(Lesson(records[place].id, seen(records, place, settings.shows), fitting))
    if not found:
        raise FusionError(
            f"{records.dataset}: no record of {records.split} has both views and {column} of up to {LONGEST} words "
            f"({too_long:,} captions are longer): name another release"
        )
    return found, tokenizer, too_long


def batches(found: Sequence[Lesson], settings: Settings) -> Iterator[list[tuple[Lesson, int, list[int]]]]:
    """Each epoch shows every record once, in an order of its own; turned, and with one of its captions, as drawn."""
    epoch, order = -1, np.arange(0)
    for step in range(settings.steps):
        batch = []
        for number in range(step * settings.batch_size, (step + 1) * settings.batch_size):
            if number // len(found) != epoch:
                epoch = number // len(found)
                order = np.random.default_rng([settings.seed, epoch]).permutation(len(found))
            lesson = found[order[number % len(found)]]
            drawn = hashed(settings.seed, f"{epoch}|{lesson.id}") % len(lesson.captions)
            batch.append((lesson, *lesson.captions[drawn]))
        yield batch
