"""KID and FID: how far apart two sets of pictures lie for a network trained on photographs."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.translate.scores import weights

SUBSETS, SUBSET = 100, 100
"""Subsets of so many images that the mean of KID is taken over."""

Extractor = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""A view uint8 [H, W] -> float32 [F]."""


def load_inception() -> Extractor | str:
    """The 2,048 features of Inception v3 that FID is defined by; in words why there are none.

    Raises:
        FusionError: the weights are damaged.
    """
    reason = weights.missing(weights.INCEPTION)
    if reason:
        return reason
    import torch
    from torchmetrics.image.fid import NoTrainInceptionV3

    network = NoTrainInceptionV3("inception-v3-compat", ["2048"])

    def extract(view: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.no_grad():
            found: NDArray[np.float32] = network(torch.from_numpy(view).expand(1, 3, *view.shape))[0].numpy()
        return found

    return extract


def distances(drawn: Sequence[NDArray[np.float32]], real: Sequence[NDArray[np.float32]], seed: int) -> dict[str, float]:
    """KID (Binkowski et al., ICLR 2018) and FID (Heusel et al., NeurIPS 2017) of two sets of features.

    Args:
        drawn: float32 [F] each.
        real: the same.
        seed: of the subsets of KID.

    Returns:
        `kid` and its standard deviation over subsets, `kid_std`; `fid`, which is biased upwards for fewer images than
        features: compare it between contestants of one table only.
    """
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    class Given(torch.nn.Module):
        num_features = len(real[0])

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features

    subset = min(SUBSET, len(drawn), len(real))
    kid = KernelInceptionDistance(Given(), subsets=SUBSETS, subset_size=subset)
    fid = FrechetInceptionDistance(Given())
    for features, is_real in ((drawn, False), (real, True)):
        for metric in (kid, fid):
            metric.update(torch.from_numpy(np.stack(features)), real=is_real)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, std = kid.compute()
    return {"kid": float(mean), "kid_std": float(std), "fid": float(fid.compute())}
