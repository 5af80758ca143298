"""Training of a translator on pairs: one loop that reads top to bottom.

Random crops, turned and mirrored; the RGB side with the light, contrast and colour balance of another day; L1,
structure and correlation with what the sensor measured; AdamW with a linear decay; the mean of the weights over time is
kept.
"""

import copy
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate import checkpoint
from fusionrs_builder.translate.card import translator_card
from fusionrs_builder.translate.evaluate import evaluate
from fusionrs_builder.translate.losses import paired_loss
from fusionrs_builder.translate.networks import GeneratorConfig, ResnetGenerator
from fusionrs_builder.translate.pairs import Pair, Source, read_pairs
from fusionrs_builder.translate.translator import GeneratorTranslator, fast_bf16
from fusionrs_builder.workspace import Workspace

WARMUP_STEPS = 50

EMA_START = 10
"""The mean of the weights forgets the first steps: its decay grows as (1 + step) / (EMA_START + step)."""

log = logging.getLogger(__name__)

Progress = Callable[[float, dict[str, float]], None]
"""Called with the share that is done, 0..1, and the step, the loss, the seconds since the start."""


@dataclass(frozen=True)
class TrainSettings:
    """The recipe.

    Attributes:
        generator: what is trained.
        steps: after how many to stop; None: by `minutes` alone.
        minutes: when to stop; None: by `steps` alone. Only a run stopped by steps can be repeated bit for bit.
        batch_size: crops a step.
        crop: side of a crop, pixels; smaller images are mirrored to this size.
        learning_rate: at its height; falls to nothing over the second half.
        weight_decay: of AdamW.
        structure: weight of 1 - SSIM beside L1.
        correlation: weight of 1 - Pearson correlation beside L1.
        radiometric: strength of the changes of light and colour; 0: none.
        ema: decay of the mean of the weights, a step.
        report_every: steps between calls of `progress`.
        seed: of weights, crops and augmentation.
        device: `cpu`, `cuda` or `auto`.
    """

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    steps: int | None = 1000
    minutes: float | None = None
    batch_size: int = 16
    crop: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    structure: float = 0.1
    correlation: float = 0.2
    radiometric: float = 1.0
    ema: float = 0.995
    report_every: int = 10
    seed: int = 0
    device: str = "cpu"


def train(pairs: Sequence[Pair], settings: TrainSettings, progress: Progress | None = None) -> ResnetGenerator:
    """Train a generator on pairs.

    Args:
        pairs: images and what was measured, of any sizes.
        settings: the recipe.
        progress: told every `report_every` steps and at the end.

    Returns:
        The generator with the mean weights, in evaluation mode, on the CPU.

    Raises:
        UsageError: neither steps nor minutes are given, or there are no pairs.
        FusionError: the loss is no longer a number.
    """
    if not len(pairs):
        raise UsageError("no pairs to train on: the held-out pattern matches every record, or none was measured")
    if settings.steps is None and settings.minutes is None:
        raise UsageError("training needs an end: give steps or minutes")
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    device = _device(settings.device)
    bf16 = device.type == "cuda" or fast_bf16()

    network = ResnetGenerator(settings.generator).to(device)
    mean = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.99)
    )

    started, step, done = time.monotonic(), 0, 0.0
    while done < 1:
        rate = settings.learning_rate * min(1.0, (step + 1) / WARMUP_STEPS, 2 * (1 - done))
        for group in optimizer.param_groups:
            group["lr"] = rate

        rgb, measured = draw_batch(pairs, settings.batch_size, settings.crop, rng)
        rgb = change_light(rgb, settings.radiometric, rng)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            drawn = network(rgb.to(device) * 2 - 1)
        loss = paired_loss(drawn, measured.to(device), settings.structure, settings.correlation)
        if not math.isfinite(loss.item()):
            raise FusionError(f"the loss is {loss.item()} at step {step}: train with a lower learning rate")

        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        _follow(mean, network, min(settings.ema, (1 + step) / (EMA_START + step)))

        step += 1
        seconds = time.monotonic() - started
        by_steps = step / settings.steps if settings.steps else 0.0
        done = min(1.0, max(by_steps, seconds / 60 / settings.minutes if settings.minutes else 0.0))
        if progress and (step % settings.report_every == 0 or done >= 1):
            progress(done, {"step": step, "loss": loss.item(), "seconds": seconds})
    return mean.cpu()


def draw_batch(pairs: Sequence[Pair], batch_size: int, crop: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Random crops of random pairs, in one of the eight positions of the square.

    Returns:
        float [N, 3, crop, crop] and float [N, 1, crop, crop], both in 0..1.
    """
    both = [_crop(pairs[int(rng.integers(len(pairs)))], crop, rng) for _ in range(batch_size)]
    stacked = torch.from_numpy(np.stack(both)).permute(0, 3, 1, 2).float() / 255
    return stacked[:, :3].contiguous(), stacked[:, 3:].contiguous()


def _crop(pair: Pair, crop: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 [crop, crop, 4]: R, G, B and the infrared."""
    height, width = pair.ir.shape
    y, x = int(rng.integers(max(height - crop, 0) + 1)), int(rng.integers(max(width - crop, 0) + 1))
    part = (slice(y, y + crop), slice(x, x + crop))
    both = np.dstack([pair.rgb[part], pair.ir[part]])
    below, right = crop - both.shape[0], crop - both.shape[1]
    if below or right:
        both = np.pad(both, ((0, below), (0, right), (0, 0)), mode="symmetric")
    both = np.rot90(both, int(rng.integers(4)))
    return np.ascontiguousarray(both[:, ::-1] if rng.integers(2) else both)


def change_light(rgb: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Another day's light: gain, gamma and offset of the whole image and, less, of each channel.

    Args:
        rgb: float [N, 3, H, W] in 0..1.
        strength: 0 leaves the images as they are; 1 changes the gain by about 18 %, a channel against another by 10 %.
        rng: source of the changes.

    Returns:
        The same shape and range.
    """

    def spread(whole: float, channel: float) -> Tensor:
        shape = (len(rgb), 1, 1, 1), (len(rgb), 3, 1, 1)
        values = rng.normal(0, whole * strength, shape[0]) + rng.normal(0, channel * strength, shape[1])
        return torch.from_numpy(values).float()

    gain, gamma, offset = spread(0.15, 0.10).exp(), spread(0.15, 0.05).exp(), spread(0.03, 0.02)
    # Black is lifted by a thousandth: a power of zero has no slope.
    return (rgb.clamp_min(1e-3) ** gamma * gain + offset).clamp(0, 1)


def _follow(mean: torch.nn.Module, network: torch.nn.Module, decay: float) -> None:
    with torch.no_grad():
        for kept, new in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def train_and_save(
    pairs: Sequence[Pair],
    held_out: Sequence[Pair],
    settings: TrainSettings,
    out: Path,
    *,
    name: str,
    band: str,
    sources: Sequence[Source],
    held_out_words: str,
    tile: int | None = None,
    remarks: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train, save, and score what was saved: weights, configuration and card stand in `out` at the end.

    Args:
        pairs: to train on.
        held_out: to score by; may be empty, then the card says that there are no scores.
        settings: the recipe.
        out: folder of the translator.
        name: of the translator.
        band: that it draws.
        sources: of the pairs, for the card.
        held_out_words: which records are held out, for the card.
        tile: score tiles of this many pixels instead of whole images.
        remarks: further limits for the card, a sentence each.
        progress: as in `train`.

    Returns:
        The result of `evaluate`, or a dict with `n` = 0 when nothing was held out.
    """
    last: dict[str, float] = {}

    def follow(done: float, facts: dict[str, float]) -> None:
        last.update(facts)
        if progress:
            progress(done, facts)

    network = train(pairs, settings, follow)
    recipe = {**asdict(settings), "steps": int(last["step"]), "pairs": len(pairs)}
    facts: dict[str, Any] = {"training": recipe, "held_out": held_out_words, "scores": {"n": 0}}
    checkpoint.save(network, out, name, band, "", facts)
    # What is scored is what was saved: read back, after the rounding.
    found = checkpoint.find(out)
    if len(held_out):
        facts["scores"] = evaluate(GeneratorTranslator(found, settings.device), held_out, tile, settings.seed)
    card = translator_card(found, facts, sources, last["seconds"], remarks)
    checkpoint.save(network, out, name, band, card, facts)
    log.info("translator %s saved to %s", name, out)
    return dict(facts["scores"])


def train_translator(
    workspace: Workspace,
    out: Path,
    *,
    band: str = "nir",
    hold_out: str | None = None,
    tile: int | None = None,
    settings: TrainSettings | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a translator on the records of a workspace that have both RGB and a measured band.

    Args:
        workspace: whose rgb layer is read.
        out: folder of the translator; its last part becomes the name.
        band: to draw.
        hold_out: regular expression searched in `<corpus>/<corpus_key>`: these records are scored, not learnt from.
        tile: score tiles of this many pixels instead of whole images.
        settings: the recipe; None: the default one.
        progress: as in `train`.

    Returns:
        The scores, as `train_and_save`.

    Raises:
        UsageError: `hold_out` is not a regular expression or leaves nothing to train on.
        FusionError: the workspace holds no such records; the loss is no longer a number; `out` cannot be written.
    """
    pairs, held_out = read_pairs(workspace, band, hold_out)
    return train_and_save(
        pairs,
        held_out,
        settings or TrainSettings(),
        Path(out),
        name=Path(out).resolve().name,
        band=band,
        sources=sorted(pairs.sources, key=lambda source: (source.corpus, source.sensor)),
        held_out_words=f"records whose key matches `{hold_out}`" if hold_out else "none",
        tile=tile,
        progress=progress,
    )
