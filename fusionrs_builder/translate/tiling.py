"""A ResNet generator over a scene that is too large for one pass, without seams.

The scene goes through in strips of whole rows. Each layer takes as many rows beyond its strip as its kernel reaches
(the halo), and pads only where the scene itself ends. An instance norm needs mean and variance of the whole scene: a
pass over all strips sums them up before any strip is normalised. At a quarter of the resolution, where the residual
blocks are, feature maps are held, so every convolution there is done once; the few layers before and after are done
again for each statistic that depends on them. That is the network itself but for the order of sums, at 1.3 times its
time or so and a fraction of its memory.

With a batch norm, or none, nothing is shared: one pass, whose halo is the receptive field between two held maps.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionrs_builder.translate.convolutions import ColumnConv2d, WinogradConv2d
from fusionrs_builder.translate.inference import Prepared, added_to_luma
from fusionrs_builder.translate.networks import ResidualBlock, trust

STRIP_PIXELS = {"cpu": 2**17, "cuda": 2**21}
"""Pixels of the scene in a strip. The layers before and after the blocks take some 12 x ngf bytes for each of them; on
a CPU, what does not fit its cache or the reach of malloc is half as fast."""

LEAST_ROWS = 16

HELD = 4
"""Maps so many times smaller than the scene, in height and in width, are held: the sixteenth of the pixels."""


@dataclass(frozen=True)
class Map:
    """A feature map whose rows are computed, or taken from where they are held, when they are asked for.

    Attributes:
        height: in rows.
        rows: float [1, C, b - a, W] for 0 <= a < b <= height. Never changed in place by who asked.
    """

    height: int
    rows: Callable[[int, int], Tensor]


def draw_in_strips(network: Prepared, x: Tensor, strip_pixels: int | None = None) -> Tensor:
    """What `network(x)` gives, up to rounding.

    Beside `x` and the result, 3 x ngf bytes a pixel of the scene are held (half in bf16), and what a strip needs.

    Args:
        network: on the device of `x`.
        x: [1, 3, H, W] as `inference.centred` gives it; H and W multiples of 4, at least 16.
        strip_pixels: of `x` in a strip, about; None: `STRIP_PIXELS` of its device.

    Raises:
        TypeError: the network has a layer that is not known here.
    """
    strips = _Strips(x, strip_pixels or STRIP_PIXELS[x.device.type])
    return torch.cat(list(strips.of(_drawn(network, strips, x))), 2)


def _drawn(network: Prepared, strips: "_Strips", x: Tensor) -> Map:
    if network.local is None or network.gate is None:
        return _by_context(network, strips)
    trusted = trust(torch.cat(list(strips.of(strips.through(network.gate))), 2))
    if (trusted == 1).all():
        return _by_context(network, strips)
    local = strips.through(network.local)
    colour = Map(strips.height, lambda a, b: added_to_luma(local.rows(a, b), x[:, :, a:b]))
    if not trusted.any():
        return colour
    context = _by_context(network, strips)
    return Map(strips.height, lambda a, b: torch.lerp(colour.rows(a, b), context.rows(a, b), trusted))


def _by_context(network: Prepared, strips: "_Strips") -> Map:
    resnet, tone = strips.through(network.resnet), None if network.tone is None else strips.through(network.tone)

    def rows(a: int, b: int) -> Tensor:
        drawn = resnet.rows(a, b).float()
        return torch.tanh(drawn if tone is None else drawn + tone.rows(a, b).float())

    return Map(strips.height, rows)


class _Strips:
    """A scene and how it is cut."""

    def __init__(self, x: Tensor, strip_pixels: int) -> None:
        self.height = x.shape[2]
        self.step = max(LEAST_ROWS, strip_pixels // x.shape[3] // HELD * HELD)
        self.scene = Map(self.height, lambda a, b: x[:, :, a:b])

    def through(self, layers: nn.Sequential) -> Map:
        """The map that some layers make of the scene."""
        drawn = self.scene
        for layer in layers:
            drawn = self.after(layer, drawn)
        return drawn

    def of(self, source: Map) -> Iterator[Tensor]:
        """The rows of a map, strip by strip."""
        step = max(1, self.step * source.height // self.height)
        for a in range(0, source.height, step):
            yield source.rows(a, min(a + step, source.height))

    def held(self, source: Map) -> Map:
        """The same map in memory."""
        whole, done = torch.empty(()), 0
        for rows in self.of(source):
            if not done:
                size = (1, rows.shape[1], source.height, rows.shape[3])
                whole = torch.empty(size, dtype=rows.dtype, device=rows.device, memory_format=torch.channels_last)
            whole[:, :, done : done + rows.shape[2]] = rows
            done += rows.shape[2]
        return Map(source.height, lambda a, b: whole[:, :, a:b])

    def after(self, module: nn.Module, x: Map) -> Map:
        """The map that a layer makes of a map."""
        match module:
            case nn.ReflectionPad2d():
                return _reflected(x, int(module.padding[0]))
            case nn.Conv2d():
                return _convolved(x, module)
            case nn.ConvTranspose2d():
                return _doubled(x, module)
            case nn.GroupNorm():
                return self.normalised(x, module)
            case ColumnConv2d() | WinogradConv2d():
                more = module.reach - 1
                return Map(x.height - more, lambda a, b: module(x.rows(a, b + more)))
            case nn.BatchNorm2d() | nn.Identity():
                return Map(x.height, lambda a, b: module(x.rows(a, b)))
            case nn.ReLU():
                return Map(x.height, lambda a, b: torch.relu(x.rows(a, b)))
            case ResidualBlock():
                return self.block(x, module)
        raise TypeError(f"a scene cannot be cut for a {type(module).__name__}: teach `tiling.py` its reach")

    def block(self, x: Map, module: ResidualBlock) -> Map:
        x = self.held(x)
        inner = x
        for each in module.conv_block:
            inner = self.after(each, inner)
        return self.held(Map(x.height, lambda a, b: x.rows(a, b) + inner.rows(a, b)))

    def normalised(self, x: Map, norm: nn.GroupNorm) -> Map:
        """Instance norm by the statistics of the whole scene (Chan et al., 1979, for those of strips put together)."""
        if norm.num_groups != norm.num_channels or norm.affine:
            raise TypeError("a group norm of more than one channel a group, or with learnt scales, is not known here")
        if x.height * HELD <= self.height:
            x = self.held(x)
        count, mean, squares = 0, torch.zeros(()), torch.zeros(())
        for strip in self.of(x):
            size = strip[0, 0].numel()
            variance, middle = (part.double() for part in torch.var_mean(strip.float(), (0, 2, 3), correction=0))
            apart = middle - mean
            mean = mean + apart * (size / (count + size))
            squares = squares + variance * size + apart**2 * (count * size / (count + size))
            count += size
        scale = (squares / count + norm.eps).rsqrt()
        shift = (-mean * scale).float()[:, None, None]
        scale = scale.float()[:, None, None]

        def rows(a: int, b: int) -> Tensor:
            given = x.rows(a, b)
            return torch.addcmul(shift, given.float(), scale).to(given.dtype)

        return Map(x.height, rows)


def _reflected(x: Map, pad: int) -> Map:
    """A map grown by `pad` on each side; vertically only where the scene ends."""

    def rows(a: int, b: int) -> Tensor:
        top, below = a - pad, b - pad
        inside = x.rows(max(0, top), min(x.height, below))
        return F.pad(inside, (pad, pad, max(0, -top), max(0, below - x.height)), mode="reflect")

    return Map(x.height + 2 * pad, rows)


def _convolved(x: Map, conv: nn.Conv2d) -> Map:
    """Zeros beyond the scene, as many as the layer pads by."""
    kernel, stride, pad = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])

    def rows(a: int, b: int) -> Tensor:
        top, below = a * stride - pad, (b - 1) * stride - pad + kernel
        inside = x.rows(max(0, top), min(x.height, below))
        outside = max(0, -top), max(0, below - x.height)
        if any(outside):
            inside = F.pad(inside, (0, 0, *outside))
        return F.conv2d(inside, conv.weight, conv.bias, stride, (0, pad), groups=conv.groups)

    return Map((x.height + 2 * pad - kernel) // stride + 1, rows)


def _doubled(x: Map, conv: nn.ConvTranspose2d) -> Map:
    """3 x 3, stride 2: rows 2 m and 2 m + 1 come of rows m and m + 1."""
    if (conv.kernel_size, conv.stride, conv.padding, conv.output_padding) != ((3, 3), (2, 2), (1, 1), (1, 1)):
        raise TypeError("only the transposed convolution of the paper (3 x 3, stride 2) is known here")

    def rows(a: int, b: int) -> Tensor:
        first, last = a // 2, -(-b // 2)
        drawn: Tensor = conv(x.rows(first, min(x.height, last + 1)))
        return drawn[:, :, a - 2 * first : b - 2 * first]

    return Map(2 * x.height, rows)
