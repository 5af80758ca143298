"""download: corpora as published become shards of the rgb layer.

The items of a corpus, sorted by key, are cut into shards; every item becomes a row or a reject. What was listed is kept
in `raw/<corpus>/items.parquet`, the stretch found and the fingerprints in `plan.json` beside it, so a run with nothing
to do need not look again, and no process ever holds more than the items of a shard.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.corpora import formats, published
from fusionrs_builder.corpora.harmonise import harmonise
from fusionrs_builder.corpora.item_list import ItemList
from fusionrs_builder.corpora.reader import Item, Reader, Refused, printable, stamp, walk
from fusionrs_builder.corpora.views import Stretch
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.settings import BuildSettings, CorpusSettings
from fusionrs_builder.shards import Row, corpus_of
from fusionrs_builder.stage import Reject, Stage, Task, Worker, digest
from fusionrs_builder.workspace import Workspace

STRETCH_ITEMS = 32
"""Items looked at, evenly spread over the corpus, to find its stretch."""

STRETCH_PERCENTILES = (1.0, 99.0)

NOT_IN_ROWS = {"source", "title", "stac_url", "bbox", "year", "max_scenes", "index", "sources"}
"""Settings that change no row by themselves: its full name, and where it lies, since every file is looked at."""


@dataclass(frozen=True)
class Plan:
    """What a corpus gives.

    Attributes:
        key: of the settings and the files listed; the plan holds while it stays the same.
        stretch: of the bands that are not 8-bit.
        shards: name, number of items and fingerprint of each.
        said: what listing found out besides, in lines for people.
    """

    key: str
    stretch: Stretch
    shards: list[tuple[str, int, str]]
    said: list[str] = field(default_factory=list)


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
    _lists: dict[str, ItemList] = field(default_factory=dict)
    _reports: dict[str, dict[str, Any]] = field(default_factory=dict)

    name: ClassVar[str] = "download"
    version: ClassVar[int] = 4
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
        return self.folder(corpus, self.corpora[corpus])

    @staticmethod
    def folder(corpus: str, settings: CorpusSettings) -> Path:
        """The corpus folder.

        Raises:
            UsageError: it is not given, or is no folder.
        """
        if not settings.source:
            steps = published.by_hand(corpus)
            how = f". Its files are had by hand:\n{steps}" if steps else ""
            raise UsageError(f"corpus {corpus}: say where it is with --from PATH (key corpora.{corpus}.from){how}")
        root = Path(os.path.expandvars(settings.source)).expanduser()
        if not root.is_dir():
            if root.parts[-3:] == ("raw", corpus, "files"):
                raise UsageError(f"corpus {corpus} is not fetched yet: run `fusionrs-build download {corpus}`")
            raise UsageError(f"corpus {corpus}: {root} is not a folder; correct --from (key corpora.{corpus}.from)")
        return root

    def reader(self, corpus: str) -> Reader:
        with _naming(corpus):
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
        if corpus in self._plans:
            return self._plans[corpus]
        with _naming(corpus):
            sizes = [self.limit, self.build.shard_records, self.build.shard_mb]
            roots = [listing(root) for root in self.reader(corpus).roots()]
            sources = sorted(self.corpora[corpus].sources)
            key = digest([self.version, self._row_settings(corpus), sizes, sources, roots])
            known = workspace.read_json(_plan_path(corpus), {})
            kept = known.get("key") == key and ItemList.key_of(workspace, _items_path(corpus)) == key
            self._plans[corpus] = Plan(**known) if kept else self._planned(corpus, key)
        return self._plans[corpus]

    def _planned(self, corpus: str, key: str) -> Plan:
        reader = self.reader(corpus)
        items = ItemList.of(reader.items(), key, self.build, self.limit)
        if not items.shards:
            raise FusionError(
                "\n".join(
                    [
                        f"corpus {corpus}: nothing found in {', '.join(map(str, reader.roots()))} as "
                        f"{self.corpora[corpus].format}; correct --from, --format, --include or --sources",
                        *reader.summary(),
                    ]
                )
            )
        self._lists[corpus], self._reports[corpus] = items, reader.report()
        stretch = {**find_stretch(reader, items), **(self.corpora[corpus].stretch or {})}
        settings = self._row_settings(corpus)
        shards = [
            (
                f"{corpus}-{number:05d}",
                len(part),
                digest(
                    [self.name, self.version, corpus, settings, stretch, [_state(reader.root, item) for item in part]]
                ),
            )
            for number, part in enumerate(map(items.shard, range(items.shards)))
        ]
        return Plan(key, stretch, shards, reader.summary())

    def said(self) -> list[str]:
        """What listing found out besides the items, in lines for people."""
        return [f"{corpus}: {line}" for corpus, plan in self._plans.items() for line in plan.said]

    def finish(self, workspace: Workspace) -> bool:
        """Keep the plans, so that a run with nothing to do need not list again."""
        changed = [self._keep(workspace, corpus) for corpus in self._plans]
        return any(changed)

    def _keep(self, workspace: Workspace, corpus: str) -> bool:
        """Keep the plan of a corpus and its list of items, where they are not kept yet."""
        if corpus in self._lists:
            self._lists.pop(corpus).keep(workspace, _items_path(corpus))
            if report := self._reports.pop(corpus):
                workspace.write_json(f"raw/{corpus}/coverage.json", report)
        plan = json.loads(json.dumps(asdict(self._plans[corpus])))
        changed = workspace.read_json(_plan_path(corpus), None) != plan
        if changed:
            workspace.write_json(_plan_path(corpus), plan)
        return bool(changed)

    def prepare(self, workspace: Workspace, pending: Sequence[Task]) -> list[Task]:
        prepared = []
        for corpus in dict.fromkeys(task.payload for task in pending):
            plan = self.plan(workspace, corpus)
            self._keep(workspace, corpus)
            numbers = {shard: number for number, (shard, _, _) in enumerate(plan.shards)}
            prepared += [
                replace(task, payload=(corpus, plan.stretch, numbers[task.shard]))
                for task in pending
                if task.payload == corpus
            ]
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
            corpus, stretch, number = task.payload
            reader, settings = self.reader(corpus), self.corpora[corpus]
            for item in ItemList.kept(workspace, _items_path(corpus), number):
                try:
                    if item.fault:
                        raise Refused(*item.fault)
                    yield harmonise(item, reader.read(item), corpus, settings, stretch)
                except Refused as refused:
                    yield Reject(item.key, refused.reason, printable(refused.message), (*item.files, *item.annotations))

        return worker


@contextmanager
def _naming(corpus: str) -> Iterator[None]:
    """Let errors begin with the name of the corpus, as a build may have many."""
    try:
        yield
    except FusionError as error:
        if not str(error).startswith("corpus "):
            error.args = (f"corpus {corpus}: {error}",)
        raise


def _plan_path(corpus: str) -> str:
    return f"raw/{corpus}/plan.json"


def _items_path(corpus: str) -> str:
    return f"raw/{corpus}/items.parquet"


def _state(root: Path, item: Item) -> list[Any]:
    """An item, and the size and time of change of its files."""
    return [item.to_json(), *(stamp(root / file) for file in (*item.files, *item.annotations))]


def listing(root: Path) -> str:
    """sha256 over the path, size and time of change of every file of a corpus (of a file, if it is one)."""
    if root.is_file():
        return digest([root.name, stamp(root)])
    found = hashlib.sha256()
    for path in walk(root):
        found.update(json.dumps([path, stamp(root / path)]).encode())
    return found.hexdigest()


def find_stretch(reader: Reader, items: ItemList) -> Stretch:
    """Low and high of each band that is not 8-bit: percentiles over the corpus, the visible bands pooled."""
    step = max(1, sum(1 for _ in _scenes(items)) // STRETCH_ITEMS)
    pooled: dict[str, list[NDArray[Any]]] = {}
    for item in itertools.islice(_scenes(items), 0, step * STRETCH_ITEMS, step):
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


def _scenes(items: ItemList) -> Iterator[Item]:
    """The first item of each scene: tiles of one follow each other."""
    before: tuple[str, ...] | None = None
    for number in range(items.shards):
        for item in items.shard(number):
            if not item.fault and item.files != before:
                before = item.files
                yield item
