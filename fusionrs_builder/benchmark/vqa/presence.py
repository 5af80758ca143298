"""Whether an infrared view shows an object of a class.

A class is asked about in all records of its corpus whose boxes tell: it is there, or it is not. `no` is right only for
classes that some record of the same corpus in the split shows.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from fusionrs_builder.benchmark.records import Record
from fusionrs_builder.benchmark.vqa.asked import YES_NO, Asked, Objects, a, clear, objects, singular


def presence(shown: Mapping[int, tuple[Record, Objects]]) -> Iterator[Asked]:
    """All that can be asked.

    Args:
        shown: records of one corpus by their places, and their objects.
    """
    classes = sorted({name for _, found in shown.values() for name in found})
    for place, (record, found) in shown.items():
        for name in classes:
            if clear(name, found):
                question = f"Is there {a(singular(name))} in this infrared image?"
                yield Asked(
                    f"{record.id}#presence-{name}", place, "presence", question, YES_NO,
                    "yes" if name in found else "no", partial(answer, record.corpus, name),
                )  # fmt: skip


def answer(corpus: str, name: str, record: Record) -> str | None:
    """About another record."""
    found = objects(record)
    if record.corpus != corpus or found is None or not clear(name, found):
        return None
    return "yes" if name in found else "no"
