"""The card of a trained translator: what it learnt from, how, what it scores, and what it must not be taken for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fusionrs_builder.translate.checkpoint import Checkpoint
from fusionrs_builder.translate.evaluate import as_markdown
from fusionrs_builder.translate.pairs import Source

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
{in_channels} -> {out_channels} channels. Parameter names are those of the reference implementation.
Kernels are stored in fp16, computed in fp32.
`model.safetensors` has sha256 `{sha256}`.

## Data

Pairs of RGB and {band} measured by the same sensor at the same moment.

{sources}

Held out: {held_out}.

## Recipe

Paired, without an adversary: L1 + {structure} (1 - SSIM) + {correlation} (1 - correlation); random crops of
{crop} px, the eight positions of the square, light and colour changed with strength {radiometric}; AdamW, learning rate
{learning_rate} with linear decay, {steps} steps of {batch_size} crops, exponential mean of the weights ({ema}),
seed {seed}. It took {minutes:.0f} minutes.
The weights are those of the last step: the held-out records chose nothing.

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


def translator_card(
    checkpoint: Checkpoint,
    facts: Mapping[str, Any],
    sources: Sequence[Source],
    seconds: float,
    remarks: Sequence[str] = (),
) -> str:
    """The text of `README.md` beside the weights.

    Args:
        checkpoint: as saved.
        facts: `training` (the recipe), `held_out` (in words) and `scores` (of `evaluate`, or n = 0).
        sources: of the training data.
        seconds: that training took.
        remarks: further limits, a sentence each.
    """
    recipe, scores = facts["training"], facts["scores"]
    listed = "\n".join(f"- {s.corpus} ({s.sensor}): {s.license}. {s.attribution}".rstrip(". ") + "." for s in sources)
    return CARD.format(
        **{
            **recipe,
            **checkpoint.generator,
            "band": checkpoint.band,
            "name": checkpoint.name,
            "sha256": checkpoint.sha256,
            "sources": listed or "- not stated",
            "held_out": facts["held_out"],
            "scores": as_markdown(scores) if scores["n"] else "None: nothing was held out.",
            "minutes": seconds / 60,
            "remarks": "".join(f"- {remark}\n" for remark in remarks),
            "settings": json.dumps(recipe, indent=2),
        }
    )
