"""Images/s of a training: CycleGAN with the usual 9 blocks at ngf 64, and the recipes of the shipped translators.

    python -m benchmarks.training [--device cuda] [--steps 60]

One image a step is one of each domain. The first half of the steps warms up, and compiles; the median of the others
counts.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import machine
from benchmarks.shipped import LWIR
from fusionrs_builder.corpora.procedural import render
from fusionrs_builder.translate import training_data
from fusionrs_builder.translate.networks import GeneratorConfig
from fusionrs_builder.translate.recipe import TrainSettings
from fusionrs_builder.translate.train import train

SCENES, SIDE = 24, 256
"""Rendered, of each domain; pixels of a side."""

USUAL = TrainSettings(generator=GeneratorConfig(ngf=64, n_blocks=9))
"""CycleGAN as the paper has it, 256 px, one image a step."""


def rate(settings: TrainSettings, folder: Path, out: Path) -> float:
    """Images/s of one training."""
    data = training_data.read([str(folder / "visible")], [str(folder / "infrared")], "lwir", paired=False)
    ends: list[float] = []
    settings = replace(settings, validate_every=settings.steps + 1)
    train(data, settings, out, lambda facts: ends.append(facts["seconds"]))
    return float(settings.batch_size / np.median(np.diff(ends[len(ends) // 2 : -1])))


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=60)
    chosen = parser.parse_args(arguments)
    recipes = {
        "cyclegan, 9 blocks, ngf 64, batch 1": USUAL,
        "cyclegan, 9 blocks, ngf 64, batch 8": replace(USUAL, batch_size=8),
        "lwir-small": LWIR,
    }
    if not chosen.device.startswith("cuda"):
        recipes = {name: each for name, each in recipes.items() if each is LWIR}  # the others take a minute a step
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for kind in ("visible", "infrared"):
            (folder / kind).mkdir()
        for seed in range(SCENES):
            scene = render(seed, SIDE)
            Image.fromarray(scene.rgb).save(folder / "visible" / f"{seed}.png")
            Image.fromarray(scene.lwir).save(folder / "infrared" / f"{seed}.png")
        for number, (name, recipe) in enumerate(recipes.items()):
            settings = replace(recipe, steps=chosen.steps, device=chosen.device)
            rates[name] = round(rate(settings, folder, folder / str(number)), 2)
            print(f"{name:40} {rates[name]:8.2f} images/s", flush=True)
    result = {"images_per_s": rates, "steps": chosen.steps, "machine": machine.facts(chosen.device)}
    print(machine.save(f"training-{chosen.device.split(':')[0]}", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
