"""Measure models on one split of a release: each on the tasks that it can do, one file a result."""

import importlib.metadata
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from fusionrs_builder.benchmark import result as results
from fusionrs_builder.benchmark.encoding import Encoded, Source
from fusionrs_builder.benchmark.leakage import Kin, leakage
from fusionrs_builder.benchmark.models import specs, text_specs
from fusionrs_builder.benchmark.models.answer_store import AnswerStore
from fusionrs_builder.benchmark.models.model import EmbeddingModel, TextModel
from fusionrs_builder.benchmark.nearest import Nearest
from fusionrs_builder.benchmark.records import INPUTS, Inputs, Records
from fusionrs_builder.benchmark.result import Result
from fusionrs_builder.benchmark.stored import Stored
from fusionrs_builder.benchmark.tasks import captioning, classification, linear_probe, presence, retrieval, vqa
from fusionrs_builder.errors import FusionError, UsageError

Task = Literal["retrieval", "classification", "captioning", "vqa"]

TASKS: tuple[Task, ...] = get_args(Task)

BY_EMBEDDING: frozenset[Task] = frozenset(("retrieval", "classification"))
"""Tasks of models that embed pictures and texts; the others are of models that answer in words."""

CONTROLS: Mapping[str, frozenset[Task]] = {
    "random": frozenset(TASKS),
    "majority": frozenset(TASKS) - {"retrieval"},
    "copy-nearest": frozenset(TASKS) - BY_EMBEDDING,
}
"""Specs that are no models, and the tasks that there is such a control for."""

STORED = "embeddings:"

ANSWERS = "answers.sqlite"
"""The file in the folder of results that holds every answer of a model."""

VERSIONS = ("fusionrs-builder", "numpy", "torch", "open_clip_torch", "transformers", "openai", "scikit-learn", "pillow")
"""Packages whose versions a result names, where they are installed."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        tasks: to do.
        inputs: what is shown as infrared.
        device: torch device.
        seed: of intervals, questions and controls.
        probe: whether classification also fits a linear classifier on the train split.
        clip_score: spec of the model of CLIPScore; empty for none.
        trained_on: spec of a model -> corpora that it learnt from, beside those that it declares itself.
    """

    tasks: tuple[Task, ...] = TASKS
    inputs: tuple[Inputs, ...] = INPUTS
    device: str = "cpu"
    seed: int = 0
    probe: bool = False
    clip_score: str = ""
    trained_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    """What to measure on.

    Attributes:
        records: the split.
        classes: scene classes of each corpus, of all splits.
        train: gives the train split: of the linear probe, and what the controls copy from; None where there is none.
        check: of captions, see `captioning.Checker`.
        kin: of corpora, see `leakage.Kin`.
    """

    records: Records
    classes: classification.Classes
    train: Callable[[], Records | None]
    check: captioning.Checker
    kin: Kin

    @cached_property
    def learnt(self) -> Records | None:
        """The train split, opened when it is first asked for."""
        return self.train()


def run(data: Data, models: Sequence[str], settings: Settings, out: Path, cache: Path, say: Say) -> list[Path]:
    """Measure every model; results of one that is done stay when a later one fails.

    Args:
        data: what to measure on.
        models: specs, see `specs`, `text_specs`, `CONTROLS` and `STORED`.
        settings: how.
        out: folder of the results.
        cache: folder of the embeddings that were made before.
        say: told what is done, in lines.

    Returns:
        The files of the results.

    Raises:
        UsageError: a spec is unknown, named twice, or fits none of the tasks.
        FusionError: a model fails, or nothing could be measured.
    """
    if twice := [spec for spec in models if models.count(spec) > 1]:
        raise UsageError(f"--model {twice[0]} is named twice")
    if strange := sorted(set(settings.trained_on) - set(models)):
        raise UsageError(f"--trained-on {strange[0]}: no such --model")
    store = AnswerStore(out / ANSWERS)
    job = _Job(data, settings, cache, store, say)
    jobs = [job.measuring(spec) for spec in models]  # a spec that is wrong is told before an hour of work
    written: list[Path] = []
    for spec, measuring in zip(models, jobs, strict=True):
        before = len(written)
        for found, facts in measuring():
            written.append(results.save(out, found, {**job.facts(), **facts}))
            main = found.estimates[found.headline].score
            say(
                f"{found.model}: {found.protocol} of {found.dataset}, {found.inputs}, {found.origin}: {found.headline} "
                f"{main.mean:.4f} ({main.low:.4f} to {main.high:.4f}), n {found.estimates[found.headline].n}, "
                f"failed {found.counts['failed']}"
            )
        if len(written) == before:
            say(f"{spec}: nothing of {data.records.dataset}:{data.records.split} fits what it can do")
    if not written:
        raise FusionError(
            f"{data.records.dataset}:{data.records.split} holds nothing to measure {', '.join(settings.tasks)} on: "
            "name another split, or other tasks"
        )
    return written


Measuring = Callable[[], Iterator[tuple[Result, Mapping[str, Any]]]]


class _Job:
    """The measuring of each kind of model."""

    def __init__(self, data: Data, settings: Settings, cache: Path, store: AnswerStore, say: Say) -> None:
        self.data, self.settings, self.cache, self.store, self.say = data, settings, cache, store, say

    def measuring(self, spec: str) -> Measuring:
        """What measures a model.

        Raises:
            UsageError: there is no such model, or it does none of the tasks.
        """
        kind, wanted = spec.partition(":")[0], set(self.settings.tasks)
        if spec in CONTROLS:
            able = CONTROLS[spec]
        elif kind in text_specs.KINDS:
            able = frozenset(TASKS) - BY_EMBEDDING
        elif kind in specs.KINDS or spec.startswith(STORED):
            able = BY_EMBEDDING
        else:
            known = sorted({*specs.KINDS, *text_specs.KINDS, *CONTROLS, STORED.rstrip(":")})
            raise UsageError(f"--model {spec}: no such kind of model; known: {', '.join(known)}")
        if not able & wanted:
            raise UsageError(f"--model {spec}: it does {', '.join(sorted(able))}, not {', '.join(self.settings.tasks)}")
        if spec in CONTROLS:
            return lambda: self._control(spec)
        if spec.startswith(STORED):
            path = Path(spec.removeprefix(STORED))
            if not path.is_file():
                raise UsageError(f"--model {spec}: no such file")
            return lambda: self._embedded(Stored(path, self.data.records), None, spec)
        if kind in specs.KINDS:
            model = specs.embedding_model(spec)
            return lambda: self._embedding(model)
        if kind == "predictions" and len(wanted - BY_EMBEDDING) > 1:
            raise UsageError(
                f"--model {spec}: a file holds the answers of one task: run captioning and vqa by themselves"
            )
        asked = text_specs.text_model(spec, self.store)
        return lambda: self._answered(asked)

    def facts(self) -> dict[str, Any]:
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

    def _leaked(self, spec: str, declared: Sequence[str]) -> dict[str, Any]:
        names = list(dict.fromkeys([*declared, *self.settings.trained_on.get(spec, ())]))
        if not names:
            return {}
        found = leakage(self.data.records, names, self.data.kin)
        if found["records"]:
            self.say(f"{spec}: {found['records']} of {found['of']} records are of, or like, what it learnt from")
        return {"leakage": found}

    def _encoded(self, model: EmbeddingModel, records: Records) -> Encoded:
        return Encoded(model, records, self.cache if model.cached else None, self.settings.device, self.say)

    def _embedding(self, model: EmbeddingModel) -> Iterator[tuple[Result, Mapping[str, Any]]]:
        source = self._encoded(model, self.data.records)
        probe = self.settings.probe and self.data.learnt is not None
        train = self._encoded(model, self.data.learnt) if probe and self.data.learnt else None
        for found, facts in list(self._embedded(source, train, model.spec)):
            speed = source.encoded / source.seconds if source.seconds else None
            timing = {"seconds": round(source.seconds, 3), "encoded": source.encoded, "images_per_s": speed}
            yield found, {**facts, **timing, "identity": model.identity}

    def _embedded(self, source: Source, train: Encoded | None, spec: str) -> Iterator[tuple[Result, Mapping[str, Any]]]:
        records, settings = self.data.records, self.settings
        facts = {"spec": spec, **self._leaked(spec, source.trained_on)}
        if "retrieval" in settings.tasks:
            for found in retrieval.retrieval(records, source, settings.inputs, settings.device, settings.seed):
                yield found, facts
        if "classification" in settings.tasks:
            shared = records, source, settings.inputs
            for found in classification.classification(*shared, self.data.classes, settings.seed):
                yield found, facts
            for found in presence.presence(*shared, settings.seed):
                yield found, facts
            if train is not None and self.data.learnt is not None:
                for found in linear_probe.linear_probe(
                    records, source, self.data.learnt, train, settings.inputs, self.data.classes, settings.seed
                ):
                    yield found, facts

    @cached_property
    def _clip(self) -> Source | None:
        spec = self.settings.clip_score
        return self._encoded(specs.embedding_model(spec), self.data.records) if spec else None

    def _answered(self, model: TextModel) -> Iterator[tuple[Result, Mapping[str, Any]]]:
        records, settings = self.data.records, self.settings
        facts = {"spec": model.spec, "identity": model.identity, **self._leaked(model.spec, model.trained_on)}
        if "captioning" in settings.tasks:
            for found in captioning.captioning(
                records, model, settings.inputs, settings.device, self.data.check, self._clip, settings.seed
            ):
                yield found, facts
        if "vqa" in settings.tasks:
            for found in vqa.vqa(records, model, settings.inputs, settings.device, settings.seed):
                yield found, facts

    def _control(self, spec: str) -> Iterator[tuple[Result, Mapping[str, Any]]]:
        records, settings = self.data.records, self.settings
        facts = {"spec": spec}
        if spec == "random" and BY_EMBEDDING & set(settings.tasks):
            yield from self._embedding(specs.embedding_model(spec))
        if spec == "majority" and "classification" in settings.tasks:
            for found in classification.majority(records, self.data.classes, settings.seed):
                yield found, facts
        if set(settings.tasks) <= BY_EMBEDDING:
            return
        pool = self.data.learnt or records
        nearest = Nearest(records, pool) if spec == "copy-nearest" else lambda place: None
        if "captioning" in settings.tasks:
            for found in captioning.controls(records, spec, pool, nearest, self.data.check, self._clip, settings.seed):
                yield found, facts
        if "vqa" in settings.tasks:
            for found in vqa.controls(records, spec, settings.seed, nearest):
                yield found, facts
