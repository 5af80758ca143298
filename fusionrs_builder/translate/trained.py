"""From places to a translator folder: read, train, save, score what was saved, write the card."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fusionrs_builder.errors import UsageError
from fusionrs_builder.translate import checkpoint, distributed, training_data
from fusionrs_builder.translate.card import translator_card
from fusionrs_builder.translate.evaluate import evaluate
from fusionrs_builder.translate.networks import ResnetGenerator
from fusionrs_builder.translate.recipe import TrainSettings
from fusionrs_builder.translate.train import DivergedError, Progress, train
from fusionrs_builder.translate.training_data import TrainingData
from fusionrs_builder.translate.translator import GeneratorTranslator, checkpoint_of

RUN = "training"
"""Folder of the run within that of the translator."""

log = logging.getLogger(__name__)


def train_translator(
    out: Path,
    visible: Sequence[str],
    infrared: Sequence[str],
    *,
    band: str = "nir",
    paired: bool = False,
    hold_out: str | None = None,
    tile: int | None = None,
    settings: TrainSettings | None = None,
    start: str | None = None,
    remarks: Sequence[str] = (),
    progress: Progress = lambda facts: None,
) -> dict[str, Any]:
    """Train a translator, save it with its card, and score what was saved on the records held out.

    Args:
        out: folder of the translator; its last part becomes the name. The run stands in `training/` below it, and is
            gone on with when it was cut short.
        visible: places of RGB images: folders, workspaces, releases (`training_data.read`).
        infrared: places of infrared ones.
        band: to draw.
        paired: use records with both as pairs; `pix2pix` needs them and implies it.
        hold_out: regular expression searched in `<corpus>/<corpus_key>`: these records are scored, not learnt from.
        tile: score tiles of this many pixels instead of whole images.
        settings: the recipe; None: the default one.
        start: translator to begin with, as `load_translator` has it, of the shape that the recipe has.
        remarks: further limits for the card, a sentence each.
        progress: as in `train`.

    Returns:
        The result of `evaluate`, or a dict with `n` = 0 when nothing was held out; and `training`, what `train` says.

    Raises:
        UsageError: a place, the pattern, the recipe or `start` is wrong; there is nothing to learn from.
        DivergedError: the loss is no longer a number; the last good weights were saved all the same.
        FusionError: an image is damaged; `out` cannot be written.
    """
    settings = settings or TrainSettings()
    begun = None if start is None else checkpoint_of(start)
    origin = {"start": f"{begun.name}@{begun.sha256[:12]}"} if begun else {}
    if begun and (shape := checkpoint.shape(begun)) != settings.generator:
        raise UsageError(f"{start} has another shape than the recipe's generator: give the recipe {shape}")
    if begun and begun.band != band:
        log.warning("%s draws %s: its weights are where the training of %s begins", start, begun.band, band)
    pairs_only = settings.objective == "pix2pix"
    data = training_data.read(visible, infrared, band, paired or pairs_only, hold_out)
    training_data.check(data, band, pairs_only, [*visible, *infrared])
    if not pairs_only and len(data.pairs):
        log.info("%d of the records are pairs, and are learnt from as such too", len(data.pairs))
    try:
        network, facts = train(data, settings, Path(out) / RUN, progress, begun)
    except DivergedError as error:
        if distributed.is_first():
            facts = {"stopped": str(error), **origin}
            _save(error.network, data, settings, Path(out), band, hold_out, tile, facts, remarks)
        error.args = (f"{error}; the weights of the step before are kept in {out}",)
        raise
    if not distributed.is_first():
        return {"n": 0, "training": facts | origin}
    return _save(network, data, settings, Path(out), band, hold_out, tile, facts | origin, remarks)


def _save(
    network: ResnetGenerator,
    data: TrainingData,
    settings: TrainSettings,
    out: Path,
    band: str,
    hold_out: str | None,
    tile: int | None,
    facts: dict[str, Any],
    remarks: Sequence[str],
) -> dict[str, Any]:
    """Save, score what was saved, and write the card."""
    name = out.resolve().name
    counts = {
        "visible": len(data.visible),
        "infrared": len(data.infrared),
        "pairs": len(data.pairs),
        "validation": {kind: len(entries) for kind, entries in data.checks.items()},
    }
    written: dict[str, Any] = {
        "training": {**asdict(settings), "records": counts, **facts},
        "held_out": f"records whose key matches `{hold_out}`" if hold_out else "none",
        "scores": {"n": 0},
    }
    checkpoint.save(network, out, name, band, "", written)
    # What is scored is what was saved: read back, after the rounding.
    found = checkpoint.find(out)
    if len(data.held_out):
        device = "cpu" if settings.device == "auto" else settings.device
        written["scores"] = evaluate(GeneratorTranslator(found, device), data.held_out, tile, settings.seed)
    card = translator_card(found, written, sorted(data.sources), remarks)
    checkpoint.save(network, out, name, band, card, written)
    log.info("translator %s saved to %s", name, out)
    return {**written["scores"], "training": facts}
