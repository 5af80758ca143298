"""How far a drawn infrared view is from the measured one: the same quantities to train on and to score by."""

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW = 7
"""Side of the uniform window, pixels: with the sample covariance the definition scikit-image has as its default."""

FLAT = 1e-6
"""Variance (of values in 0..1) below which an image is flat and has no correlation with anything."""


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Correlation of each image with its partner.

    Args:
        a: float [N, 1, H, W].
        b: the same shape, the same scale (0..1).

    Returns:
        float [N] in -1..1; 0 where either image is flat.
    """
    a = a.flatten(1) - a.flatten(1).mean(1, keepdim=True)
    b = b.flatten(1) - b.flatten(1).mean(1, keepdim=True)
    va, vb, vab = (a * a).mean(1), (b * b).mean(1), (a * b).mean(1)
    flat = (va < FLAT) | (vb < FLAT)
    return torch.where(flat, torch.zeros_like(vab), vab / (va * vb).clamp_min(FLAT**2).sqrt())


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang et al., IEEE TIP 2004, eq. 13), 7 x 7 uniform window, sample covariance.

    Args:
        a: float [N, 1, H, W] in 0..1, H and W at least `SSIM_WINDOW`.
        b: the same shape and range.

    Returns:
        float [N], the mean over all windows that lie within the image, -1..1.
    """
    c1, c2 = 0.01**2, 0.03**2
    n = SSIM_WINDOW**2
    means = F.avg_pool2d(torch.cat([a, b, a * a, b * b, a * b], dim=1), SSIM_WINDOW, stride=1)
    ma, mb, aa, bb, ab = means.unbind(1)
    unbiased = n / (n - 1)
    va, vb, vab = (aa - ma * ma) * unbiased, (bb - mb * mb) * unbiased, (ab - ma * mb) * unbiased
    luminance = (2 * ma * mb + c1) / (ma * ma + mb * mb + c1)
    return (luminance * (2 * vab + c2) / (va + vb + c2)).flatten(1).mean(1)


def paired_loss(drawn: Tensor, measured: Tensor, structure: float, correlation: float) -> Tensor:
    """L1 + structure * (1 - SSIM) + correlation * (1 - Pearson), in fp32.

    Args:
        drawn: [N, 1, H, W] in -1..1, as the generator gives it.
        measured: float [N, 1, H, W] in 0..1.
        structure: weight of the SSIM term.
        correlation: weight of the correlation term.

    Returns:
        A scalar.
    """
    drawn = drawn.float() * 0.5 + 0.5
    loss = (drawn - measured).abs().mean()
    loss = loss + structure * (1 - ssim(drawn, measured)).mean()
    return loss + correlation * (1 - pearson(drawn, measured)).mean()
