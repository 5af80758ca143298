"""How far the outlines of an infrared view are those of the visible one, whatever is bright and whatever dark."""

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.translate.quality import edge_agreement


def structure(ir: NDArray[np.uint8], rgb: NDArray[np.uint8]) -> float:
    """`quality.edge_agreement`: of `gray` 1 by definition; what a sensor measured has less.

    Args:
        ir: uint8 [H, W].
        rgb: uint8 [H, W, 3].

    Returns:
        -1..1; 0 where either view has no edges, as nothing was kept.
    """
    return edge_agreement(ir, rgb) or 0.0
