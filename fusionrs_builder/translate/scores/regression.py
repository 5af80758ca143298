"""Per-pixel regressions of near infrared on colour: what needs no network, and so what a network must beat.

Fitted on pairs that are not scored. A hundred thousand pixels are enough, so that neither time nor memory grows with
the workspace.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from fusionrs_builder.translate.pairs import Pair
from fusionrs_builder.translate.translator import Images, check

CONTEXTS = (5, 15, 41)
"""Sides, in pixels, of the windows that the boosted regression sees around a pixel."""

PIXELS = 100_000
"""Pixels that are fitted on, the same number from every pair."""

PAIRS = 1000
"""Pairs that are enough to fit on."""

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Regression:
    """A fitted regression, as a `Translator`.

    Attributes:
        name: `quadratic regression` or `boosted regression`.
        features: uint8 [H, W, 3] -> float32 [H * W, F].
        predict: float32 [M, F] -> grey levels, float [M].
    """

    name: str
    features: Callable[[NDArray[np.uint8]], Features]
    predict: Callable[[Features], NDArray[Any]]
    band: str = "nir"
    sha256: None = None

    @property
    def source(self) -> str:
        return self.name

    def translate(self, rgb: Images) -> Images:
        check(rgb)
        if isinstance(rgb, np.ndarray):
            return np.stack([self._draw(image.transpose(1, 2, 0)) for image in rgb])[:, None]
        import torch

        return torch.from_numpy(self.translate(rgb.cpu().numpy())).to(rgb.device)

    def _draw(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        levels = self.predict(self.features(rgb)).reshape(rgb.shape[:2])
        drawn: NDArray[np.uint8] = levels.round().clip(0, 255).astype(np.uint8)
        return drawn


def quadratic(rgb: NDArray[np.uint8]) -> Features:
    """1, R, G, B and their six products: uint8 [H, W, 3] -> float32 [H * W, 10], colours in 0..1."""
    colours = rgb.reshape(-1, 3).astype(np.float32) / 255
    products = [colours[:, i] * colours[:, j] for i in range(3) for j in range(i, 3)]
    return np.column_stack([np.ones(len(colours), np.float32), colours, *products])


def contextual(rgb: NDArray[np.uint8]) -> Features:
    """R, G, B, and their means and standard deviations over windows of `CONTEXTS`, mirrored at the border.

    Args:
        rgb: uint8 [H, W, 3].

    Returns:
        float32 [H * W, 21], colours in 0..1.
    """
    colours = rgb.astype(np.float32) / 255
    seen: list[NDArray[Any]] = [colours]
    for side in CONTEXTS:
        mean, square = (uniform_filter(x, (side, side, 0), mode="mirror") for x in (colours, colours * colours))
        seen += [mean, np.sqrt((square - mean * mean).clip(0))]
    return np.concatenate(seen, axis=2, dtype=np.float32).reshape(rgb.shape[0] * rgb.shape[1], -1)


def fit_regressions(pairs: Iterable[Pair], n: int, seed: int = 0) -> list[Regression]:
    """Fit both regressions.

    Args:
        pairs: to fit on, none of those that are scored; one in memory at a time.
        n: how many they are.
        seed: of the choice of pixels.

    Returns:
        Least squares on `quadratic`, and gradient boosting (scikit-learn's histograms, 100 trees of 31 leaves) on
        `contextual`; none where there are no pairs.
    """
    if not n:
        return []
    from sklearn.ensemble import HistGradientBoostingRegressor

    rng = np.random.default_rng(seed)
    simple, wide, levels = [], [], []
    for pair in pairs:
        at = rng.integers(pair.ir.size, size=max(1, PIXELS // n))
        simple.append(quadratic(pair.rgb)[at])
        wide.append(contextual(pair.rgb)[at])
        levels.append(pair.ir.ravel()[at].astype(np.float32))
    target = np.concatenate(levels)
    weights = np.linalg.lstsq(np.concatenate(simple), target, rcond=None)[0]
    boosted = HistGradientBoostingRegressor(early_stopping=False, random_state=seed)
    boosted.fit(np.concatenate(wide), target)
    return [
        Regression("quadratic regression", quadratic, lambda features: features @ weights),
        Regression("boosted regression", contextual, boosted.predict),
    ]
