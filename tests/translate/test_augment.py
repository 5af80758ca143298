import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.translate.augment import change_light, crop, diff_augment, dithered, expose, rounded, veil


def test_crops_take_all_eight_positions_and_keep_channels_together():
    y, x = np.mgrid[0:48, 0:48]
    image = np.dstack([x * 5, y * 5, 255 - x * 5, x * 5]).astype(np.uint8)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(64):
        part = crop([image], 16, rng).astype(int)
        assert part.shape == (16, 16, 4)
        assert (part[..., 0] == part[..., 3]).all()
        assert (part[..., 0] + part[..., 2] == 255).all()
        steps = part[0, 1, :2] - part[0, 0, :2], part[1, 0, :2] - part[0, 0, :2]
        seen.add(tuple(np.sign(np.concatenate(steps))))
    assert len(seen) == 8


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 1000))
def test_a_crop_has_its_size_whatever_the_image(height, width, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 1), np.uint8)
    part = crop([image], 24, rng)
    assert part.shape == (24, 24, 1)
    assert set(np.unique(part)) <= set(np.unique(image))


def test_light_changes_within_range_and_not_at_strength_zero():
    rgb = torch.rand(16, 3, 8, 8).clamp_min(0.01)
    torch.testing.assert_close(change_light(rgb, 0.0, np.random.default_rng(0)), rgb)
    changed = change_light(rgb, 1.0, np.random.default_rng(0))
    assert 0 <= changed.min() <= changed.max() <= 1
    ratio = changed.mean((2, 3)) / rgb.mean((2, 3))
    assert 0.05 < ratio.mean(1).std() < 0.5
    assert 0.02 < (ratio - ratio.mean(1, keepdim=True)).std() < 0.3


def test_less_light_is_one_factor_for_all_bands():
    both = np.full((4, 4, 4), (200, 100, 50, 240), np.uint8)
    both[2:] = 0
    factors = []
    for seed in range(40):
        darker = expose(both, np.random.default_rng(seed)).astype(float)
        factors.append(darker[0, 0, 0] / 200)
        assert abs(darker[0, 0] - both[0, 0] * factors[-1]).max() < 1.5
    assert 1 / 17 < min(factors) < 0.1
    assert 0.8 < max(factors) <= 1


def test_clouds_whiten_all_bands_alike_and_in_part():
    both = np.zeros((64, 64, 4), np.uint8)
    both[..., 3] = 30
    shares = []
    for seed in range(20):
        seen = veil(both, np.random.default_rng(seed)).astype(int)
        assert (abs(seen[..., :3] - seen[..., :1]) == 0).all()
        assert (seen >= both).all()
        assert (seen[..., 3] >= seen[..., 0]).all()  # what was brighter stays brighter
        shares.append((seen[..., 0] > 60).mean())
    assert min(shares) < 0.1
    assert max(shares) > 0.4


def test_diff_augment_shifts_and_cuts_and_lets_gradients_pass():
    images = torch.rand(6, 2, 32, 32, requires_grad=True)
    seen = diff_augment(images, np.random.default_rng(0))
    assert seen.shape == images.shape
    assert torch.equal(seen, diff_augment(images, np.random.default_rng(0)))
    empty = (seen == 0).all(1).float().mean((1, 2))
    assert (empty > 0.05).all()
    assert empty.max() <= 0.25 + 0.25
    # What is left are pixels of the image itself.
    for image, result in zip(images, seen, strict=True):
        assert set(result[result != 0].tolist()) <= set(image.flatten().tolist())
    seen.sum().backward()
    assert set(images.grad.unique().tolist()) == {0.0, 1.0}


def test_rounding_leaves_256_values_and_the_gradient_as_it_was():
    images = (torch.rand(2, 1, 64, 64) * 2 - 1).requires_grad_()
    coarse = rounded(images, np.random.default_rng(0))
    levels = (coarse.detach() + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    off = (coarse - images).detach().abs() * 127.5
    assert 0.3 < off.mean() < 0.6
    assert off.max() < 4
    (coarse * 3).sum().backward()
    assert images.grad.unique().tolist() == [3.0]


def test_what_hides_in_the_last_bit_does_not_survive_rounding():
    hidden = torch.randint(0, 2, (1, 1, 128, 128)).float()
    images = torch.zeros(1, 1, 128, 128) + hidden * (0.2 / 127.5)
    coarse = rounded(images, np.random.default_rng(0))
    found = np.corrcoef(coarse.flatten(), hidden.flatten())[0, 1]
    assert np.corrcoef(images.flatten(), hidden.flatten())[0, 1] == pytest.approx(1)
    assert found < 0.3


def test_dither_is_half_a_level_at_most_and_leaves_no_image_of_one_tone():
    for level in (0, 3, 255):
        image = torch.full((2, 3, 32, 32), level / 255)
        noisy = dithered(image, np.random.default_rng(0))
        assert 0 <= noisy.min() < noisy.max() <= 1
        assert (noisy - image).abs().max() * 255 <= 0.501
        assert (noisy.var((2, 3)) * 255**2 > 0.01).all()
