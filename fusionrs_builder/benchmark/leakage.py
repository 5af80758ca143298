"""Which records that a model is measured on belong to corpora that it says it learnt from."""

from collections.abc import Callable, Sequence
from typing import Any

from fusionrs_builder.benchmark.records import Records

SHOWN = 5
"""Ids that a result names."""

Kin = Callable[[str], frozenset[str]]
"""The corpora and families that share images with a corpus, itself too."""


def leakage(records: Records, declared: Sequence[str], kin: Kin) -> dict[str, Any]:
    """Check the corpora that a model declares.

    A record is known to the model when its corpus or family is one of them or shares images with one, or when a record
    of its group is: groups hold what shows or tells of the same, see `curate`.

    Args:
        records: one split.
        declared: names of corpora.
        kin: see `Kin`.

    Returns:
        `declared`; `records` and `groups`, how many of the split are known; `ids`, some of them; `of`, all records.
        JSON values only.
    """
    learnt = frozenset[str]().union(*(kin(name) for name in declared))
    groups = {one.group_id for one in records if {one.corpus, one.origin_family} & learnt}
    known = [one.id for one in records if one.group_id in groups]
    return {
        "declared": list(declared),
        "records": len(known),
        "groups": len(groups),
        "of": len(records),
        "ids": known[:SHOWN],
    }
