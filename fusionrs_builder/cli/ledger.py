"""ledger show | export: the answers that were paid for."""

import json
from typing import TYPE_CHECKING, Any

import click

from fusionrs_builder.cli import options
from fusionrs_builder.errors import FusionError
from fusionrs_builder.workspace import Workspace

if TYPE_CHECKING:
    from fusionrs_builder.caption.chat.ledger import Ledger


@click.group()
def ledger() -> None:
    """The answers of language models that a workspace has paid for."""


@ledger.command(epilog="\b\nExamples:\n  fusionrs-build ledger show\n  fusionrs-build ledger show -w my-dataset --json")
@options.common
def show(where: str, as_json: bool) -> None:
    """Answers, tokens and dollars by model, and what failed."""
    with _opened(where) as opened:
        models = {model: vars(opened.spent(model)) for model in opened.models()}
        total, errors = vars(opened.spent()), opened.errors()

    def lines() -> str:
        table = [f"{'model':32} {'answers':>9} {'tokens in':>13} {'tokens out':>12} {'usd':>10} {'failed':>7}"]
        for model, spent in [*models.items(), ("total", total)]:
            table.append(
                f"{model:32} {spent['answers']:>9,} {spent['tokens_in']:>13,} {spent['tokens_out']:>12,} "
                f"{spent['usd']:>10.4f} {spent['failed']:>7,}"
            )
        if total["unpriced"]:
            table.append(f"{total['unpriced']:,} answers had no price when they came")
        if total["doubtful_usd"]:
            table.append(f"up to ${total['doubtful_usd']:.4f} more for questions whose answers were lost")
        return "\n".join([*table, *(f"{count:>7,} x {error}" for error, count in errors)])

    options.show({"models": models, "total": total, "errors": errors}, as_json, lines)


@ledger.command(
    epilog="\b\nExamples:\n  fusionrs-build ledger export answers.jsonl\n  fusionrs-build ledger export - -w my-dataset"
)
@click.argument("file", type=click.File("w", encoding="utf-8", lazy=True, atomic=True))
@options.common
def export(file: Any, where: str, as_json: bool) -> None:
    """Write every answer, with the question it was given to, as a line of JSON."""
    count = 0
    with _opened(where) as opened:
        for row in opened.rows():
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    if file.name not in ("-", "<stdout>"):
        options.show({"answers": count}, as_json, lambda: f"{count:,} answers written to {file.name}")


def _opened(where: str) -> "Ledger":
    from fusionrs_builder.caption.chat.ledger import Ledger, ledger_path

    path = ledger_path(Workspace.open(where))
    if not path.exists():
        raise FusionError(f"{path}: no model was asked yet in this workspace")
    return Ledger(path)
