import numpy as np
import torch
from scipy.ndimage import uniform_filter

from fusionrs_builder.translate.losses import (
    edge_loss,
    least_squares,
    paired_loss,
    patch_nce,
    pearson,
    ssim,
    tone_structure,
)
from fusionrs_builder.translate.networks import luma


def pictures(n=3, side=24):
    rng = np.random.default_rng(0)
    a = rng.random((n, 1, side, side))
    return a, np.clip(0.6 * a + 0.4 * rng.random(a.shape), 0, 1)


def ssim_by_hand(a, b):
    """Equation 13 of Wang et al. with a 7 x 7 uniform window and the sample covariance, by scipy."""
    unbiased = 49 / 48
    ma, mb = uniform_filter(a, 7), uniform_filter(b, 7)
    va, vb = unbiased * (uniform_filter(a * a, 7) - ma**2), unbiased * (uniform_filter(b * b, 7) - mb**2)
    vab = unbiased * (uniform_filter(a * b, 7) - ma * mb)
    both = (2 * ma * mb + 1e-4) * (2 * vab + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    return both[3:-3, 3:-3].mean()


def test_ssim_is_wangs():
    a, b = pictures()
    expected = [ssim_by_hand(x[0], y[0]) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(ssim(torch.from_numpy(a), torch.from_numpy(b)), expected, rtol=1e-9)


def test_pearson_is_numpys_and_zero_for_flat_images():
    a, b = pictures()
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(pearson(torch.from_numpy(a), torch.from_numpy(b)), expected, rtol=1e-9)
    flat = torch.full_like(torch.from_numpy(a), 0.3)
    assert (pearson(torch.from_numpy(a), flat) == 0).all()


def test_tone_structure_is_the_correlation_where_there_is_light_and_no_steeper_where_there_is_little():
    a, b = (torch.from_numpy(each) * 0.35 for each in pictures(side=48))
    torch.testing.assert_close(tone_structure(a, b), pearson(a, b), atol=0.02, rtol=0)
    slopes = []
    for light in (1, 1 / 16):
        dark = (a * light).requires_grad_()
        tone_structure(dark, b * light).sum().backward()
        slopes.append(float(dark.grad.norm()))
    assert slopes[1] < 1.5 * slopes[0]
    flat = torch.full_like(a, 0.3)
    torch.testing.assert_close(tone_structure(flat, flat), torch.ones(3, dtype=torch.float64), atol=1e-4, rtol=0)


def test_a_perfect_picture_costs_nothing_and_an_inverted_one_much():
    a = torch.from_numpy(pictures()[0]).float()
    a = a * 2 - 1
    assert paired_loss(a, a, 1.0, 1.0) < 1e-5
    assert paired_loss(-a, a, 0.0, 1.0) - paired_loss(-a, a, 0.0, 0.0) > 1.98


def test_gradients_are_finite_where_images_are_flat():
    flat = torch.zeros(2, 1, 16, 16, requires_grad=True)
    paired_loss(flat, torch.full((2, 1, 16, 16), 0.5), 0.1, 0.2).backward()
    assert torch.isfinite(flat.grad).all()


def test_least_squares_is_the_distance_from_what_is_wanted():
    scores = torch.tensor([[1.0, 0.5], [0.0, 1.0]])
    assert least_squares(scores, real=True).item() == (0 + 0.25 + 1 + 0) / 4
    assert least_squares(scores, real=False).item() == (1 + 0.25 + 0 + 1) / 4


def test_outlines_count_whatever_their_polarity():
    rgb = torch.from_numpy(np.repeat(pictures()[0], 3, axis=1)).float() * 2 - 1
    drawn = luma(rgb)
    assert edge_loss(drawn, rgb) < 1e-3
    assert edge_loss(-drawn * 0.5, rgb) < 0.05
    assert edge_loss(drawn.flip(-1), rgb) > 0.8
    flat = torch.zeros_like(drawn, requires_grad=True)
    edge_loss(flat, rgb).backward()
    assert torch.isfinite(flat.grad).all()


def test_patch_nce_is_the_cross_entropy_of_finding_ones_own_place():
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.nn.functional.normalize(torch.randn(2, 5, 8, generator=generator), dim=-1) for _ in range(2))
    expected = []
    for q, k in zip(query.double(), key.double(), strict=True):
        logits = q @ k.T / 0.07
        expected += [-(logits[i, i] - logits[i].logsumexp(0)).item() for i in range(5)]
    assert abs(patch_nce(query, key).item() - np.mean(expected)) < 1e-5
    assert patch_nce(key, key) < patch_nce(query, key)
    key.requires_grad_()
    patch_nce(query.requires_grad_(), key).backward()
    assert key.grad is None  # the RGB image is what the drawn view is held to
    assert query.grad.abs().sum() > 0
