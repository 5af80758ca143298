"""Which records that a model is measured on belong to corpora that it says it learnt from."""

from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from typing import Any

from fusionrs_builder.benchmark.records import Records

SHOWN = 5
"""Ids that a result names."""

Kin = Callable[[str], frozenset[str]]
"""The corpora and families that share images with a corpus, itself too."""


class Leakage:
    """The corpora that a model declares, against the records of a split.

    A record is known to the model when its corpus or family is one of them or shares images with one, or when a record
    of its group is: groups hold what shows or tells of the same, see `curate`.

    Attributes:
        declared: names of corpora.
        unknown: those of them that nobody knows, with the known names that look like each.
    """

    def __init__(self, records: Records, declared: Sequence[str], kin: Kin, corpora: Collection[str]) -> None:
        """Look up.

        Args:
            records: one split.
            declared: see the class.
            kin: see `Kin`.
            corpora: names that are known, beside those of the split.
        """
        known = {*corpora, *(one.corpus for one in records), *(one.origin_family for one in records)}
        self.declared = tuple(declared)
        self.unknown = {
            name: get_close_matches(name.lower().replace("_", "-"), known) for name in declared if name not in known
        }
        learnt = frozenset[str]().union(*(kin(name) for name in declared))
        self._groups = {one.group_id for one in records if {one.corpus, one.origin_family} & learnt}
        self._records = records

    def of(self, places: Sequence[int]) -> dict[str, Any]:
        """What the model knows of some records.

        Returns:
            `declared`; `unknown`, those of them that nobody knows; `records` and `groups`, how many of these are known;
            `of`, all of these; `ids`, some of the known ones. JSON values only.
        """
        used = [self._records[place] for place in places]
        known = [one for one in used if one.group_id in self._groups]
        return {
            "declared": list(self.declared),
            "unknown": list(self.unknown),
            "records": len(known),
            "groups": len({one.group_id for one in known}),
            "of": len(used),
            "ids": [one.id for one in known[:SHOWN]],
        }
