"""The questions that a split is asked: all that its boxes answer, then as many of them as make guessing worthless.

Balanced within a corpus and origin of the infrared views, where results are taken:

- presence, comparison, day or night: every question as it is worded has `yes` as often as `no` (day as often as night),
  so presence by class, and comparison by pair and by which of the two is named first.
- position: each quarter is right as often, over all classes together: of one class there are too few.
- count: of the questions about a class no number is right for more than a third. Where fewer than three numbers occur
  that cannot be, and the class is not asked about.

A type of fewer than `FEWEST` questions is left out: as much would hang on it as on any other type. Which of too many
questions are kept is told by a hash of the seed and the question's key: it depends neither on the order of the records
nor on other corpora.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.benchmark.vqa.asked import TYPES, Asked, boxed, objects
from fusionrs_builder.benchmark.vqa.comparison import comparison
from fusionrs_builder.benchmark.vqa.count import count
from fusionrs_builder.benchmark.vqa.day_night import day_night
from fusionrs_builder.benchmark.vqa.position import position
from fusionrs_builder.benchmark.vqa.presence import presence

OFTENEST = 3
"""One in so many questions about how many there are may have the same answer."""

FEWEST = 10
"""Questions of a type, in a corpus and origin."""


def questions(records: Records, seed: int = 0) -> list[Asked]:
    """By record, then by type, then by key.

    Args:
        records: one split; those without an infrared view are asked nothing.
        seed: of the choice among too many.
    """
    parts = defaultdict[tuple[str, str], list[int]](list)
    for place, record in enumerate(records):
        if record.key("infrared") is not None:
            parts[record.corpus, str(record.ir_origin)].append(place)
    kept = [one for places in parts.values() for one in _balanced(_candidates(records, places), seed)]
    return sorted(kept, key=lambda one: (one.place, TYPES.index(one.type), one.key))


def by_type(asked: Iterable[Asked]) -> dict[str, int]:
    """How many questions there are of each type that is asked."""
    found = Counter(one.type for one in asked)
    return {type: found[type] for type in TYPES if type in found}


def hashed(seed: int, key: str) -> int:
    """A number below 2**64 that seed and key determine."""
    return int.from_bytes(hashlib.sha256(f"{seed}|{key}".encode()).digest()[:8], "big")


def _candidates(records: Records, places: list[int]) -> Iterator[Asked]:
    """All that can be asked of records of one corpus and origin."""
    yield from day_night((place, records[place]) for place in places)
    if boxed(records[place] for place in places):
        shown = {place: (records[place], found) for place in places if (found := objects(records[place])) is not None}
        for ask in (presence, count, comparison, position):
            yield from ask(shown)


def _balanced(candidates: Iterable[Asked], seed: int) -> list[Asked]:
    """See the module."""
    alternatives = defaultdict[tuple[str, str], defaultdict[str, list[Asked]]](lambda: defaultdict(list))
    kept: list[Asked] = []
    for one in candidates:
        alternatives[one.type, one.alike][one.answer].append(one)
    for (type, _), answers in alternatives.items():
        sizes = [len(group) for group in answers.values()]
        if type == "count":
            most = _capped(sizes)
        else:
            choices = next(iter(answers.values()))[0].choices
            most = min(sizes) if len(answers) == len(choices) else 0
        for group in answers.values():
            kept += sorted(group, key=lambda one: (hashed(seed, one.key), one.key))[:most]
    of_type = Counter(one.type for one in kept)
    return [one for one in kept if of_type[one.type] >= FEWEST]


def _capped(sizes: list[int]) -> int:
    """The most that can be kept of each answer so that none is more than one in `OFTENEST` of what is kept."""
    for most in range(max(sizes), 0, -1):
        if most * OFTENEST <= sum(min(size, most) for size in sizes):
            return most
    return 0
