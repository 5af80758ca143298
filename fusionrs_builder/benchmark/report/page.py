"""The report of a benchmark: Markdown, CSV, one HTML file that needs nothing beside it, and its plots."""

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from itertools import groupby
from pathlib import Path

from fusionrs_builder.benchmark.report import differences
from fusionrs_builder.benchmark.report.merge import Group, merged
from fusionrs_builder.benchmark.report.plots import draw
from fusionrs_builder.benchmark.report.tables import (
    Table,
    csv,
    is_control,
    markdown,
    metric_title,
    tables,
    task_title,
)
from fusionrs_builder.errors import UsageError
from fusionrs_builder.files import Files

TITLE = "FusionRS benchmark"

INTRODUCTION = (
    "Each table is of one task, protocol, data set and kind of infrared: what a sensor measured is never mixed with "
    "what a model drew.",
    "Inputs say what a model was shown as the infrared view: infrared that view itself, and as controls gray the "
    "brightness of the visible image, gray-inverted its negative, duplicate the visible image once more. "
    "A model that gains nothing over gray where infrared and text are matched does not read the infrared view.",
)

FOLDED = 12
"""Rows of differences from which on the page folds them away."""


def write(results_paths: Sequence[Path], out: Path) -> dict[str, Path]:
    """Write `report.md`, `report.csv`, `report.html` and `plots/*.png`; the same results give the same bytes.

    Args:
        results_paths: see `merge.merged`.
        out: folder, made where it is missing.

    Returns:
        The files by their names in the folder.

    Raises:
        FusionError: see `merge.merged`; or the folder cannot be written.
        UsageError: see `merge.merged`; matplotlib is not installed, or `out` is a file.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder for the report")
    results = merged(results_paths)
    found = tables(results)
    plots = {table.group: draw(table) for table in found}
    names = {of: f"plots/{anchor(of)}.png" for of in plots}
    parts = {names[of]: data for of, data in plots.items()} | {
        "report.md": _markdown(found, names).encode(),
        "report.csv": csv(results).encode(errors="backslashreplace"),
        "report.html": _html(found, plots).encode(),
    }
    files = Files(str(out))
    for part, data in parts.items():
        files.write_bytes(part, data)
    return {part: out / part for part in sorted(parts)}


def anchor(of: Group) -> str:
    """What a group is called in addresses and files: other groups are called otherwise."""
    words = "-".join((of.task, of.protocol, of.dataset, of.origin))
    return (
        f"{re.sub(r'[^A-Za-z0-9.]+', '-', words)[:80].strip('-.')}-{hashlib.sha256(repr(of).encode()).hexdigest()[:8]}"
    )


def _markdown(found: Sequence[Table], plots: dict[Group, str]) -> str:
    below = {
        table.group: "\n\n".join(
            part for part in (f"![{_said(table)}]({plots[table.group]})", differences.markdown(table)) if part
        )
        for table in found
    }
    return "\n\n".join((f"# {TITLE}", *INTRODUCTION, markdown(found, below)))


def _said(table: Table) -> str:
    """What a plot shows, for those who do not see it."""
    return f"Points with intervals, one a row of the table above ({len(table.rows)} rows)"


def _html(found: Sequence[Table], plots: dict[Group, bytes]) -> str:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = (resources.files(__package__) / "page.html.jinja").read_text(encoding="utf-8")
    tasks = [
        (task_title(task), [_section(table, plots[table.group]) for table in of_task])
        for task, of_task in groupby(found, key=lambda table: table.group.task)
    ]
    page = environment.from_string(text).render(title=TITLE, introduction=INTRODUCTION, tasks=tasks, folded=FOLDED)
    return page.rstrip() + "\n"


def _section(table: Table, plot: bytes) -> dict[str, object]:
    kinds = [
        f"{'first' if first else 'again'}{' control' if is_control(saved) else ''}"
        for first, saved in zip(table.firsts, table.results, strict=True)
    ]
    return {
        "anchor": anchor(table.group),
        "table": table,
        "kinds": kinds,
        "metric": metric_title(table.group.headline),
        "models": len({(saved["model"], saved["pretrained"]) for saved in table.results}),
        "n": max(saved["n"] for saved in table.results),
        "plot": base64.b64encode(plot).decode(),
        "said": _said(table),
        "differences": differences.grids(table),
    }
