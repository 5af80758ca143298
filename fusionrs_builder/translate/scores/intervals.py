"""Means with 95 % bootstrap intervals, and differences of two contestants on the same images with theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BOOTSTRAP = 2000
"""Resamples of the images, with replacement, for each interval."""

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


def summarise(values: Sequence[float], seed: int = 0) -> Score:
    """The mean and its percentile bootstrap interval over images. `values` must not be empty."""
    array = np.asarray(values, np.float64)
    return interval(float(array.mean()), array[resamples(len(array), seed)].mean(axis=1))


def interval(mean: float, resampled: NDArray[np.float64]) -> Score:
    """The percentile interval of a quantity from its values on resampled images."""
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Score(mean, float(low), float(high))


def resamples(n: int, seed: int) -> NDArray[np.int64]:
    """Which images make up each resample: int64 [BOOTSTRAP, n]."""
    return np.random.default_rng(seed).integers(0, n, (BOOTSTRAP, n))


def table(values: Values, seed: int = 0) -> dict[str, Any]:
    """Scores of every contestant, and how the first one differs from each other one.

    Intervals of two means may overlap where one contestant is better on nearly every image; the interval of the mean
    difference, image by image, tells that. Images are resampled as if each were drawn by itself: where many are tiles
    of one scene the intervals are too narrow.

    Args:
        values: the first contestant is the one that is scored, the others are its controls.
        seed: of the bootstrap.

    Returns:
        `scores`: contestant -> metric -> `mean`, `low`, `high`; `differences`: the same for each control, of the first
        contestant's values minus the control's. JSON values only.
    """
    subject, *controls = values
    return {
        "scores": {
            name: {metric: asdict(summarise(found, seed)) for metric, found in of.items()}
            for name, of in values.items()
        },
        "differences": {
            control: {
                metric: asdict(summarise(np.subtract(values[subject][metric], found).tolist(), seed))
                for metric, found in values[control].items()
            }
            for control in controls
        },
    }
