"""The card of a trained translator: what it learnt from, how, what it scores, and what it must not be taken for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fusionrs_builder.translate.checkpoint import Checkpoint
from fusionrs_builder.translate.domains import Source
from fusionrs_builder.translate.evaluate import as_markdown

CARD = """\
---
license: apache-2.0
pipeline_tag: image-to-image
library_name: fusionrs-builder
tags: [remote-sensing, infrared, {band}]
---
# {name}: RGB to {band}

Draws the infrared view ({band}, one channel) of an overhead RGB image: uint8 [N, 3, H, W] to uint8 [N, 1, H, W].

```python
from fusionrs_builder.translate.translator import load_translator

ir = load_translator("{name}").translate(rgb)
```

## Architecture

The ResNet generator of CycleGAN (Zhu et al., ICCV 2017): ngf {ngf}, {n_blocks} residual blocks, norm `{norm}`,
{in_channels} -> {out_channels} channels{local}.
The parameter names of the ResNet are those of the reference implementation.
Kernels are stored in fp16, computed in fp32.
`model.safetensors` has sha256 `{sha256}`.

## Data

{data}

{sources}

Held out: {held_out}.

## Recipe

{objective}; random crops of {crop} px in the eight positions of the square, light and
colour of the RGB side changed with strength {radiometric}; AdamW, learning rate {learning_rate}, constant, then falling
to nothing over the second half; {steps} steps of {batch_size} crops; exponential mean of the weights ({ema});
seed {seed}. It took {minutes:.0f} minutes.{shared}
{chosen}

## Scores

{scores}

`gray` is ITU-R 601 luma, `gray-inverted` its negative: a translator that does not beat both has learnt nothing. SSIM
has a 7 x 7 uniform window; every score is a mean over images.

## Limits

- The picture is drawn, not measured. It carries no temperature and no radiance: read no number off its pixels.
- It has seen the places, seasons and sensors listed above and no others; elsewhere its tones are a guess.
- What is not in the RGB image cannot be in the drawn one.
{remarks}
## Configuration

```json
{settings}
```
"""

OBJECTIVE = {
    "cyclegan": "Unpaired, both ways: CycleGAN",
    "cut": "Unpaired, one way: CUT (Park et al., ECCV 2020)",
    "pix2pix": "Paired: pix2pix (Isola et al., CVPR 2017)",
}


PAIRED = ("paired", "structure", "correlation")

USED = {
    "cyclegan": ("adversarial", "views", "cycle", "identity", "edge", "statistics"),
    "cut": ("adversarial", "views", "nce", "edge", "statistics"),
    "pix2pix": ("adversarial",),
}
"""The losses of each objective, beside those of pairs."""


JUDGES = {"adversarial": "least-squares PatchGAN", "views": "a logistic judge of whole views with gradient penalty"}
"""By the weight of their loss."""

TONE = ", the output of a linear filter of {tone} pixels, at first the blurred luma, added before the tanh"
"""Of the architecture, where there is one."""

EXPERTS = ", and beside it an expert that sees 7 pixels; a gate says for each image how far to trust which"
"""Of the architecture, where there is a local expert."""

SHARED = """
The ResNet learns from the pairs whose key matches `{context}`, one half of each batch; the expert that sees 7 pixels
from all pairs, the other half, a share of {exposure} with less light and {clouds} under clouds; the gate, by cross
entropy, to tell the former in fair weather from the rest."""
"""Of the recipe, likewise."""


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
    listed = "\n".join(f"- {_named(source)}." for source in sources)
    return CARD.format(
        **{
            **recipe,
            **checkpoint.generator,
            "band": checkpoint.band,
            "name": checkpoint.name,
            "sha256": checkpoint.sha256,
            "local": (TONE.format(**checkpoint.generator) if checkpoint.generator.get("tone") else "")
            + (EXPERTS if checkpoint.generator.get("local") else ""),
            "shared": SHARED.format(**recipe) if checkpoint.generator.get("local") else "",
            "data": _data(recipe["records"], checkpoint.band),
            "sources": listed or "- not stated",
            "held_out": facts["held_out"],
            "objective": _objective(recipe),
            "minutes": recipe.get("seconds", 0) / 60,
            "chosen": _chosen(recipe),
            "scores": as_markdown(scores) if scores["n"] else "None: nothing was held out.",
            "remarks": "".join(f"- {remark}\n" for remark in remarks),
            "settings": json.dumps(recipe, indent=2),
        }
    )


def _named(source: Source) -> str:
    rights = f"{source.license}. {source.attribution}".rstrip(". ") if source.license else "licence not stated"
    return f"{source.corpus} ({source.sensor}): {rights}" if source.sensor else f"{source.corpus}: {rights}"


def _data(records: Mapping[str, Any], band: str) -> str:
    counts = f"{records['visible']} RGB and {records['infrared']} {band} images"
    if records["pairs"]:
        return f"{counts}, {records['pairs']} of each used as pairs of one scene. Sources:"
    return f"{counts}, none used as pairs. Sources:"


def _objective(recipe: Mapping[str, Any]) -> str:
    used_by = USED[recipe["objective"]] + (PAIRED if recipe["records"]["pairs"] else ())
    weights = {name: weight for name, weight in recipe["weights"].items() if weight and name in used_by}
    if recipe["objective"] == "pix2pix" and "adversarial" not in weights:
        structure, whole = weights.get("structure", 0), weights.get("correlation", 0)
        likeness = f"{structure} (1 - SSIM) + {whole} (1 - SSIM's structure term of the whole crop)"
        return f"Paired, without an adversary: L1 + {likeness}"
    used = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
    judges = [JUDGES[name] for name in JUDGES if name in weights]
    return "; ".join([OBJECTIVE[recipe["objective"]], *judges, f"weights of the losses: {used}"])


def _chosen(recipe: Mapping[str, Any]) -> str:
    if "stopped" in recipe:
        return f"**It failed: {recipe['stopped']}.** The weights are those before."
    if recipe.get("validation") is None:
        return "The weights are those of the last step: nothing was kept to choose them by."
    return (
        f"The weights are those of step {recipe['step']} of {recipe['done']}, which scored best "
        f"({recipe['validation']:.3f}) on a tenth of the records, kept for validation and not learnt from."
    )
