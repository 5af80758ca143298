import numpy as np
import pytest
import torch

from fusionrs_builder.translate.feature_judge import (
    COUNTS,
    FEATURES,
    GRADIENTS,
    LEVELS,
    RARE,
    RINGS,
    TURNS,
    FeatureJudge,
    view_features,
)
from fusionrs_builder.translate.scores import c2st


def view(seed: int, side: int = 64) -> torch.Tensor:
    """Whole grey levels, as a file holds them: float [1, 1, S, S] in -1..1."""
    levels = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (1, 1, side, side))).float()
    return levels / 127.5 - 1


def parts(found: torch.Tensor) -> list[torch.Tensor]:
    return list(found[0].split([LEVELS, COUNTS, TURNS, GRADIENTS, RINGS]))


def test_they_are_soft_versions_of_what_the_two_sample_test_sees():
    image = view(3)
    levels, counts, turns, gradients, rings = parts(view_features(image))
    grey = ((image[0, 0] + 1) * 127.5).round().numpy().astype(np.uint8)
    hard = c2st.features(grey)
    shares = (levels.exp() - RARE).numpy()
    assert shares.reshape(16, 2).sum(1) == pytest.approx(hard[:16], abs=0.01)
    assert shares.sum() == pytest.approx(1, abs=1e-4)
    # The uniform patterns are by how many neighbours are brighter; turned into counts, those with more turns too.
    bits = np.stack(
        [
            np.roll(grey, shift, (0, 1))
            for shift in ((1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1))
        ]
    )
    brighter = (bits >= grey)[:, 1:-1, 1:-1]
    expected = np.bincount(brighter.sum(0).ravel(), minlength=9) / brighter[0].size
    assert (counts.exp() - RARE).numpy() == pytest.approx(expected, abs=0.02)
    changes = (brighter != np.roll(brighter, 1, 0)).sum(0) // 2
    assert (turns.exp() - RARE).numpy() == pytest.approx(
        np.bincount(changes.ravel(), minlength=5) / changes.size, abs=0.03
    )
    assert gradients.exp().sum() == pytest.approx(1 + GRADIENTS * RARE, abs=0.01)
    assert rings.numpy() == pytest.approx(hard[-9:-1], abs=0.02)


def test_a_few_bright_pixels_are_told_from_none():
    dark = torch.full((1, 1, 128, 128), -0.5)
    spot = dark.clone()
    spot[0, 0, :4, :4] = 0.9  # a thousandth
    assert (view_features(spot) - view_features(dark)).abs().max() > 0.5


def test_every_pixel_has_a_slope():
    image = view(1, 32).requires_grad_()
    view_features(image).sum().backward()
    assert image.grad.isfinite().all() and (image.grad != 0).float().mean() > 0.9


def test_it_learns_to_tell_two_kinds_and_remembers_what_it_saw():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    judge = FeatureJudge()
    optimiser = torch.optim.Adam(judge.parameters(), 1e-3)
    real, drawn = (torch.randn(8, FEATURES) + shift for shift in (0.5, -0.5))
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = judge.mistakes(real, drawn, rng)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 < 1.2 < losses[0]
    assert judge(real).min() > judge(drawn).max()
    assert judge.seen.tolist() == [480, 480]
    other = FeatureJudge()
    other.load_state_dict(judge.state_dict())
    assert torch.equal(other(real), judge(real))


def test_nothing_flows_into_the_views():
    judge, rng = FeatureJudge(), np.random.default_rng(0)
    views = torch.randn(4, FEATURES, requires_grad=True)
    judge.mistakes(views, views + 1, rng).backward()
    assert views.grad is None
