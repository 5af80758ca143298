"""Whether a measured infrared view was taken by day or by night, where the publisher's file name tells.

The one type that needs no boxes: records without annotation are asked too. A translated view shows no night.
"""

import re
from collections.abc import Iterable, Iterator
from functools import partial

from fusionrs_builder.benchmark.records import Record
from fusionrs_builder.benchmark.vqa.asked import Asked

CHOICES = ("day", "night")

TIMES = {"hit-uav": re.compile(r"(?:.*/)?([01])_\d+_\d+_\d+_\d+")}
"""By corpus: the start of the publisher's key, its group `0` by day and `1` by night. HIT-UAV names a frame
`T_HH_AA_W_NNNNN`: time (0 day, 1 night), altitude in metres, camera angle in degrees, weather, number (Suo et al.,
Scientific Data 10, 227, 2023)."""


def day_night(records: Iterable[tuple[int, Record]]) -> Iterator[Asked]:
    """All that can be asked.

    Args:
        records: of one corpus, with their places.
    """
    for place, record in records:
        found = answer(record.corpus, record)
        if found is not None:
            question = "Was this infrared image taken by day or by night?"
            yield Asked(
                f"{record.id}#day_night", place, "day_night", question, CHOICES, found, partial(answer, record.corpus)
            )


def answer(corpus: str, record: Record) -> str | None:
    """About any record; None where its name does not tell."""
    names = TIMES.get(corpus)
    if names is None or record.corpus != corpus or record.ir_origin != "measured":
        return None
    found = names.match(record.corpus_key)
    return CHOICES[int(found[1])] if found else None
