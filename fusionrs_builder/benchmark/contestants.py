"""What a spec stands for in a run: how a model of each kind is measured, on the tasks that it can do."""

import contextlib
import importlib.metadata
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fusionrs_builder.benchmark import result as results
from fusionrs_builder.benchmark.encoding import Encoded, Source
from fusionrs_builder.benchmark.job import Data, Say, Settings
from fusionrs_builder.benchmark.leakage import Leakage
from fusionrs_builder.benchmark.models import specs, text_specs
from fusionrs_builder.benchmark.models.answer_store import AnswerStore
from fusionrs_builder.benchmark.models.model import EmbeddingModel, TextModel
from fusionrs_builder.benchmark.nearest import Nearest
from fusionrs_builder.benchmark.records import Record, Records
from fusionrs_builder.benchmark.result import Result
from fusionrs_builder.benchmark.stored import Stored
from fusionrs_builder.benchmark.tasks import (
    TASKS,
    Task,
    captioning,
    classification,
    linear_probe,
    presence,
    retrieval,
    vqa,
)
from fusionrs_builder.errors import FusionError, UsageError

BY_EMBEDDING: frozenset[Task] = frozenset(("retrieval", "classification"))
"""Tasks of models that embed pictures and texts."""

IN_WORDS: frozenset[Task] = frozenset(TASKS) - BY_EMBEDDING
"""Tasks of models that answer in words."""

CONTROLS: Mapping[str, frozenset[Task]] = {
    "random": frozenset(TASKS),
    "majority": frozenset(TASKS) - {"retrieval"},
    "copy-nearest": IN_WORDS,
}
"""Specs that are no models, and the tasks that there is such a control for."""

STORED = "embeddings:"

ANSWERS = "answers.sqlite"
"""The file in the folder of results that holds every answer of a model."""

VERSIONS = ("fusionrs-builder", "numpy", "torch", "open_clip_torch", "transformers", "openai", "scikit-learn", "pillow")
"""Packages whose versions a result names, where they are installed."""

TIMING = ("seconds", "encoded", "images_per_s")
"""What a run that took all from the cache leaves as it was."""

Found = Iterator[tuple[Result, Mapping[str, Any]]]
"""Results, each with what is told of it besides."""


class Contestants:
    """The measuring of each kind of model."""

    def __init__(self, data: Data, settings: Settings, out: Path, cache: Path, say: Say) -> None:
        self.data, self.settings, self.out, self.cache, self.say = data, settings, out, cache, say
        self.clip = specs.embedding_model(settings.clip_score) if settings.clip_score else None
        self._leaks: dict[tuple[str, ...], Leakage] = {}

    def measuring(self, spec: str) -> Callable[[], Found]:
        """What measures a model.

        Raises:
            UsageError: there is no such model, or it does none of the tasks.
        """
        kind, wanted = spec.partition(":")[0], set(self.settings.tasks)
        if spec in CONTROLS:
            able = CONTROLS[spec]
        elif kind in text_specs.KINDS:
            able = IN_WORDS
        elif kind in specs.KINDS or spec.startswith(STORED):
            able = BY_EMBEDDING
        else:
            known = sorted({*specs.KINDS, *text_specs.KINDS, *CONTROLS, STORED.rstrip(":")})
            raise UsageError(f"--model {spec}: no such kind of model; known: {', '.join(known)}")
        if not able & wanted:
            raise UsageError(f"--model {spec}: it does {', '.join(sorted(able))}, not {', '.join(self.settings.tasks)}")
        if spec in CONTROLS:
            if spec in self.settings.trained_on:
                raise UsageError(f"--trained-on {spec}: a control learns from nothing")
            return lambda: self._control(spec)
        if spec.startswith(STORED):
            path = Path(spec.removeprefix(STORED))
            if not path.is_file():
                raise UsageError(f"--model {spec}: no such file")
            return lambda: self._stored(path, spec)
        if kind in specs.KINDS:
            model = specs.embedding_model(spec)
            return lambda: self._embedding(model)
        if kind == "predictions" and wanted >= IN_WORDS:
            raise UsageError(
                f"--model {spec}: a file holds the answers of one task: run captioning and vqa by themselves"
            )
        asked = text_specs.text_model(spec, self._store)
        return lambda: self._answered(asked)

    def saved(self, found: Result, facts: Mapping[str, Any]) -> dict[str, Any]:
        """A result as it is to be written, with the timing of the run that did the work where this one had it all from
        the cache.
        """
        saved = found.as_dict({**self._facts, **facts})
        path = self.out / results.file_name(saved)
        if not saved.get("encoded") and path.is_file():
            with contextlib.suppress(FusionError):  # damaged: it is written anew
                before = results.read(path)
                if all(before.get(key) == saved.get(key) for key in ("identity", "device", "versions")):
                    saved |= {key: before[key] for key in TIMING if key in before}
        return saved

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """What all results of the run share."""
        installed = {}
        for name in VERSIONS:
            try:
                installed[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        records = self.data.records
        return {
            "split": records.split,
            "split_sha256": records.sha256,
            "seed": self.settings.seed,
            "device": self.settings.device,
            "versions": {"python": platform.python_version(), **installed},
        }

    def _leaked(self, spec: str, declared: Sequence[str], found: Result) -> dict[str, Any]:
        names = tuple(dict.fromkeys([*declared, *self.settings.trained_on.get(spec, ())]))
        if not names:
            return {}
        if names not in self._leaks:
            leaks = self._leaks[names] = Leakage(self.data.records, names, self.data.kin, self.data.corpora)
            for name, alike in leaks.unknown.items():
                hint = f": did you mean {alike[0]}?" if alike else ""
                self.say(f"{spec}: nobody knows the corpus {name} that it learnt from, so nothing is found of it{hint}")
            whole = leaks.of(range(len(self.data.records)))
            if whole["records"]:
                self.say(f"{spec}: {whole['records']} of {whole['of']} records are of, or like, what it learnt from")
        return {"leakage": self._leaks[names].of(found.places)}

    def _encoded(self, model: EmbeddingModel, records: Records) -> Encoded:
        return Encoded(model, records, self.cache if model.cached else None, self.settings.device, self.say)

    def _embedding(self, model: EmbeddingModel) -> Found:
        source = self._encoded(model, self.data.records)
        train = None
        if self.settings.probe and "classification" in self.settings.tasks:
            learnt = self.data.train(True)
            if learnt is None:
                self.say(f"{model.spec}: no train split, so no linear probe")
            else:
                train = learnt, self._encoded(model, learnt)
        # All before any is told: how long the model took is known when the last of its pictures is embedded.
        found = list(self._embedded(source, train, model.spec))
        for one, facts in found:
            yield one, {**facts, **_timing(source.seconds, source.encoded), "identity": model.identity}

    def _stored(self, path: Path, spec: str) -> Found:
        if self.settings.probe:
            self.say(f"{spec}: embeddings of the train split are not in it, so no linear probe")
        yield from self._embedded(Stored(path, self.data.records), None, spec)

    def _embedded(self, source: Source, train: tuple[Records, Source] | None, spec: str) -> Found:
        for found in self._by_embedding(source, train):
            yield found, {"spec": spec, **self._leaked(spec, source.trained_on, found)}

    def _by_embedding(self, source: Source, train: tuple[Records, Source] | None) -> Iterator[Result]:
        records, settings = self.data.records, self.settings
        if "retrieval" in settings.tasks:
            yield from retrieval.retrieval(records, source, settings.inputs, settings.device, settings.seed)
        if "classification" in settings.tasks:
            classes = self.data.classes()
            yield from classification.classification(records, source, settings.inputs, classes, settings.seed)
            yield from presence.presence(records, source, settings.inputs, settings.seed)
            if train is not None:
                yield from linear_probe.linear_probe(records, source, *train, settings.inputs, classes, settings.seed)

    @cached_property
    def _clip_source(self) -> Source | None:
        return self._encoded(self.clip, self.data.records) if self.clip else None

    @cached_property
    def _store(self) -> AnswerStore:
        return AnswerStore(self.out / ANSWERS)

    def _answered(self, model: TextModel) -> Found:
        records, settings = self.data.records, self.settings
        if "captioning" in settings.tasks:
            with _Stopwatch(self._store) as watch:
                captions = captioning.captioning(
                    records, model, settings.inputs, settings.device, self.data.check, self._clip_source, settings.seed
                )
                first = next(captions, None)  # all are asked before the first is scored
            yield from self._told(model, [] if first is None else [first], watch)
            yield from self._told(model, captions, watch)
        if "vqa" in settings.tasks:
            with _Stopwatch(self._store) as watch:
                answered = vqa.vqa(records, model, settings.inputs, settings.device, settings.seed)
            yield from self._told(model, answered, watch)

    def _told(self, model: TextModel, found: Iterable[Result], watch: "_Stopwatch") -> Found:
        for one in found:
            facts = {"spec": model.spec, "identity": model.identity, **_timing(watch.seconds, watch.answers)}
            yield one, {**facts, **self._leaked(model.spec, model.trained_on, one)}

    def _control(self, spec: str) -> Found:
        records, settings = self.data.records, self.settings
        if spec == "random" and BY_EMBEDDING & set(settings.tasks):
            yield from self._embedding(specs.embedding_model(spec))
        if spec == "majority" and "classification" in settings.tasks:
            for found in classification.majority(records, self.data.classes(), settings.seed):
                yield found, {"spec": spec}
        if not IN_WORDS & set(settings.tasks):
            return
        train = self.data.train(spec == "copy-nearest")
        pool = records if train is None else train
        told = {"spec": spec, "pool": "the split itself" if train is None else "train"}
        nearest: Callable[[int], Record | None] = (
            Nearest(records, pool) if spec == "copy-nearest" else lambda place: None
        )
        if "captioning" in settings.tasks:
            for found in captioning.controls(
                records, spec, pool, nearest, self.data.check, self._clip_source, settings.seed
            ):
                yield found, told
        if "vqa" in settings.tasks:
            for found in vqa.controls(records, spec, settings.seed, nearest):
                yield found, told


class _Stopwatch:
    """How long a model took to answer, and how many answers were new.

    Attributes:
        seconds, answers: these.
    """

    def __init__(self, store: AnswerStore) -> None:
        self._store, self._before, self._started = store, store.added, time.perf_counter()
        self.seconds, self.answers = 0.0, 0

    def __enter__(self) -> "_Stopwatch":
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.answers = time.perf_counter() - self._started, self._store.added - self._before


def _timing(seconds: float, count: int) -> dict[str, Any]:
    return dict(zip(TIMING, (round(seconds, 3), count, round(count / seconds, 3) if count else None), strict=True))
