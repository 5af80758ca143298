"""Six statistics of a view, and how far two sets of views lie apart in each."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.intervals import Score, interval, resamples
from fusionrs_builder.translate.quality import gradient_magnitude, ir_quality

STATISTICS = ("intensity", "contrast", "entropy", "edges", "laplacian", "saturation")

LEAST_UNIT = {name: 0.01 if name == "saturation" else 0.0 for name in STATISTICS}
"""`least` of `gaps`. Real frames are seldom saturated: their standard deviation would make a gulf of a few pixels."""


def statistics(view: NDArray[np.uint8]) -> dict[str, float]:
    """What a view is like.

    Args:
        view: uint8 [H, W], at least 3 x 3.

    Returns:
        intensity: mean, 0..255.
        contrast: standard deviation, 0..127.5.
        entropy: of the 256-bin histogram, 0..8 bits.
        edges: mean magnitude of the 3 x 3 Sobel gradient.
        laplacian: variance of the 4-neighbour Laplacian: how sharp and how noisy.
        saturation: share of pixels at 0 or 255.
    """
    x = view.astype(np.float64)
    laplacian = x[1:-1, 2:] + x[1:-1, :-2] + x[2:, 1:-1] + x[:-2, 1:-1] - 4 * x[1:-1, 1:-1]
    return {
        "intensity": float(x.mean()),
        "contrast": float(x.std()),
        "entropy": ir_quality(view, None)["entropy"],
        "edges": float(gradient_magnitude(view).mean(dtype=np.float64)),
        "laplacian": float(laplacian.var()),
        "saturation": saturation(view),
    }


def saturation(view: NDArray[np.uint8]) -> float:
    """Share of pixels at 0 or 255."""
    return float(((view == 0) | (view == 255)).mean())


def gaps(
    drawn: Mapping[str, Sequence[float]], real: Sequence[float], seed: int = 0, least: float = 0.0
) -> tuple[dict[str, Score], dict[str, Score]]:
    """How far the values of one statistic over drawn views lie from those over real frames.

    The 1-Wasserstein distance: how much the values would have to move for the two distributions to be one. Unlike the
    difference of means it sees that all drawn views are alike where real ones differ, and unlike a test of
    distributions it has no bins and keeps its unit; it is divided by the standard deviation over the real frames (where
    that is 0, it stays in the statistic's own unit).

    Args:
        drawn: for each contestant the value of each view, in the same order; the first is the one that is scored.
        real: the value of each real frame, as many.
        seed: of the bootstrap, over drawn views (the same for every contestant) and real frames.
        least: the standard deviation to divide by at least.

    Returns:
        For each contestant its distance; for each but the first how much farther the first is (negative: closer).
    """
    unit = max(float(np.std(real)), least) or 1.0
    n = len(real)
    frames = np.sort(np.asarray(real)[resamples(n, seed + 1)], axis=1)
    means, resampled = {}, {}
    for name, values in drawn.items():
        array = np.asarray(values)
        # Of two sets of one size the distance is the mean difference of their sorted values.
        means[name] = float(np.abs(np.sort(array) - np.sort(real)).mean()) / unit
        resampled[name] = np.abs(np.sort(array[resamples(n, seed)], axis=1) - frames).mean(axis=1) / unit
    subject, *controls = drawn
    return (
        {name: interval(means[name], resampled[name]) for name in drawn},
        {name: interval(means[subject] - means[name], resampled[subject] - resampled[name]) for name in controls},
    )
