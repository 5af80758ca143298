"""Training of a translator: one loop that reads top to bottom.

Unpaired images (`cyclegan`, `cut`), pairs (`pix2pix`), or both together; the exponential mean of the weights is what
is kept, the best of it by a validation score. A training that was killed goes on where it was.
"""

import copy
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fusionrs_builder import devices
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.stage import digest
from fusionrs_builder.translate import checkpoint, distributed, record, snapshot
from fusionrs_builder.translate.batches import STEP, batches, chance
from fusionrs_builder.translate.checkpoint import Checkpoint
from fusionrs_builder.translate.networks import GATES, ResnetGenerator, with_context
from fusionrs_builder.translate.objectives import OBJECTIVES, Batch
from fusionrs_builder.translate.objectives.objective import Shape
from fusionrs_builder.translate.recipe import TrainSettings
from fusionrs_builder.translate.training_data import TrainingData
from fusionrs_builder.translate.validation import validate

WARMUP_STEPS = 50

EMA_START = 10
"""The mean of the weights forgets the first steps: its decay grows as (1 + step) / (EMA_START + step)."""

AVERAGED = 3
"""Validations, one after another, by whose mean score the weights of the last are chosen: a single one sees a few dozen
views, and a classifier's verdict on so few is off by more than the weights change in between."""

DIGITS = 4
"""Of that mean, which tell one from another. Of equals the last weights are kept: what was kept for validation may show
nothing of what was learnt in between, such as a corpus of a few scenes of which none was spared."""

LONGEST_GRADIENT = 10.0
"""Norm to which gradients are cut."""

log = logging.getLogger(__name__)

Progress = Callable[[dict[str, float]], None]
"""Called with `step`, `steps`, `seconds` and the losses by name."""


class DivergedError(FusionError):
    """The loss is no longer a number; the mean weights of the step before are kept."""

    def __init__(self, message: str, network: ResnetGenerator) -> None:
        super().__init__(message)
        self.network = network


def train(
    data: TrainingData,
    settings: TrainSettings,
    folder: Path,
    progress: Progress = lambda facts: None,
    start: Checkpoint | None = None,
) -> tuple[ResnetGenerator, dict[str, Any]]:
    """Train a generator.

    Args:
        data: to learn from.
        settings: the recipe.
        folder: of the run: the state, the history, pictures; a run that stands there is gone on with.
        progress: told after every step.
        start: begin with its weights, not with random ones; its shape is that of the recipe.

    Returns:
        The generator with the mean weights that scored best on what was kept for validation, by the mean of `AVERAGED`
        validations (the last weights, where nothing was kept), in evaluation mode, on the CPU; and `step` (of these
        weights), `done` (steps), `validation`, `averaged` (of how many it is the mean), `seconds`.

    Raises:
        UsageError: the folder holds a run of another recipe.
        DivergedError: the loss is no longer a number.
        FusionError: an image is damaged; the folder cannot be written; memory is too small for half the batch.
    """
    rank, world, device = distributed.start(devices.chosen(settings.device))
    shape = Shape(settings.generator, settings.ndf, settings.pool, settings.crop, settings.diff_augment)
    torch.manual_seed(settings.seed)
    objective = OBJECTIVES[settings.objective](shape, settings.weights)
    if start:
        objective.generator.load_state_dict(checkpoint.load(start).state_dict())
    mean = copy.deepcopy(objective.generator).eval().requires_grad_(False)
    for network in (objective, mean):
        network.to(device).to(memory_format=torch.channels_last)
    local = {id(parameter): parameter for parameter in objective.generator.local_parameters()}
    drawing = _optimizer([each for each in objective.drawing() if id(each) not in local], settings)
    judging = _optimizer(list(objective.judging()), settings) if objective.discriminators() else None
    if local:
        last = min(settings.local_steps or settings.steps, settings.steps)
        drawing.add_param_group({"params": list(local.values()), "steps": last})
    best: dict[str, Any] = {"score": -math.inf, "step": 0, "weights": None, "since": 0, "averaged": 0}
    best["recent"] = []  # scores, the last `AVERAGED` of them
    step, seconds, size = 0, 0.0, settings.batch_size
    least = 2 if settings.generator.local else 1

    if settings.patience is not None and not data.validates():
        raise UsageError("patience needs a validation score, and there are too few records to keep some for it")
    context = data.pairs.matching(settings.context) if settings.context is not None else None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FusionError(f"could not write to {folder}: {error}: name another folder") from error
    key = digest([settings.key(), data.key(), world, AVERAGED, DIGITS, GATES, *([start.sha256] if start else [])])
    kept = snapshot.load(folder, key)
    if kept:
        objective.load_state_dict(kept["objective"])
        mean.load_state_dict(kept["mean"])
        drawing.load_state_dict(kept["drawing"])
        if judging:
            judging.load_state_dict(kept["judging"])
        best, step, seconds, size = kept["best"], kept["step"], kept["seconds"], kept["batch_size"]
        log.info("going on at step %d of the training in %s", step, folder)
    if device.type == "cuda":
        objective.generator.compile()
    notes = record.Record(folder, until=step, keep=rank == 0)

    def draw(rgb: Tensor) -> Tensor:
        with torch.no_grad(), devices.autocast(device):
            drawn: Tensor = mean(rgb.to(device, memory_format=torch.channels_last))
        return drawn

    stream = batches(
        data,
        step,
        context=context,
        size=lambda: size,
        side=settings.crop,
        radiometric=settings.radiometric,
        exposure=settings.exposure,
        clouds=settings.clouds,
        unpaired=settings.objective != "pix2pix",
        seed=settings.seed,
        rank=rank,
    )
    started = time.monotonic() - seconds
    stopped = settings.patience is not None and best["since"] >= settings.patience
    batch: Batch | None = None
    while step < settings.steps and not stopped:
        batch, rng = batch or next(stream), chance(settings.seed, STEP, step, rank)
        torch.manual_seed(int(rng.integers(2**62)))
        losses: dict[str, Tensor] = {}
        try:
            with devices.autocast(device):
                losses |= objective.generator_losses(_on(batch, device, size), rng)
            _learn(losses, drawing, step, world, frozen=objective.discriminators())
            if judging:
                with devices.autocast(device):
                    mistakes = objective.discriminator_losses(rng)
                _learn(mistakes, judging, step, world)
                losses |= mistakes
        except torch.OutOfMemoryError as error:
            # Processes that train together must take the same steps: none may go back by itself.
            if size // 2 < least or size < settings.batch_size or world > 1:
                raise FusionError(
                    f"out of memory with {size} images a step: give a smaller batch, crop or ngf"
                ) from error
            size = size // 2
            log.warning("out of memory: going on with %d images a step instead of %d", size, settings.batch_size)
            torch.cuda.empty_cache()
            continue  # with the same batch
        except ArithmeticError as error:
            raise DivergedError(f"{error} at step {step}: train with a lower learning rate", mean.cpu()) from None
        follow(mean, objective.generator, min(settings.ema, (1 + step) / (EMA_START + step)))

        batch = None
        step += 1
        seconds = time.monotonic() - started
        told = {name: loss.item() for name, loss in losses.items()}
        progress({"step": step, "steps": settings.steps, "seconds": seconds, **told})
        notes.losses(step, told)
        if step % settings.validate_every and step < settings.steps:
            continue
        if rank == 0:
            scores = validate(draw, data)
            notes.validation(step, scores, draw, data)
            recent = [*best["recent"], scores["score"]][-AVERAGED:] if scores else []
            score = round(sum(recent) / len(recent), DIGITS) if scores else -math.inf
            early = scores is None or len(recent) < AVERAGED
            since = 0 if early or score > best["score"] else best["since"] + 1
            if early or score >= best["score"]:
                weights = {name: tensor.cpu().clone() for name, tensor in mean.state_dict().items()}
                best = {"score": score, "step": step, "weights": weights, "averaged": len(recent)}
            best |= {"since": since, "recent": recent}
            state: dict[str, Any] = {
                "objective": objective.state_dict(),
                "mean": mean.state_dict(),
                "drawing": drawing.state_dict(),
            }
            state |= {"judging": judging.state_dict() if judging else {}, "best": best, "step": step}
            snapshot.save(folder, key, {**state, "seconds": seconds, "batch_size": size})
        stopped = distributed.agree(settings.patience is not None and best["since"] >= settings.patience, device, world)
    stream.close()
    notes.close()
    distributed.stop(world)
    mean = mean.cpu()
    if best["weights"]:
        mean.load_state_dict(best["weights"])
    validation = None if best["score"] == -math.inf else best["score"]
    facts = {"step": best["step"], "done": step, "validation": validation, "averaged": best["averaged"]}
    return mean, {**facts, "seconds": round(seconds)}


def _optimizer(parameters: list[nn.Parameter], settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW; `steps` of a group is when its rate has fallen to nothing."""
    return torch.optim.AdamW(
        [{"params": parameters, "steps": settings.steps}],
        lr=settings.learning_rate,
        betas=(settings.beta1, 0.999),
        weight_decay=settings.weight_decay,
    )


def _learn(
    losses: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    step: int,
    world: int,
    frozen: list[nn.Module] | None = None,
) -> None:
    """Step `step` of an optimizer on the sum of the losses; its rate rises at first, and falls in the second half.

    Raises:
        ArithmeticError: one, or their gradient, is not a finite number; nothing was changed.
    """
    for name, loss in losses.items():
        if not math.isfinite(loss.item()):
            raise ArithmeticError(f"the loss `{name}` is {loss.item()}")
    for group in optimizer.param_groups:
        part = min(1.0, (step + 1) / WARMUP_STEPS, 2 * (1 - step / group["steps"]))
        group["lr"] = optimizer.defaults["lr"] * max(0.0, part)
    parameters = [parameter for group in optimizer.param_groups if group["lr"] for parameter in group["params"]]
    optimizer.zero_grad()
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    for network in frozen or []:
        network.zero_grad()  # they judged, and are not to learn from it
    for group in optimizer.param_groups:
        if not group["lr"]:  # it is neither to shorten the steps of the rest, nor to change by 0 times infinity
            for parameter in group["params"]:
                parameter.grad = None
    distributed.average(parameters, world)
    length = torch.nn.utils.clip_grad_norm_(parameters, LONGEST_GRADIENT)
    if not math.isfinite(length):
        raise ArithmeticError(f"the gradient of {', '.join(losses)} is {length.item()}")
    optimizer.step()


def _on(batch: Batch, device: torch.device, size: int) -> Batch:
    """`size` images of a batch, on the device: the first, or with a local expert the first of each expert's half."""
    n = len(batch.visible)
    own = with_context(size) if batch.familiar is not None else size
    kept = [*range(own), *range(with_context(n), with_context(n) + size - own)] if size < n else slice(None)

    def moved(images: Tensor) -> Tensor:
        return images[kept].to(device, memory_format=torch.channels_last)

    pair = None if batch.pair is None else (moved(batch.pair[0]), moved(batch.pair[1]))
    familiar = None if batch.familiar is None else batch.familiar[kept].to(device)
    return Batch(moved(batch.visible), moved(batch.infrared), pair, familiar)


def follow(mean: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the mean of the weights a step towards the weights; counters are copied."""
    with torch.no_grad():
        for kept, new in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)
