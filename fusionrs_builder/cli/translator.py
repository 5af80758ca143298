"""translator train | evaluate."""

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
    """Train and evaluate translators, on records that have both an RGB image and a measured infrared one."""


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
    epilog="\b\nExamples:\n"
    "  fusionrs-build translator evaluate nir-small --keys 'naip.*(2019|2020)' --tile 128 -w my-dataset\n"
    "  fusionrs-build translator evaluate my-lwir --band lwir --real ~/thermal --out report -w my-dataset\n"
    "  fusionrs-build translator evaluate my-nir --json -w my-dataset"
)
@click.argument("spec")
@click.option("--band", type=BANDS, default="nir", show_default=True, help="measured band to compare with")
@click.option("--keys", metavar="REGEX", help="score only records whose <corpus>/<key> matches")
@click.option("--tile", type=click.IntRange(16), help="score tiles of this many pixels  [default: whole images]")
@click.option("--real", metavar="WORKSPACE", help="real frames of other scenes  [default: those here that have no RGB]")
@click.option(
    "--regressions/--no-regressions",
    default=True,
    show_default=True,
    help="fit per-pixel regressions on the nir pairs that are not scored, as controls",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="folder for the report: Markdown, JSON, a page of pictures"
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="of samples, folds and intervals")
@click.option("--device", default="auto", show_default=True, help="torch device")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True, help="arithmetic")
@options.common
def evaluate(where: str, as_json: bool, spec: str, real: str | None, **arguments: Any) -> None:
    """Score a translator beside its controls: against what a sensor measured, of the same scene and of others."""
    from fusionrs_builder.translate.evaluate import as_markdown, evaluate_translator

    frames = None if real is None else Workspace.open(real)
    scores = evaluate_translator(
        Workspace.open(where), spec, real=frames, say=lambda text: click.echo(text, err=True), **arguments
    )
    options.show(scores, as_json, lambda: f"{spec}\n\n{as_markdown(scores)}")
    if arguments["out"] is not None:
        click.echo(f"report in {arguments['out']}: open index.html", err=True)


def _show(scores: dict[str, Any], as_json: bool, title: str) -> None:
    from fusionrs_builder.translate.evaluate import as_markdown

    options.show(scores, as_json, lambda: f"{title}\n{as_markdown(scores) if scores.get('n') else 'nothing held out'}")
