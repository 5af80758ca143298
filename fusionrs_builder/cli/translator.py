"""translator train | import | evaluate."""

import logging
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from fusionrs_builder.cli import options
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import Band
from fusionrs_builder.workspace import Workspace

BANDS = click.Choice(list(Band.__args__))  # type: ignore[attr-defined]

SHAPE = ("ngf", "blocks", "norm", "local", "local_share", "tone")
"""Options that shape a generator."""


@click.group()
def translator() -> None:
    """Train, import and evaluate translators; records with RGB and measured infrared are what they learn from."""


@translator.command(
    epilog="\b\nExamples:\n"
    "  fusionrs-build translator train --out my-lwir --band lwir --visible ~/drone-photos --infrared ~/thermal\n"
    "  fusionrs-build translator train --out my-lwir --band lwir --objective cut --norm none --tone 9 "
    "--ngf 16 --blocks 4 --weight adversarial=0 --weight views=1 --weight statistics=1 --weight nce=0 --weight edge=3 "
    "-w my-dataset\n"
    "  fusionrs-build translator train --out my-nir --objective pix2pix --hold-out '2019|2020' -w my-dataset\n"
    "  fusionrs-build translator train --out my-nir --paired --steps 5000 --weight cycle=5 -w my-dataset\n"
    "  fusionrs-build translator train --out tuned --start my-lwir --band lwir --steps 2000 -w more-frames\n"
    "  torchrun --nproc-per-node 4 $(which fusionrs-build) translator train --out my-nir -w my-dataset"
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="folder of the translator that is made")
@click.option(
    "--visible", multiple=True, metavar="PLACE", help="RGB images: a folder, a workspace, a release  [default: -w]"
)
@click.option("--infrared", multiple=True, metavar="PLACE", help="infrared images, likewise  [default: -w]")
@click.option("--band", type=BANDS, default="nir", show_default=True, help="measured band to learn")
@click.option(
    "--objective", type=click.Choice(["cyclegan", "cut", "pix2pix"]), default="cyclegan", show_default=True,
    help="both ways or one way without pairs, or pairs alone",
)  # fmt: skip
@click.option("--paired", is_flag=True, help="use records with both views, or files of one name, as pairs")
@click.option("--hold-out", metavar="REGEX", help="records whose <corpus>/<key> matches are scored, not learnt from")
@click.option("--tile", type=click.IntRange(16), help="score tiles of this many pixels  [default: whole images]")
@click.option("--start", metavar="TRANSLATOR", help="begin with its weights, whatever band it draws")
@click.option("--steps", type=click.IntRange(1), default=20_000, show_default=True, help="stop after so many")
@click.option("--ngf", type=click.IntRange(1, 256), default=32, show_default=True, help="width of the first layer")
@click.option("--blocks", type=click.IntRange(1, 32), default=6, show_default=True, help="residual blocks")
@click.option(
    "--norm", type=click.Choice(["instance", "batch", "none"]), default="instance", show_default=True,
    help="between convolutions; `instance` forgets how bright an image is on the whole",
)  # fmt: skip
@click.option(
    "--local", type=click.IntRange(0, 256), default=0, show_default=True,
    help="channels of an expert that sees 7 pixels, for places foreign to the ResNet; with --context, of pairs",
)  # fmt: skip
@click.option(
    "--local-share", type=click.FloatRange(0, 1), default=1.0, show_default=True,
    help="of what that expert adds to the luma, how much is drawn; 0.5 draws foreign places better, known ones worse",
)  # fmt: skip
@click.option(
    "--tone", type=click.IntRange(0, 31), default=0, show_default=True,
    help="side, pixels, odd, of a filter that adds the blurred luma; 9 goes well with --norm none and no pairs",
)  # fmt: skip
@click.option("--context", metavar="REGEX", help="with --local: the ResNet learns from matching <corpus>/<key> only")
@click.option(
    "--local-steps", type=click.IntRange(1),
    help="after which the local expert and the gates learn no more, lest it learn its places by heart; none: --steps",
)  # fmt: skip
@click.option("--batch-size", type=click.IntRange(1), default=1, show_default=True, help="crops a step")
@click.option("--crop", type=click.IntRange(32), default=256, show_default=True, help="side of a crop, pixels")
@click.option("--learning-rate", type=float, default=2e-4, show_default=True, help="falls over the second half")
@click.option("--beta1", type=float, default=0.5, show_default=True, help="of Adam; 0.9 without an adversary")
@click.option("--radiometric", type=float, default=1.0, show_default=True, help="changes of the light; 0: none")
@click.option("--exposure", type=float, default=0.0, show_default=True, help="share of pairs shown darker; NIR, SWIR")
@click.option(
    "--clouds", type=float, default=0.0, show_default=True, help="share of pairs shown under clouds; NIR, SWIR"
)
@click.option("--weight", multiple=True, metavar="LOSS=VALUE", help="e.g. cycle=5, edge=0, adversarial=0")
@click.option("--validate-every", type=click.IntRange(1), default=500, show_default=True, help="steps; saves too")
@click.option("--patience", type=click.IntRange(1), help="validations without a better score after which to stop")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="of weights, crops and augmentation")
@click.option("--device", default="auto", show_default=True, help="torch device")
@options.common
def train(
    where: str, as_json: bool, out: Path, visible: tuple[str, ...], infrared: tuple[str, ...], band: str, paired: bool,
    hold_out: str | None, tile: int | None, ngf: int, blocks: int, norm: Any, local: int, local_share: float,
    tone: int, start: str | None, weight: tuple[str, ...], **recipe: Any,
) -> None:  # fmt: skip
    """Train a CycleGAN generator, and score it on pairs held out. Run again, it goes on where it was."""
    from fusionrs_builder.translate import checkpoint
    from fusionrs_builder.translate.networks import GeneratorConfig
    from fusionrs_builder.translate.objectives import Weights
    from fusionrs_builder.translate.recipe import TrainSettings
    from fusionrs_builder.translate.trained import train_translator
    from fusionrs_builder.translate.translator import checkpoint_of

    source = click.get_current_context().get_parameter_source
    if start and (
        given := [f"--{name.replace('_', '-')}" for name in SHAPE if source(name) is ParameterSource.COMMANDLINE]
    ):
        raise UsageError(f"{', '.join(given)}: the generator takes the shape of --start {start}: leave it out")
    try:
        shape = {"ngf": ngf, "n_blocks": blocks, "norm": norm, "local": local, "local_share": local_share, "tone": tone}
        generator = checkpoint.shape(checkpoint_of(start)) if start else GeneratorConfig(**shape)
    except ValueError as error:
        raise UsageError(str(error)) from None
    settings = TrainSettings(generator=generator, weights=Weights(**_weights(weight)), **recipe)

    def progress(facts: dict[str, float]) -> None:
        if facts["step"] % 50 and facts["step"] < facts["steps"]:
            return
        losses = ", ".join(
            f"{name} {value:.3f}" for name, value in facts.items() if name not in ("step", "steps", "seconds")
        )
        click.echo(f"step {facts['step']:.0f} of {facts['steps']:.0f}, {facts['seconds']:.0f} s: {losses}", err=True)

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    scores = train_translator(
        out,
        visible or (_workspace(where, "visible"),),
        infrared or (_workspace(where, "infrared"),),
        band=band,
        paired=paired,
        hold_out=hold_out,
        tile=tile,
        settings=settings,
        start=start,
        progress=progress,
    )
    _show(scores, as_json, f"translator in {out}")


def _workspace(where: str, role: str) -> str:
    """`where`, if it is a workspace: a folder that merely is the current one is not to be read for images."""
    if not Workspace.open(where).shards("rgb"):
        raise UsageError(f"{where} is no workspace with an rgb layer: name the {role} images by --{role}, or -w")
    return where


def _weights(given: tuple[str, ...]) -> dict[str, float]:
    """`name=value` texts."""
    from fusionrs_builder.translate.objectives import Weights

    known = Weights.__dataclass_fields__
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise UsageError(f"--weight {text}: write LOSS=VALUE, e.g. cycle=5") from None
        if name not in known:
            raise UsageError(f"--weight {text}: no such loss; known: {', '.join(known)}")
        if not 0 <= found[name] < float("inf"):
            raise UsageError(f"--weight {text}: a number of 0 or more")
    return found


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
