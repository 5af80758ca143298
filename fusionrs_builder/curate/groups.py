"""Groups of records that belong together: connected components of whatever links them.

Everything here works on numbers, a few a record, so that ten million records fit in some gigabytes.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Keys = NDArray[np.uint64]
Pairs = NDArray[np.int64]
"""[L, 2]: numbers of the two records of each link."""

NO_KEY = 0
"""The key of a record that has no such content: it equals no other."""


def key(text: str | None) -> int:
    """The first 64 bits of a sha256. Among ten million, two unlike ones meet with a chance of three in a million."""
    return int(text[:16], 16) if text else NO_KEY


def equal(keys: Keys, records: Numbers | None = None) -> Pairs:
    """Links between records of equal keys, each to the next.

    Args:
        keys: one each; `NO_KEY` links nothing.
        records: whose they are; the records 0, 1, 2 ... when None. A record may come several times.
    """
    order = np.argsort(keys, kind="stable")
    again = (keys[order][1:] == keys[order][:-1]) & (keys[order][1:] != NO_KEY)
    pairs = np.stack([order[:-1][again], order[1:][again]], axis=1)
    return pairs if records is None else records[pairs]


def connected(count: int, links: Iterable[Pairs]) -> Numbers:
    """Number of the group of each of `count` records: those joined by a chain of links are in one.

    Returns:
        int64 [count]: 0 to number of groups - 1.
    """
    from scipy.sparse import coo_matrix  # heavy: only when there is something to curate
    from scipy.sparse.csgraph import connected_components

    pairs = np.concatenate([np.empty((0, 2), np.int64), *links])
    ends = (pairs[:, 0], pairs[:, 1])
    graph = coo_matrix((np.ones(len(pairs), np.bool_), ends), shape=(count, count))
    groups: Numbers = connected_components(graph, directed=False)[1].astype(np.int64)
    return groups


def parted(groups: Numbers, standing: Keys, first: Numbers) -> tuple[Numbers, Keys]:
    """Give groups back to the publisher who had formed them by the same rule: they stand as published.

    Where a group holds records of several standing groups, each of these becomes a group of its own again, and the
    other records go with the record that comes first.

    Args:
        groups: number of the group of each record.
        standing: key of the published group, `NO_KEY` where there is none.
        first: place of each record in the order of precedence: of held-out records before others.

    Returns:
        The groups, and the key of the published group that each record is now of.
    """
    named = standing != NO_KEY
    if not named.any():
        return groups, standing
    order = np.flatnonzero(named)[np.argsort(-first[named], kind="stable")]
    leading = np.zeros(int(groups.max()) + 1, np.uint64)
    leading[groups[order]] = standing[order]  # the last one written, of first precedence, stays
    label = np.where(named, standing, leading[groups])
    _, found = np.unique(np.stack([groups.astype(np.uint64), label], axis=1), axis=0, return_inverse=True)
    return found.reshape(-1).astype(np.int64), label


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


def standing_name(number: int, rest: int) -> str:
    """The name of a group of the index of FusionRS, from its two parts."""
    return f"joint-group:{number:016x}{rest:08x}"
