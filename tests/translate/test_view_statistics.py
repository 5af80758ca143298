import torch
import torch.nn.functional as F

from fusionrs_builder.translate.view_statistics import DRAWN, FEATURES, LEAST, REAL, StatisticsLoss, view_statistics


def views(n, seed=0, contrast=0.8, brightness=-0.4, smooth=3):
    noise = torch.rand(n, 1, 64 + smooth - 1, 64 + smooth - 1, generator=torch.Generator().manual_seed(seed))
    return F.avg_pool2d(noise, smooth, 1) * contrast + brightness


def test_they_say_what_a_view_is_like_and_not_what_is_where():
    real = views(2)
    found = view_statistics(real)
    assert found.shape == (2, FEATURES)
    torch.testing.assert_close(view_statistics(real.transpose(-1, -2)), found, atol=1e-3, rtol=0)
    assert (found[:, 1:16] > found[:, :15]).all()
    torch.testing.assert_close(found[:, :16].mean(1), real.mean((1, 2, 3)), atol=1e-3, rtol=0)


def test_a_flat_view_has_statistics_and_a_slope():
    flat = torch.full((2, 1, LEAST, LEAST), -1.0, requires_grad=True)
    found = view_statistics(flat)
    assert found.isfinite().all()
    found.sum().backward()
    assert flat.grad.isfinite().all()


def test_the_loss_sees_brightness_contrast_and_grain():
    real = views(64)
    others = {
        "alike": views(64, seed=1),
        "brighter": views(64, seed=1, brightness=0.0),
        "flatter": views(64, seed=1, contrast=0.3),
        "sharper": views(64, seed=1, smooth=1),
    }
    found = {name: float(StatisticsLoss()(drawn, real)) for name, drawn in others.items()}
    assert all(found["alike"] * 3 < found[name] for name in others if name != "alike"), found


def test_the_loss_sees_that_drawn_views_are_all_alike_where_real_ones_differ():
    dark_and_bright = torch.cat([views(32), views(32, seed=1, brightness=0.2)])
    between = views(64, seed=2, brightness=-0.1)
    loss = StatisticsLoss()
    assert loss(dark_and_bright.flip(0), dark_and_bright) * 3 < StatisticsLoss()(between, dark_and_bright)


def test_what_was_seen_before_counts():
    dark, bright = views(8), views(8, seed=1, brightness=0.2)
    loss = StatisticsLoss()
    loss(bright, dark)
    # Half of the real views are bright now, as is half of what was drawn: this batch is the dark half of it.
    assert loss(dark, bright) * 3 < StatisticsLoss()(dark, bright)


def test_its_slope_leads_to_the_real_views():
    real, drawn = views(16), views(16, seed=1, contrast=0.4, brightness=0.1)
    gain, offset = torch.ones(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([gain, offset], 0.03)
    for _ in range(100):
        optimizer.zero_grad()
        StatisticsLoss()(drawn * gain + offset, real).backward()
        optimizer.step()
    assert abs(gain.item() - 2) < 0.1
    assert abs(offset.item() + 0.6) < 0.05


def test_a_training_with_its_memory_settles():
    """With 256 drawn views remembered instead of `DRAWN` it swings by 0.22."""
    offset, chance = torch.full((1,), 0.3, requires_grad=True), torch.Generator().manual_seed(0)
    optimizer, loss, found = torch.optim.Adam([offset], 0.01, betas=(0.5, 0.999)), StatisticsLoss(), []
    for step in range(400):
        optimizer.zero_grad()
        drawn, real = (
            views(4, seed=2 * step + kind) + 0.15 * torch.randn(4, 1, 1, 1, generator=chance) for kind in (0, 1)
        )
        loss(drawn + offset, real).backward()
        optimizer.step()
        found.append(offset.item())
    assert max(abs(value) for value in found[200:]) < 0.12


def test_views_that_are_all_alike_are_drawn_to_the_middle():
    real = torch.cat([views(8, seed=n, brightness=-0.9 + 0.2 * n) for n in range(6)])
    middle = torch.full((32, 1, 64, 64), real.mean().item(), requires_grad=True)
    StatisticsLoss()(middle, real).backward()
    for tones in (-0.3, 0.3):
        shifted = torch.full((32, 1, 64, 64), real.mean().item() + tones, requires_grad=True)
        StatisticsLoss()(shifted, real).backward()
        assert shifted.grad.sum() * tones > 0
    assert middle.grad.sum().abs() < shifted.grad.sum().abs()


def test_every_pixel_has_a_slope():
    drawn = views(4).requires_grad_()
    view_statistics(drawn).square().sum().backward()
    assert (drawn.grad != 0).all()


def test_its_memory_is_bounded_saved_and_resumed():
    loss, real, drawn = StatisticsLoss(), views(6), views(6, seed=1)
    for _ in range(REAL // 6 + 2):
        loss(drawn, real)
    assert (loss.real.shape, loss.drawn.shape) == ((REAL, FEATURES), (DRAWN, FEATURES))
    other = StatisticsLoss()
    other.load_state_dict(loss.state_dict())
    torch.testing.assert_close(other(drawn + 0.1, real), loss(drawn + 0.1, real))
