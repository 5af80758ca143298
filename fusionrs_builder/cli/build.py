"""The stages of the build: init, download, translate, caption, curate, push, run, status."""

import shlex
import sys
from typing import Any

import click

from fusionrs_builder import pipeline
from fusionrs_builder.cli import options
from fusionrs_builder.engines.runner import Run, Summary
from fusionrs_builder.settings import CaptionSettings, CorpusSettings, CurateSettings, PushSettings, TranslateSettings
from fusionrs_builder.workspace import Workspace

TEMPLATE = """# What to build. Every key can be given as a flag too; a flag given wins and is written back here.

[build]
# shard_records = 1000      # records a shard, at most
# max_reject_rate = 0.05    # share of refused items above which a command fails
# seed = 0

# [corpora.my-corpus]
# from = "/data/my-corpus"
# format = "auto"           # looks, says what it saw, and writes it here; see `fusionrs-build download --help`
# license = "CC-BY-4.0"

[translate]
# translator = "nir-small"

[caption]
# captioner = "grounded"

[curate]
# split = [0.90, 0.05, 0.05]

[push]
# name = "fusionrs"
"""


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  fusionrs-build {line}" for line in lines)


@click.command(epilog=_examples("init my-dataset"))
@click.argument("folder")
@options.guarded
def init(folder: str, as_json: bool) -> None:
    """Make a workspace: a folder with a commented fusionrs.toml."""
    workspace = Workspace.open(folder, create=True)
    made = not workspace.exists("fusionrs.toml")
    if made:
        workspace.write_bytes("fusionrs.toml", TEMPLATE.encode())
    following = (
        f"fusionrs-build download --from PATH --name NAME --format FORMAT --license SPDX -w {shlex.quote(folder)}"
    )
    options.show(
        {"workspace": folder, "made": made, "next": following},
        as_json,
        lambda: f"{folder}: {'made' if made else 'was there already'}\nnext: {following}",
    )


@click.command(
    epilog=_examples(
        "download eurosat-ms",
        "download naip --bbox -97.75,30.25,-97.70,30.30 --year 2022",
        "download hit-uav --from ~/HIT-UAV/normal_xml",
        "download --from ~/my-images --name mine --format auto --license CC-BY-4.0",
        "download --from ~/aerial --name aerial --format geotiff --bands red=1,green=2,blue=3,nir=4 --tile 512 "
        "--license public-domain",
        "download fusionrs-rc4 --index fusionrs_index.jsonl.gz --sources RSICD=~/rsicd,NWPU=~/nwpu",
        "download --dry-run",
    )
)
@click.argument("names", nargs=-1)
@click.option("--from", "from_", metavar="PATH", help="folder that holds the corpus as published")
@click.option("--name", help="name of the corpus, when it is not one the registry knows")
@options.settings(CorpusSettings, "source", "stretch")
@options.running
@options.common
def download(
    names: tuple[str, ...], from_: str | None, name: str | None, run: Run, where: str, as_json: bool, **flags: Any
) -> None:
    """Fetch corpora, and harmonise them into the rgb layer.

    A corpus of the registry (see `corpora list`) is fetched into raw/, unless --from names a copy. Without names, every
    corpus of fusionrs.toml. --limit takes the first N items of each.
    """
    chosen = (*names, *([name] if name else []))
    workspace = Workspace.open(where, create=bool(chosen))
    _report(pipeline.download(workspace, *chosen, from_=from_, run=run, **flags), as_json)


@click.command(epilog=_examples("translate", "translate --translator gray", "translate --translator ~/my-translator"))
@options.settings(TranslateSettings)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="images at once; changes no pixel on a CPU, where fewer than cores leave cores idle",
)
@options.running
@options.common
def translate(run: Run, where: str, as_json: bool, **flags: Any) -> None:
    """Give every record its infrared view: the measured one, or one drawn by a translator."""
    _report(pipeline.translate(Workspace.open(where), run=run, **flags), as_json)


@click.command(
    epilog=_examples(
        "caption",
        "caption --ir-captions 3 --workers 8",
        "caption --captioner chat --model gpt-4.1-mini --estimate",
        "caption --captioner chat --model gpt-4.1-mini --max-usd 20",
        "caption --captioner chat --model Qwen/Qwen3-VL-8B-Instruct --base-url http://localhost:8000/v1",
        "caption --captioner chat --model Qwen/Qwen3-VL-8B-Instruct --offline",
        "caption --report",
    )
)
@click.option("--estimate", is_flag=True, help="ask about 20 records, and say what all would take")
@click.option("--report", is_flag=True, help="say who wrote what, what the checks found, and show 20 examples")
@options.settings(CaptionSettings, "prices")
@options.running
@options.common
def caption(estimate: bool, report: bool, run: Run, where: str, as_json: bool, **flags: Any) -> None:
    """Write scene and infrared captions for every record.

    The grounded captioner needs nothing. The chat captioner asks a language model; every answer is kept in
    ledger.sqlite, checked against what was measured and labelled, and never paid for twice.
    """
    workspace = Workspace.open(where)
    if report:
        from fusionrs_builder.caption.report import report as read

        found = read(workspace)
        options.show(found.as_dict(), as_json, lambda: "\n".join(found.lines()))
    elif estimate:
        reckoned = pipeline.caption_estimate(workspace, run=run, **flags)
        options.show(vars(reckoned), as_json, lambda: "\n".join(reckoned.lines()))
    else:
        _report(pipeline.caption(workspace, run=run, **flags), as_json)


@click.command(
    epilog=_examples("curate", "curate --split 0.8,0.1,0.1", "curate --protect rsicd:test,bigearthnet-txt:bench")
)
@options.settings(CurateSettings)
@options.running
@options.common
def curate(run: Run, where: str, as_json: bool, **flags: Any) -> None:
    """Group records that show or tell of the same, leave out copies, split the groups into train, validation and test.

    Publishers' own test and validation splits are kept. curation/report.md tells what was grouped and left out.
    """
    _report(pipeline.curate(Workspace.open(where), run=run, **flags), as_json)


@click.command(
    epilog=_examples(
        "push",
        "push --to ~/datasets/fusionrs",
        "push --to s3://my-bucket/fusionrs",
        "push --to ~/datasets/tars --format webdataset",
        "push --repo-id my-org/fusionrs --tag v1.0 --dry-run",
        "push --repo-id my-org/fusionrs --tag v1.0 --public",
    )
)
@click.option("--to", metavar="DIR", help="folder that becomes a copy of the release, a path or s3://BUCKET/FOLDER")
@click.option(
    "--format",
    type=click.Choice(["parquet", "webdataset", "folder"]),
    default="parquet",
    show_default=True,
    help="of that copy: as it is, tars, or image files and a table",
)
@click.option("--repo-id", metavar="ORG/NAME", help="data set of the Hugging Face Hub; private where it is new")
@click.option("--tag", help="to give the commit on the Hub, e.g. v1.0")
@click.option("--public", is_flag=True, help="open the repository to everyone once all is there")
@options.settings(PushSettings)
@options.running
@options.common
def push(
    to: str | None,
    format: Any,
    repo_id: str | None,
    tag: str | None,
    public: bool,
    run: Run,
    where: str,
    as_json: bool,
    **flags: Any,
) -> None:
    """Write the dataset that load_dataset opens, with its card, and publish it where asked.

    On the Hub all goes to a branch first, is verified there, and then becomes main in one commit. The token is that of
    HF_TOKEN or of `hf auth login`. Run again after anything: what is left to do is done.
    """
    summary = pipeline.push(
        Workspace.open(where),
        to=to,
        format=format,
        repo_id=repo_id,
        tag=tag,
        public=public,
        run=run,
        say=lambda line: click.echo(line, err=True),
        **flags,
    )
    _report(summary, as_json)


@click.command(epilog=_examples("run -w my-dataset", "run --dry-run"))
@options.running
@options.common
def run(run: Run, where: str, as_json: bool) -> None:
    """Run every stage of fusionrs.toml, in order."""
    summaries = pipeline.run_all(Workspace.open(where), run)
    results = [summary.as_dict() for summary in summaries]
    options.show({"stages": results}, as_json, lambda: "\n".join(summary_lines(summary) for summary in summaries))
    _fail_on_problems(summaries[-1])


@click.command(epilog=_examples("status", "status -w my-dataset --json"))
@options.common
def status(where: str, as_json: bool) -> None:
    """Show what stands in each layer (items in = good + refused), and what would run next."""
    result = pipeline.status(Workspace.open(where))

    def lines() -> str:
        table = [f"{'':10} {'shards':>9} {'waiting':>8} {'items':>10} {'good':>10} {'refused':>8}"]
        for command, state in result["layers"].items():
            refused = sum(state["refused"].values())
            table.append(
                f"{command:10} {state['done']:>9,} {state['waiting']:>8,} {state['items']:>10,} "
                f"{state['good']:>10,} {refused:>8,}{_reasons(state['refused'])}"
            )
            if state["because"]:
                table.append(f"{'':10} {state['because']}")
        return "\n".join([*table, f"next: {result['next'] or 'nothing, all is built'}"])

    options.show(result, as_json, lines)


def _report(summary: Summary, as_json: bool) -> None:
    options.show(summary.as_dict(), as_json, lambda: summary_lines(summary))
    _fail_on_problems(summary)


def _fail_on_problems(summary: Summary) -> None:
    for problem in summary.problems:
        click.echo(f"error: {problem}", err=True)
    if summary.problems:
        sys.exit(1)


def summary_lines(summary: Summary) -> str:
    """The summary for people."""
    if summary.dry_run:
        total = summary.waiting + summary.kept
        first = f"{summary.command}: would make {summary.waiting} of {total} shards ({summary.items:,} items in all)"
        first = first if total else f"{summary.command}: would make"
    elif summary.problems or summary.made or summary.waiting or summary.removed:
        rate = summary.items_made / summary.seconds if summary.seconds else 0
        first = f"{summary.command}: {summary.made} shards made, {summary.kept} kept"
        first += f", {summary.removed} removed" if summary.removed else ""
        first += f", {summary.waiting} waiting" if summary.waiting else ""
        first += f"; {summary.seconds:.1f} s, {rate:,.1f} items/s" if summary.made else ""
    else:
        first = f"{summary.command}: nothing to do, all {summary.kept} shards are done"
    lines = [first]
    if summary.good or summary.refused:
        refused = sum(summary.refused.values())
        lines.append(
            f"  {summary.items:,} items = {summary.good:,} good + {refused:,} refused{_reasons(summary.refused)}"
        )
    lines += [f"  {note}" for note in summary.notes]
    if summary.path:
        lines.append(f"  {summary.path}")
    if summary.next:
        lines.append(f"next: {summary.next}")
    return "\n".join(lines)


def _reasons(refused: dict[str, int]) -> str:
    return "  (" + ", ".join(f"{reason} {number}" for reason, number in refused.items()) + ")" if refused else ""
