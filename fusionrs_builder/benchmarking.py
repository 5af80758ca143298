"""The Python API of the benchmark: measure anybody's models on a release, and merge what was measured."""

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fusionrs_builder import devices
from fusionrs_builder.benchmark import lmms_eval
from fusionrs_builder.benchmark.job import Data, Settings
from fusionrs_builder.benchmark.records import INPUTS, Inputs, Record, Records
from fusionrs_builder.benchmark.report import page
from fusionrs_builder.benchmark.run import run
from fusionrs_builder.benchmark.tasks import TASKS, Task
from fusionrs_builder.benchmark.tasks.captioning import Look
from fusionrs_builder.caption.appearance import look
from fusionrs_builder.caption.claims import findings
from fusionrs_builder.caption.evidence import measure
from fusionrs_builder.caption.facts import Record as Facts
from fusionrs_builder.corpora import registry
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release import layout
from fusionrs_builder.release.load import load_split

DATA = re.compile(rf"(?P<place>.+?)(?::(?P<split>(?:{'|'.join(layout.SPLITS)})(?:\[[^\[\]]*\])?))?")
"""`DIR_OR_REPO[:SPLIT]`, where the split may be a part as `datasets` has it: `test[:100]`."""

REPORT = "report"
"""Folder of the report, in that of the results."""


def benchmark(
    tasks: Sequence[Task], data: str, models: Sequence[str], out: str | os.PathLike[str], *,
    inputs: Sequence[Inputs] = INPUTS, device: str = "auto", seed: int = 0, linear_probe: bool = False,
    clip_score: str = "", trained_on: Mapping[str, Sequence[str]] | None = None,
    cache_dir: str | os.PathLike[str] | None = None, say: Callable[[str], None] = lambda text: None,
) -> dict[str, Path]:  # fmt: skip
    """Measure models, and write the results and their report.

    Run again, it goes on where it was: embeddings are cached by the hashes of model and pixels, and no answer is asked
    for twice.

    Args:
        tasks: of `retrieval`, `classification`, `captioning`, `vqa`. A model takes part in those it can do.
        data: a release folder or `ORG/NAME` on the Hub, with `:SPLIT` for another split than `test`.
        models: specs, see docs/benchmark.md.
        out: folder of the results, one JSON file each; the report is in `report/`.
        inputs: what is shown as the infrared view: that itself and the controls.
        device: torch device; `auto` takes a GPU where there is one.
        seed: of intervals, questions and controls.
        linear_probe: fit a linear classifier on the train split, too.
        clip_score: spec of the model that CLIPScore is computed with.
        trained_on: spec of a model -> corpora that it learnt from.
        cache_dir: of the embeddings; by default `fusionrs-builder/embeddings` in the user's cache folder.
        say: told what is done.

    Returns:
        The files of the report: `report.md`, `report.csv`, `report.html`.

    Raises:
        UsageError: an argument is wrong.
        FusionError: the release or a model is broken, or nothing could be measured.
    """
    if not models:
        raise UsageError("name a model, such as --model random")
    records, place = _records(data)
    settings = Settings(
        tasks=tuple(task for task in TASKS if task in tasks),
        inputs=tuple(one for one in INPUTS if one in inputs),
        device=str(devices.chosen(device)),
        seed=seed,
        probe=linear_probe,
        clip_score=clip_score,
        trained_on={spec: tuple(corpora) for spec, corpora in (trained_on or {}).items()},
    )
    folder = Path(out)
    measured = Data(
        records,
        cache(lambda: _classes(place)),
        cache(lambda pictures: _train(place, records, pictures)),
        _Checks(),
        _kin,
        registry.names(),
    )
    try:
        written = run(measured, models, settings, folder, _cache(cache_dir), say)
    except FusionError:
        with contextlib.suppress(FusionError):  # what was measured before it failed is not lost
            report([folder], folder / REPORT)
        raise
    say(f"{len(written)} results in {folder}")
    return report([folder], folder / REPORT)


def report(paths: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> dict[str, Path]:
    """Merge results of many runs into Markdown, CSV and HTML with plots.

    Args:
        paths: result files, or folders of them.
        out: folder of the report.

    Returns:
        Its files by their names.

    Raises:
        UsageError: there are no results.
        FusionError: one is damaged, or two of the same measurement differ.
    """
    return page.write([Path(path) for path in paths], Path(out))


def export_lmms_eval(data: str, out: str | os.PathLike[str], seed: int = 0) -> list[str]:
    """Write the questions and the captioning of a split as a folder of tasks for lmms-eval; returns the tasks' names.

    Raises:
        UsageError: there is no such release or split.
        FusionError: it holds nothing to ask about.
    """
    return lmms_eval.export(_records(data)[0], Path(out), seed)


def _records(data: str) -> tuple[Records, str]:
    """The split, and the release that it is of."""
    found = DATA.fullmatch(data)
    if found is None or (found["split"] is None and not data.strip()):
        raise UsageError(f"--data {data!r}: give DIR_OR_REPO or DIR_OR_REPO:SPLIT")
    place, split = found["place"], found["split"] or "test"
    return Records(
        load_split(place, split), Path(place).resolve().name if Path(place).exists() else place, split
    ), place


def _train(place: str, measured: Records, pictures: bool) -> Records | None:
    """The train split, with its pictures or without; None where there is none, or it is what is measured."""
    if measured.split.startswith("train"):
        return None
    try:
        rows = load_split(place, "train", config="default" if pictures else "text")
    except UsageError:  # no such split
        return None
    return Records(rows, measured.dataset, "train") if len(rows) else None


def _classes(place: str) -> dict[str, list[str]]:
    """Scene classes of each corpus, over all splits: labels of records of one label and no boxes, see `is_scene`."""
    import pyarrow.compute as pc

    found: dict[str, set[str]] = {}
    for split in layout.SPLITS:
        with contextlib.suppress(UsageError):  # no such split
            rows = load_split(place, split, config="text").select_columns(["corpus", "labels", "boxes"])
            table = rows.with_format("arrow")[:]
            alone = pc.equal(pc.list_value_length(table["labels"]), 1)
            bare = pc.equal(pc.fill_null(pc.list_value_length(table["boxes"]), 0), 0)
            scenes = table.filter(pc.and_(pc.fill_null(alone, False), bare))
            for corpus, labels in zip(scenes["corpus"].to_pylist(), scenes["labels"].to_pylist(), strict=True):
                found.setdefault(corpus, set()).update(labels)
    return {corpus: sorted(names) for corpus, names in sorted(found.items())}


@cache
def _kin(name: str) -> frozenset[str]:
    """A corpus, its family, and what the registry says shares images with it."""
    known = registry.entry(name)
    return frozenset((name,) if known is None else (name, known.settings.family or name, *known.overlaps))


def facts_of(record: Record) -> Facts:
    """A record of a release as `caption` knows it: with the scene captions that came with its corpus."""
    by: dict[str, list[str]] = {}
    for text, writer in zip(record.scene_captions, record.scene_writers, strict=False):
        by.setdefault(writer, []).append(text)
    return Facts(
        id=record.id, labels=record.labels, boxes=record.boxes, gsd_m=record.gsd_m, origin=record.ir_origin,
        band=record.ir_band, publisher=by.get("publisher", ()), model=by.get("model", ()),
        template=by.get("template", ()),
    )  # fmt: skip


class _Checks:
    """The checks that captions of a build pass, see `caption/claims/`; a view is measured once."""

    def __init__(self) -> None:
        self._measured: dict[str, Any] = {}

    def __call__(self, record: Record, picture: Look, caption: str, of_infrared: bool) -> list[str]:
        facts = facts_of(record)
        if record.id not in self._measured:
            visible, infrared = picture("rgb"), picture("infrared")
            rgb = None if visible is None else np.asarray(visible)
            ir = None if infrared is None else np.asarray(infrared.convert("L"))
            self._measured[record.id] = (
                None if ir is None else measure(ir, rgb, record.boxes),
                None if rgb is None else look(rgb),
            )
        seen, appearance = self._measured[record.id]
        scene, ir_captions = ([], [caption]) if of_infrared else ([caption], [])
        return [found.check for found in findings(scene, ir_captions, facts, seen, appearance)]


def _cache(given: str | os.PathLike[str] | None) -> Path:
    if given is not None:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fusionrs-builder" / "embeddings"
