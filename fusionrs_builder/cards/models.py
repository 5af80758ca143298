"""Cards of the models that are trained on a release: what they are told, and the front matter the Hub reads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from fusionrs_builder import __version__
from fusionrs_builder.cards import hub
from fusionrs_builder.cards.render import plain, render

CONTROLS = ("gray", "gray-inverted", "duplicate")
"""What no score on infrared stands without."""

ORIGINS = {"measured": "On measured infrared", "translated": "On translated infrared", "none": "Without infrared"}
"""Of the infrared views that a score is about: heads of the tables, which are never mixed."""

TASKS = {
    "retrieval": "image-text-retrieval",
    "classification": "zero-shot-image-classification",
    "captioning": "image-to-text",
    "vqa": "visual-question-answering",
}
"""Task types for the Hub, which has none of its own for retrieval, by the tasks of the benchmark."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """What a model learnt from.

    Attributes:
        name: of the release.
        repo_id: `ORG/NAME` of it on the Hub; empty where it was read from a folder.
        revision: commit or tag of it.
        split_sha256: of the ids of its train split, in order, a line each, as its card has it.
        origins: records learnt from by `ir_origin`.
        licences: the same records by `license`.
    """

    name: str
    repo_id: str = ""
    revision: str = ""
    split_sha256: str
    origins: Mapping[str, int]
    licences: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How it was trained.

    Attributes:
        losses: weight of each, by its name.
        steps: of the optimiser.
        batch_size: records a step, over all devices.
        learning_rate: the highest.
        precision: of the computation, such as `bf16`.
        seed: of everything drawn at random.
        hardware: such as `1 x NVIDIA H100`; empty: not said.
        seconds: that it took; None: not known.
        settings: all the rest, JSON values only.
    """

    losses: Mapping[str, float]
    steps: int
    batch_size: int
    learning_rate: float
    precision: str
    seed: int
    hardware: str = ""
    seconds: float | None = None
    settings: Mapping[str, Any]


class Interval(NamedTuple):
    """A score with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True, kw_only=True)
class Score:
    """One row of a benchmark: what one contestant reaches.

    Attributes:
        contestant: name of the model of the card, of another one such as its base, or of a control.
        task: of the benchmark.
        dataset: name of what it was measured on.
        split_sha256: of the ids of its split, in order, a line each.
        protocol: in words.
        infrared: origin of the infrared views that the score is about.
        n: images or questions, those that failed among them.
        seed: of the bootstrap.
        values: by metric; the unit belongs to its name.
    """

    contestant: str
    task: Literal["retrieval", "classification", "captioning", "vqa"]
    dataset: str
    split_sha256: str
    protocol: str
    infrared: Literal["measured", "translated", "none"]
    n: int
    seed: int
    values: Mapping[str, Interval]


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What the card of any model tells.

    Attributes:
        name: of the model, and of its folder.
        license: of the weights.
        license_url: of its text; empty where its name says all.
        base_model: whose weights it began with, `ORG/NAME` on the Hub or a path; empty: random ones.
        data: it learnt from.
        recipe: of the training.
        scores: rows of the benchmark; none: not measured.
        limits: further ones, a sentence of Markdown each.
    """

    name: str
    license: str
    license_url: str = ""
    base_model: str
    data: Data
    recipe: Recipe
    scores: Sequence[Score] = ()
    limits: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class ClipFacts(ModelFacts):
    """What the card of a CLIP tells.

    Attributes:
        architecture: its name in open_clip.
        two_towers: whether infrared views have an image tower of their own, in the folder `infrared`.
        frozen: towers that were left as they were, `image` or `text`.
    """

    architecture: str
    two_towers: bool = False
    frozen: Sequence[Literal["image", "text"]] = ()


@dataclass(frozen=True, kw_only=True)
class Lora:
    """The low-rank adapter that was trained.

    Attributes:
        rank: of its matrices.
        alpha: its output is scaled by alpha / rank.
        targets: layers it stands beside.
        quantisation: of the base while training, such as `4-bit NF4`; empty: none.
    """

    rank: int
    alpha: float
    targets: Sequence[str]
    quantisation: str = ""


@dataclass(frozen=True, kw_only=True)
class VlmFacts(ModelFacts):
    """What the card of an adapter of a vision-language model tells; it must have a base model.

    Attributes:
        lora: the adapter.
        views: of a record that it is shown, in this order.
        prompt: one that it was trained on.
    """

    lora: Lora
    views: Sequence[Literal["rgb", "ir"]]
    prompt: str


class Table(NamedTuple):
    """Scores that may be compared: the same task, data and protocol.

    Attributes:
        of: one of the rows, for what they share.
        metrics: heads of the columns.
        rows: contestants.
        missing: controls that are not among them.
    """

    of: Score
    metrics: list[str]
    rows: list[Score]
    missing: list[str]


def clip_card(facts: ClipFacts) -> str:
    """The text of `README.md` beside the weights of a CLIP."""
    return _card("clip", facts, "open_clip", "zero-shot-image-classification", "clip")


def vlm_card(facts: VlmFacts) -> str:
    """The text of `README.md` beside the adapter of a vision-language model."""
    return _card("vlm", facts, "peft", "image-text-to-text", "vision-language", "lora", "sft", "trl")


def _card(template: str, facts: ModelFacts, library: str, pipeline: str, *tags: str) -> str:
    from huggingface_hub import ModelCardData

    release, results = hub.repo_id(facts.data.repo_id), _results(facts)
    front_matter: dict[str, Any] = {
        "language": "en",
        **hub.licence(plain(facts.license), facts.license_url),
        "library_name": library,
        "pipeline_tag": pipeline,
        "base_model": hub.repo_id(facts.base_model),
        "datasets": [release] if release else None,
        "tags": ["remote-sensing", "infrared", "multimodal", *tags],
        "model_name": plain(facts.name) if results else None,
        "eval_results": results or None,
    }
    return render(
        template,
        front_matter=ModelCardData(**front_matter).to_yaml(),
        facts=facts,
        settings=json.dumps(facts.recipe.settings, indent=2),
        tables={title: of for origin, title in ORIGINS.items() if (of := _tables(facts.scores, origin))},
        version=__version__,
    )


def _tables(scores: Sequence[Score], infrared: str) -> list[Table]:
    """The scores on infrared of one origin, in tables of what may be compared, in the order given."""
    groups: dict[tuple[object, ...], list[Score]] = {}
    for row in scores:
        if row.infrared == infrared:
            shared = (row.task, row.dataset, row.split_sha256, row.protocol, row.n, row.seed)
            groups.setdefault(shared, []).append(row)
    return [
        Table(
            rows[0],
            list(dict.fromkeys(metric for row in rows for metric in row.values)),
            rows,
            [name for name in CONTROLS if infrared != "none" and name not in {row.contestant for row in rows}],
        )
        for rows in groups.values()
    ]


def _results(facts: ModelFacts) -> list[Any]:
    """The model's own scores as the Hub lists them; what the list has no place for stands in the metric's name."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=TASKS[row.task],
            dataset_type=hub.slug(row.dataset),
            dataset_name=plain(row.dataset),
            metric_type=hub.slug(metric),
            metric_name=plain(metric) + (f", {row.infrared} infrared" if row.infrared != "none" else ""),
            metric_value=float(score.value),
            metric_config=plain(row.protocol),
            metric_args={"low": float(score.low), "high": float(score.high), "n": int(row.n), "seed": int(row.seed)},
        )
        for row in facts.scores
        if row.contestant == facts.name
        for metric, score in row.values.items()
    ]
