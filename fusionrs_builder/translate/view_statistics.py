"""What whole views are like, and how far drawn ones are from real ones: a loss for images without pairs.

A discriminator of patches sees no view as a whole. What a camera does to all of a frame at once (its automatic gain
spreads every scene over the grey levels) is a matter of the view, and so is told apart by anyone who looks at one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionrs_builder.translate.losses import laplacian, log_gradient

REAL, DRAWN = 256, 32
"""Views that are remembered: the handful of one batch makes no distribution, and what was drawn long ago is no guide to
what is drawn now (with 256 drawn views the tones swing to and fro about the right ones)."""

TONES, STEPS = 16, 8
"""Parts of the sorted intensities; of the sorted gradients, and Laplacians, at each size."""

SIZES = 4
"""The view itself, and halved three times."""

LEAST = 64
"""Pixels of the shorter side of a view: of fewer, too little is left when it was halved three times."""

FEATURES = TONES + SIZES * (2 * STEPS + 1)

LEAST_SPREAD = 0.05
"""Least standard deviation to divide by: what all real views share to a hair is not worth more than all the rest."""


def view_statistics(views: Tensor) -> Tensor:
    """Numbers by which a view is like others whatever it shows.

    Args:
        views: float [N, 1, H, W] in -1..1, a side at least `LEAST`.

    Returns:
        float [N, 84], with gradients: the intensities, sorted, by the means of 16 parts; at full, half, quarter and
        eighth size likewise log(1 + gradient magnitude in grey levels) and the Laplacian over its root mean square, in
        8 parts each, and the log of that root.
    """
    x = views.float()
    found = [_steps(x, TONES)]
    for size in range(SIZES):
        if size:
            x = F.avg_pool2d(x, 2)
        found.append(_steps(log_gradient(x), STEPS))
        sharp = laplacian(x)
        power = sharp.square().mean((1, 2, 3), keepdim=True) + 1e-6
        found += [_steps(sharp / power.sqrt(), STEPS), 0.5 * power.log().flatten(1)]
    return torch.cat(found, 1)


def _steps(images: Tensor, count: int) -> Tensor:
    """[N, 1, H, W] -> [N, count]: means of the sorted values in equal parts: every pixel has a slope."""
    return F.adaptive_avg_pool1d(images.flatten(1).sort(1).values, count)


class StatisticsLoss(nn.Module):
    """How far the statistics of drawn views lie from those of real ones, each as a distribution over many views.

    Of each statistic, the 1-Wasserstein distance: a drawn view whose value has some rank among those drawn lately
    should have the value of that rank among the real ones. What is remembered are buffers: saved and resumed with the
    weights.
    """

    real: Tensor
    drawn: Tensor
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("real", torch.zeros(REAL, FEATURES))
        self.register_buffer("drawn", torch.zeros(DRAWN, FEATURES))
        self.register_buffer("seen", torch.zeros(2, dtype=torch.int64))

    def forward(self, drawn: Tensor, real: Tensor) -> Tensor:
        """A scalar: the mean over all statistics, in standard deviations over the real views.

        Args:
            drawn: [N, 1, H, W] in -1..1.
            real: float [N, 1, H, W] in -1..1, of any other scenes.
        """
        statistics = view_statistics(drawn)
        ours = self._remember(self.drawn, 0, statistics.detach()).sort(0).values
        theirs = self._remember(self.real, 1, view_statistics(real).detach()).sort(0).values
        # Among equals the rank is the middle one: what is all alike is drawn to the middle of the real views.
        values, ranked = statistics.detach().T.contiguous(), ours.T.contiguous()
        rank = (torch.searchsorted(ranked, values) + torch.searchsorted(ranked, values, right=True)) / 2
        wanted = theirs.gather(0, (rank / len(ours) * len(theirs)).long().clamp(max=len(theirs) - 1).T)
        far = ((statistics - wanted).abs() / theirs.std(0, correction=0).clamp_min(LEAST_SPREAD)).mean()
        return far * min(1.0, len(theirs) / DRAWN)  # of the first few real views, the spread says nothing

    def _remember(self, memory: Tensor, kind: int, values: Tensor) -> Tensor:
        """These values and all that was remembered; they then take the place of the oldest."""
        seen, size = int(self.seen[kind]), len(memory)
        known = torch.cat([memory[: min(seen, size)], values])
        kept = values[-size:]
        memory[torch.arange(seen, seen + len(kept), device=memory.device) % size] = kept
        self.seen[kind] += len(kept)
        return known
