"""Recall at k of retrieval between visible images, infrared images and captions, in six directions.

R@k is the share of queries that have a positive among the first k of the gallery: any one is enough, though an image
has five captions. Queries that failed, or whose positives all failed, stay in the denominator. Two protocols:

- FusionRS rc4. The positives are the items of the same group of captions, and one record stands for a group.
  Mean R is the mean of R@1, R@5 and R@10 in the four directions that infrared is part of.
- RemoteCLIP, on RSICD, RSITMD and UCM-Captions. A group is an image and its captions; the mean recall is that of R@1,
  R@5 and R@10 in both directions between images and captions. CLIP_benchmark counts alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.benchmark.metrics.ranks import BLOCK, NEVER, Ranks, Side, ranks
from fusionrs_builder.intervals import Estimate, average, means

CUTS = (1, 5, 10)
"""The k of R@k."""

DIRECTIONS = ("rgb->text", "text->rgb", "ir->text", "text->ir", "rgb->ir", "ir->rgb")
"""Query -> gallery."""

REMOTECLIP = DIRECTIONS[:2]
"""What RemoteCLIP's mean recall is the mean of."""

FUSIONRS = DIRECTIONS[2:]
"""What the Mean R of FusionRS rc4 is the mean of."""


@dataclass(frozen=True)
class Retrieval:
    """What was found in one direction.

    Attributes:
        ranks: of the best positive of each query, [N].
        images: the image that each query belongs to, [N].
        failed: how many queries failed.
    """

    ranks: Ranks
    images: NDArray[np.int64]
    failed: int

    def recall(self, k: int) -> float:
        """R@k, 0..1."""
        return float(self.hits(k).mean())

    def hits(self, k: int) -> NDArray[np.bool_]:
        """Which queries have a positive among the first k, [N]."""
        return self.ranks <= k

    @property
    def counts(self) -> dict[str, int]:
        """`queries`, and of these the `failed` and those `without_positive` in the gallery. Both miss."""
        never = int((self.ranks == NEVER).sum())
        return {"queries": len(self.ranks), "failed": self.failed, "without_positive": never - self.failed}


def retrieve(*sides: Side, block: int = BLOCK) -> dict[str, Retrieval]:
    """Every direction between the sides: for `rgb`, `ir` and `text` all of `DIRECTIONS`.

    Args:
        sides: the modalities; their groups are numbered alike.
        block: see `ranks`.

    Raises:
        FusionError: see `ranks`.
    """
    found = {}
    for pair in combinations(sides, 2):
        for (query, gallery), ranked in zip((pair, pair[::-1]), ranks(*pair, block), strict=True):
            images = np.asarray(query.images, np.int64)
            found[f"{query.name}->{gallery.name}"] = Retrieval(ranked, images, int(query.failures.sum()))
    return found


def recalls(
    found: Mapping[str, Retrieval],
    averages: Mapping[str, Sequence[str]] | None = None,
    cuts: Sequence[int] = CUTS,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Recalls with what intervals and differences are made of; images are resampled with all their queries.

    Args:
        found: by direction.
        averages: means over directions and cuts by their names, such as `{"Mean R": FUSIONRS}`.
        cuts: the k.
        seed: of the bootstrap.

    Returns:
        `<direction> R@<k>` of every direction and cut, then the averages; 0..1.

    Raises:
        KeyError: an average is over a direction that is not in `found`.
    """
    names = {(direction, k): f"{direction} R@{k}" for direction in found for k in cuts}
    each = means({name: (found[way].hits(k), found[way].images) for (way, k), name in names.items()}, seed)
    whole = {
        name: average([each[names[direction, k]] for direction in directions for k in cuts])
        for name, directions in (averages or {}).items()
    }
    return each | whole
