"""Merged results as tables, one a `Group`, in Markdown; and all their metrics in one CSV."""

import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from csv import writer
from dataclasses import dataclass
from itertools import groupby
from math import isfinite
from typing import Any

from fusionrs_builder.benchmark.records import CONTROLS, INPUTS
from fusionrs_builder.benchmark.report.merge import TASKS, Group, group
from fusionrs_builder.benchmark.result import MEASUREMENT

REFERENCE = "control"
"""What stands for the weights of `random`, `majority` and `copy-nearest`."""

METRICS = 8
"""Columns of metrics beside the headline, at most; the CSV has them all."""

LENGTH = 80
"""Characters of a stranger's text that are shown."""

RANGES = {"CIDEr": "0 to 10", "CLIPScore": "0 to 2.5"}
"""By how their names begin, the ranges of metrics that are no shares. All others are shown in percent."""

Saved = Mapping[str, Any]
"""A result as `merged` gives it."""


@dataclass(frozen=True)
class Grid:
    """A table for people. All texts are plain, nothing in them is escaped.

    Attributes:
        title: in plain words.
        heads: of the columns.
        rows: as many texts as heads each.
        texts: how many columns, from the left, hold text; the others hold numbers.
        notes: what has to be known to read it.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int
    notes: tuple[str, ...]

    def markdown(self, level: int = 3) -> str:
        """With its title as a heading of this level."""
        rule = ["---"] * self.texts + ["---:"] * (len(self.heads) - self.texts)
        lines = [[escaped(text) for text in self.heads], rule, *([escaped(text) for text in row] for row in self.rows)]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        notes = "\n".join(f"- {escaped(note)}" for note in self.notes)
        return f"{'#' * level} {escaped(self.title)}\n\n{table}\n\n{notes}"


@dataclass(frozen=True)
class Table(Grid):
    """The results of one group, one a row.

    Attributes:
        group: what they have in common.
        results: in the order of the rows.
    """

    group: Group
    results: tuple[Saved, ...]

    @property
    def firsts(self) -> list[bool]:
        """Which rows are the first of their model."""
        models = [_model(saved) for saved in self.results]
        return [place == 0 or model != models[place - 1] for place, model in enumerate(models)]


def tables(results: Sequence[Saved]) -> list[Table]:
    """One table a group, in the order of `Group.place`."""
    groups: dict[Group, list[Saved]] = {}
    for saved in results:
        groups.setdefault(group(saved), []).append(saved)
    titles = Counter(map(_title, groups))
    made = []
    for of in sorted(groups, key=lambda of: of.place):
        rest = f", {plain(of.headline)}, split {plain(of.split)} {plain(of.split_sha256[:12])}, seed {of.seed}"
        made.append(_table(_title(of) + rest * (titles[_title(of)] > 1), of, _rows(groups[of])))
    return made


def markdown(found: Sequence[Table], below: Mapping[Group, str] | None = None) -> str:
    """All tables, under a heading for each task.

    Args:
        found: of `tables`.
        below: Markdown that stands below the table of a group.
    """
    parts = []
    for task, of_task in groupby(found, key=lambda table: table.group.task):
        parts.append(f"## {escaped(task_title(task))}")
        for table in of_task:
            parts += [table.markdown(), (below or {}).get(table.group, "")]
    return "\n\n".join(filter(None, parts)) + "\n"


def csv(results: Sequence[Saved]) -> str:
    """A line for each metric of each result (RFC 4180); numbers as they were saved, nothing where there is none."""
    sink = io.StringIO()
    lines = writer(sink)
    facts = ("device", "seconds", "images_per_s")
    leaks = ("groups", "records")
    numbers = ("value", "low", "high", "n", "failed")
    lines.writerow([*MEASUREMENT, "metric", "is_headline", *numbers, *facts, *(f"leakage_{each}" for each in leaks)])
    for table in tables(results):
        for saved in table.results:
            leakage = saved.get("leakage") or {}
            for metric, value in saved["metrics"].items():
                line = [*(saved[key] for key in MEASUREMENT), metric, int(metric == saved["headline"])]
                line += [value, *saved["intervals"][metric], saved["n"], saved["counts"].get("failed")]
                line += [saved.get(key) for key in facts] + [leakage.get(key) for key in leaks]
                lines.writerow([_cell(each) for each in line])
    return sink.getvalue()


def name(saved: Saved) -> str:
    """Of the model with that of its weights."""
    return plain(f"{saved['model']} ({saved['pretrained']})" if saved["pretrained"] else saved["model"])


def is_reference(saved: Saved) -> bool:
    """Whether the model is a control itself."""
    return bool(saved["pretrained"] == REFERENCE)


def is_control(saved: Saved) -> bool:
    """Whether the row is there to be compared with."""
    return is_reference(saved) or saved["inputs"] in CONTROLS


def headline(saved: Saved) -> float:
    return float(saved["metrics"][saved["headline"]])


def is_share(metric: str) -> bool:
    return not _range(metric)


def _range(metric: str) -> str:
    return next((found for begin, found in RANGES.items() if metric.startswith(begin)), "")


def number(metric: str, value: float, sign: str = "") -> str:
    """A value as it is shown: a share in percent with one decimal, what is none with two."""
    if not isfinite(value):
        return "–"
    return format(100 * value, f"{sign}z.1f") if is_share(metric) else format(value, f"{sign}z.2f")


def scored(metric: str, value: float, low: float, high: float, sign: str = "") -> str:
    """A value with its interval."""
    shown = [number(metric, each, sign) for each in (value, low, high)]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"


def metric_title(metric: str) -> str:
    return plain(metric.replace("->", "→"))


def task_title(task: str) -> str:
    return TASKS.get(task, plain(task))


def plain(text: str) -> str:
    """A stranger's text on one line: no control characters, no marks that turn the direction, and not too long."""
    return shortened(" ".join("".join(" " if unicodedata.category(c).startswith("C") else c for c in text).split()))


def shortened(text: str, most: int = LENGTH) -> str:
    """Without its middle, where it is too long: names differ at both ends."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[len(text) - (most - 1) // 2 :]}"


def escaped(line: str) -> str:
    """A plain text that means nothing but itself in Markdown, behind something else on its line or in a table."""
    line = line.replace("&", "&amp;").replace("<", "&lt;")
    line = re.sub(r"[\\|~$]", lambda found: f"&#{ord(found[0])};", line)
    return re.sub(r"[`*\[\]]|(?<!\w)_|_(?!\w)", r"\\\g<0>", line)


def _rows(found: Sequence[Saved]) -> tuple[Saved, ...]:
    """In the order of a table: models by what they are worth, controls of all models last; of a model by its inputs."""
    models: dict[tuple[str, str], list[Saved]] = {}
    for saved in found:
        models.setdefault(_model(saved), []).append(saved)
    order = sorted(models, key=lambda key: (is_reference(models[key][0]), -_worth(models[key]), key))
    return tuple(saved for key in order for saved in sorted(models[key], key=_inputs_place))


def _model(saved: Saved) -> tuple[str, str]:
    return saved["model"], saved["pretrained"]


def _worth(of_model: Sequence[Saved]) -> float:
    """Its headline on infrared; where it was not shown that, the best on what is no control."""
    infrared = [saved for saved in of_model if saved["inputs"] == "infrared"]
    own = [saved for saved in of_model if saved["inputs"] not in CONTROLS]
    return max(headline(saved) for saved in infrared or own or of_model)


def _inputs_place(saved: Saved) -> tuple[int, str]:
    return INPUTS.index(saved["inputs"]) if saved["inputs"] in INPUTS else len(INPUTS), saved["inputs"]


def _table(title: str, of: Group, results: tuple[Saved, ...]) -> Table:
    shown, rest = _columns(results)
    same = len({saved["n"] for saved in results}) == 1
    heads = ["model", "inputs", *["n"] * (not same), f"{metric_title(of.headline)} (95 % interval)"]
    rows = []
    for saved in results:
        row = [name(saved) + " †" * _leaks(saved), plain(saved["inputs"]), *[str(saved["n"])] * (not same)]
        row.append(scored(of.headline, headline(saved), *saved["intervals"][of.headline]))
        row += [number(metric, saved["metrics"].get(metric, float("nan"))) for metric in shown]
        rows.append((*row, str(saved["counts"].get("failed", "–"))))
    return Table(
        title=title,
        heads=(*heads, *map(metric_title, shown), "failed"),
        rows=tuple(rows),
        texts=2,
        notes=tuple(_notes(of, results, shown, rest)),
        group=of,
        results=results,
    )


def _title(of: Group) -> str:
    view = f"{plain(of.origin)} infrared ({plain(of.band)})" if of.origin != "-" else "visible light"
    return f"{plain(of.dataset)}, {view}: {plain(of.protocol)}"


def _columns(results: Sequence[Saved]) -> tuple[list[str], list[str]]:
    """Metrics beside the headline that get a column, and those that do not.

    Where there are too many, all of R@1 are shown before any of R@5.
    """
    metrics = dict.fromkeys(metric for saved in results for metric in saved["metrics"] if metric != saved["headline"])
    ordered = sorted(metrics, key=_cut)
    shown: list[str] = []
    for _, found in groupby(ordered, key=_cut):
        alike = list(found)
        if shown and len(shown) + len(alike) > METRICS:
            break
        shown += alike[:METRICS]
    return shown, [metric for metric in ordered if metric not in shown]


def _cut(metric: str) -> int:
    """The k of a recall at k; 0 of other metrics."""
    found = re.search(r"@(\d{1,9})$", metric)
    return int(found[1]) if found else 0


def _leaks(saved: Saved) -> bool:
    return bool((saved.get("leakage") or {}).get("records"))


def _notes(of: Group, results: Sequence[Saved], shown: Sequence[str], rest: Sequence[str]) -> Iterator[str]:
    sizes = sorted({saved["n"] for saved in results})
    n = f"n = {sizes[0]}" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]}"
    yield (
        f"Protocol {plain(of.protocol)}, {n}, split {plain(of.split)} (sha256 {plain(of.split_sha256[:12])}), "
        f"seed {of.seed}."
    )
    chances = {saved["detail"].get("chance") for saved in results}
    if len(chances) == 1 and (chance := chances.pop()) is not None:
        yield f"By chance {metric_title(of.headline)} is about {number(of.headline, chance)} here."
    if any(saved["detail"].get("against_itself") for saved in results):
        yield (
            "Controls are looked for by the visible image that they were made of: their rows say how easy that is, and "
            "are no measure of the model."
        )
    bare = [f"{metric_title(metric)} ({_range(metric)})" for metric in (of.headline, *shown) if _range(metric)]
    units = "Numbers are percentages" + (f", but for {' and '.join(bare)}" if bare else "")
    more = f" {len(rest)} further metrics, and the intervals of all, are in report.csv." if rest else ""
    yield f"{units}; intervals are of a bootstrap over images.{more}"
    yield "Failed: what a model gave no usable output for. It counts as wrong and is part of every denominator."
    for saved in {_model(saved): saved for saved in results if saved.get("leakage")}.values():
        found = saved["leakage"]
        learnt, unknown = plain(", ".join(found["declared"])), plain(", ".join(found["unknown"]))
        mark = "† " * _leaks(saved)
        what = f"{found['records']} of {found['of']} records, in {found['groups']} groups, are of these or like them"
        yield f"{mark}{name(saved)} says that it learnt from {learnt}. {what}." + (
            f" Nobody knows the corpus {unknown}: nothing can be found of it." if unknown else ""
        )


def _cell(value: Any) -> Any:
    """A value in the CSV: a spreadsheet takes no text for a formula, and a number that is none is nothing."""
    if isinstance(value, str):
        return f"'{value}" if len(value) > 1 and value[0] in "=+-@\t\r\n" else value
    return "" if value is None or (isinstance(value, float) and not isfinite(value)) else value
