"""The 70 x 70 PatchGAN discriminator (Isola et al., CVPR 2017): which patches of an image look real.

Without the paper's norm: an instance norm hides from the judge how bright a view is and how much contrast it has,
which is half of what tells infrared from grey.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TONES, TONE_SLOPE = 32, 4.0
"""Soft thresholds of the grey levels that `ViewDiscriminator` looks at, and how steep they are."""

SLOPE = 0.2
"""Of the leaky ReLU below zero."""


class PatchDiscriminator(nn.Module):
    """float [N, in, H, W] in -1..1 -> float [N, 1, H / 8 - 2, W / 8 - 2]: one unbounded score a patch of 70 pixels.

    C64, C128, C256 of stride 2, C512 and the score of stride 1, in the paper's own words; 64 is `ndf`.

    Args:
        in_channels: of the image; of image and condition together, where there is one.
        ndf: channels after the first layer.
    """

    def __init__(self, in_channels: int, ndf: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, ndf, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
        ]
        for (before, after), stride in zip(pairwise((ndf, 2 * ndf, 4 * ndf, 8 * ndf)), (2, 2, 1), strict=True):
            layers += [
                nn.Conv2d(before, after, 4, stride=stride, padding=1),
                nn.LeakyReLU(SLOPE, inplace=True),
            ]
        layers.append(nn.Conv2d(8 * ndf, 1, 4, padding=1))
        self.model = nn.Sequential(*layers)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):  # no norm makes up for a signal that fades from layer to layer
                nn.init.kaiming_normal_(layer.weight, SLOPE)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)  # type: ignore[no-any-return]


class ViewDiscriminator(nn.Module):
    """Which views look real as a whole: float [N, 1, H, W] in -1..1 -> float [N], unbounded, positive for real.

    Five convolutions of 3 x 3, the last three of stride 2; of every layer, and of soft thresholds of the grey levels,
    the mean over the view goes into two linear layers. So it judges by how much there is of what, like a histogram of
    levels, edges or textures does, and never by what is where: a view of fields may be as real as one of roofs.

    Args:
        width: channels of the first two convolutions; twice as many in the others.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tones = nn.Conv2d(1, TONES, 1)
        shape = ((1, width, 1), (width, width, 1), (width, 2 * width, 2), (2 * width, 2 * width, 2),
                 (2 * width, 2 * width, 2))  # fmt: skip
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=stride, padding=1) for before, after, stride in shape
        )
        self.head = nn.Sequential(
            nn.Linear(TONES + 8 * width, 128), nn.LeakyReLU(SLOPE, inplace=True), nn.Linear(128, 1)
        )
        with torch.no_grad():
            self.tones.weight.fill_(TONE_SLOPE)
            assert self.tones.bias is not None
            self.tones.bias.copy_(torch.linspace(-TONE_SLOPE, TONE_SLOPE, TONES))
            for n, layer in enumerate(self.layers):
                assert isinstance(layer, nn.Conv2d)
                nn.init.kaiming_normal_(layer.weight, SLOPE)
                layer.weight.mul_(1 if n else TONE_SLOPE)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        found = [torch.tanh(self.tones(x)).mean((2, 3))]
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            found.append(x.mean((2, 3)))
        return self.head(torch.cat(found, 1)).squeeze(1)  # type: ignore[no-any-return]
