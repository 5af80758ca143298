from dataclasses import asdict

import open_clip.loss
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.parallel import DistributedDataParallel

from fusionrs_builder.errors import UsageError
from tests.processes import two
from train.loss import Rows, Terms, gathered, info_nce, sigmoid, trimodal

SEED = st.integers(0, 2**32 - 1)


def embeddings(seed, n, width=4, dtype=torch.float64):
    random = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, width, generator=random, dtype=dtype), dim=1).requires_grad_()


def scalar(value, dtype=torch.float64):
    return torch.tensor(value, dtype=dtype, requires_grad=True)


def groups_of(seed, n, labels):
    """Whole numbers from -1: the fewer labels the more repeats."""
    return torch.randint(-1, labels, (n,), generator=torch.Generator().manual_seed(seed))


def dot(x, y):
    return sum(x[k] * y[k] for k in range(len(x)))


def plain_info_nce(a, b, groups_a, groups_b, scale):
    def one_way(queries, gallery):
        losses = []
        for query, group in queries:
            exponentials = [(torch.exp(scale * dot(query, item)), other) for item, other in gallery]
            total = sum(value for value, _ in exponentials)
            mine = [value for value, other in exponentials if other == group]
            if mine:
                losses.append(sum(-torch.log(value / total) for value in mine) / len(mine))
        return sum(losses) / len(losses) if losses else torch.zeros((), dtype=a.dtype)

    left = [(x, g) for x, g in zip(a, groups_a.tolist(), strict=True) if g != -1]
    right = [(x, g) for x, g in zip(b, groups_b.tolist(), strict=True) if g != -1]
    return (one_way(left, right) + one_way(right, left)) / 2


def plain_sigmoid(a, b, groups_a, groups_b, scale, bias):
    total, rows = torch.zeros((), dtype=a.dtype), 0
    for x, g in zip(a, groups_a.tolist(), strict=True):
        if g == -1:
            continue
        rows += 1
        for y, other in zip(b, groups_b.tolist(), strict=True):
            if other != -1:
                label = 1 if g == other else -1
                total = total - torch.log(1 / (1 + torch.exp(-label * (scale * dot(x, y) + bias))))
    return total / rows if rows else total


def slopes(loss, inputs):
    if not loss.requires_grad:
        return [torch.zeros_like(x) for x in inputs]
    return torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)


def assert_same(ours, theirs, inputs, atol=1e-10):
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)
    for mine, other in zip(slopes(ours, inputs), slopes(theirs, inputs), strict=True):
        torch.testing.assert_close(mine, other, atol=atol, rtol=0)


@given(SEED, st.integers(0, 8), st.integers(0, 8), st.integers(0, 9), st.floats(0.1, 20))
@settings(max_examples=300)
def test_info_nce_and_its_slopes_are_those_of_loops_over_pairs(seed, n, m, labels, scale):
    a, b, scale = embeddings(seed, n), embeddings(seed + 1, m), scalar(scale)
    groups = groups_of(seed, n, labels), groups_of(seed + 1, m, labels)
    assert_same(info_nce(a, b, *groups, scale), plain_info_nce(a, b, *groups, scale), (a, b, scale))


@given(SEED, st.integers(0, 8), st.integers(0, 8), st.integers(0, 9), st.floats(0.1, 20), st.floats(-10, 10))
@settings(max_examples=300)
def test_sigmoid_and_its_slopes_are_those_of_loops_over_pairs(seed, n, m, labels, scale, bias):
    a, b, scale, bias = embeddings(seed, n), embeddings(seed + 1, m), scalar(scale), scalar(bias)
    groups = groups_of(seed, n, labels), groups_of(seed + 1, m, labels)
    assert_same(sigmoid(a, b, *groups, scale, bias), plain_sigmoid(a, b, *groups, scale, bias), (a, b, scale, bias))


@pytest.mark.parametrize("n", [1, 2, 33])
def test_with_one_positive_each_they_are_the_losses_of_open_clip(n):
    a, b = embeddings(0, n, 16, torch.float32), embeddings(1, n, 16, torch.float32)
    scale, bias = scalar(14.3, torch.float32), scalar(-10.0, torch.float32)
    own = torch.randperm(n)
    clip, siglip = open_clip.loss.ClipLoss(), open_clip.loss.SigLipLoss()
    assert_same(info_nce(a, b, own, own, scale), clip(a, b, scale), (a, b, scale), 2e-6)
    assert_same(sigmoid(a, b, own, own, scale, bias), siglip(a, b, scale, bias), (a, b, scale, bias), 2e-6)


def test_equal_captions_are_not_pushed_apart():
    """Of two records with one caption and equal embeddings nothing is to be learned; as negatives there would be."""
    a = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), dim=1).requires_grad_()
    same, other = torch.tensor([5, 5]), torch.tensor([5, 6])
    b = torch.tensor([[0.6, 0.8], [0.8, 0.6]])
    together = slopes(info_nce(a, b, same, same, torch.tensor(10.0)), [a])[0]
    apart = slopes(info_nce(a, b, other, other, torch.tensor(10.0)), [a])[0]
    torch.testing.assert_close(together[0], together[1])
    assert (apart[0] - apart[1]).norm() > 1


def test_what_takes_no_part_may_hold_anything():
    a, b = embeddings(0, 5), embeddings(1, 5)
    broken = a.detach().clone()
    broken[2] = torch.nan
    broken.requires_grad_()
    groups = torch.tensor([0, 1, -1, 1, 3])
    for loss in (lambda x: info_nce(x, b, groups, groups, scalar(9.0)), lambda x: sigmoid(x, b, groups, groups, 9, -1)):
        torch.testing.assert_close(loss(broken), loss(a))
        (slope,) = slopes(loss(broken), [broken])
        assert slope.isfinite().all() and not slope[2].any() and slope[1].any()


@pytest.mark.parametrize("kind", ["infonce", "siglip"])
def test_autocast_and_half_precision_change_nothing_but_the_embeddings(kind):
    views, rows = batch(12)
    half = {name: view.detach().bfloat16().requires_grad_() for name, view in views.items()}
    wide = {name: view.detach().float() for name, view in half.items()}
    scale, bias = scalar(100.0, torch.float32), scalar(-10.0, torch.float32)
    terms = Terms(fused_text=1)
    with torch.autocast("cpu", torch.bfloat16):
        losses = trimodal(half, rows, terms, kind, scale, bias)
    expected = trimodal(wide, rows, terms, kind, scale, bias)
    for name, loss in losses.items():
        assert loss.dtype == torch.float32 and loss == expected[name] and loss.isfinite()
    sum(losses.values()).backward()
    assert all(view.grad.isfinite().all() and view.grad.any() for view in half.values()) and scale.grad.isfinite()


def batch(n=8, dtype=torch.float64):
    """Embeddings and rows with equal captions, captions that are missing, views that are, and a record drawn twice."""
    views = {
        name: embeddings(i, n, dtype=dtype) for i, name in enumerate(("rgb", "infrared", "scene", "infrared_text"))
    }
    rows = Rows(
        record=torch.tensor([3, 1, 4, 1, 5, 9, 2, 6, 50, 51, 52, 53][:n]),
        scene=torch.tensor([0, 1, 0, 2, -1, 3, 1, 4, 8, 8, 9, -1][:n]),
        infrared_text=torch.tensor([0, 0, -1, 1, 2, 2, 2, 5, 9, 8, 9, -1][:n]),
        has_rgb=torch.tensor([1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1][:n]).bool(),
        has_infrared=torch.tensor([1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1][:n]).bool(),
    )
    return views, rows


def plain_trimodal(views, rows, weights, pair):
    """Row by row: `pair(a, b, groups)` is the loss of one term."""

    def term(image, text, groups, present):
        rows_here = [i for i in range(len(groups)) if present[i] and groups[i] != -1]
        return pair(
            torch.stack([image(i) for i in rows_here]),
            torch.stack([text[i] for i in rows_here]),
            torch.tensor([int(groups[i]) for i in rows_here]),
        )

    def fused(i):
        both = views["rgb"][i] + views["infrared"][i]
        return both / dot(both, both).sqrt()

    rgb, infrared, either = rows.has_rgb, rows.has_infrared, rows.has_rgb & rows.has_infrared
    losses = {
        "rgb_text": term(lambda i: views["rgb"][i], views["scene"], rows.scene, rgb),
        "ir_text": term(lambda i: views["infrared"][i], views["infrared_text"], rows.infrared_text, infrared),
        "rgb_ir": term(lambda i: views["rgb"][i], views["infrared"], rows.record, either),
        "fused_text": term(fused, views["scene"], rows.scene, either),
    }
    return {name: weights[name] * loss / sum(weights.values()) for name, loss in losses.items() if weights[name]}


@pytest.mark.parametrize("terms", [Terms(), Terms(fused_text=0.5, rgb_ir=2), Terms(rgb_text=0, ir_text=3)])
@pytest.mark.parametrize("kind", ["infonce", "siglip"])
def test_trimodal_is_the_weighted_mean_of_its_terms(kind, terms):
    views, rows = batch()
    scale, bias = scalar(7.0), scalar(-2.0)
    ours = trimodal(views, rows, terms, kind, scale, bias)

    def pair(a, b, groups):
        if kind == "infonce":
            return plain_info_nce(a, b, groups, groups, scale)
        return plain_sigmoid(a, b, groups, groups, scale, bias)

    theirs = plain_trimodal(views, rows, asdict(terms), pair)
    assert list(ours) == list(theirs)
    for name in ours:
        assert_same(ours[name], theirs[name], (*views.values(), scale, bias))


def test_the_loss_of_three_equal_terms_is_the_loss_of_one():
    view, record = embeddings(0, 6), torch.arange(6)
    rows = Rows(record, record, record, torch.ones(6, dtype=torch.bool), torch.ones(6, dtype=torch.bool))
    views = dict.fromkeys(("rgb", "infrared", "scene", "infrared_text"), view)
    losses = trimodal(views, rows, Terms(), "infonce", scalar(5.0))
    torch.testing.assert_close(sum(losses.values()), info_nce(view, view, record, record, scalar(5.0)))


def test_views_of_two_records_with_one_caption_are_negatives_and_a_record_drawn_twice_is_its_own_positive():
    view, yes = torch.eye(3, dtype=torch.float64), torch.ones(3, dtype=torch.bool)
    views = {"rgb": view, "infrared": view}
    terms, same = Terms(rgb_text=0, ir_text=0), torch.zeros(3, dtype=torch.int64)
    loss = {
        name: float(
            trimodal(views, Rows(record, captions, captions, yes, yes), terms, "infonce", torch.tensor(50.0))["rgb_ir"]
        )
        for name, record, captions in [
            ("one caption", torch.arange(3), same),
            ("three captions", torch.arange(3), torch.arange(3)),
            ("no caption", torch.arange(3), same - 1),
            ("drawn thrice", same, torch.arange(3)),
        ]
    }
    assert loss["one caption"] == loss["three captions"] == loss["no caption"] < 1e-20
    assert loss["drawn thrice"] == pytest.approx(50 * 2 / 3)


@pytest.mark.parametrize("kind", ["infonce", "siglip"])
def test_a_term_without_rows_has_no_entry_and_the_others_make_up_the_mean(kind):
    views, rows = batch()
    no_rgb = Rows(**{**vars(rows), "has_rgb": torch.zeros(8, dtype=torch.bool)})
    scale, bias = scalar(7.0), scalar(-2.0)
    views["rgb"] = torch.full_like(views["rgb"], torch.nan).requires_grad_()
    losses = trimodal(views, no_rgb, Terms(fused_text=1), kind, scale, bias)
    alone = trimodal(views, rows, Terms(0, 1, 0, 0), kind, scale, bias)
    assert list(losses) == ["ir_text"] and losses["ir_text"] == alone["ir_text"] and losses["ir_text"].isfinite()
    silent = Rows(rows.record, rows.scene * 0 - 1, rows.scene * 0 - 1, no_rgb.has_rgb, rows.has_infrared)
    assert trimodal(views, silent, Terms(fused_text=1), kind, scale, bias) == {}


def test_what_no_term_needs_need_not_be_there():
    views, rows = batch()
    losses = trimodal({"rgb": views["rgb"], "scene": views["scene"]}, rows, Terms(1, 0, 0, 0), "infonce", scalar(7.0))
    assert list(losses) == ["rgb_text"]


def test_weights_and_a_bias_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="rgb_ir is -1"):
        Terms(rgb_ir=-1)
    with pytest.raises(UsageError, match="ir_text is nan"):
        Terms(ir_text=float("nan"))
    with pytest.raises(UsageError, match="all terms"):
        Terms(0, 0, 0, 0)
    views, rows = batch()
    with pytest.raises(UsageError, match="siglip needs a bias"):
        trimodal(views, rows, Terms(), "siglip", scalar(1.0))


def step(rows, pixels, tower, scale, kind):
    """The gradients of a trimodal loss of embeddings that one shared tower makes."""
    views = {name: gathered(F.normalize(tower(x), dim=1)) for name, x in pixels.items()}
    losses = trimodal(views, rows.gathered(), Terms(fused_text=0.5), kind, scale, torch.tensor(-2.0).double())
    sum(losses.values()).backward()
    return {name: float(loss.detach()) for name, loss in losses.items()}


def task(n=8):
    torch.manual_seed(0)
    pixels = {name: torch.randn(n, 6, dtype=torch.float64) for name in ("rgb", "infrared", "scene", "infrared_text")}
    return pixels, batch(n)[1], torch.nn.Linear(6, 4, dtype=torch.float64), scalar(7.0)


def one_of_two(rank, folder):
    pixels, rows, tower, scale = task()
    mine = slice(4 * rank, 4 * rank + 4)
    rows = Rows(**{name: values[mine] for name, values in vars(rows).items()})
    pixels = {name: x[mine] for name, x in pixels.items()}
    found = {}
    for kind in ("infonce", "siglip"):
        tower.zero_grad()
        scale.grad = None
        losses = step(rows, pixels, DistributedDataParallel(tower), scale, kind)
        found[kind] = losses, tower.weight.grad.clone(), tower.bias.grad.clone(), scale.grad.clone()
    torch.save(found, folder / f"{rank}.pt")


def test_two_processes_have_the_gradients_of_one(tmp_path):
    two(one_of_two, tmp_path, folder=tmp_path)
    pixels, rows, tower, scale = task()
    for kind in ("infonce", "siglip"):
        tower.zero_grad()
        scale.grad = None
        losses = step(rows, pixels, tower, scale, kind)
        for rank in range(2):
            there, *slopes_there = torch.load(tmp_path / f"{rank}.pt")[kind]
            assert there == pytest.approx(losses, abs=1e-12)
            for mine, other in zip(slopes_there, (tower.weight.grad, tower.bias.grad, scale.grad), strict=True):
                torch.testing.assert_close(mine, other, atol=1e-12, rtol=0)
