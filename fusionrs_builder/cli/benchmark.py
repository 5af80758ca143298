"""benchmark retrieval | classification | captioning | vqa | all | report | lmms-eval."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fusionrs_builder.benchmark.records import INPUTS
from fusionrs_builder.benchmark.tasks import TASKS
from fusionrs_builder.cli import options
from fusionrs_builder.cli.build import _examples

MODELS = (
    "open_clip:ARCH[/TAG_OR_FILE], hf:ORG/NAME, python:MODULE:FUNCTION, train:RUN, embeddings:FILE.npz; in words: "
    "chat:BASE_URL#MODEL, hf-vlm:ORG/NAME, predictions:FILE.jsonl; controls: random, majority, copy-nearest; repeatable"
)


@click.group()
def benchmark() -> None:
    """Measure anybody's model on a release, beside controls, and merge results into a report."""


def _of(task: str, tasks: Sequence[str], option: options.Decorator) -> options.Decorator:
    """An option, for commands that do its task."""
    return option if task in tasks else lambda function: function


def _measuring(name: str, tasks: Sequence[str], about: str, example: str) -> None:
    """Make the command of a task."""

    @benchmark.command(
        name, help=about, epilog=_examples(*(f"benchmark {name} {line}" for line in example.split("\n")))
    )
    @click.option(
        "--data", required=True, metavar="DIR_OR_REPO[:SPLIT]", help="a release; its test split where none is named"
    )
    @click.option("--model", "models", multiple=True, required=True, metavar="SPEC", help=MODELS)
    @click.option(
        "--out", required=True, type=click.Path(path_type=Path), help="folder of the results and their report"
    )
    @click.option(
        "--inputs", default=",".join(INPUTS), show_default=True, metavar="LIST",
        help="what a model is shown as infrared: the view itself and controls",
    )  # fmt: skip
    @_of(
        "classification",
        tasks,
        click.option(
            "--linear-probe", is_flag=True, help="classification: fit a linear classifier on the train split too"
        ),
    )
    @_of("captioning", tasks, click.option(
        "--clip-score", default="", metavar="SPEC", help="captioning: the model of CLIPScore  [default: none]"
    ))  # fmt: skip
    @click.option(
        "--trained-on", multiple=True, metavar="SPEC=CORPUS,...",
        help="corpora that a model learnt from: what it knows of the test is counted",
    )  # fmt: skip
    @click.option(
        "--cache-dir", type=click.Path(path_type=Path), metavar="DIR",
        help="of embeddings  [default: the user's cache folder]",
    )  # fmt: skip
    @click.option("--device", default="auto", show_default=True, help="torch device")
    @click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="of intervals and questions")
    @options.guarded
    def command(
        as_json: bool, inputs: str, trained_on: tuple[str, ...], models: tuple[str, ...], **arguments: Any
    ) -> None:
        from fusionrs_builder import benchmarking  # torch, seconds to import

        files = benchmarking.benchmark(
            tasks,  # type: ignore[arg-type]
            models=models,
            inputs=_inputs(inputs),  # type: ignore[arg-type]
            trained_on=_declared(trained_on),
            say=lambda text: click.echo(text, err=True),
            **arguments,
        )
        _show(files, as_json)


_measuring(
    "retrieval", ("retrieval",),
    "Retrieval between visible images, infrared images and captions: recall in six directions, by named protocols.",
    "--data my-org/fusionrs --model random --model open_clip:ViT-B-32/laion2b_s34b_b79k --out results\n"
    "--data ~/datasets/fusionrs:validation --model python:my_model:load --out results",
)  # fmt: skip
_measuring(
    "classification", ("classification",),
    "Zero-shot classes of scenes, presence of objects, and linear probes.",
    "--data my-org/fusionrs --model majority --model hf:google/siglip2-base-patch16-224 --linear-probe --out results",
)  # fmt: skip
_measuring(
    "captioning", ("captioning",),
    "Captions of infrared views and visible images: BLEU, METEOR, ROUGE-L, CIDEr-D, CLIPScore, false claims.",
    "--data my-org/fusionrs --model copy-nearest --model chat:http://localhost:8000/v1#Qwen/Qwen3-VL-8B-Instruct "
    "--out results\n"
    "--data my-org/fusionrs --model predictions:captions.jsonl --out results",
)  # fmt: skip
_measuring(
    "vqa", ("vqa",),
    "Questions made from boxes: presence, counts, comparisons, places, day or night.",
    "--data my-org/fusionrs --model majority --model hf-vlm:HuggingFaceTB/SmolVLM2-500M-Instruct --out results",
)  # fmt: skip
_measuring(
    "all", TASKS, "Every task that a model can do.",
    "--data my-org/fusionrs --model random --model open_clip:ViT-B-32/laion2b_s34b_b79k --out results",
)  # fmt: skip


@benchmark.command(epilog=_examples("benchmark report results theirs/results --out report"))
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="folder of the report")
@options.guarded
def report(results: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Merge results of many runs (files, or folders of them) into tables and plots, with paired differences."""
    from fusionrs_builder import benchmarking

    _show(benchmarking.report(results, out), as_json)


@benchmark.command(
    "lmms-eval", epilog=_examples("benchmark lmms-eval --data my-org/fusionrs --out tasks")
)  # fmt: skip
@click.option(
    "--data", required=True, metavar="DIR_OR_REPO[:SPLIT]", help="a release; its test split where none is named"
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="folder of the tasks")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="of the questions")
@options.guarded
def lmms_eval(data: str, out: Path, seed: int, as_json: bool) -> None:
    """Write the questions and the captioning as a folder of tasks that lmms-eval runs."""
    from fusionrs_builder import benchmarking

    tasks = benchmarking.export_lmms_eval(data, out, seed)
    options.show(
        {"tasks": tasks, "out": str(out)},
        as_json,
        lambda: f"next: python -m lmms_eval --include_path {out} --tasks {','.join(tasks)} --model ...",
    )


def _inputs(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for part in found:
        if part not in INPUTS:
            raise click.BadParameter(f"{part!r} is none of {', '.join(INPUTS)}", param_hint="--inputs")
    if not found:
        raise click.BadParameter(f"name one or more of {', '.join(INPUTS)}", param_hint="--inputs")
    return found


def _declared(texts: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        spec, _, corpora = text.rpartition("=")
        names = [name.strip() for name in corpora.split(",") if name.strip()]
        if not spec or not names:
            raise click.BadParameter(f"{text!r} is not SPEC=CORPUS,...", param_hint="--trained-on")
        found.setdefault(spec, []).extend(names)
    return found


def _show(files: dict[str, Path], as_json: bool) -> None:
    options.show(
        {name: str(path) for name, path in files.items()},
        as_json,
        lambda: "\n".join(f"{files[name]}" for name in ("report.md", "report.csv", "report.html")),
    )
