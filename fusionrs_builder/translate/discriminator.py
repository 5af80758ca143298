"""The 70 x 70 PatchGAN discriminator (Isola et al., CVPR 2017): which patches of an image look real.

Without the paper's norm: an instance norm hides from the judge how bright a view is and how much contrast it has,
which is half of what tells infrared from grey.
"""

from itertools import pairwise

from torch import Tensor, nn

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
