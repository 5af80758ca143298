"""download: corpora as published become shards of the rgb layer.

The items of a corpus, sorted by key, are cut into shards; every item becomes a row or a reject. What was listed, and
the stretch found, are kept in `raw/<corpus>/plan.json`, so a run with nothing to do need not look again.
"""

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.config import BuildSettings, CorpusSettings
from fusionrs_builder.corpora import formats
from fusionrs_builder.corpora.harmonise import Stretch, harmonise
from fusionrs_builder.corpora.reader import Item, Reader, Refused, stamp, walk
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.shards import Row, corpus_of
from fusionrs_builder.stage import Reject, Stage, Task, Worker, digest
from fusionrs_builder.workspace import Workspace

STRETCH_ITEMS = 32
"""Items looked at, evenly spread over the corpus, to find its stretch."""

STRETCH_PERCENTILES = (1.0, 99.0)

NOT_IN_ROWS = {"source", "title"}
"""Settings that change no row: where the corpus lies, and its full name."""


@dataclass(frozen=True)
class Plan:
    """What a corpus gives.

    Attributes:
        key: of the settings and the files listed; the plan holds while it stays the same.
        stretch: of the bands that are not 8-bit.
        shards: name, number of items and fingerprint of each.
    """

    key: str
    stretch: Stretch
    shards: list[tuple[str, int, str]]


@dataclass
class DownloadStage(Stage):
    """Makes the rgb layer of the given corpora.

    Args:
        corpora: settings by name.
        build: sizes of shards.
        limit: take only the first N items of each corpus.
    """

    corpora: Mapping[str, CorpusSettings]
    build: BuildSettings
    limit: int | None = None
    _plans: dict[str, Plan] = field(default_factory=dict)

    name: ClassVar[str] = "download"
    version: ClassVar[int] = 1
    writes = "rgb"

    def params(self) -> Mapping[str, Any]:
        """The settings of each corpus.

        Raises:
            UsageError: a corpus has no licence, no readable folder, or no known format.
        """
        for name, settings in self.corpora.items():
            self.reader(name)
            if not settings.license:
                raise UsageError(
                    f"corpus {name}: under what licence is it published? Pass --license SPDX, e.g. CC-BY-4.0 "
                    f"(key corpora.{name}.license; `unknown` is an answer too, and lets no pixel be published again)"
                )
        return {name: self._row_settings(name) for name in self.corpora}

    def _row_settings(self, corpus: str) -> dict[str, Any]:
        return self.corpora[corpus].model_dump(mode="json", exclude=NOT_IN_ROWS)

    def root(self, corpus: str) -> Path:
        """The corpus folder.

        Raises:
            UsageError: it is not given, or is no folder.
        """
        source = self.corpora[corpus].source
        if not source:
            raise UsageError(f"corpus {corpus}: say where it is with --from PATH (key corpora.{corpus}.from)")
        root = Path(os.path.expandvars(source)).expanduser()
        if not root.is_dir():
            raise UsageError(f"corpus {corpus}: {root} is not a folder; correct --from (key corpora.{corpus}.from)")
        return root

    def reader(self, corpus: str) -> Reader:
        return formats.reader(self.root(corpus), self.corpora[corpus], corpus)

    def tasks(self, workspace: Workspace) -> list[Task]:
        return [
            Task(shard, fingerprint, items, payload=corpus)
            for corpus in sorted(self.corpora)
            for shard, items, fingerprint in self.plan(workspace, corpus).shards
        ]

    def plan(self, workspace: Workspace, corpus: str) -> Plan:
        """The plan of a corpus: as kept, or listed anew when a file or a setting changed.

        Raises:
            FusionError: the corpus holds no item at all.
        """
        if corpus not in self._plans:
            sizes = [self.limit, self.build.shard_records, self.build.shard_mb]
            key = digest([self.version, self._row_settings(corpus), sizes, listing(self.root(corpus))])
            known = workspace.read_json(_plan_path(corpus), {})
            self._plans[corpus] = Plan(**known) if known.get("key") == key else self._planned(corpus, key)
        return self._plans[corpus]

    def _planned(self, corpus: str, key: str) -> Plan:
        items, reader = self.items(corpus), self.reader(corpus)
        stretch = {**find_stretch(reader, items), **(self.corpora[corpus].stretch or {})}
        shards = [
            (f"{corpus}-{number:05d}", len(part), self._fingerprint_of(reader.root, corpus, part, stretch))
            for number, part in enumerate(cut(items, self.build))
        ]
        return Plan(key, stretch, shards)

    def finish(self, workspace: Workspace) -> bool:
        """Keep the plans, so that a run with nothing to do need not list again."""
        changed = False
        for corpus, plan in self._plans.items():
            kept = json.loads(json.dumps(asdict(plan)))
            if workspace.read_json(_plan_path(corpus), None) != kept:
                workspace.write_json(_plan_path(corpus), kept)
                changed = True
        return changed

    def items(self, corpus: str) -> list[Item]:
        """Every item, sorted by key. The second and later items of the same key carry a fault.

        Raises:
            FusionError: there are none.
        """
        reader = self.reader(corpus)
        items = sorted(reader.items(), key=lambda item: (item.key, item.files))
        if not items:
            raise FusionError(
                f"corpus {corpus}: nothing found in {reader.root} as {self.corpora[corpus].format}; "
                "correct --from, --format or --include"
            )
        for i, (before, item) in enumerate(itertools.pairwise(items), start=1):
            if item.key == before.key:
                first = (before.files or before.annotations or ("",))[0]
                items[i] = replace(item, fault=("duplicate_key", f"{item.key} is already taken by {first}"))
        return items[: self.limit]

    def _fingerprint_of(self, root: Path, corpus: str, items: Sequence[Item], stretch: Stretch) -> str:
        sources = [
            [item.key, item.window, item.fault, *(stamp(root / file) for file in (*item.files, *item.annotations))]
            for item in items
        ]
        return digest([self.name, self.version, corpus, self._row_settings(corpus), stretch, sources])

    def prepare(self, workspace: Workspace, pending: Sequence[Task]) -> list[Task]:
        wanted = {task.shard: task for task in pending}
        prepared = []
        for corpus in dict.fromkeys(task.payload for task in pending):
            stretch = self.plan(workspace, corpus).stretch
            for number, part in enumerate(cut(self.items(corpus), self.build)):
                if task := wanted.get(f"{corpus}-{number:05d}"):
                    prepared.append(replace(task, payload=(corpus, stretch, part)))
        return prepared

    def owns(self, shard: str) -> bool:
        return corpus_of(shard) in self.corpora

    def provenance(self, workspace: Workspace) -> dict[str, dict[str, Any]]:
        return {
            "corpora": {
                corpus: {**self._row_settings(corpus), "stretch": self.plan(workspace, corpus).stretch}
                for corpus in self.corpora
            }
        }

    def open(self, device: str) -> Worker:
        def worker(workspace: Workspace, task: Task) -> Iterator[Row | Reject]:
            corpus, stretch, items = task.payload
            reader, settings = self.reader(corpus), self.corpora[corpus]
            for item in items:
                try:
                    if item.fault:
                        raise Refused(*item.fault)
                    yield harmonise(item, reader.read(item), corpus, settings, stretch)
                except Refused as refused:
                    yield Reject(item.key, refused.reason, refused.message, (*item.files, *item.annotations))

        return worker


def _plan_path(corpus: str) -> str:
    return f"raw/{corpus}/plan.json"


def listing(root: Path) -> str:
    """sha256 over the path, size and time of change of every file of a corpus."""
    return digest([[path, stamp(root / path)] for path in walk(root)])


def cut(items: Sequence[Item], build: BuildSettings) -> Iterator[list[Item]]:
    """The items of each shard: at most `shard_records`, and `shard_mb` of source."""
    part: list[Item] = []
    size = 0
    for item in items:
        if part and (len(part) >= build.shard_records or size + item.bytes > build.shard_mb * 1024 * 1024):
            yield part
            part, size = [], 0
        part.append(item)
        size += item.bytes
    if part:
        yield part


def find_stretch(reader: Reader, items: Sequence[Item]) -> Stretch:
    """Low and high of each band that is not 8-bit: percentiles over the corpus, the visible bands pooled."""
    scenes = list({item.files: item for item in items if not item.fault}.values())
    chosen = scenes[:: max(1, len(scenes) // STRETCH_ITEMS)][:STRETCH_ITEMS]
    pooled: dict[str, list[NDArray[Any]]] = {}
    for item in chosen:
        try:
            for band, values in reader.values(item).items():
                pooled.setdefault("visible" if band in ("red", "green", "blue") else band, []).append(values)
        except Refused:
            continue  # reading it in full will refuse it, and say so
    stretch = {}
    for band, parts in sorted(pooled.items()):
        values = np.concatenate(parts)
        if values.size:
            low, high = (float(value) for value in np.percentile(values, STRETCH_PERCENTILES))
            stretch[band] = (round(low, 4), round(max(high, low + 1e-3), 4))
    return stretch
