"""Near-duplicates: pictures that another encoding, size, flip or rotation tells apart, and nothing else.

Two pictures are linked when their 64-bit perceptual hashes differ in at most `radius` bits, one of them turned in any
of eight ways, whole or a little cropped, and their looks (16 x 16 grey means) agree in that turn: hashes alone join
pictures whose structure is one bright corner or none at all. Open sea, snow and other plain pictures have no structure
to compare: `is_plain`.

Candidates come from tables (multi-index hashing: Norouzi, Punjani and Fleet, CVPR 2012): 64 bits are cut into
`radius + 2` blocks or more, so two hashes within `radius` bits agree on two blocks at least; each pair of blocks
addresses a table. faiss' `IndexBinaryMultiHash`, which does likewise, is slower here: see `benchmarks/curate.py`.
"""

from collections.abc import Callable, Iterator
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder import pixels
from fusionrs_builder.curate.groups import Keys, Numbers, Pairs, connected

Looks = NDArray[np.uint8]
"""[N, 256]: looks, a row each."""

MIN_CONTRAST = 6
"""Grey levels between the 10th and the 90th percentile of a look below which a picture is plain. On 938 tiles of
Sentinel-2 and Landsat, half of them sea, hashes alone falsely joined 3 tiles at 5 and none at 6."""

MIN_CORRELATION = 0.85
"""Of two looks. Copies of real tiles (JPEG of quality 50, half the size, turned) stay above 0.91; at 0.8 it joined two
strangers of 2,392, at 0.9 it lost more of the cropped copies: see `benchmarks/copies.py`."""

MIN_BLOCKS = 6
"""So that a table has at most 2^22 places."""

CANDIDATES = 1 << 22
"""Candidates looked at in one go: some 100 MB."""

VERIFIED = 1 << 14
"""Pairs of looks compared in one go: some 60 MB."""

LEADERS = 64
"""Pictures of one hash that are compared with all others of it; what agrees with none of so many is linked anyway."""

_TURNS = np.stack([turned.ravel() for turned in pixels.dihedral(np.arange(256).reshape(16, 16))])
"""Where each of the 256 values of a look is, in each of the eight turns."""


def is_plain(looks: Looks) -> NDArray[np.bool_]:
    """Which pictures have too little structure to be told from others like them.

    Args:
        looks: uint8 [N, 256].
    """
    low, high = np.percentile(looks, (10, 90), axis=1) if len(looks) else np.zeros((2, 0))
    found: NDArray[np.bool_] = high - low < MIN_CONTRAST
    return found


def links(hashes: Keys, looks: Callable[[Numbers], Looks], radius: int) -> Pairs:
    """Find the pictures to be linked: not every pair of a group, but enough to connect it.

    Of pictures with one hash, those that agree with a first one are compared no further, since they are copies of it:
    a picture that agrees with one of them alone, by a hair, is missed.

    Args:
        hashes: uint64 [N, T]: of each picture: 1, upright only; 8, in its eight turns; 16, in these cropped too.
        looks: gives the looks of some of the pictures, uint8 [n, 256]; asked only for those that may be alike.
        radius: bits by which two hashes may differ, 0 .. 8.

    Returns:
        int64 [L, 2]: numbers of the pictures that are linked.
    """
    same, alone = _of_one_hash(hashes[:, 0], looks)
    near = _candidates(hashes[alone], radius)
    near[:, :2] = alone[near[:, :2]]
    return np.concatenate([same, *_connecting(near, _held(looks, np.unique(near[:, :2])), len(hashes))])


def _held(looks: Callable[[Numbers], Looks], wanted: Numbers) -> Callable[[Numbers], Looks]:
    """The same looks, read once."""
    known = looks(wanted)
    return lambda some: known[np.searchsorted(wanted, some)]


def _connecting(near: Numbers, looks: Callable[[Numbers], Looks], count: int) -> Iterator[Pairs]:
    """The candidates whose looks agree, but for those that are connected already.

    In rounds, of each picture one candidate, then one more, two, four: ten thousand frames of one place are connected
    after the first rounds, and are not all compared with each other.
    """
    place = np.arange(len(near)) - np.searchsorted(near[:, 0], near[:, 0])
    rounds = np.frexp(place)[1]
    group, found = np.arange(count), np.empty((0, 2), np.int64)
    for number in range(rounds.max(initial=-1) + 1):
        pairs = near[rounds == number]
        pairs = pairs[group[pairs[:, 0]] != group[pairs[:, 1]]]
        links = pairs[_agreeing(pairs, looks), :2]
        found = np.concatenate([found, links])
        group = connected(count, [found])
        yield links


def _of_one_hash(hashes: Keys, looks: Callable[[Numbers], Looks]) -> tuple[Pairs, Numbers]:
    """Link pictures of equal hashes, each to a leader. Gives the links, and the pictures that stand for the others."""
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.r_[True, hashes[order][1:] != hashes[order][:-1]]) if len(order) else order
    sizes = np.diff(np.r_[starts, len(order)])
    rest = order[np.repeat(sizes > 1, sizes)]
    group = np.repeat(np.arange(len(sizes)), sizes)[np.repeat(sizes > 1, sizes)]
    alone, found = [order[starts[sizes == 1]]], [np.empty((0, 2), np.int64)]
    looks = _held(looks, np.sort(rest))
    for _ in range(LEADERS):
        if not len(rest):
            break
        first = np.r_[True, group[1:] != group[:-1]]
        leaders = rest[first][np.cumsum(first) - 1]
        pairs = np.stack([rest, leaders, np.zeros_like(rest)], axis=1)
        agree = _agreeing(pairs, looks) | first
        alone.append(rest[first])
        found.append(pairs[agree & ~first, :2])
        rest, group = rest[~agree], group[~agree]
    if len(rest):
        first = np.r_[True, group[1:] != group[:-1]]
        found.append(np.stack([rest, rest[first][np.cumsum(first) - 1]], axis=1))
    return np.concatenate(found), np.sort(np.concatenate(alone))


def _candidates(hashes: Keys, radius: int) -> Numbers:
    """Pairs within the radius, by the first picture: int64 [C, 3], two pictures and the turn of the first."""
    blocks = max(MIN_BLOCKS, radius + 2)
    edges = np.linspace(0, 64, blocks + 1).round().astype(int)
    parts = [(start, end - start) for start, end in pairwise(edges.tolist())]
    tables = combinations(range(blocks), 2)
    found = [codes for one, other in tables for codes in _within(hashes, parts, one, other, radius)]
    codes = np.sort(np.concatenate([np.empty(0, np.uint64), *found]))
    left, right = codes >> np.uint64(34), (codes >> np.uint64(4)) & np.uint64(2**30 - 1)
    return np.stack([left, right, codes & np.uint64(15)], axis=1).astype(np.int64)


def _within(hashes: Keys, parts: list[tuple[int, int]], one: int, other: int, radius: int) -> Iterator[Keys]:
    """Pairs within the radius of which these two blocks are the first that agree, so that each pair comes once.

    Args:
        hashes: uint64 [N, T].
        parts: first bit and width of each block.
        one: the first block.
        other: the second.
        radius: bits.

    Yields:
        Pairs as numbers: left and right in 30 bits, turn in 4.
    """

    def block(values: Keys, number: int) -> Keys:
        start, width = parts[number]
        return (values >> np.uint64(start)) & np.uint64((1 << width) - 1)

    def place(values: Keys) -> Numbers:
        return ((block(values, one) << np.uint64(parts[other][1])) | block(values, other)).astype(np.int64)

    upright = np.ascontiguousarray(hashes[:, 0])
    places = place(upright)
    order = np.argsort(places, kind="stable").astype(np.int32)
    starts = np.zeros((1 << (parts[one][1] + parts[other][1])) + 1, np.int32)
    np.cumsum(np.bincount(places, minlength=len(starts) - 1), out=starts[1:])
    for turn in range(hashes.shape[1]):
        turned = np.ascontiguousarray(hashes[:, turn])
        asked = place(turned)
        first, counts = starts[asked], starts[asked + 1] - starts[asked]
        ends = np.cumsum(counts, dtype=np.int64)
        at = 0
        while at < len(ends):
            before = ends[at - 1] if at else 0
            upto = max(at + 1, int(np.searchsorted(ends, before + CANDIDATES, side="right")))
            left = np.repeat(np.arange(at, upto), counts[at:upto])
            within = np.arange(len(left)) - np.repeat(ends[at:upto] - counts[at:upto] - before, counts[at:upto])
            right = order[np.repeat(first[at:upto], counts[at:upto]) + within]
            unlike = turned[left] ^ upright[right]
            near = np.flatnonzero((np.bitwise_count(unlike) <= radius) & (left != right))
            for number in set(range(other)) - {one}:
                near = near[block(unlike[near], number) != 0]
            yield (left[near].astype(np.uint64) << np.uint64(34)) | (
                (right[near].astype(np.uint64) << np.uint64(4)) | np.uint64(turn)
            )
            at = upto


def _agreeing(pairs: Numbers, looks: Callable[[Numbers], Looks]) -> NDArray[np.bool_]:
    """Whether the looks of each pair agree, the first one turned: bool [C]."""
    found = np.empty(len(pairs), np.bool_)
    for start in range(0, len(pairs), VERIFIED):
        part = pairs[start : start + VERIFIED]
        left, right = (looks(part[:, side]).astype(np.float32) for side in (0, 1))
        left = np.take_along_axis(left, _TURNS[part[:, 2] % 8], axis=1)
        found[start : start + VERIFIED] = _correlation(left, right) >= MIN_CORRELATION
    return found


def _correlation(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    left, right = (side - side.mean(axis=1, keepdims=True) for side in (left, right))
    scale = np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    found: NDArray[np.float32] = (left * right).sum(axis=1) / np.maximum(scale, 1e-6)
    return found
