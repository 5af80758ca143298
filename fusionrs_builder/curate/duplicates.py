"""Records of equal content: which belong together, and which only repeat another.

Everything here works on numbers, a few a record, so that ten million records fit in a gigabyte.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Keys = NDArray[np.uint64]

NO_KEY = 0
"""The key of a record that has no such content: it equals no other."""


def key(sha256: str | None) -> int:
    """The first 64 bits of a hash. Among ten million, two unlike ones meet with a chance of three in a million."""
    return int(sha256[:16], 16) if sha256 else NO_KEY


def connected(*keys: Keys) -> Numbers:
    """Group records: two are in one group when any of their keys is equal, or a chain of such pairs joins them.

    Args:
        keys: one array a kind of content, one entry a record.

    Returns:
        The group number of each record, 0 to number of groups - 1.
    """
    from scipy.sparse import coo_matrix  # heavy: only when there is something to curate
    from scipy.sparse.csgraph import connected_components

    records = len(keys[0])
    left, right = [], []
    for values in keys:
        order = np.argsort(values, kind="stable")
        equal = (values[order][1:] == values[order][:-1]) & (values[order][1:] != NO_KEY)
        left.append(order[:-1][equal])
        right.append(order[1:][equal])
    ends = (np.concatenate(left), np.concatenate(right))
    links = coo_matrix((np.ones(len(ends[0]), np.bool_), ends), shape=(records, records))
    groups: Numbers = connected_components(links, directed=False)[1].astype(np.int64)
    return groups


def originals(rank: Numbers, usable: NDArray[np.bool_], keys: Sequence[Keys]) -> Numbers:
    """Find, for each record, the record whose content it repeats.

    Args:
        rank: place of each record in the order of ids; the first of equal records is the original.
        usable: records that count; the others neither repeat nor are repeated.
        keys: contents that must all be equal. A record whose first key is missing repeats nothing.

    Returns:
        Number of the original; the record's own number where it repeats nothing.
    """
    found = np.arange(len(rank))
    candidates = np.flatnonzero(usable & (keys[0] != NO_KEY))
    if len(candidates) == 0:
        return found
    order = candidates[np.lexsort((rank[candidates], *(values[candidates] for values in keys)))]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = np.logical_or.reduce([values[order][1:] != values[order][:-1] for values in keys])
    found[order] = order[fresh][np.cumsum(fresh) - 1]
    return found


def smallest(groups: Numbers, rank: Numbers, among: NDArray[np.bool_]) -> Numbers:
    """The record of smallest rank in each group, of those in `among`; -1 for a group that has none."""
    found = np.full(int(groups.max(initial=-1)) + 1, -1)
    members = np.flatnonzero(among)
    backwards = members[np.argsort(-rank[members])]
    found[groups[backwards]] = backwards  # the last one written, of smallest rank, stays
    return found


def group_number(smallest_id: str) -> int:
    """Number of the group whose smallest member is this one: it does not change when unrelated records come or go."""
    return int.from_bytes(hashlib.sha256(smallest_id.encode()).digest()[:8], "big")


def group_name(number: int) -> str:
    return f"group:{number:016x}"
