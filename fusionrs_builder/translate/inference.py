"""The generator as it is run: the function that was trained, in the arithmetic that is fast.

It differs from `ResnetGenerator` by rounding only:

- It takes 0..255 less 127.5, not -1..1: the first kernel is divided by 127.5 instead. These half-integers have eight
  bits at most, so bf16 holds them exactly; it would round v / 127.5 - 1, and that was most of its error.
- Convolutions are bf16 where asked for, their sums and the statistics of norms fp32; so is the output.
- On a CPU, the last convolution goes by columns, and wide ones in bf16 by Winograd's algorithm (`convolutions.py`).
"""

import copy

import torch
from torch import Tensor, nn

from fusionrs_builder.translate.convolutions import WINOGRAD_CHANNELS, ColumnConv2d, WinogradConv2d
from fusionrs_builder.translate.networks import ResidualBlock, ResnetGenerator, luma, trust
from fusionrs_builder.translate.protocol import Precision

MIDDLE = 127.5


class Prepared(nn.Module):
    """A generator that takes `centred` images: -127.5..127.5 [N, 3, H, W] -> float32 [N, 1, H, W] in -1..1.

    Attributes:
        resnet: without its tanh.
        local: the expert that sees a few pixels, where the generator has one; the luma is added to what it gives, which
            is the share of it that is drawn.
        gate: likewise; its votes say how far to trust the ResNet.
        tone: the filter whose output is added to what the ResNet gives, where the generator has one.
    """

    def __init__(
        self,
        resnet: nn.Sequential,
        local: nn.Sequential | None,
        gate: nn.Sequential | None,
        tone: nn.Sequential | None = None,
    ) -> None:
        super().__init__()
        self.resnet, self.local, self.gate, self.tone = resnet, local, gate, tone

    def forward(self, x: Tensor) -> Tensor:
        if self.local is None or self.gate is None:
            return self._by_context(x)
        trusted = trust(self.gate(x))
        if x.device.type == "cpu":  # a GPU would have to be waited for
            if not trusted.any():
                return added_to_luma(self.local(x), x)
            if (trusted == 1).all():
                return self._by_context(x)
        return torch.lerp(added_to_luma(self.local(x), x), self._by_context(x), trusted)

    def _by_context(self, x: Tensor) -> Tensor:
        resnet = self.resnet(x).float()
        return torch.tanh(resnet if self.tone is None else resnet + self.tone(x).float())


def added_to_luma(local: Tensor, x: Tensor) -> Tensor:
    """What is drawn, pixel by pixel, of what the local expert gives for `x`."""
    return torch.tanh(local.float() + luma(x.float()) / MIDDLE)


def prepared(network: ResnetGenerator, device: torch.device, precision: Precision) -> Prepared:
    """A generator, ready to run on a device.

    Args:
        network: trained; it stays as it is.
        device: to run on.
        precision: of the convolutions.
    """
    resnet, local, gate, tone = copy.deepcopy((network.model[:-1], network.local, network.gate, network.tone))
    made = Prepared(resnet, local, gate, tone).eval().requires_grad_(False)
    for branch in made.children():
        first = next(layer for layer in branch.modules() if isinstance(layer, nn.Conv2d))
        first.weight /= MIDDLE
    if made.local is not None:
        for parameter in made.local[-1].parameters():
            parameter.mul_(network.config.local_share)
    for layer in made.modules():
        if precision == "bf16" and isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.to(torch.bfloat16)
    if device.type == "cpu":
        for layers in filter(None, (made.resnet, made.tone)):
            last = layers[-1]
            if isinstance(last, nn.Conv2d) and last.out_channels == 1:
                layers[-1] = ColumnConv2d(last)
        for block in made.resnet:
            if isinstance(block, ResidualBlock) and precision == "bf16":
                _by_winograd(block.conv_block)
    return made.to(device).to(memory_format=torch.channels_last)


def _by_winograd(layers: nn.Sequential) -> None:
    for n, conv in enumerate(layers):
        if isinstance(conv, nn.Conv2d) and conv.in_channels >= WINOGRAD_CHANNELS:
            layers[n] = WinogradConv2d(conv)


def centred(rgb: Tensor, precision: Precision) -> Tensor:
    """uint8 [N, 3, H, W] -> -127.5..127.5, exact in fp32 and in bf16."""
    x = rgb.to(torch.bfloat16 if precision == "bf16" else torch.float32)
    return (x - MIDDLE).contiguous(memory_format=torch.channels_last)
