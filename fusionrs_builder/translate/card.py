"""The card of a trained translator: what it learnt from, how, what it scores, and what it must not be taken for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fusionrs_builder.cards.render import render
from fusionrs_builder.translate.checkpoint import Checkpoint
from fusionrs_builder.translate.domains import Source
from fusionrs_builder.translate.evaluate import as_markdown
from fusionrs_builder.translate.networks import GATES

PAIRED = ("paired", "structure", "correlation")

USED = {
    "cyclegan": ("adversarial", "views", "features", "cycle", "identity", "edge", "statistics"),
    "cut": ("adversarial", "views", "features", "nce", "edge", "statistics"),
    "pix2pix": ("adversarial",),
}
"""The losses of each objective, beside those of pairs."""


def translator_card(
    checkpoint: Checkpoint, facts: Mapping[str, Any], sources: Sequence[Source], remarks: Sequence[str] = ()
) -> str:
    """The text of `README.md` beside the weights.

    Args:
        checkpoint: as saved.
        facts: `training` (the recipe, `records`, and what `train` says), `held_out` (in words) and `scores` (of
            `evaluate`, or n = 0).
        sources: of the training data.
        remarks: further limits, a sentence each.
    """
    recipe, scores = facts["training"], facts["scores"]
    return render(
        "translator",
        checkpoint=checkpoint,
        gates=GATES,
        recipe=recipe,
        weights=_weights(recipe),
        sources=sources,
        held_out=facts["held_out"],
        scores=as_markdown(scores) if scores["n"] else "",
        remarks=remarks,
        settings=json.dumps(recipe, indent=2),
    )


def _weights(recipe: Mapping[str, Any]) -> dict[str, float]:
    """Of the losses that took part."""
    used = USED[recipe["objective"]] + (PAIRED if recipe["records"]["pairs"] else ())
    return {name: weight for name, weight in recipe["weights"].items() if weight and name in used}
