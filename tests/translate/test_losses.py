import numpy as np
import torch
from scipy.ndimage import uniform_filter

from fusionrs_builder.translate.losses import paired_loss, pearson, ssim


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


def test_a_perfect_picture_costs_nothing_and_an_inverted_one_much():
    a = torch.from_numpy(pictures()[0]).float()
    assert paired_loss(a * 2 - 1, a, 1.0, 1.0) < 1e-5
    assert paired_loss(1 - a * 2, a, 0.0, 1.0) - paired_loss(1 - a * 2, a, 0.0, 0.0) > 1.99


def test_gradients_are_finite_where_images_are_flat():
    flat = torch.zeros(2, 1, 16, 16, requires_grad=True)
    paired_loss(flat, torch.full((2, 1, 16, 16), 0.5), 0.1, 0.2).backward()
    assert torch.isfinite(flat.grad).all()
