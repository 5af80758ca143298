"""A judge of views by a few dozen numbers of each: how much there is of which grey level, pattern, gradient, frequency.

`discriminator.ViewDiscriminator` learns its own features, and a mean over a view hardly tells a rare thing from none: a
twentieth of a percent of bright pixels is nothing to it. Here shares are looked at as logarithms, and the judge learns
from the views of many steps, not of one batch, as a classifier does that is given them all. What it sees are soft
versions, with slopes, of what the two-sample test of `scores/c2st.py` sees: after training with it, that test is no
independent witness any more.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionrs_builder.translate.losses import logistic

LEVELS, STEEP = 32, 64.0
"""Equal bins of the grey levels, and the slope of their edges."""

LEVEL = 2 / 255
"""One grey level."""

CIRCLE = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
"""The eight neighbours, by row and column of a 3 x 3 window, in the order of the circle."""

COUNTS, TURNS = 9, 5
"""Of brighter neighbours, 0 to 8; of pairs of changes between brighter and darker around the circle, 0 to 4."""

GRADIENTS, RINGS = 12, 8
"""Bins of log2(1 + Sobel magnitude in grey levels); rings of the power spectrum."""

FEATURES = LEVELS + COUNTS + TURNS + GRADIENTS + RINGS

RARE = 1e-3
"""Added to a share before its logarithm."""

LEAST_SPREAD = 0.05
"""Least standard deviation to divide by."""

REAL, DRAWN, SAMPLE = 512, 192, 64
"""Views whose numbers are remembered, and how many of each are drawn for a step."""

PENALTY = 0.02
"""Of the squared gradient over the numbers of real views (R1)."""

WIDTH = 128


def view_features(views: Tensor) -> Tensor:
    """The numbers of each view, with slopes.

    Args:
        views: float [N, 1, H, W] in -1..1, one size.

    Returns:
        float [N, 66]: logarithms of the shares of grey levels, of counts of brighter neighbours and of changes around
        the circle (soft local binary patterns; Ojala et al., PAMI 2002), of gradients; log10 power of rings.
    """
    x = views
    edges = torch.linspace(-1, 1, LEVELS + 1, device=x.device)[1:-1]
    flat = x.flatten(1)
    shares = _between(torch.stack([torch.sigmoid(STEEP * (flat - edge)).mean(1) for edge in edges], 1))
    height, width = x.shape[2] - 2, x.shape[3] - 2
    near = {(r, c): x[..., r : r + height, c : c + width] for r in range(3) for c in range(3)}
    # A neighbour counts as brighter from half a grey level below on: as `>=` does of whole levels.
    brighter = torch.cat([torch.sigmoid((near[at] - near[1, 1] + LEVEL / 2) * (4 / LEVEL)) for at in CIRCLE], 1)
    count, changes = brighter.sum(1), (brighter - brighter.roll(1, 1)).abs().sum(1) / 2
    counts = torch.stack([F.relu(1 - (count - n).abs()).mean((1, 2)) for n in range(COUNTS)], 1)
    turns = torch.stack([F.relu(1 - (changes - n).abs()).mean((1, 2)) for n in range(TURNS)], 1)
    along = near[0, 2] + 2 * near[1, 2] + near[2, 2] - near[0, 0] - 2 * near[1, 0] - near[2, 0]
    down = near[2, 0] + 2 * near[2, 1] + near[2, 2] - near[0, 0] - 2 * near[0, 1] - near[0, 2]
    steps = torch.log2(1 + 127.5 * (along.square() + down.square() + 1e-6).sqrt())
    gradients = _between(torch.stack([torch.sigmoid(8 * (steps - n)).mean((1, 2, 3)) for n in range(1, GRADIENTS)], 1))
    logs = torch.log(torch.cat([shares, counts, turns, gradients], 1).clamp_min(0) + RARE)
    return torch.cat([logs, _rings(x)], 1)


def _between(above: Tensor) -> Tensor:
    """Shares between thresholds from the shares above each, [N, K] -> [N, K + 1]."""
    return torch.cat([torch.ones_like(above[:, :1]), above], 1) - torch.cat([above, torch.zeros_like(above[:, :1])], 1)


def _rings(views: Tensor) -> Tensor:
    """log10(1 + power), grey levels, of rings of the spectrum under a Hann window: [N, RINGS]."""
    size = tuple(views.shape[2:])
    window = torch.hann_window(size[0])[:, None] * torch.hann_window(size[1])
    lifted = 127.5 * (views - views.mean((2, 3), keepdim=True)) * window.to(views.device)
    power = torch.fft.fft2(lifted.squeeze(1)).abs().square()
    frequency = torch.hypot(torch.fft.fftfreq(size[0])[:, None], torch.fft.fftfreq(size[1]))
    bounds = torch.logspace(float(np.log10(1 / min(size))), float(np.log10(0.5)), RINGS + 1)
    ring = (torch.bucketize(frequency, bounds, right=True) - 1).to(views.device)
    return torch.log10(torch.stack([power[:, ring == n].mean(1) for n in range(RINGS)], 1) + 1)


class FeatureJudge(nn.Module):
    """Which views look real: numbers of a view, float [N, FEATURES] -> float [N], unbounded, positive for real.

    What is remembered are buffers: saved and resumed with the weights.
    """

    real: Tensor
    drawn: Tensor
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(FEATURES, WIDTH), nn.LeakyReLU(0.2), nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(0.2),
            nn.Linear(WIDTH, 1),
        )  # fmt: skip
        self.register_buffer("real", torch.zeros(REAL, FEATURES))
        self.register_buffer("drawn", torch.zeros(DRAWN, FEATURES))
        self.register_buffer("seen", torch.zeros(2, dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        known = self.real[: max(1, min(int(self.seen[1]), REAL))]
        standard = (features - known.mean(0)) / known.std(0, correction=0).clamp_min(LEAST_SPREAD)
        return self.net(standard).squeeze(1)  # type: ignore[no-any-return]

    def mistakes(self, real: Tensor, drawn: Tensor, rng: np.random.Generator) -> Tensor:
        """How far it is from telling real from drawn, of these views and of some that it saw before: a scalar.

        Args:
            real: numbers of real views.
            drawn: of drawn ones.
            rng: draws those seen before.
        """
        real, drawn = real.detach(), drawn.detach()
        for kind, (memory, values) in enumerate(((self.drawn, drawn), (self.real, real))):
            seen = int(self.seen[kind])
            memory[torch.arange(seen, seen + len(values), device=memory.device) % len(memory)] = values
            self.seen[kind] += len(values)
        before = [self._some(kind, memory, rng) for kind, memory in enumerate((self.drawn, self.real))]
        right = torch.cat([before[1], real]).requires_grad_()
        scores = self(right)
        (slope,) = torch.autograd.grad(scores.sum(), right, create_graph=True)
        told = logistic(scores, real=True) + logistic(self(torch.cat([before[0], drawn])), real=False)
        return told + PENALTY * slope.square().sum(1).mean()

    def _some(self, kind: int, memory: Tensor, rng: np.random.Generator) -> Tensor:
        held = min(int(self.seen[kind]), len(memory))
        return memory[torch.from_numpy(rng.integers(0, held, SAMPLE)).to(memory.device)]
