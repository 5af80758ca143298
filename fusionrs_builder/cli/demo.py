"""demo: a real dataset end to end."""

import sys

import click

from fusionrs_builder.cli import options
from fusionrs_builder.cli.build import summary_lines
from fusionrs_builder.demo import demo as build_demo
from fusionrs_builder.engines.runner import Run, Summary


@click.command(
    epilog="\b\nExamples:\n  fusionrs-build demo\n  fusionrs-build demo --samples ~/samples --out /tmp/demo --workers 2"
)
@click.option("--samples", help="folder of the sample corpora  [default: FUSIONRS_SAMPLES, else ../shared/data]")
@click.option("--out", default="demo", show_default=True, help="workspace to build in")
@click.option("--workers", type=click.IntRange(1, 512), help="processes  [default: one a core, 1 for a network]")
@click.option("--device", default="auto", show_default=True, help="torch device of the network: auto, cpu, cuda:0")
@options.guarded
def demo(samples: str | None, out: str, workers: int | None, device: str, as_json: bool) -> None:
    """Build a real dataset end to end: from sample corpora, or from rendered scenes where there are none."""

    def tell(summary: Summary) -> None:
        if not as_json:
            click.echo(summary_lines(summary))

    summaries = build_demo(out, samples, Run(workers, device), tell, lambda text: click.echo(text, err=True))
    if as_json:
        options.show({"stages": [summary.as_dict() for summary in summaries]}, True, str)
    for problem in summaries[-1].problems:
        click.echo(f"error: {problem}", err=True)
    if summaries[-1].problems:
        sys.exit(1)
    if not as_json:
        click.echo(
            f"open it: python -c \"from datasets import load_dataset; print(load_dataset('{summaries[-1].path}'))\""
        )
