"""How far a drawn infrared view is from the measured one: the same quantities to train on and to score by."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionrs_builder.translate.networks import luma

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
    va, vb, vab = _variances(a, b)
    flat = (va < FLAT) | (vb < FLAT)
    return torch.where(flat, torch.zeros_like(vab), vab / (va * vb).clamp_min(FLAT**2).sqrt())


def tone_structure(a: Tensor, b: Tensor) -> Tensor:
    """The structure comparison of SSIM (Wang et al., IEEE TIP 2004, eq. 10) of each image as a whole with its partner.

    It is the correlation, but for a constant by which images of a few grey levels say little. The slope of the
    correlation itself is sixteen times as steep in a sixteenth of the light, and an optimiser that divides by the size
    of past gradients then learns the slower from all others; this one's stays within a small multiple.

    Args:
        a: float [N, 1, H, W] in 0..1.
        b: the same shape and range.

    Returns:
        float [N] in -1..1; 1 where both are flat.
    """
    va, vb, vab = _variances(a, b)
    c3 = 0.03**2 / 2
    return (vab + c3) / ((va * vb).clamp_min(FLAT**3).sqrt() + c3)


def _variances(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each image, of its partner, and the covariance: [N, 1, H, W] twice -> [N] each."""
    a = a.flatten(1) - a.flatten(1).mean(1, keepdim=True)
    b = b.flatten(1) - b.flatten(1).mean(1, keepdim=True)
    return (a * a).mean(1), (b * b).mean(1), (a * b).mean(1)


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
    """L1 + structure * (1 - SSIM) + correlation * (1 - `tone_structure`), in fp32.

    Args:
        drawn: [N, 1, H, W] in -1..1, as the generator gives it.
        measured: float [N, 1, H, W] in -1..1.
        structure: weight of the SSIM term.
        correlation: weight of the correlation term.

    Returns:
        A scalar; L1 is of values in 0..1.
    """
    drawn, measured = drawn.float() * 0.5 + 0.5, measured * 0.5 + 0.5
    loss = (drawn - measured).abs().mean()
    loss = loss + structure * (1 - ssim(drawn, measured)).mean()
    return loss + correlation * (1 - tone_structure(drawn, measured)).mean()


def least_squares(scores: Tensor, real: bool) -> Tensor:
    """The LSGAN loss (Mao et al., ICCV 2017): mean squared distance of the scores from 1 (real) or 0, in fp32."""
    return (scores.float() - float(real)).square().mean()


def logistic(scores: Tensor, real: bool) -> Tensor:
    """The loss of the first GANs (Goodfellow et al., NeurIPS 2014): cross entropy of being real, or not, in fp32."""
    return F.softplus(-scores.float() if real else scores.float()).mean()


def gradient_penalty(judge: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """R1 (Mescheder et al., ICML 2018): the mean squared gradient of a judge's score over real images, a scalar."""
    images = real.detach().requires_grad_()
    (slope,) = torch.autograd.grad(judge(images).sum(), images, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def edge_loss(drawn: Tensor, rgb: Tensor) -> Tensor:
    """1 - correlation of the gradient magnitudes of the drawn view and of the luma of its RGB image.

    Blind to polarity: an outline may be bright on dark or dark on bright, but it must be where the visible one is.

    Args:
        drawn: [N, 1, H, W] in -1..1.
        rgb: float [N, 3, H, W] in -1..1.

    Returns:
        A scalar, 0..2.
    """
    return (1 - pearson(gradient_magnitude(drawn.float()), gradient_magnitude(luma(rgb)))).mean()


def patch_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """PatchNCE (Park et al., ECCV 2020, eq. 3): a patch of the drawn view knows its own patch among those of its image.

    Args:
        query: float [N, P, C], features of P patches of the drawn view, of length 1.
        key: float [N, P, C], those of the same places of the RGB image.
        temperature: of the softmax.

    Returns:
        A scalar: mean cross entropy, in fp32.
    """
    with torch.autocast(query.device.type, enabled=False):  # it would multiply in bf16
        logits = query.float() @ key.detach().float().transpose(1, 2) / temperature
    own = torch.arange(logits.shape[1], device=logits.device).expand(len(logits), -1)
    return F.cross_entropy(logits.flatten(0, 1), own.flatten())


def gradient_magnitude(images: Tensor) -> Tensor:
    """[N, 1, H, W] -> [N, 1, H - 1, W - 1]: forward differences; a thousandth keeps the root's slope finite."""
    along, down = images[..., :-1, 1:] - images[..., :-1, :-1], images[..., 1:, :-1] - images[..., :-1, :-1]
    return (along.square() + down.square() + 1e-6).sqrt()


def laplacian(images: Tensor) -> Tensor:
    """[N, 1, H, W] -> [N, 1, H - 2, W - 2]: the sum of the four neighbours less four times the pixel."""
    x = images
    return x[..., 1:-1, 2:] + x[..., 1:-1, :-2] + x[..., 2:, 1:-1] + x[..., :-2, 1:-1] - 4 * x[..., 1:-1, 1:-1]


def log_gradient(images: Tensor) -> Tensor:
    """log(1 + gradient magnitude in grey levels): the many faint ones count as much as the few strong ones."""
    return torch.log1p(127.5 * gradient_magnitude(images))
