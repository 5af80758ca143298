"""translator train | import | evaluate."""

import logging
import sys
from pathlib import Path
from typing import Any

import click

from fusionrs_builder.cli import options
from fusionrs_builder.config import Band
from fusionrs_builder.workspace import Workspace

BANDS = click.Choice(list(Band.__args__))  # type: ignore[attr-defined]


@click.group()
def translator() -> None:
    """Train, import and evaluate translators; records with RGB and measured infrared are what they learn from."""


@translator.command(
    epilog="\b\nExamples:\n"
    "  fusionrs-build translator train --out my-nir --hold-out '2019|2020' --minutes 20 -w my-dataset\n"
    "  fusionrs-build translate --translator my-nir -w my-dataset"
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="folder of the translator that is made")
@click.option("--band", type=BANDS, default="nir", show_default=True, help="measured band to learn")
@click.option("--hold-out", metavar="REGEX", help="records whose <corpus>/<key> matches are scored, not learnt from")
@click.option("--tile", type=click.IntRange(16), help="score tiles of this many pixels  [default: whole images]")
@click.option("--steps", type=click.IntRange(1), help="stop after so many steps; can be repeated bit for bit")
@click.option("--minutes", type=float, help="stop after so long  [default: 1000 steps]")
@click.option("--ngf", type=click.IntRange(1, 256), default=32, show_default=True, help="width of the first layer")
@click.option("--blocks", type=click.IntRange(1, 32), default=6, show_default=True, help="residual blocks")
@click.option("--batch-size", type=click.IntRange(1), default=16, show_default=True, help="crops a step")
@click.option("--crop", type=click.IntRange(16), default=128, show_default=True, help="side of a crop, pixels")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="of weights, crops and augmentation")
@click.option("--device", default="auto", show_default=True, help="torch device")
@options.common
def train(
    where: str, as_json: bool, out: Path, band: str, hold_out: str | None, tile: int | None, ngf: int, blocks: int,
    steps: int | None, minutes: float | None, **recipe: Any,
) -> None:  # fmt: skip
    """Train a ResNet generator on the measured pairs of a workspace, and score it on those held out."""
    from fusionrs_builder.translate.networks import GeneratorConfig
    from fusionrs_builder.translate.train import TrainSettings, train_translator

    if steps is None and minutes is None:
        steps = 1000
    generator = GeneratorConfig(ngf=ngf, n_blocks=blocks)
    settings = TrainSettings(generator=generator, steps=steps, minutes=minutes, **recipe)
    shown = -1

    def progress(share: float, facts: dict[str, float]) -> None:
        nonlocal shown
        if int(share * 20) > shown:
            shown = int(share * 20)
            click.echo(
                f"{share:4.0%} step {facts['step']:.0f}, loss {facts['loss']:.4f}, {facts['seconds']:.0f} s", err=True
            )

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    workspace = Workspace.open(where)
    scores = train_translator(
        workspace, out, band=band, hold_out=hold_out, tile=tile, settings=settings, progress=progress
    )
    _show(scores, as_json, f"translator in {out}")


@translator.command(
    "import",
    epilog="\b\nExamples:\n"
    "  fusionrs-build translator import checkpoints/rgb2ir/latest_net_G.pth --out my-lwir --band lwir\n"
    "  fusionrs-build translate --translator my-lwir -w my-dataset",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="folder of the translator that is made")
@click.option("--band", required=True, type=BANDS, help="band that it draws")
@click.option(
    "--norm", type=click.Choice(["instance", "batch", "none"]), help="it was trained with  [default: as the keys tell]"
)
@click.option("--channel", type=click.IntRange(0, 2), help="the infrared one, where it draws three that differ")
@options.guarded
def import_(as_json: bool, file: Path, out: Path, band: str, norm: Any, channel: int | None) -> None:
    """Make a translator of a checkpoint of pytorch-CycleGAN-and-pix2pix (a ResNet generator). No code in it is run."""
    from fusionrs_builder.translate.reference_weights import import_reference

    made = import_reference(file, out, band, norm=norm, channel=channel)
    options.show(made, as_json, lambda: f"{made['source']} in {out}\nnext: fusionrs-build translate --translator {out}")


@translator.command(
    epilog="\b\nExamples:\n"
    "  fusionrs-build translator evaluate nir-small --keys 'naip.*(2019|2020)' --tile 128 -w my-dataset\n"
    "  fusionrs-build translator evaluate my-nir --json -w my-dataset"
)
@click.argument("spec")
@click.option("--band", type=BANDS, default="nir", show_default=True, help="measured band to compare with")
@click.option("--keys", metavar="REGEX", help="score only records whose <corpus>/<key> matches")
@click.option("--tile", type=click.IntRange(16), help="score tiles of this many pixels  [default: whole images]")
@click.option("--device", default="auto", show_default=True, help="torch device")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True, help="arithmetic")
@options.common
def evaluate(where: str, as_json: bool, spec: str, **arguments: Any) -> None:
    """Score a translator beside the grey controls, against what a sensor measured."""
    from fusionrs_builder.translate.evaluate import evaluate_translator

    _show(evaluate_translator(Workspace.open(where), spec, **arguments), as_json, spec)


def _show(scores: dict[str, Any], as_json: bool, title: str) -> None:
    from fusionrs_builder.translate.evaluate import as_markdown

    options.show(scores, as_json, lambda: f"{title}\n{as_markdown(scores) if scores.get('n') else 'nothing held out'}")
