"""LPIPS: how different two pictures look to a network (Zhang et al., CVPR 2018), with AlexNet."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.translate.scores import weights

SMALLEST = 64
"""Pixels below which a side is too short for the strides of AlexNet."""

Distance = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]


def load_lpips() -> Distance | str:
    """The distance of two views uint8 [H, W], 0 where they are equal; in words why there is none.

    Raises:
        FusionError: the weights are damaged.
    """
    reason = weights.missing(weights.ALEXNET)
    if reason:
        return reason
    import torch
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    metric = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)

    def distance(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
        both = (torch.from_numpy(view.astype(np.float32) / 255).expand(1, 3, *view.shape) for view in (a, b))
        with torch.no_grad():
            return float(metric(*both))

    return distance
