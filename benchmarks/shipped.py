"""Train the translators that come with the package on the sample corpora, by the recipes that are written here.

    python -m benchmarks.shipped nir-small|lwir-small [--steps N] [--device auto] [--install]

The run stands in build/translators/NAME and is gone on with when it was cut short; `--install` copies weights,
configuration and card into the package. A step of near infrared takes some 0.4 s of one CPU core in bf16, one of
long-wave infrared 1.5 s; the latter has two parts. What these recipes reached, and did not, is in
docs/near-infrared.md and docs/long-wave-infrared.md.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.translators import HELD_OUT, NAIP, SOURCES, THERMAL, TILE, TILES, VISIBLE, folder
from fusionrs_builder import config, pipeline
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.translate import checkpoint
from fusionrs_builder.translate.networks import GeneratorConfig
from fusionrs_builder.translate.objectives import Weights
from fusionrs_builder.translate.recipe import TrainSettings
from fusionrs_builder.translate.trained import RUN, train_translator
from fusionrs_builder.translate.translator import WEIGHTS
from fusionrs_builder.workspace import Workspace

NIR = TrainSettings(
    objective="pix2pix",
    generator=GeneratorConfig(ngf=24, n_blocks=4, norm="instance", local=24, local_share=0.5),
    context="^naip",
    weights=Weights(adversarial=0, paired=1),
    steps=10_000,
    local_steps=1_500,
    batch_size=8,
    crop=96,
    learning_rate=1e-3,
    beta1=0.9,
    weight_decay=1e-4,
    radiometric=0.25,
    exposure=0.5,
    clouds=0.5,
    ema=0.995,
    validate_every=300,
)
"""Regression of what was measured. The ResNet learns from the one source of many dates; for the local expert
sunlight and clouds vary, because four of the other six are one scene each, and it learns no longer than does it good at
places that it does not see."""

LWIR_FIRST = TrainSettings(
    objective="cut",
    generator=GeneratorConfig(ngf=16, n_blocks=4, norm="none", tone=9),
    weights=Weights(adversarial=0, views=1, features=1, nce=0, edge=3, statistics=1),
    steps=3_000,
    batch_size=8,
    crop=256,
    learning_rate=1e-3,
    radiometric=0.3,
    ema=0.995,
    validate_every=200,
    seed=1,
)
"""Drone and aerial tiles to thermal frames, no pair among them; a norm would forget how bright a tile is."""

LWIR = replace(
    LWIR_FIRST,
    weights=replace(LWIR_FIRST.weights, edge=5),
    steps=500,
    learning_rate=5e-4,
    validate_every=100,
    seed=2,
)
"""Begins with what `LWIR_FIRST` made, before judges that know nothing of it yet: brings back the outlines it lost."""

LIMITS = (
    "Only NAIP was learnt from with context. Where an image is unlike it, an expert that sees 7 pixels draws, and of "
    "places it never saw it knows little more than grey does (docs/near-infrared.md).",
    "What is unlike NAIP gates decide, which are no judges of kinds of images they never saw, such as drone tiles.",
)
"""Of nir-small, for its card."""

LWIR_LIMITS = (
    "A random forest tells its views from frames of a thermal camera 82 times in 100, grey 98 times, by numbers that "
    "the training looked at, too; by others 83 times, grey 93. Tones, outlines and grain are nearer to those of real "
    "frames than grey's, and that is all.",
    "It sets small bright spots, as people and engines are in real frames, where something is bright in the visible "
    "image or nothing is there at all: they are invented.",
    "No pair was seen: bright and dark follow the visible image. Which roof or road is warm is not known to it.",
    "Some tiles are drawn with a dark smear along their left border, four grey levels in the mean.",
    "It was learnt in two parts: 3,000 steps of another training made the weights that this one began with.",
    "One thermal camera (HIT-UAV) is what it was held against.",
)
"""Of lwir-small, for its card."""

WHOLE = 2048
"""Tile of training: scenes stay whole, so that crops fall anywhere."""

BUILD = Path("build/translators")


def pairs(samples: Path, workspace: Workspace) -> Workspace:
    """Every sample with RGB and near infrared, scenes whole, coded without loss."""
    for name in (NAIP, *SOURCES):
        tile = {} if name in TILES else {"tile": WHOLE}  # chips have no tile in their settings
        pipeline.download(
            workspace, name, from_=folder(samples, name), prefer="nir", image_format="png", run=Run(1), **tile
        )
    return workspace


def main(arguments: list[str] | None = None) -> None:
    """Train one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["nir-small", "lwir-small"])
    parser.add_argument("--steps", type=int, help="of each part")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--install", action="store_true")
    chosen = parser.parse_args(arguments)
    samples = config.samples_folder()
    assert samples is not None, "set FUSIONRS_SAMPLES"
    out = BUILD / chosen.name
    workspace = Workspace.open(BUILD / f"{chosen.name}-data", create=True)

    def run(to: Path, place: list[str], band: str, recipe: TrainSettings, **more: Any) -> None:
        settings = replace(recipe, steps=chosen.steps or recipe.steps, device=chosen.device)
        train_translator(to, place, place, band=band, settings=settings, progress=told, **more)

    def told(facts: dict[str, float]) -> None:
        if facts["step"] % 100 == 0:
            print({name: round(value, 3) for name, value in facts.items()}, flush=True)

    if chosen.name == "nir-small":
        place = [pairs(samples, workspace).root]
        run(out, place, "nir", NIR, hold_out=HELD_OUT, tile=TILE, remarks=LIMITS)
    else:
        for name in (*VISIBLE, THERMAL):
            pipeline.download(workspace, name, from_=folder(samples, name), run=Run(1))
        run(BUILD / "lwir-small-first", [workspace.root], "lwir", LWIR_FIRST)
        run(out, [workspace.root], "lwir", LWIR, start=str(BUILD / "lwir-small-first"), remarks=LWIR_LIMITS)
    if chosen.install:
        (WEIGHTS / chosen.name).mkdir(parents=True, exist_ok=True)
        for file in (checkpoint.WEIGHTS, checkpoint.CARD, checkpoint.CONFIG):
            shutil.copy(out / file, WEIGHTS / chosen.name / file)
        print(f"installed; the run stays in {out / RUN}")


if __name__ == "__main__":
    main()
