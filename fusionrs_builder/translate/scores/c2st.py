"""A two-sample classifier test (Lopez-Paz and Oquab, ICLR 2017): can drawn views be told from real frames?

50 % means that they cannot be told apart by these features; 100 % that every one can.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.translate.quality import gradient_magnitude

FOLDS = 5
TREES = 200

LEVELS, GRADIENTS, PATTERNS, RINGS = 16, 12, 10, 8
"""Bins of the intensities, of the gradients, of the local binary patterns; rings of the power spectrum."""

_CIRCLE = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
"""The eight neighbours, by row and column of a 3 x 3 window, in the order of the circle."""


def features(view: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the classifier sees of a view.

    Args:
        view: uint8 [H, W]; all views of a test have one size and went the same way from sensor to file.

    Returns:
        float64 [47]: shares of 16 bins of intensity; of 12 bins of log2(1 + Sobel magnitude); of the 10 uniform,
        rotation-invariant local binary patterns of the 8 neighbours (Ojala et al., PAMI 2002); log power of 8 rings of
        the spectrum, and its slope over log frequency.
    """
    levels = np.bincount(view.ravel() // (256 // LEVELS), minlength=LEVELS) / view.size
    magnitude = np.log2(1 + gradient_magnitude(view).ravel())
    gradients = np.bincount(np.minimum(magnitude, GRADIENTS - 1).astype(np.intp), minlength=GRADIENTS) / magnitude.size
    return np.concatenate([levels, gradients, _patterns(view), _spectrum(view)])


def _patterns(view: NDArray[np.uint8]) -> NDArray[np.float64]:
    height, width = view.shape
    centre = view[1:-1, 1:-1]
    bits = np.stack([view[y : height - 2 + y, x : width - 2 + x] >= centre for y, x in _CIRCLE])
    ones = bits.sum(axis=0)
    changes = (bits != np.roll(bits, 1, axis=0)).sum(axis=0)
    codes = np.where(changes <= 2, ones, PATTERNS - 1)
    return np.bincount(codes.ravel(), minlength=PATTERNS) / codes.size


def _spectrum(view: NDArray[np.uint8]) -> NDArray[np.float64]:
    x = view - view.mean()
    window = np.hanning(x.shape[0])[:, None] * np.hanning(x.shape[1])
    power = np.abs(np.fft.fft2(x * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(x.shape[0])[:, None], np.fft.fftfreq(x.shape[1]))
    edges = np.geomspace(1 / min(x.shape), 0.5, RINGS + 1)
    ring = np.digitize(frequency.ravel(), edges) - 1
    inside = (ring >= 0) & (ring < RINGS)
    sums = np.bincount(ring[inside], power.ravel()[inside], RINGS)
    logs = np.log10(sums / np.maximum(np.bincount(ring[inside], minlength=RINGS), 1) + 1)
    slope = np.polyfit(np.log10(np.sqrt(edges[1:] * edges[:-1])), logs, 1)[0]
    return np.append(logs, slope)


def told_apart(
    drawn: Sequence[NDArray[np.float64]], real: Sequence[NDArray[np.float64]], groups: Sequence[str], seed: int = 0
) -> list[float] | str:
    """Which views a classifier that has not seen them puts on the right side.

    A random forest of 200 trees, cross-validated in five folds (fewer where there are fewer groups); a group lies in
    one fold, so that neither a frame nor its neighbour is in the training and the test set at once.

    Args:
        drawn: features of each drawn view.
        real: features of each real frame, as many.
        groups: of the drawn views and then of the real frames: what must not be split.
        seed: of the folds and the forest.

    Returns:
        1.0 or 0.0 for each drawn view and then each real frame; their mean is the accuracy. In words why there is none.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedGroupKFold

    n = len(drawn)
    fewest = min(len(set(groups[:n])), len(set(groups[n:])))
    if fewest < 2:
        return "all drawn views or all real frames are of one group, which no fold may split"
    x, y = np.stack([*drawn, *real]), np.repeat([0, 1], [n, len(real)])
    folds = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=seed)
    right = np.zeros(len(y))
    for train, test in folds.split(x, y, groups):
        forest = RandomForestClassifier(TREES, class_weight="balanced", random_state=seed)
        right[test] = forest.fit(x[train], y[train]).predict(x[test]) == y[test]
    found: list[float] = right.tolist()
    return found
