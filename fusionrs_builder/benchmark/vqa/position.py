"""In which quarter of an infrared view the only object of a class is.

Asked where there is exactly one, and the centre of its box keeps a distance from the lines between the quarters.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from fusionrs_builder.benchmark.records import Record
from fusionrs_builder.benchmark.vqa.asked import Asked, Objects, clear, objects, singular

MARGIN = 0.05
"""Of the width and of the height: how far the centre of the box must be from the middle lines at least."""

CHOICES = ("upper left", "upper right", "lower left", "lower right")


def position(shown: Mapping[int, tuple[Record, Objects]]) -> Iterator[Asked]:
    """All that can be asked; see `presence.presence`."""
    for place, (record, found) in shown.items():
        for name in sorted(found):
            quarter = _quarter(record, found, name)
            if quarter is not None:
                question = f"In which quarter of this infrared image is the only {singular(name)}?"
                yield Asked(
                    f"{record.id}#position-{name}", place, "position", question, CHOICES,
                    quarter, partial(answer, record.corpus, name),
                )  # fmt: skip


def answer(corpus: str, name: str, record: Record) -> str | None:
    """About another record."""
    found = objects(record)
    return None if record.corpus != corpus or found is None else _quarter(record, found, name)


def _quarter(record: Record, found: Objects, name: str) -> str | None:
    """None where it is not asked."""
    boxes = found.get(name, ())
    if len(boxes) != 1 or not clear(name, found):
        return None
    x, y = (boxes[0].x0 + boxes[0].x1) / 2 / record.width, (boxes[0].y0 + boxes[0].y1) / 2 / record.height
    if min(abs(x - 0.5), abs(y - 0.5)) < MARGIN:
        return None
    return f"{'upper' if y < 0.5 else 'lower'} {'left' if x < 0.5 else 'right'}"
