"""Train a small captioning model from scratch: what the infrared view adds to the visible one, with no one's weights.

    python -m train.captioner --data DIR_OR_REPO --out runs/rgb --shows rgb
    python -m train.captioner --data DIR_OR_REPO --out runs/infrared --shows infrared
    python -m train.captioner --data DIR_OR_REPO --out runs/pair --shows pair --against runs/rgb,runs/infrared

A ViT reads 64 x 64 pixels of four channels, RGB and infrared; a small GPT-2 writes words. An image that is not shown,
or that a record does not have, is zeros. All learn from the same records, those with both views, in the same order.
RUN holds `model` with its tokenizer, `settings.toml`, `log.jsonl`, `predictions.jsonl` for the benchmark's
`predictions:RUN/predictions.jsonl`, and with `--against` the differences in `scores.json`.
"""

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    PreTrainedTokenizerFast,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    get_cosine_schedule_with_warmup,
)

from fusionrs_builder import intervals
from fusionrs_builder.benchmark.metrics.captions import Captions
from fusionrs_builder.benchmark.metrics.cider import cider_d, document_frequencies
from fusionrs_builder.benchmark.metrics.tokens import tokenise
from fusionrs_builder.benchmark.models import predictions
from fusionrs_builder.benchmark.records import Record, Records, View
from fusionrs_builder.benchmark.tasks import captioning
from fusionrs_builder.benchmark.vqa.questions import hashed
from fusionrs_builder.engines.progress import Progress
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import Files
from fusionrs_builder.release.load import load_split
from train import settings as config

SIDE, PATCH = 64, 8
"""Pixels of a side of what is seen, and of one token of it."""

SHOWN: dict[str, tuple[View, ...]] = {"pair": ("rgb", "infrared"), "rgb": ("rgb",), "infrared": ("infrared",)}
"""The views that a model sees."""

LONGEST = 64
"""Words and marks of a caption, its end among them; longer ones are not learnt from, and counted."""

VOCABULARY = 8192
"""The most words and marks that are known; the rarest of more are one and the same."""

WORD = r" ?[^\s.,;:!?]+| ?[.,;:!?]"
"""A word or a mark with the space before it, so that joined they are the text again."""

BEAMS = 3
"""Captions that are written side by side, of which the likeliest stays."""

WARMUP = 0.05
"""Share of the steps in which the learning rate rises."""

PREDICTIONS = "predictions.jsonl"


@dataclass(frozen=True)
class Settings:
    """What is trained, on what and how.

    Attributes:
        data: folder of a release, or its name ORG/NAME on the Hub
        out: folder of the run
        shows: pair (both views), rgb or infrared
        target: the captions to learn: ir (of the infrared view) or scene
        split: whose infrared views are captioned in the end: test or validation
        against: folders of other runs to compare with, commas between
        steps: of the optimiser
        batch_size: captions a step
        learning_rate: the highest; it rises at first, then falls to nothing along a cosine
        width: of a token in both networks, a multiple of 32
        seed: of the weights, the order and the captions chosen
        device: auto, cpu or cuda
    """

    data: str = ""
    out: str = ""
    shows: Literal["pair", "rgb", "infrared"] = "pair"
    target: Literal["ir", "scene"] = "ir"
    split: Literal["test", "validation"] = "test"
    against: str = ""
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
    """A record to learn from: what is seen of it, and the words of each caption, by number."""

    id: str
    seen: NDArray[np.int8]
    captions: list[list[int]]


def seen(records: Records, place: int, shows: str) -> NDArray[np.int8]:
    """RGB and infrared of a record, less 128: int8 [4, SIDE, SIDE], 0 in the channels of what is not shown or there."""
    found = np.zeros((4, SIDE, SIDE), np.int8)
    for view in SHOWN[shows]:
        if records[place].key(view) is not None:
            small = records.picture(place, view).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
            pixels = (np.asarray(small, np.int16) - 128).transpose(2, 0, 1)
            if view == "rgb":
                found[:3] = pixels
            else:
                found[3] = pixels[0]
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
    texts: dict[int, Sequence[str]] = {
        place: getattr(record, column)
        for place, record in enumerate(records)
        if record.rgb_sha256 and record.ir_sha256 and getattr(record, column)
    }
    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "isolated")
    words.decoder = decoders.Fuse()
    trainer = trainers.WordLevelTrainer(vocab_size=VOCABULARY, special_tokens=["<bos>", "<eos>", "<pad>", "<unk>"])
    words.train_from_iterator((text for several in texts.values() for text in several), trainer)
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )
    found, too_long = [], 0
    for place, several in texts.items():
        known = [tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] for text in several]
        fitting = [caption for caption in known if len(caption) <= LONGEST]
        too_long += len(known) - len(fitting)
        if fitting:
            found.append(Lesson(records[place].id, seen(records, place, settings.shows), fitting))
    if not found:
        raise FusionError(
            f"{records.dataset}: no record of {records.split} has both views and {column} of up to {LONGEST} words "
            f"({too_long:,} captions are longer): name another release"
        )
    return found, tokenizer, too_long


def untrained(tokenizer: Any, settings: Settings) -> Any:
    """The networks with random weights, which the seed determines."""
    torch.manual_seed(settings.seed)
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    width, heads = settings.width, settings.width // 32
    shape = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        ViTConfig(
            image_size=SIDE, patch_size=PATCH, num_channels=4, hidden_size=width, num_hidden_layers=4,
            num_attention_heads=heads, intermediate_size=4 * width,
        ),
        GPT2Config(vocab_size=len(tokenizer), n_positions=LONGEST, n_embd=width, n_layer=2, n_head=heads, **ends),
        decoder_start_token_id=tokenizer.bos_token_id, **ends,
    )  # fmt: skip
    return VisionEncoderDecoderModel(shape)


def batches(found: Sequence[Lesson], settings: Settings) -> Iterator[list[tuple[Lesson, list[int]]]]:
    """Each epoch shows every record once, in an order of its own and with one of its captions, drawn by the seed."""
    epoch, order = -1, np.arange(0)
    for step in range(settings.steps):
        batch = []
        for number in range(step * settings.batch_size, (step + 1) * settings.batch_size):
            if number // len(found) != epoch:
                epoch = number // len(found)
                order = np.random.default_rng([settings.seed, epoch]).permutation(len(found))
            lesson = found[order[number % len(found)]]
            drawn = hashed(settings.seed, f"{epoch}|{lesson.id}") % len(lesson.captions)
            batch.append((lesson, lesson.captions[drawn]))
        yield batch


def learn(model: Any, found: Sequence[Lesson], settings: Settings, device: torch.device, log: Path) -> None:
    """Train to the end, a line of the log a step.

    Raises:
        FusionError: the loss is not finite.
    """
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=0.05)
    schedule = get_cosine_schedule_with_warmup(optimiser, round(WARMUP * settings.steps), settings.steps)
    began = time.monotonic()
    with Progress("train.captioner", settings.steps) as progress, log.open("w", encoding="utf-8") as lines:
        for step, batch in enumerate(batches(found, settings), 1):
            labels = torch.full((len(batch), max(len(text) for _, text in batch)), -100)
            for row, (_, text) in zip(labels, batch, strict=True):
                row[: len(text)] = torch.tensor(text)
            images = tensor([lesson.seen for lesson, _ in batch], device)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                loss = model(pixel_values=images, labels=labels.to(device)).loss
            if not math.isfinite(loss.item()):
                raise FusionError(f"the loss is {loss.item()} at step {step}: give a lower --learning-rate")
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            told = {"step": step, "loss": loss.item(), "learning_rate": schedule.get_last_lr()[0]}
            lines.write(json.dumps(told | {"seconds": round(time.monotonic() - began, 1)}) + "\n")
            optimiser.step()
            schedule.step()
            progress(1)


def asked(records: Records) -> list[int]:
    """Places of the records whose infrared views the benchmark wants captioned in a file of predictions."""
    subsets = captioning.subsets(records, ("infrared",), looks=False)
    return sorted({place for subset in subsets if subset.protocol.infrared for place in subset.places})


def captions(model: Any, tokenizer: Any, records: Records, settings: Settings, device: torch.device) -> dict[str, str]:
    """A caption of each record that is asked about, by its id: the likeliest of a beam search.

    Raises:
        FusionError: a picture is damaged.
    """
    places, said = asked(records), dict[str, str]()
    with Progress("captions", len(places)) as progress, torch.inference_mode():
        for start in range(0, len(places), settings.batch_size):
            part = places[start : start + settings.batch_size]
            images = tensor([seen(records, place, settings.shows) for place in part], device)
            written = model.generate(images, max_new_tokens=LONGEST - 1, num_beams=BEAMS, do_sample=False)
            texts = tokenizer.batch_decode(written, skip_special_tokens=True)
            said |= {records[place].id: text for place, text in zip(part, texts, strict=True)}
            progress(len(part))
    return said


def compared(records: Records, said: Mapping[str, Mapping[str, str]], seed: int) -> dict[str, Any]:
    """CIDEr-D of several contestants, and the first less each other one, on the records that have both views.

    Args:
        records: that were captioned.
        said: contestant -> id -> caption.
        seed: of the bootstrap.

    Returns:
        As `intervals.compare`: over all, and over those of either origin, weighed by the n-grams of all; and their `n`.
    """
    both: list[Record] = [records[place] for place in asked(records) if records[place].rgb_sha256]
    parts = {"CIDEr-D": both}
    for origin in ("measured", "translated"):
        parts[f"CIDEr-D, {origin}"] = [record for record in both if record.ir_origin == origin]
    contestants: dict[str, dict[str, intervals.Estimate]] = {}
    for name, known in said.items():
        paired = {
            what: Captions(
                {record.id: tokenise(known[record.id]) for record in part},
                {record.id: [tokenise(text) for text in record.ir_captions] for record in part},
            )
            for what, part in parts.items()
            if part
        }
        weights = document_frequencies(paired["CIDEr-D"])
        contestants[name] = {what: cider_d(part, weights).estimate(seed) for what, part in paired.items()}
    return intervals.compare(contestants) | {"n": {what: len(part) for what, part in parts.items()}}


def train(settings: Settings) -> None:
    """Train, caption the split, and compare with other runs.

    Raises:
        UsageError: there is no such device, release or run.
        FusionError: there is nothing to learn from or to caption, a picture is damaged, the loss diverges.
    """
    cuda = settings.device != "cpu" and torch.cuda.is_available()
    if settings.device == "cuda" and not cuda:
        raise UsageError("--device cuda: torch finds no GPU: give cpu")
    device, out, name = torch.device("cuda" if cuda else "cpu"), Path(settings.out), Path(settings.data).resolve().name
    records = Records(load_split(settings.data, settings.split), name, settings.split)
    wanted = {records[place].id for place in asked(records)}
    if not wanted:
        raise FusionError(f"{name}: {settings.split} has too few infrared captions to score: give another --split")
    said: dict[str, dict[str, str]] = {settings.out: {}}
    for run in filter(None, settings.against.split(",")):
        if not (path := Path(run) / PREDICTIONS).is_file():
            raise UsageError(f"--against {run}: there is no {PREDICTIONS}: name folders of runs that are done")
        said[run] = {id: one.text for id, one in predictions.read(path, path.read_bytes()).items()}
        if said[run].keys() != wanted or not any(records[place].rgb_sha256 for place in asked(records)):
            raise UsageError(f"--against {run}: no captions of these {len(wanted)} records, or none has both views")
    found, tokenizer, too_long = lessons(Records(load_split(settings.data, "train"), name, "train"), settings)
    print(f"{len(found):,} records, {len(tokenizer):,} words, {too_long:,} captions too long", file=sys.stderr)

    files = Files(settings.out)
    files.write_bytes("settings.toml", config.as_toml(settings).encode())
    model = untrained(tokenizer, settings).to(device)
    learn(model.train(), found, settings, device, out / "log.jsonl")
    model.save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")
    mine = said[settings.out] = captions(model.eval(), tokenizer, records, settings, device)
    lines = [json.dumps({"id": id, "caption": text}, ensure_ascii=False) + "\n" for id, text in mine.items()]
    files.write_bytes(PREDICTIONS, "".join(lines).encode())
    if len(said) > 1:
        scores = compared(records, said, settings.seed)
        files.write_json("scores.json", scores)
        for run, metrics in scores["differences"].items():
            for metric, score in metrics.items():
                print(f"{metric}, n = {scores['n'][metric]}: {out.name} less {run}: {intervals.Score(**score)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0; 1 where the work could not be done, 2 where the call is wrong."""
    try:
        settings = config.parse(Settings, "python -m train.captioner", str(__doc__).partition("\n")[0], argv)
        train(settings)
    except FusionError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    of = f"--data {settings.data}:{settings.split} --model predictions:{settings.out}/{PREDICTIONS}"
    print(f"done; its scores: fusionrs-build benchmark captioning {of}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
