"""A question with one right answer, and which objects of a record may be asked about at all.

An answer is read off the publisher's boxes, so it is as right as they are complete. What they leave open is not asked:

- A record with no labels and no boxes may simply not be annotated. One that was annotated and found empty looks the
  same, and is left out with it.
- A box whose label is none of the record's labels, such as HIT-UAV's `DontCare`, may hide anything, and so may one of
  a class that names a rest (`RESTS`), such as HIT-UAV's `OtherVehicle`, which could be a van that passes for a car. A
  label without a box is an object that nobody placed. A record with any of these is asked nothing from its boxes.
- Where a corpus has a label that never has a box, labels come from masks or scenes, and boxes may be pieces of a mask:
  none of its records is asked anything from boxes.
- A class is not asked about in a record that shows another class which words do not tell from it (`alike`).

Boxes are cut down to the image. One that lies outside is no object; its label is then one without a box.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from fusionrs_builder.benchmark.prompts import words
from fusionrs_builder.benchmark.records import Record

Type = Literal["presence", "count", "comparison", "position", "day_night"]

TYPES: tuple[Type, ...] = get_args(Type)

YES_NO = ("yes", "no")

RESTS = ("other", "others", "unknown", "misc", "miscellaneous")
"""First words of classes that hold whatever no other class does."""

HUMANS = ("person", "human", "pedestrian", "rider", "cyclist")
"""Classes of whom one may pass for another: VisDrone's `pedestrian` stands or walks, its `people` do anything else."""

PLURALS = {"person": "people", "man": "men", "woman": "women", "child": "children", "bus": "buses", "gas": "gases"}
SINGULARS = {plural: singular for singular, plural in PLURALS.items()}


@dataclass(frozen=True)
class Asked:
    """A question about the infrared view of a record.

    Attributes:
        key: the record's id, `#`, the type and what it is about: `hit-uav/0_60_30_0_01609#count-Car`. Unique.
        place: of the record in its split.
        type: of the question.
        question: in words.
        choices: the answers allowed; the prompt names them.
        answer: the right one of them.
        answer_of: the answer that the same question has about another record, by that record's own boxes; None where
            it cannot be asked there.
    """

    key: str
    place: int
    type: Type
    question: str
    choices: tuple[str, ...]
    answer: str
    answer_of: Callable[[Record], str | None]

    @property
    def alike(self) -> str:
        """What questions have in common among which answers are balanced: the wording; of places, the type."""
        return self.type if self.type == "position" else self.question

    @property
    def prompt(self) -> str:
        """The question, and how to answer it."""
        return f"{self.question} Answer with one of: {', '.join(self.choices)}."


class Box(NamedTuple):
    """A box within the image, pixels of its view."""

    x0: float
    y0: float
    x1: float
    y1: float


Objects = Mapping[str, tuple[Box, ...]]
"""The boxes of each class that a record shows."""


def objects(record: Record) -> Objects | None:
    """What a record shows; None where its boxes do not tell, see the module."""
    found: dict[str, tuple[Box, ...]] = {}
    for box in record.boxes:
        label = str(box["label"])
        cut = Box(max(box["x0"], 0), max(box["y0"], 0), min(box["x1"], record.width), min(box["y1"], record.height))
        if words(label).partition(" ")[0] in RESTS:
            return None
        if cut.x0 < cut.x1 and cut.y0 < cut.y1:
            found[label] = (*found.get(label, ()), cut)
    return found if found and set(found) == set(record.labels) else None


def boxed(records: Iterable[Record]) -> bool:
    """Whether the labels of a corpus are those of boxes: none of them is without a box in all these records."""
    labels, with_box = set[str](), set[str]()
    for record in records:
        labels |= set(record.labels)
        with_box |= {str(box["label"]) for box in record.boxes}
    return labels <= with_box


def clear(name: str, shown: Iterable[str]) -> bool:
    """Whether a record that shows these classes can be asked about a class: none of the others is `alike`."""
    return not any(other != name and alike(name, other) for other in shown)


def alike(name: str, other: str) -> bool:
    """Whether an object of another class may pass for one of this.

    It does where both have the same name, where its name ends with this one (a `freight car` is a car), and between
    `HUMANS`.
    """
    one, two = singular(name), singular(other)
    return one == two or two.endswith(f" {one}") or (one in HUMANS and two in HUMANS)


def singular(name: str) -> str:
    """A class as one object of it is called: `Car` is `car`, `Trees` is `tree`, `people` is `person`."""
    start, space, last = words(name).rpartition(" ")
    if last in SINGULARS:
        last = SINGULARS[last]
    elif last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif last.endswith(("sses", "xes", "ches", "shes")):
        last = last[:-2]
    elif last.endswith("s") and not last.endswith(("ss", "us", "is")) and last not in PLURALS:
        last = last[:-1]
    return start + space + last


def plural(name: str) -> str:
    """A class as many objects of it are called: `Person` is `people`, `storage_tank` is `storage tanks`."""
    start, space, last = singular(name).rpartition(" ")
    if last in PLURALS:
        last = PLURALS[last]
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    elif not last.endswith("craft"):
        last += "s"
    return start + space + last


def a(noun: str) -> str:
    """With its article."""
    return f"{'an' if noun[:1] in 'aeiou' and not noun.startswith(('uni', 'eu')) else 'a'} {noun}"
