"""The ResNet generator of CycleGAN (Zhu et al., ICCV 2017, after Johnson et al., ECCV 2016), 3 -> 1 channel.

c7s1-k, d2k, d4k, n x R4k, u2k, uk, c7s1-out, tanh: in the paper's own words. Parameter names and shapes are those of
the reference implementation (junyanz/pytorch-CycleGAN-and-pix2pix, `ResnetGenerator`): its checkpoints fit as they are.

A ResNet knows places like those it learnt from, and is worse than none elsewhere. So it may have a second expert beside
it, which goes by colour and finest texture alone, and gates that tell images of the kind the ResNet learnt from
(`TrainSettings.context`) from all others, and mix what both draw accordingly.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn

Norm = Literal["instance", "batch", "none"]

GATE = (16, 32, 32, 32)
"""Channels of a gate's convolutions."""

GATES = 4
"""Gates that learn the same from other initial weights. The one that trusts the ResNet least decides: of a place that
none of them saw, each by itself mistakes a few tiles for known ones, and seldom all the same."""

DOUBT, STEEP = 1.5, 4.0
"""Log odds that an image is of the kind the ResNet learnt from, at which both experts have half a share each, and the
slope there. Above 0, since at a place that it never saw the ResNet loses more than it gains at home."""

NEGLIGIBLE = 1e-3
"""Share of an expert below which it has none, a quarter of a grey level at most: it need not draw then."""

TONE = 0.7
"""Of the luma in `GeneratorConfig.tone`, at first: below 1, so that the tanh leaves some contrast to the brightest."""

WIDEST = 31
"""Side of the filter at most: an image of 16 pixels is mirrored by less than itself."""

MULTIPLE = 4
"""Two stride-2 steps down and up: height and width must be multiples of this."""


@dataclass(frozen=True)
class GeneratorConfig:
    """The shape of a generator; what `config.json` beside the weights holds.

    Attributes:
        in_channels: of the input, 3 for RGB.
        out_channels: of the output, 1 for infrared.
        ngf: channels after the first layer; 4 x ngf in the residual blocks.
        n_blocks: residual blocks.
        norm: `instance` as in the paper, which forgets how bright an image is on the whole; `batch`, whose fixed
            statistics at translation keep it; `none`. Convolutions have a bias unless a batch norm follows.
        local: channels of a second expert that sees 7 pixels only; 0: none, as in the paper. Gates say how likely an
            image is of the kind the ResNet learnt from, and what both draw is mixed accordingly. In training the ResNet
            draws the first half of the images, the local expert the others.
        local_share: of what the local expert adds to the luma, how much is drawn, 0..1; in training all of it. What was
            learnt at some places holds in part at others: less than 1 draws those better, and the known ones worse.
        tone: side in pixels, odd, of a linear filter of the image whose output is added before the tanh; 0: none, as in
            the paper. At first it is the mean luma of the window at `TONE` of its strength: the network need only draw
            what differs, and without a norm it keeps how bright an image is on the whole.
    """

    in_channels: int = 3
    out_channels: int = 1
    ngf: int = 32
    n_blocks: int = 6
    norm: Norm = "instance"
    local: int = 0
    local_share: float = 1.0
    tone: int = 0

    def __post_init__(self) -> None:
        sizes = {name: value for name, value in asdict(self).items() if name not in ("norm", "local_share")}
        wrong = [
            f"{name} = {value!r}"
            for name, value in sizes.items()
            if not isinstance(value, int) or value < (name not in ("local", "tone"))
        ]
        if isinstance(self.tone, int) and self.tone and not (self.tone % 2 and self.tone <= WIDEST):
            wrong.append(f"tone = {self.tone}: an odd number of pixels, {WIDEST} at most")
        share = self.local_share
        if not isinstance(share, int | float) or not 0 <= share <= 1 or (share != 1 and not self.local):
            wrong.append(f"local_share = {share!r}: from 0 to 1, and of a local expert")
        if self.norm not in get_args(Norm):
            wrong.append(f"norm = {self.norm!r} (known: {', '.join(get_args(Norm))})")
        for name in ("local", "tone"):
            if sizes[name] and (self.in_channels, self.out_channels) != (3, 1):
                wrong.append(
                    f"{name} = {sizes[name]} of {self.in_channels} -> {self.out_channels} channels: of RGB -> 1 only"
                )
        if wrong:
            raise ValueError(f"not a generator: {', '.join(wrong)}")


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), 3 x 3 with reflection padding, [N, C, H, W] -> [N, C, H, W]."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=norm != "batch"),
            _norm(norm, channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=norm != "batch"),
            _norm(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)  # type: ignore[no-any-return]


class ResnetGenerator(nn.Module):
    """float [N, in, H, W] in -1..1 -> float [N, out, H, W] in -1..1; H and W multiples of `MULTIPLE`, at least 16."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        k, norm, bias = config.ngf, config.norm, config.norm != "batch"
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(config.in_channels, k, 7, bias=bias),
            _norm(norm, k),
            nn.ReLU(inplace=True),
        ]
        for c in (k, 2 * k):
            layers += [
                nn.Conv2d(c, 2 * c, 3, stride=2, padding=1, bias=bias),
                _norm(norm, 2 * c),
                nn.ReLU(inplace=True),
            ]
        layers += [ResidualBlock(4 * k, norm) for _ in range(config.n_blocks)]
        for c in (4 * k, 2 * k):
            layers += [
                nn.ConvTranspose2d(c, c // 2, 3, stride=2, padding=1, output_padding=1, bias=bias),
                _norm(norm, c // 2),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(k, config.out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        if norm == "none":
            _keep_the_signal(layers)
        self.local = local_expert(config.local) if config.local else None
        self.gate = voting_gates() if config.local else None
        self.tone = tone_filter(config.tone) if config.tone else None
        if config.tone:
            with torch.no_grad():
                layers[-2].weight.mul_(0.1)  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        if self.local is None or self.gate is None:
            return self.by_context(x)
        if self.training:
            n = with_context(len(x))
            return torch.cat([self.by_context(x[:n]), self.by_colour(x[n:])])
        return torch.lerp(self.by_colour(x).float(), self.by_context(x).float(), trust(self.gate(x)))

    def by_context(self, x: Tensor) -> Tensor:
        """What the ResNet draws."""
        if self.tone is None:
            return self.model(x)  # type: ignore[no-any-return]
        return torch.tanh(self.model[:-1](x).float() + self.tone(x).float())

    def by_colour(self, x: Tensor) -> Tensor:
        """What the local expert draws; in training all that it adds to the luma, else `local_share` of it."""
        assert self.local is not None
        return torch.tanh(self.local(x) * (1.0 if self.training else self.config.local_share) + luma(x))

    def local_parameters(self) -> list[nn.Parameter]:
        """Those of the local expert and of the gates; none where there is none."""
        return [parameter for part in (self.local, self.gate) if part is not None for parameter in part.parameters()]


def with_context(images: int) -> int:
    """How many images of a training step, the first of them, the ResNet draws, and the local expert the others."""
    return (images + 1) // 2


def _keep_the_signal(layers: list[nn.Module]) -> None:
    """Initial weights of a generator without norms: He et al. (ICCV 2015), residual blocks that at first add nothing.

    By PyTorch's own the signal fades from layer to layer, until a few steps of the biases are larger than it: then a
    layer is below zero everywhere, its ReLU passes nothing, and the network learns no more.
    """
    for layer in layers[:-2]:  # what is drawn, before the tanh, needs no gain
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        elif isinstance(layer, nn.ConvTranspose2d):  # an output sees a quarter of the kernel: stride 2 both ways
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            with torch.no_grad():
                layer.weight *= 2
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        elif isinstance(layer, ResidualBlock):
            first, last = (each for each in layer.conv_block if isinstance(each, nn.Conv2d))
            nn.init.kaiming_normal_(first.weight, nonlinearity="relu")
            for zero in (first.bias, last.weight, last.bias):
                nn.init.zeros_(zero)  # type: ignore[arg-type]


def local_expert(channels: int) -> nn.Sequential:
    """Three 3 x 3 convolutions with reflection padding, then 1 x 1: [N, 3, H, W] -> [N, 1, H, W].

    What it draws is added to the luma before the tanh; at first it is as good as nothing.
    """
    layers: list[nn.Module] = []
    for before in (3, channels, channels):
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(before, channels, 3), nn.ReLU(inplace=True)]
    last = nn.Conv2d(channels, 1, 1)
    nn.init.normal_(last.weight, 0, 1e-3)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers, last)


def tone_filter(side: int) -> nn.Sequential:
    """A linear filter with reflection padding, [N, 3, H, W] -> [N, 1, H, W]; at first `TONE` of the mean luma."""
    conv = nn.Conv2d(3, 1, side, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1) * TONE / side**2)
    return nn.Sequential(nn.ReflectionPad2d(side // 2), conv)


def voting_gates() -> nn.Sequential:
    """Each four 3 x 3 convolutions of stride 2, then 1 x 1: [N, 3, H, W] -> votes [N, GATES, h, w], each of 31 pixels.

    No gate sees what another one makes of the image: a group of each convolution is a gate's.
    """
    layers: list[nn.Module] = [nn.ReflectionPad2d(1), nn.Conv2d(3, GATES * GATE[0], 3, stride=2), nn.ReLU(inplace=True)]
    for before, after in pairwise(GATE):
        conv = nn.Conv2d(GATES * before, GATES * after, 3, stride=2, groups=GATES)
        layers += [nn.ReflectionPad2d(1), conv, nn.ReLU(inplace=True)]
    last = nn.Conv2d(GATES * GATE[-1], GATES, 1, groups=GATES)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers, last)


def verdicts(votes: Tensor) -> Tensor:
    """Votes [N, GATES, h, w] -> float [N, GATES]: the log odds that an image is of the kind the ResNet learnt from."""
    return votes.float().mean((2, 3))


def trust(votes: Tensor) -> Tensor:
    """Votes [N, GATES, h, w] -> float [N, 1, 1, 1] in 0..1: the share of the ResNet in what is drawn of each image."""
    share = (STEEP * (verdicts(votes).amin(1) - DOUBT)).sigmoid()[:, None, None, None]
    return torch.where(share > 1 - NEGLIGIBLE, 1.0, torch.where(share < NEGLIGIBLE, 0.0, share))


def luma(rgb: Tensor) -> Tensor:
    """ITU-R BT.601 luma: float [N, 3, H, W] -> [N, 1, H, W], the range kept."""
    return 0.299 * rgb[:, :1] + 0.587 * rgb[:, 1:2] + 0.114 * rgb[:, 2:]


def _norm(norm: Norm, channels: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    # A group a channel is the instance norm, by a kernel three to five times as fast on a CPU.
    return nn.GroupNorm(channels, channels, affine=False) if norm == "instance" else nn.Identity()
