"""Train a small captioning model from scratch, with no one's weights.

    python -m train.captioner --data DIR_OR_REPO --out runs/pair --shows pair

A ViT reads 64 x 64 pixels of four channels, RGB and infrared; a small GPT-2 writes words. An image that is not shown,
or that a record does not have, is zeros. Whatever is shown, all learn from the same records, those with both views, in
the same order. RUN holds `model` with its tokenizer, `settings.toml`, `log.jsonl` and `predictions.jsonl`, for the
benchmark's `predictions:RUN/predictions.jsonl`. `train.caption_ablation` compares what is shown.
"""

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GPT2Config,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    get_cosine_schedule_with_warmup,
)

from fusionrs_builder import devices, pixels
from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.benchmark.tasks import captioning
from fusionrs_builder.engines.progress import Progress
from fusionrs_builder.errors import FusionError
from fusionrs_builder.files import Files
from fusionrs_builder.release.load import load_split
from train import settings as config
from train import standing
from train.captioner_data import LONGEST, PATCH, SIDE, Lesson, Settings, batches, lessons, seen, tensor

BEAMS = 3
"""Captions that are written side by side, of which the likeliest stays."""

WARMUP = 0.05
"""Share of the steps in which the learning rate rises."""

PREDICTIONS = "predictions.jsonl"

FREE = ("data", "out", "device")
"""Settings that may differ when a run that stands is asked for again."""


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


def learn(model: Any, found: Sequence[Lesson], settings: Settings, device: torch.device, log: Path) -> None:
    """Train to the end, a line of the log a step.

    Raises:
        FusionError: the loss is not finite.
    """
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=0.05, fused=True)
    schedule = get_cosine_schedule_with_warmup(optimiser, round(WARMUP * settings.steps), settings.steps)
    began = time.monotonic()
    with Progress("train.captioner", settings.steps) as progress, log.open("w", encoding="utf-8") as lines:
        for step, batch in enumerate(batches(found, settings), 1):
            labels = torch.full((len(batch), max(len(text) for _, _, text in batch)), -100)
            for row, (_, _, text) in zip(labels, batch, strict=True):
                row[: len(text)] = torch.tensor(text)
            images = tensor([pixels.dihedral(lesson.seen)[turn] for lesson, turn, _ in batch], device)
            with devices.attention(device), devices.autocast(device):
                loss = model(pixel_values=images, labels=labels.to(device)).loss
            if not math.isfinite(loss.item()):
                raise FusionError(f"the loss is {loss.item()} at step {step}: give a lower --learning-rate")
            optimiser.zero_grad()
            with devices.attention(device):
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


def train(settings: Settings) -> None:
    """Train, and caption the split; nothing where that was done. A run that was killed begins anew.

    Raises:
        UsageError: there is no such device or release, or the run that stands has other settings.
        FusionError: there is nothing to learn from or to caption, a picture is damaged, the loss diverges.
    """
    device, out, name = devices.chosen(settings.device), Path(settings.out), Path(settings.data).resolve().name
    records = Records(load_split(settings.data, settings.split), name, settings.split)
    if not asked(records):
        raise FusionError(f"{name}: {settings.split} has too few infrared captions to score: give another --split")
    learnt = Records(load_split(settings.data, "train"), name, "train")
    sources = {f"the {one.split} split": one.sha256 for one in (learnt, records)}
    if standing.check(settings, sources, FREE) and (out / PREDICTIONS).is_file():
        return
    found, tokenizer, too_long = lessons(learnt, settings)
    print(f"{len(found):,} records, {len(tokenizer):,} words, {too_long:,} captions too long", file=sys.stderr)
    standing.begin(settings, sources)
    model = untrained(tokenizer, settings).to(device)
    learn(model.train(), found, settings, device, out / "log.jsonl")
    model.save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")
    said = captions(model.eval(), tokenizer, records, settings, device)
    lines = [json.dumps({"id": id, "caption": text}, ensure_ascii=False) + "\n" for id, text in said.items()]
    Files(settings.out).write_bytes(PREDICTIONS, "".join(lines).encode())


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
