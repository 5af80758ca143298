"""What one does with a release that stands: check it, and fill in what its licences left out."""

import sys
from collections.abc import Sequence

import click

from fusionrs_builder import releases
from fusionrs_builder.checked import redacted
from fusionrs_builder.cli import options
from fusionrs_builder.cli.build import _examples
from fusionrs_builder.engines.runner import Run


@click.command(epilog=_examples("check my-dataset", "check ~/datasets/fusionrs --all", "check my-org/fusionrs"))
@click.argument("where", default=".")
@click.option("--all", "every", is_flag=True, help="decode the pictures of all records, not of a sample of 200")
@options.guarded
def check(where: str, every: bool, as_json: bool) -> None:
    """Look whether a workspace, a release or a data set of the Hub is what it says it is.

    WHERE is a folder, an fsspec URL, or ORG/NAME on the Hub. Exits with 1 and a list when anything is off.
    """
    found = releases.check(where, every)
    where = redacted(where)
    result = {"where": where, "rows": found.rows, "pictures": found.pictures, "problems": found.problems}

    def lines() -> str:
        told = [f"off: {problem}" for problem in found.problems]
        end = f"{where}: {found.rows:,} rows, {found.pictures:,} pictures, {len(told) or 'no'} problems"
        fix = ["of a release: fetch it again, or write it anew with `fusionrs-build push`"] if told else []
        return "\n".join([*told, end, *fix])

    options.show(result, as_json, lines)
    if found.problems:
        sys.exit(1)


@click.command(
    epilog=_examples(
        "rebuild my-org/fusionrs --to ~/fusionrs-full --from dior=~/DIOR --from aid=~/AID",
        "rebuild ~/datasets/fusionrs --to ~/fusionrs-full --dry-run",
    )
)
@click.argument("release", metavar="REPO_OR_DIR")
@click.option("--to", metavar="DIR", required=True, help="folder that becomes the whole release")
@click.option("--from", "copies", multiple=True, metavar="CORPUS=PATH", help="your own copy of a corpus, as published")
@click.option("--translator", metavar="PATH", help="what drew the infrared views, where it has no public name")
@options.running
@options.guarded
def rebuild(release: str, to: str, copies: tuple[str, ...], translator: str | None, run: Run, as_json: bool) -> None:
    """Fill in the pictures that a release may not hold, from your own copies, and verify every hash.

    The corpora are harmonised and drawn again by the recipe that the release holds; --from names your copy of each, and
    what the registry can fetch is fetched. Run again with what was missing: what is filled in stays. Of an index into
    other corpora --from names the file, and CORPUS.SOURCE=PATH your copy of each source. What was filled in must not be
    published again.
    """
    found = releases.rebuild(release, to, _pairs(copies), translator, run)
    options.show(found.as_dict(), as_json, lambda: "\n".join(found.lines()))
    if found.problems:
        sys.exit(1)


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        corpus, _, path = text.partition("=")
        if not corpus or not path:
            raise click.BadParameter(f"{text!r} is not CORPUS=PATH", param_hint="--from")
        if corpus in found:
            raise click.BadParameter(f"{corpus} is named twice", param_hint="--from")
        found[corpus] = path
    return found
