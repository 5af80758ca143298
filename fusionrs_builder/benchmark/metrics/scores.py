"""A metric over images, kept as what each image adds to it.

The BLEU of a corpus is no mean over its images but a function of their summed counts, as METEOR's is. Kept as sums, the
value of one image, of all, and of any resample of them is one function.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fusionrs_builder.benchmark.metrics.captions import Floats
from fusionrs_builder.intervals import Estimate, draws


@dataclass(frozen=True)
class Scores:
    """A metric of N images.

    Attributes:
        ids: of the images, in the order of all that follows.
        parts: [N, P] what each image adds to the quantities that the metric is computed from.
        value: from sums of them, [..., P], to the metric, [...].
    """

    ids: tuple[str, ...]
    parts: Floats
    value: Callable[[Floats], Floats]

    @property
    def images(self) -> Floats:
        """[N] the metric of each image alone."""
        return self.value(self.parts)

    @property
    def corpus(self) -> float:
        """The metric of all images together."""
        return float(self.value(self.parts.sum(0)))

    def estimate(self, seed: int = 0) -> Estimate:
        """The metric of all images, and of resamples of them; those of one seed and number of images are the same."""
        resampled = np.concatenate([self.value(drawn @ self.parts) for drawn in draws(len(self.ids), seed)])
        return Estimate(self.corpus, resampled, len(self.ids))


def mean_of(ids: tuple[str, ...], images: Floats) -> Scores:
    """A metric whose value over a corpus is the mean of one value an image, [N]."""
    return Scores(ids, np.stack([images, np.ones_like(images)], -1), _mean)


def _mean(parts: Floats) -> Floats:
    return np.asarray(parts[..., 0] / parts[..., 1])
