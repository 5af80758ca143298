"""Quantities with 95 % bootstrap intervals over images, and differences of contestants on the same images with theirs.

An `Estimate` is a quantity and its values on resampled images. One seed and number of images give the same resamples
whatever is measured, so the estimates of two contestants are paired: the values of their difference, or of an average
of several quantities, on the resampled images are those of theirs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BOOTSTRAP = 2000
"""Resamples of the images, with replacement, for each interval."""

CELLS = 1 << 22
"""Resamples times images that are held in one go by `draws`: 32 MB."""

Values = Mapping[str, Mapping[str, Sequence[float]]]
"""For each contestant and metric one value an image; the images of a metric are the same for every contestant."""


@dataclass(frozen=True)
class Score:
    """A mean over images with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Estimate:
    """A quantity over `n` images.

    Attributes:
        value: over all of them.
        resampled: on resampled images, [BOOTSTRAP]; NaN where a resample holds nothing to measure it on.
        n: how many images were resampled.
    """

    value: float
    resampled: NDArray[np.float64]
    n: int

    def __sub__(self, other: "Estimate") -> "Estimate":
        if self.n != other.n:
            raise ValueError(f"a difference is taken on the same images, not on {self.n} and {other.n}")
        return Estimate(self.value - other.value, self.resampled - other.resampled, self.n)

    @property
    def score(self) -> Score:
        return interval(self.value, self.resampled)


def summarise(values: Sequence[float], seed: int = 0) -> Score:
    """The mean and its percentile bootstrap interval over images. `values` must not be empty."""
    return estimate(values, seed).score


def estimate(values: Sequence[float], seed: int = 0) -> Estimate:
    """The mean of one value an image. `values` must not be empty."""
    array = np.asarray(values, np.float64)
    resampled = np.concatenate([drawn @ array for drawn in draws(len(array), seed)]) / len(array)
    return Estimate(float(array.mean()), resampled, len(array))


def means(samples: Mapping[str, tuple[ArrayLike, ArrayLike]], seed: int = 0) -> dict[str, Estimate]:
    """The mean of several values an image: all that belong to an image are resampled together.

    Args:
        samples: for each metric its values, float [N], and the image that each belongs to, int [N] (any numbers). The
            images of all metrics are resampled as one set. What failed has a value too, such as 0.
        seed: of the bootstrap.

    Raises:
        ValueError: a metric has no values, or one that is not finite.
    """
    taken = {name: (np.asarray(values, np.float64), np.asarray(of)) for name, (values, of) in samples.items()}
    for name, (values, _) in taken.items():
        if not len(values) or not np.isfinite(values).all():
            raise ValueError(f"{name}: no values, or some that are not finite")
    images, place = np.unique(np.concatenate([of for _, of in taken.values()]), return_inverse=True)
    n, ends = len(images), np.cumsum([len(of) for _, of in taken.values()])
    places = np.split(place, ends[:-1])
    sums = np.stack(
        [np.bincount(at, values, n) for at, (values, _) in zip(places, taken.values(), strict=True)], axis=1
    )
    counts = np.stack([np.bincount(at, minlength=n) for at in places], axis=1).astype(np.float64)
    with np.errstate(invalid="ignore"):  # 0 / 0: a metric of few images, none of which was drawn
        resampled = np.concatenate([(drawn @ sums) / (drawn @ counts) for drawn in draws(n, seed)])
    return {name: Estimate(float(taken[name][0].mean()), resampled[:, column], n) for column, name in enumerate(taken)}


def average(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of several quantities over the same images."""
    return Estimate(
        float(np.mean([each.value for each in estimates])),
        np.mean([each.resampled for each in estimates], axis=0),
        estimates[0].n,
    )


def interval(mean: float, resampled: NDArray[np.float64]) -> Score:
    """The percentile interval of a quantity from its values on those resampled images that it has a value on."""
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return Score(mean, float(low), float(high))


def resamples(n: int, seed: int) -> NDArray[np.int64]:
    """Which images make up each resample: int64 [BOOTSTRAP, n]."""
    return np.random.default_rng(seed).integers(0, n, (BOOTSTRAP, n))


def draws(n: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each of `n` images is in each resample: whole numbers [some, n], `BOOTSTRAP` rows in all.

    They are the resamples of `resamples`, which for 100,000 images are 1.6 GB in one piece.
    """
    random = np.random.default_rng(seed)
    some = max(1, CELLS // n)
    for start in range(0, BOOTSTRAP, some):
        count = min(some, BOOTSTRAP - start)
        yield np.stack([np.bincount(random.integers(0, n, n), minlength=n) for _ in range(count)]).astype(np.float64)


def table(values: Values, seed: int = 0) -> dict[str, Any]:
    """`compare` of the means of one value an image.

    Images are resampled as if each were drawn by itself: where many are tiles of one scene the intervals are too
    narrow.
    """
    return compare(
        {name: {metric: estimate(found, seed) for metric, found in of.items()} for name, of in values.items()}
    )


def compare(contestants: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
    """Scores of every contestant, and how the first one differs from each other one.

    Intervals of two means may overlap where one contestant is better on nearly every image; the interval of the mean
    difference, image by image, tells that.

    Args:
        contestants: the estimates of each, on the same images and resamples; the first contestant is the one that is
            scored, the others are its controls.

    Returns:
        `scores`: contestant -> metric -> `mean`, `low`, `high`; `differences`: the same for each control, of the first
        contestant's values minus the control's. JSON values only.
    """
    subject, *controls = contestants
    return {
        "scores": {
            name: {metric: asdict(found.score) for metric, found in of.items()} for name, of in contestants.items()
        },
        "differences": {
            control: {
                metric: asdict((contestants[subject][metric] - found).score)
                for metric, found in contestants[control].items()
            }
            for control in controls
        },
    }
