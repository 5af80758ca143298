"""Whether an infrared view shows more objects of one class than of another.

Asked where both are there, lest it be a question of presence, and not as many of one as of the other. Both wordings
are asked, `more cars than people` and `more people than cars`, so that knowing which class is the more frequent does
not help.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import permutations

from fusionrs_builder.benchmark.records import Record
from fusionrs_builder.benchmark.vqa.asked import YES_NO, Asked, Objects, clear, objects, plural


def comparison(shown: Mapping[int, tuple[Record, Objects]]) -> Iterator[Asked]:
    """All that can be asked; see `presence.presence`."""
    for place, (record, found) in shown.items():
        for first, second in permutations(sorted(found), 2):
            if clear(first, found) and clear(second, found) and len(found[first]) != len(found[second]):
                question = f"Are there more {plural(first)} than {plural(second)} in this infrared image?"
                yield Asked(
                    f"{record.id}#comparison-{first}-{second}", place, "comparison", question, YES_NO,
                    _more(found, first, second), partial(answer, record.corpus, first, second),
                )  # fmt: skip


def answer(corpus: str, first: str, second: str, record: Record) -> str | None:
    """About another record: `no` too where there are as many of one as of the other, or none of both."""
    found = objects(record)
    if record.corpus != corpus or found is None or not (clear(first, found) and clear(second, found)):
        return None
    return _more(found, first, second)


def _more(found: Objects, first: str, second: str) -> str:
    return "yes" if len(found.get(first, ())) > len(found.get(second, ())) else "no"
