"""What is done to images while a translator is trained: crops, turns, another day's light, and DiffAugment.

Every function draws its chances from the generator it is given, so that a step can be repeated.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fusionrs_builder import pixels

DARKEST = 1 / 16
"""Factor of the least light of `expose`."""

SHIFT, HOLE = 0.125, 0.5
"""Strengths of DiffAugment, shares of the side; those of the paper."""


def crop(images: Sequence[NDArray[np.uint8]], side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A random square, the same of all images, in one of its eight positions; what is too small is mirrored.

    Args:
        images: uint8 [H, W, C] or [H, W] each, of one height and width.
        side: of the square, pixels.
        rng: source of chance.

    Returns:
        uint8 [side, side, C], C the sum of all channels.
    """
    height, width = images[0].shape[:2]
    y, x = int(rng.integers(max(height - side, 0) + 1)), int(rng.integers(max(width - side, 0) + 1))
    part = np.dstack([image[y : y + side, x : x + side] for image in images])
    below, right = side - part.shape[0], side - part.shape[1]
    if below or right:
        part = np.pad(part, ((0, below), (0, right), (0, 0)), mode="symmetric")
    part = np.rot90(part, int(rng.integers(4)))
    return np.ascontiguousarray(part[:, ::-1] if rng.integers(2) else part)


def change_light(rgb: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Another day's light: gain, gamma and offset of the whole image and, less, of each channel.

    Args:
        rgb: float [N, 3, H, W] in 0..1.
        strength: 0 leaves the images as they are; 1 changes the gain by about 18 %, a channel against another by 10 %.
        rng: source of chance.

    Returns:
        The same shape and range.
    """

    def spread(whole: float, channel: float) -> Tensor:
        shape = (len(rgb), 1, 1, 1), (len(rgb), 3, 1, 1)
        values = rng.normal(0, whole * strength, shape[0]) + rng.normal(0, channel * strength, shape[1])
        return torch.from_numpy(values).float()

    gain, gamma, offset = spread(0.15, 0.10).exp(), spread(0.15, 0.05).exp(), spread(0.03, 0.02)
    # Black is lifted by a thousandth: a power of zero has no slope.
    return (rgb.clamp_min(1e-3) ** gamma * gain + offset).clamp(0, 1)


def expose(both: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Less light on all bands alike, down to a sixteenth: what reflects the sun is darker by one factor everywhere.

    Without it, dark water of another corpus is a range of values never seen, and its few grey levels come out as noise.

    Args:
        both: uint8 [H, W, 4], RGB and an infrared band that is reflected light (NIR, SWIR).
        rng: source of chance.

    Returns:
        The same shape.
    """
    return np.rint(both * np.exp(rng.uniform(np.log(DARKEST), 0))).astype(np.uint8)  # type: ignore[no-any-return]


def veil(both: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Clouds: white in all bands alike, from haze to opaque, in patches of a smooth random field.

    Args:
        both: uint8 [H, W, 4], as in `expose`.
        rng: source of chance.

    Returns:
        The same shape.
    """
    height, width = both.shape[:2]
    size = int(rng.choice((3, 6, 12, 24)))
    field = Image.fromarray(rng.normal(size=(size, size)).astype(np.float32))
    smooth = np.asarray(field.resize((width, height), Image.Resampling.BICUBIC))
    edge, threshold = rng.uniform(2, 8), rng.uniform(0, 1.5)
    opacity = rng.uniform(0.2, 1) / (1 + np.exp(-edge * (smooth - threshold)))[..., None]
    white = 255 * rng.uniform(0.75, 1)
    veiled: NDArray[np.uint8] = np.rint(both * (1 - opacity) + white * opacity).astype(np.uint8)
    return veiled


def dithered(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Noise of up to half a grey level, which an image of 8 bits cannot tell from none.

    So no crop that a generator draws from is of one tone, as open sea and clouds are: there an instance norm has no
    variance to divide by.

    Args:
        images: float [N, C, H, W] in 0..1.
        rng: source of chance.

    Returns:
        The same shape and range.
    """
    noise = torch.from_numpy(rng.random(tuple(images.shape), dtype=np.float32))
    return images.add(noise.sub_(0.5).div_(255)).clamp_(0, 1)


def as_filed(views: Tensor) -> Tensor:
    """Views as they are compared with others (`scores.unpaired`): JPEG, then halved by the mean of 2 x 2 pixels.

    The gradient passes as if there were no JPEG in between.

    Args:
        views: float [N, 1, H, W] in -1..1, sides even.

    Returns:
        float [N, 1, H / 2, W / 2].
    """
    levels = views.detach().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()[:, 0]
    coded = np.stack([pixels.gray_array(pixels.encode_jpeg(np.ascontiguousarray(view))) for view in levels])
    seen = torch.from_numpy(coded)[:, None].to(views.device).float().div(127.5).sub(1)
    return F.avg_pool2d(views + (seen - views.detach()), 2)


def diff_augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    """DiffAugment (Zhao et al., NeurIPS 2020): translation and cutout, through which gradients pass.

    Its third part, brightness and contrast, is left out: how bright the infrared is and with what contrast is what is
    to be learnt.

    Real and drawn images go through it alike before the discriminator sees them, so that it cannot learn a small set
    by heart and the generator does not learn the changes.

    Args:
        images: float [N, C, H, W] in -1..1.
        rng: source of chance, another one for each image.

    Returns:
        float [N, C, H, W]; no longer bounded.
    """
    n, _, height, width = images.shape
    device = images.device
    # One grid for all: column x of the result is column x + shift of the image, zero outside.
    y, x = torch.arange(height, device=device), torch.arange(width, device=device)
    down = torch.from_numpy(rng.integers(-int(height * SHIFT), int(height * SHIFT) + 1, (n, 1))).to(device)
    along = torch.from_numpy(rng.integers(-int(width * SHIFT), int(width * SHIFT) + 1, (n, 1))).to(device)
    rows = (y[None] + down + 1).clamp(0, height + 1)
    columns = (x[None] + along + 1).clamp(0, width + 1)
    padded = F.pad(images, (1, 1, 1, 1))
    picked = padded[torch.arange(n, device=device)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    images = picked.permute(0, 3, 1, 2)

    high, wide = max(1, int(height * HOLE)), max(1, int(width * HOLE))
    top = torch.from_numpy(rng.integers(0, height, (n, 1))).to(device) - high // 2
    left = torch.from_numpy(rng.integers(0, width, (n, 1))).to(device) - wide // 2
    hole_rows = (y[None] >= top) & (y[None] < top + high)
    hole_columns = (x[None] >= left) & (x[None] < left + wide)
    return images * ~(hole_rows[:, None, :, None] & hole_columns[:, None, None, :])


def rounded(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Noise of half a grey level, then rounding to 8 bits, the gradient passing as if neither were there.

    A cycle can hide the RGB image in the last bits of the drawn one and read it back there (Chu et al., "CycleGAN, a
    master of steganography", 2017). What an 8-bit file would lose cannot be read back.

    Args:
        images: float [N, C, H, W] in -1..1.
        rng: source of the noise.

    Returns:
        The same shape, of 256 values.
    """
    noise = torch.from_numpy(rng.normal(0, 0.5 / 127.5, images.shape).astype(np.float32)).to(images.device)
    coarse = ((images.detach() + noise).clamp(-1, 1).add(1).mul(127.5).round() / 127.5) - 1
    return images + (coarse - images.detach())
