"""Which split a group lives in: the publisher's where there is one, else balanced quotas a corpus, drawn by hash."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)

UNSPLIT = -1
"""The split of a group that has nothing to split, or of one that is free to be drawn."""

LARGE = 2
"""A group of more records than this many times the quota of a held-out split goes to train."""


@dataclass(frozen=True)
class Groups:
    """The groups to be split, one entry each.

    Attributes:
        numbers: uint64, all different.
        sizes: int64, records that count.
        corpora: int32, the corpus that decides, an index into `names`.
        held_out: int8, `VALIDATION` or `TEST` where a publisher's or a protected record stays there, else `UNSPLIT`.
        names: of the corpora.
    """

    numbers: NDArray[np.uint64]
    sizes: NDArray[np.int64]
    corpora: NDArray[np.int32]
    held_out: NDArray[np.int8]
    names: Sequence[str]


def assign(groups: Groups, shares: Sequence[float], seed: int, published: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Put every group into one split.

    Held-out groups stay held out. Within a corpus the others are ordered by sha256 of seed and group and cut into the
    shares, counted in records, so another corpus changes nothing there. A corpus whose publisher has a test or a
    validation split gets no other records into it. Only where all that leaves a split empty, and there are groups
    enough, one is moved.

    Args:
        groups: to be split.
        shares: of train, validation and test; they sum to 1.
        seed: another seed gives another draw.
        published: bool [corpora, 3], which splits the publisher of each corpus has.

    Returns:
        Index into `SPLITS` of each group.
    """
    found = groups.held_out.copy()
    if len(found) == 0:
        return found
    draw = np.fromiter((_draw(seed, int(number)) for number in groups.numbers), np.uint64, len(found))
    order = np.lexsort((draw, groups.corpora))
    codes, starts = np.unique(groups.corpora[order], return_index=True)
    for code, members in zip(codes, np.split(order, starts[1:]), strict=True):
        total = int(groups.sizes[members].sum())
        quota = np.array(quotas(total, shares, f"{seed}/{groups.names[code]}"))
        for split in (VALIDATION, TEST):
            held = int(groups.sizes[members[found[members] == split]].sum())
            quota[split] = 0 if published[code, split] else max(0, quota[split] - held)
        free = members[found[members] == UNSPLIT]
        found[free] = _cut(groups.sizes[free], quota)
    _fill_empty(found, groups, draw, shares)
    return found


def quotas(count: int, shares: Sequence[float], key: str = "") -> list[int]:
    """Divide `count` by largest remainder; equal remainders are drawn by `key`, lest the last split always lose."""
    exact = [Fraction(str(share)) for share in shares]
    exact = [count * share / sum(exact) for share in exact]
    found = [int(share) for share in exact]
    remainders = [part - whole for part, whole in zip(exact, found, strict=True)]

    def place(split: int) -> tuple[Fraction, bytes]:
        return -remainders[split], hashlib.sha256(f"{key}/{split}".encode()).digest()

    for split in sorted(range(len(exact)), key=place)[: count - sum(found)]:
        found[split] += 1
    return found


def _cut(sizes: NDArray[np.int64], quota: NDArray[np.int64]) -> NDArray[np.int8]:
    """Cut groups, in their order, so that the held-out splits get their quota of records: each by its middle record."""
    found = np.full(len(sizes), TRAIN, np.int8)
    wanted = quota[[VALIDATION, TEST]]
    small = np.flatnonzero(sizes <= LARGE * wanted.max())
    rest = int(sizes[small].sum()) - int(wanted.sum())
    middle = np.cumsum(sizes[small]) - sizes[small] / 2
    found[small] = np.searchsorted(np.cumsum([max(0, rest), wanted[0]]), middle, side="right")
    return found


def _fill_empty(found: NDArray[np.int8], groups: Groups, draw: NDArray[np.uint64], shares: Sequence[float]) -> None:
    """Give each empty split one free group of the largest split: the smallest of them, of these the one drawn first."""
    wanted = [split for split, share in enumerate(shares) if share > 0]
    counts = np.bincount(found, minlength=len(shares))
    for split in (split for split in wanted if counts[split] == 0):
        largest = int(np.argmax(counts))
        members = np.flatnonzero((found == largest) & (groups.held_out == UNSPLIT))
        if counts[largest] < 2 or len(members) == 0:
            return
        found[members[np.lexsort((draw[members], groups.sizes[members]))[0]]] = split
        counts[largest] -= 1
        counts[split] += 1


def _draw(seed: int, group: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{group:016x}".encode()).digest()[:8], "big")
