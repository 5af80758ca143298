"""Exact ranks of the first right answer, both ways between two sets of embeddings, without the matrix of their scores.

How it works. The score is the cosine. Each embedding is scaled to the length 2**26 and its components are rounded to
whole numbers, which moves a cosine by some 1e-8: less than the rounding of a float32 product. The dot product of two
such vectors, and any part of that sum, is a whole number of little more than 2**52 at most (Cauchy-Schwarz), and
float64 holds all whole numbers up to 2**53. So a float64 product is exact in whatever order it is summed: ranks do not
depend on blocks, threads or matrix libraries, and equal embeddings score equally wherever they stand. One product of
two blocks serves both directions.

Ties. An item that scores as the best positive does is ahead of it when it comes earlier in the gallery: the order of a
stable sort by falling score. CLIP_benchmark, and RemoteCLIP, which calls it, take `torch.topk`, which promises no order
of ties: where a positive and another item tie at the k-th place, theirs is one of several recalls, and this a fixed one
of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from fusionrs_builder.errors import FusionError

BLOCK = 2048
"""Items of either side in one product: 32 MB of scores."""

NEAR = 256
"""The same where positives are looked for: of a small block more are positives, of a smaller one products are slow."""

LENGTH = 2.0**26
"""Of embeddings, before rounding. The square of the next power of two is beyond what float64 counts up to."""

NEVER = np.iinfo(np.int64).max
"""The rank of a query that failed or that has no positive in the gallery: beyond any k."""

Ranks = NDArray[np.int64]
"""[N], from 1: how many items are ahead of the best positive of each query, and one; or `NEVER`."""


@dataclass(frozen=True)
class Side:
    """The items of one modality: queries in one direction, the gallery in the other.

    Attributes:
        name: such as `rgb`; errors name it.
        embeddings: floats [N, d] on a device that has float64; of any length but 0.
        groups: [N] whole numbers; the positives of a query are the gallery's items of its group.
        images: [N] whole numbers: the image that each item belongs to. Bootstraps resample by it.
        failed: [N], which items could not be embedded; None: none. As queries they miss, as answers they are never
            found; their rows of `embeddings` may hold anything.
    """

    name: str
    embeddings: torch.Tensor
    groups: ArrayLike
    images: ArrayLike
    failed: ArrayLike | None = None

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or not self.embeddings.is_floating_point():
            raise FusionError(
                f"{self.name}: embeddings are floats of the shape [items, width], "
                f"not {self.embeddings.dtype} of {list(self.embeddings.shape)}"
            )
        if not len(self):
            raise FusionError(f"{self.name}: there are no embeddings: name a split that holds records")
        for what in ("groups", "images", "failed"):
            given = getattr(self, what)
            if given is not None and np.shape(given) != (len(self),):
                raise FusionError(f"{self.name}: {what} of the shape {np.shape(given)} for {len(self)} embeddings")

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def failures(self) -> NDArray[np.bool_]:
        """Which items failed, [N]."""
        return np.zeros(len(self), bool) if self.failed is None else np.asarray(self.failed, bool)


def ranks(left: Side, right: Side, block: int = BLOCK) -> tuple[Ranks, Ranks]:
    """The rank of the best positive of each item, among the items of the other side.

    Args:
        left: one side. Its device does the work.
        right: the other.
        block: items of either side in one product; the ranks do not depend on it.

    Returns:
        Ranks of the left side's items, with the right as the gallery; those of the right side's, with the left as it.

    Raises:
        FusionError: widths differ, an embedding is not finite or of length 0, or no item has a positive.
    """
    widths = left.embeddings.shape[1], right.embeddings.shape[1]
    if widths[0] != widths[1]:
        raise FusionError(
            f"{left.name} embeddings are {widths[0]} wide and {right.name} embeddings {widths[1]}: "
            "both must come from one model, behind its projections into the shared space"
        )
    if not np.intersect1d(left.groups, right.groups).size:
        raise FusionError(f"no item of {left.name} shares a group with one of {right.name}: number both sides alike")
    device = left.embeddings.device
    a, b = _Items(left, device, block), _Items(right, device, block)
    best_a, best_b = (_best(*pair, min(block, NEAR)) for pair in ((a, b), (b, a)))
    ahead_a, ahead_b = (torch.zeros(len(items), dtype=torch.int64, device=device) for items in (a, b))
    for rows in _blocks(len(a), block):
        queries = a.block(rows)
        for columns in _blocks(len(b), block):
            scores = queries @ b.block(columns).T
            ahead_a[rows] += _ahead(scores, best_a, rows, columns)
            ahead_b[columns] += _ahead(scores.T, best_b, columns, rows)
    return a.ranks(ahead_a, best_a), b.ranks(ahead_b, best_b)


@dataclass(frozen=True)
class _Best:
    """The best positive of each query: its score, -inf where there is none, and its place in the gallery, or -1."""

    score: torch.Tensor
    place: torch.Tensor


class _Items:
    """What did not fail of a side, as whole numbers: int32 [N, d], half the memory of float64."""

    def __init__(self, side: Side, device: torch.device, block: int) -> None:
        self.of = len(side)
        self.kept = np.flatnonzero(~side.failures)
        self.groups = torch.as_tensor(np.asarray(side.groups, np.int64)[self.kept]).to(device)
        self.vectors = torch.empty((len(self.kept), side.embeddings.shape[1]), dtype=torch.int32, device=device)
        for rows in _blocks(len(self.kept), block):
            some = side.embeddings.detach()[torch.as_tensor(self.kept[rows])].to(device, torch.float64)
            lengths = torch.linalg.vector_norm(some, dim=1)
            bad = ~(lengths.isfinite() & (lengths > 0)).cpu().numpy()
            if bad.any():
                item, length = self.kept[rows][bad][0], lengths[int(bad.argmax())]
                fault = "of length 0" if length == 0 else "not finite"
                raise FusionError(
                    f"{side.name}: embedding {item} (from 0, of {self.of}) is {fault}: the model is broken, or its "
                    "precision too small for it; try fp32"
                )
            self.vectors[rows] = (some * (LENGTH / lengths)[:, None]).round_().int()

    def __len__(self) -> int:
        return len(self.kept)

    def block(self, of: slice | torch.Tensor) -> torch.Tensor:
        """Float64 [items, d]."""
        return self.vectors[of].double()

    def ranks(self, ahead: torch.Tensor, best: _Best) -> Ranks:
        found = np.full(self.of, NEVER)
        found[self.kept] = torch.where(best.place < 0, NEVER, ahead + 1).cpu().numpy()
        return found


def _blocks(count: int, block: int) -> Iterator[slice]:
    return (slice(start, min(start + block, count)) for start in range(0, count, block))


def _best(queries: _Items, gallery: _Items, block: int) -> _Best:
    """In the order of groups, positives lie near the diagonal: only there scores are looked at.

    Both sorts are stable and `max` takes the first of equals, so of equal positives the earliest is taken.
    """
    score = torch.full((len(queries),), -torch.inf, dtype=torch.float64, device=queries.groups.device)
    place = torch.full_like(queries.groups, -1)
    asked, held = queries.groups.argsort(stable=True), gallery.groups.argsort(stable=True)
    sorted_groups = gallery.groups[held]
    for rows in _blocks(len(queries), block):
        some = asked[rows]
        groups = queries.groups[some]
        near = held[(sorted_groups >= groups[0]) & (sorted_groups <= groups[-1])]
        for columns in _blocks(len(near), block):
            members = near[columns]
            scores = queries.block(some) @ gallery.block(members).T
            top, at = scores.masked_fill_(groups[:, None] != gallery.groups[members], -torch.inf).max(1)
            better = top > score[some]
            score[some] = torch.where(better, top, score[some])
            place[some] = torch.where(better, members[at], place[some])
    return _Best(score, place)


def _ahead(scores: torch.Tensor, best: _Best, rows: slice, columns: slice) -> torch.Tensor:
    """How many items of a block of the gallery are ahead of each query's best positive.

    Args:
        scores: float64 [queries, items], of these rows and columns.
        best: of all queries.
        rows: which queries.
        columns: which items.
    """
    score, place = best.score[rows], best.place[rows]
    # Of a block before the positive ties count, too: all that is above the next smaller number.
    bar = torch.where(place >= columns.stop, score.nextafter(torch.full_like(score, -torch.inf)), score)
    ahead = (scores > bar[:, None]).sum(1, dtype=torch.int32)
    within = ((place > columns.start) & (place < columns.stop)).nonzero()[:, 0]
    if len(within):
        earlier = torch.arange(columns.start, columns.stop, device=place.device) < place[within, None]
        ahead[within] += ((scores[within] == score[within, None]) & earlier).sum(1, dtype=torch.int32)
    return ahead
