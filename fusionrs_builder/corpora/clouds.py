"""Which pixels lie under cloud or its shadow, by the publisher's own mask."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LANDSAT_QA = sum(1 << bit for bit in (0, 1, 2, 3, 4))
"""Bits of QA_PIXEL, Collection 2: fill, dilated cloud, cirrus, cloud, cloud shadow."""

SENTINEL2_SCL = (3, 8, 9, 10)
"""Classes of the scene classification: cloud shadow, cloud of medium and high probability, thin cirrus."""


def clouded(values: NDArray[Any], mask: str) -> NDArray[np.bool_]:
    """Pixels under cloud, bool [H, W].

    Args:
        values: the publisher's mask, integers [H, W].
        mask: how it is coded: landsat-qa or sentinel2-scl, as `CorpusSettings.cloud_mask`.
    """
    if mask == "landsat-qa":
        hit: NDArray[np.bool_] = (values.astype(np.int64) & LANDSAT_QA) != 0
        return hit
    return np.isin(values, SENTINEL2_SCL)
