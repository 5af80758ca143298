"""Average precision of what images show, class by class, and its mean over classes (mAP).

A class ranks all images by its score. Its average precision is the sum, over falling scores, of the precision times
the growth of recall, without interpolation; images of equal score come in together. That is scikit-learn's
`average_precision_score`. An image that failed is never found: its classes stay in the denominator of recall.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusionrs_builder.errors import FusionError
from fusionrs_builder.intervals import Estimate, draws

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Presence:
    """What a model says of the presence of classes.

    Attributes:
        classes: the average precision of each class that some image shows, 0..1.
        mean: over these classes (mAP).
        absent: classes that no image shows. They are not part of the mean.
        images: how many there are.
        failed: how many of these failed.
    """

    classes: dict[str, Estimate]
    mean: Estimate
    absent: tuple[str, ...]
    images: int
    failed: int


def presence(
    scores: ArrayLike, truth: ArrayLike, classes: Sequence[str], failed: ArrayLike | None = None, seed: int = 0
) -> Presence:
    """Average precision of each class, on all images and on resamples of them.

    Where a resample shows no image of a class, its mean is that of the other classes.

    Args:
        scores: floats [N, C], higher where the model sees the class; their scale does not matter.
        truth: [N, C], whether the image shows it.
        classes: C names.
        failed: [N], images that got no scores; None: none. Their scores may be anything.
        seed: of the bootstrap.

    Raises:
        FusionError: shapes differ, a name is empty or comes twice, a score is not a number, or no image shows any
            class.
    """
    marks, shown = np.asarray(scores, np.float64), np.asarray(truth, bool)
    count = len(marks)
    lost = np.zeros(count, bool) if failed is None else np.asarray(failed, bool)
    if marks.shape != (count, len(classes)) or shown.shape != marks.shape or lost.shape != (count,):
        raise FusionError(
            f"scores {marks.shape}, truth {shown.shape}, failed {lost.shape} and {len(classes)} classes do not fit: "
            "scores and truth have a row an image and a column a class"
        )
    if len(set(classes)) < len(classes) or not all(name.strip() for name in classes):
        raise FusionError(f"classes must have names, and each its own: {', '.join(map(repr, classes))}")
    broken = np.argwhere(np.isnan(marks) & ~lost[:, None]).tolist()
    if broken:
        image, column = broken[0]
        raise FusionError(f"image {image} (from 0, of {count}): the score of {classes[column]!r} is not a number")
    columns = np.flatnonzero(shown.any(axis=0)).tolist()
    if not columns:
        raise FusionError(f"no image shows any of the classes {', '.join(classes)}: are labels spelled as they are?")
    orders = [_Order(marks[:, column], shown[:, column], lost) for column in columns]
    value = np.array([order.average_precision(np.ones((1, count)))[0] for order in orders])
    resampled = np.concatenate(
        [np.stack([order.average_precision(drawn) for order in orders], axis=1) for drawn in draws(count, seed)]
    )
    found = {classes[column]: Estimate(float(value[at]), resampled[:, at], count) for at, column in enumerate(columns)}
    mean = Estimate(float(value.mean()), _mean(resampled), count)
    return Presence(found, mean, tuple(name for name in classes if name not in found), count, int(lost.sum()))


class _Order:
    """The images that show a class, and those that do not, by falling score."""

    def __init__(self, scores: Floats, truth: NDArray[np.bool_], failed: NDArray[np.bool_]) -> None:
        self.positives = np.flatnonzero(truth)
        kept = np.flatnonzero(~failed)
        self.images = kept[np.argsort(-scores[kept], kind="stable")]
        self.truth = truth[self.images].astype(np.float64)
        falling = scores[self.images]
        self.last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)) if len(kept) else kept

    def average_precision(self, times: Floats) -> Floats:
        """[B] of images that are there so many times, [B, N]; NaN where none shows the class."""
        drawn = times[:, self.images]
        taken = np.cumsum(drawn, axis=1)[:, self.last]
        right = np.cumsum(drawn * self.truth, axis=1)[:, self.last]
        precision = right / np.maximum(taken, 1)
        total = times[:, self.positives].sum(axis=1)
        found = (np.diff(right, axis=1, prepend=0) * precision).sum(axis=1)
        return _share(found, total)


def _mean(values: Floats) -> Floats:
    """Over the columns that have a value; NaN where none has."""
    known = ~np.isnan(values)
    return _share(np.where(known, values, 0).sum(axis=1), known.sum(axis=1, dtype=np.float64))


def _share(part: Floats, whole: Floats) -> Floats:
    """Quotients; NaN where the whole is 0."""
    quotients: Floats = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return quotients
