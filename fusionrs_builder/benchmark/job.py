"""What is to be measured, and how."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from fusionrs_builder.benchmark.leakage import Kin
from fusionrs_builder.benchmark.records import INPUTS, Inputs, Records
from fusionrs_builder.benchmark.tasks import TASKS, Task
from fusionrs_builder.benchmark.tasks.captioning import Checker
from fusionrs_builder.benchmark.tasks.classification import Classes

Say = Callable[[str], None]
"""Told what is done, in lines."""


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
        classes: gives the scene classes of each corpus, of all splits.
        train: gives the train split, with its pictures or without; None where there is none.
        check: of captions, see `Checker`.
        kin: of corpora, see `leakage.Kin`.
        corpora: names of those that are known.
    """

    records: Records
    classes: Callable[[], Classes]
    train: Callable[[bool], Records | None]
    check: Checker
    kin: Kin
    corpora: Collection[str]
