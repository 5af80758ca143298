"""How many objects of a class an infrared view shows: a number, `0` where other classes only are there.

Objects are counted as the publisher boxed them. From ten on all counts are one answer, as boxes of crowds differ.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from fusionrs_builder.benchmark.records import Record
from fusionrs_builder.benchmark.vqa.asked import Asked, Objects, clear, objects, plural

MOST = 10
"""From this number of objects on the answer is the same."""

CHOICES = (*map(str, range(MOST)), f"{MOST} or more")


def count(shown: Mapping[int, tuple[Record, Objects]]) -> Iterator[Asked]:
    """All that can be asked; see `presence.presence`."""
    classes = sorted({name for _, found in shown.values() for name in found})
    for place, (record, found) in shown.items():
        for name in classes:
            if clear(name, found):
                question = f"How many {plural(name)} are there in this infrared image?"
                yield Asked(
                    f"{record.id}#count-{name}", place, "count", question, CHOICES,
                    _choice(found, name), partial(answer, record.corpus, name),
                )  # fmt: skip


def answer(corpus: str, name: str, record: Record) -> str | None:
    """About another record."""
    found = objects(record)
    if record.corpus != corpus or found is None or not clear(name, found):
        return None
    return _choice(found, name)


def _choice(found: Objects, name: str) -> str:
    return CHOICES[min(len(found.get(name, ())), MOST)]
