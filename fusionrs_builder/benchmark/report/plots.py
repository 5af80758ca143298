"""The headlines of a table as points with their intervals."""

import io
import warnings
from typing import Any

from fusionrs_builder.benchmark.report.tables import (
    Table,
    headline,
    is_control,
    is_reference,
    is_share,
    metric_title,
    name,
    number,
    plain,
    shortened,
    task_title,
)
from fusionrs_builder.errors import UsageError

ROWS = 40
"""That are drawn, at most: the first ones."""

DPI = 150

WIDTH, ROW, AROUND = 9.0, 0.25, 1.15
"""Inches: of a plot, of a row in it from top to bottom, and of what is above and below all rows."""

CHARACTERS = 40
"""Of a name that are shown."""

LOOKS = {
    "infrared": ("#0072b2", "o"),
    "gray": ("#8f8f8f", "s"),
    "gray-inverted": ("#5c5c5c", "v"),
    "duplicate": ("#b4b4b4", "D"),
    "rgb": ("#009e73", "o"),
    "pair": ("#d55e00", "o"),
}
"""Colour and marker of inputs; controls are grey."""

OTHER = ("#cc79a7", "o")

REFERENCE = ("#8f8f8f", "x")
"""Of models that are controls themselves."""


def draw(table: Table) -> bytes:
    """A PNG; the same table gives the same bytes.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        from matplotlib import style
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("the plots of a report need matplotlib: pip install 'fusionrs-builder[bench]'") from None
    sink = io.BytesIO()
    with style.context("default"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box; the table beneath has the name
        figure = Figure(figsize=(WIDTH, AROUND + ROW * min(len(table.rows), ROWS)), layout="constrained")
        _fill(figure.subplots(), table)
        title = shortened(f"{task_title(table.group.task)}: {table.title}", 3 * CHARACTERS)
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, parse_math=False)
        figure.savefig(sink, format="png", dpi=DPI, metadata={"Software": None})
    return sink.getvalue()


def _fill(axes: Any, table: Table) -> None:
    metric, rows = table.group.headline, table.results[:ROWS]
    scale = 100 if is_share(metric) else 1
    band = True
    firsts = table.firsts
    for place, saved in enumerate(rows):
        colour, marker = REFERENCE if is_reference(saved) else LOOKS.get(saved["inputs"], OTHER)
        value, (low, high) = headline(saved), saved["intervals"][metric]
        axes.plot([scale * low, scale * high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot([scale * value], [place], color=colour, marker=marker, markersize=6)
        axes.annotate(
            number(metric, value), (scale * max(value, high), place), (5, 0), textcoords="offset points",
            va="center", fontsize=8, color="#333333",
        )  # fmt: skip
        band ^= firsts[place]
        if band:
            axes.axhspan(place - 0.5, place + 0.5, color="#f3f3f3", linewidth=0, zorder=0)
    axes.set_yticks(range(len(rows)))
    labels = axes.set_yticklabels(_labels(table)[:ROWS], parse_math=False, fontsize=8.5)
    for label, saved in zip(labels, rows, strict=True):
        if is_control(saved):
            label.set_color("#6b6b6b")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.08)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    unit = " in %" if is_share(metric) else ""
    left = f"; the first {ROWS} of {len(table.results)} rows" if len(table.results) > ROWS else ""
    axes.set_xlabel(
        f"{metric_title(metric)}{unit}, with 95 % interval; controls in grey{left}", fontsize=9, parse_math=False
    )


def _labels(table: Table) -> list[str]:
    """Of the rows; of a model's rows the first has its name."""
    return [
        (f"{shortened(name(saved), CHARACTERS)}   " if first else "") + shortened(plain(saved["inputs"]), 16)
        for first, saved in zip(table.firsts, table.results, strict=True)
    ]
