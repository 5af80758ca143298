"""Differences of headlines on the same images: of a model's inputs, and of models. Their intervals are paired.

Intervals of two scores may overlap where one model is better on nearly every image; the interval of the difference
tells that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from fusionrs_builder.benchmark.records import CONTROLS
from fusionrs_builder.benchmark.report.tables import (
    Grid,
    Saved,
    Table,
    headline,
    is_reference,
    is_share,
    metric_title,
    name,
    plain,
    scored,
)
from fusionrs_builder.benchmark.result import estimate
from fusionrs_builder.intervals import Score

MODELS = 12
"""Up to so many are compared each with each, more only with the best."""


@dataclass(frozen=True)
class Difference:
    """The headline of one result less that of another, of the same group and number of images.

    Attributes:
        first, second: the results.
        score: first less second, with its interval.
    """

    first: Saved
    second: Saved
    score: Score

    @property
    def excludes_zero(self) -> bool:
        return self.score.low > 0 or self.score.high < 0


def of_inputs(table: Table) -> list[Difference]:
    """Each model on infrared, less the same model on its controls and other inputs.

    Not on controls that are looked for by what they were made of: that no model can do better on infrared.
    """
    shown = [saved for saved in table.results if saved["inputs"] == "infrared" and not is_reference(saved)]
    return _differences(
        (first, second)
        for first in shown
        for second in table.results
        if first is not second
        and not second["detail"].get("against_itself")
        and (first["model"], first["pretrained"]) == (second["model"], second["pretrained"])
    )


def of_models(table: Table) -> list[Difference]:
    """Each model less each one that scored lower, on the same inputs, but for controls."""
    inputs = dict.fromkeys(saved["inputs"] for saved in table.results if saved["inputs"] not in CONTROLS)
    return _differences(pair for shown in inputs for pair in _pairs(table, shown))


def grids(table: Table) -> list[Grid]:
    """The differences of a table as tables; those that hold none are left out."""
    metric = table.group.headline
    unit = "percentage points" if is_share(metric) else "as it is"
    said = f"On the same images and resamples; {unit}."
    own, between = of_inputs(table), of_models(table)
    what = f"difference of {metric_title(metric)} (95 % interval)"
    found = []
    if own:
        found.append(
            Grid(
                title="Infrared less other inputs",
                heads=("model on infrared", "less itself on", what, "excludes 0"),
                rows=tuple((name(each.first), plain(each.second["inputs"]), *_said(metric, each)) for each in own),
                texts=2,
                notes=(said,),
            )
        )
    if between:
        count = len(between)
        chance = f" Of {count} intervals about {round(count / 20)} would exclude 0 by chance if no two models differed."
        found.append(
            Grid(
                title="Between models",
                heads=("model", "less", "inputs", what, "excludes 0"),
                rows=tuple(
                    (name(each.first), name(each.second), plain(each.first["inputs"]), *_said(metric, each))
                    for each in between
                ),
                texts=3,
                notes=(said + (chance if count >= 10 else ""),),
            )
        )
    return found


def markdown(table: Table) -> str:
    """The differences of a table; empty where there are none."""
    return "\n\n".join(grid.markdown(4) for grid in grids(table))


def _pairs(table: Table, inputs: str) -> Iterator[tuple[Saved, Saved]]:
    rows = [saved for saved in table.results if saved["inputs"] == inputs]
    rows.sort(key=lambda saved: (is_reference(saved), -headline(saved), name(saved)))
    many = sum(not is_reference(saved) for saved in rows) > MODELS
    for first, second in combinations(rows, 2):
        if not is_reference(first) and (first is rows[0] or not many):
            yield first, second


def _differences(pairs: Iterator[tuple[Saved, Saved]]) -> list[Difference]:
    return [
        Difference(first, second, (estimate(first) - estimate(second)).score)
        for first, second in pairs
        if first["n"] == second["n"]
    ]


def _said(metric: str, found: Difference) -> Sequence[str]:
    score = found.score
    return scored(metric, score.mean, score.low, score.high, "+"), "yes" if found.excludes_zero else "no"
