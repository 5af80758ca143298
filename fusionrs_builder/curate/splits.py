"""Which split a group lives in: balanced quotas a corpus, drawn by hash, so that corpora hardly disturb each other."""

import hashlib
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")

UNSPLIT = -1
"""The split of a group that has nothing to split."""


def assign(
    groups: NDArray[np.uint64], corpora: NDArray[np.int32], names: Sequence[str], shares: Sequence[float], seed: int
) -> NDArray[np.int8]:
    """Put every group into one split.

    Within a corpus the groups are ordered by sha256 of seed and group, and cut into the shares, so another corpus
    changes nothing there. Only where that leaves a split empty, and there are groups enough, one is moved.

    Args:
        groups: number of each group, all different.
        corpora: the corpus that decides for each group, an index into `names`.
        names: of the corpora.
        shares: of each split; they sum to 1.
        seed: another seed gives another draw.

    Returns:
        Index into `SPLITS` of each group.
    """
    if len(groups) == 0:
        return np.empty(0, np.int8)
    draw = np.fromiter((_draw(seed, int(group)) for group in groups), np.uint64, len(groups))
    order = np.lexsort((draw, corpora))
    found = np.empty(len(groups), np.int8)
    codes, starts = np.unique(corpora[order], return_index=True)
    for code, members in zip(codes, np.split(order, starts[1:]), strict=True):
        counts = quotas(len(members), shares, f"{seed}/{names[code]}")
        found[members] = np.repeat(np.arange(len(shares)), counts)
    _fill_empty(found, draw, shares)
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


def _fill_empty(found: NDArray[np.int8], draw: NDArray[np.uint64], shares: Sequence[float]) -> None:
    """Give each empty split one group of the largest split: the one drawn first."""
    wanted = [split for split, share in enumerate(shares) if share > 0]
    if len(found) < len(wanted):
        return
    counts = np.bincount(found, minlength=len(shares))
    for split in (split for split in wanted if counts[split] == 0):
        largest = int(np.argmax(counts))
        members = np.flatnonzero(found == largest)
        found[members[np.argmin(draw[members])]] = split
        counts[largest] -= 1
        counts[split] += 1


def _draw(seed: int, group: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{group:016x}".encode()).digest()[:8], "big")
