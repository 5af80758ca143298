import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionrs_builder.benchmark.metrics import recall
from fusionrs_builder.benchmark.metrics.ranks import NEVER, Side
from fusionrs_builder.intervals import compare

UNIT = st.integers(0, 2**32 - 1)


def clip_benchmark(scores, positives, k):
    """R@k as LAION-AI/CLIP_benchmark defines it: clip_benchmark/metrics/zeroshot_retrieval.py, `recall_at_k` > 0.

    RemoteCLIP (ChenDelong1999/RemoteCLIP, remoteclip_retrieval.py) calls that function.
    """
    top = torch.topk(scores, k, dim=1).indices
    return (positives.gather(1, top).sum(dim=1) / positives.sum(dim=1) > 0).float().mean().item()


def remoteclip(images, texts, of):
    """The six recalls and their mean as remoteclip_retrieval.py of ChenDelong1999/RemoteCLIP, but for percent."""
    scores = texts @ images.T
    positives = torch.zeros_like(scores, dtype=bool)
    positives[torch.arange(len(scores)), of] = True
    found = {f"rgb->text R@{k}": clip_benchmark(scores.T, positives.T, k) for k in (1, 5, 10)}
    found |= {f"text->rgb R@{k}": clip_benchmark(scores, positives, k) for k in (1, 5, 10)}
    return found | {"mean recall": float(np.mean(list(found.values())))}


def unit(embeddings):
    return torch.nn.functional.normalize(embeddings, dim=-1)


def scene(seed, count, captions=5, width=64, noise=1.0):
    """Images [count, width], captions of each in a mixed order, and the image of each caption."""
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(count, width, generator=random)
    of = torch.arange(count).repeat_interleave(captions)[torch.randperm(count * captions, generator=random)]
    texts = images[of] + noise * torch.randn(len(of), width, generator=random)
    return unit(images), unit(texts), of


def retrieved(images, texts, of):
    count = np.arange(len(images))
    return recall.retrieve(Side("rgb", images, count, count), Side("text", texts, of.numpy(), of.numpy()), block=37)


@given(UNIT, st.integers(11, 80), st.integers(1, 6), st.floats(0.5, 4))
@settings(max_examples=40, deadline=None)
def test_recall_is_that_of_clip_benchmark_and_remoteclip(seed, count, captions, noise):
    images, texts, of = scene(seed, count, captions, noise=noise)
    found = recall.recalls(retrieved(images, texts, of), {"mean recall": recall.REMOTECLIP})
    expected = remoteclip(images, texts, of)
    assert list(found) == list(expected)
    assert {name: each.value for name, each in found.items()} == pytest.approx(expected, abs=1e-6)


@given(UNIT, st.integers(11, 60))
@settings(max_examples=40, deadline=None)
def test_ties_that_decide_nothing_are_as_those_of_clip_benchmark(seed, count):
    images, texts, of = scene(seed, count, captions=5)
    # The sentences of an image are often one, written five times: all of them positives, or none.
    written = of.argsort(stable=True)
    texts[written[1::5]] = texts[written[4::5]] = texts[written[::5]]
    found = recall.recalls(retrieved(images, texts, of), {"mean recall": recall.REMOTECLIP})
    expected = remoteclip(images, texts, of)
    assert {name: each.value for name, each in found.items()} == pytest.approx(expected, abs=1e-6)


@given(UNIT, st.integers(11, 60), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_ties_that_decide_are_broken_by_a_stable_sort_and_within_what_clip_benchmark_allows(seed, count, captions):
    random = np.random.default_rng(seed)
    images = torch.as_tensor(random.choice([-0.25, 0.25], (count, 16)).astype(np.float32))
    of = torch.arange(count).repeat_interleave(captions)
    texts = torch.as_tensor(random.choice([-0.25, 0.25], (len(of), 16)).astype(np.float32))
    found = retrieved(images, texts, of)
    scores = texts @ images.T  # whole eighths: exact in float32
    positives = of[:, None] == torch.arange(count)
    for way, (marks, right) in {"text->rgb": (scores, positives), "rgb->text": (scores.T, positives.T)}.items():
        order = marks.argsort(dim=1, descending=True, stable=True)
        best = marks.masked_fill(~right, -2).amax(dim=1, keepdim=True)
        for k in (1, 5, 10):
            stable = right.gather(1, order[:, :k]).any(dim=1).float().mean().item()
            assert found[way].recall(k) == pytest.approx(stable, abs=1e-6)
            highest = ((marks > best).sum(dim=1) < k).float().mean().item()
            lowest = (((marks >= best) & ~right).sum(dim=1) < k).float().mean().item()
            for one in (clip_benchmark(marks, right, k), found[way].recall(k)):
                assert lowest - 1e-6 <= one <= highest + 1e-6


def three(count=40, seed=0, failed=None):
    random = torch.Generator().manual_seed(seed)
    rgb, ir, text = (torch.randn(count, 16, generator=random) for _ in range(3))
    ir, text = rgb + ir, rgb + text
    groups = np.arange(count) // 2
    return {
        name: Side(name, each, groups, np.arange(count), failed if name == "ir" else None)
        for name, each in {"rgb": rgb, "ir": ir, "text": text}.items()
    }


def test_three_modalities_have_six_directions_and_fusionrs_averages_four():
    sides = three()
    found = recall.retrieve(*sides.values())
    assert sorted(found) == sorted(recall.DIRECTIONS)
    each = recall.recalls(found, {"Mean R": recall.FUSIONRS})
    groups = torch.arange(40) // 2
    expected = []
    for way in ("ir->text", "text->ir", "rgb->ir", "ir->rgb"):
        query, gallery = (unit(sides[name].embeddings) for name in way.split("->"))
        for k in (1, 5, 10):
            expected.append(clip_benchmark(query @ gallery.T, groups[:, None] == groups, k))
            assert each[f"{way} R@{k}"].value == pytest.approx(expected[-1], abs=1e-6)
    assert each["Mean R"].value == pytest.approx(np.mean(expected), abs=1e-6)
    assert list(each)[-1] == "Mean R" and len(each) == 19


def test_failures_stay_in_the_denominator_and_are_counted():
    failed = np.arange(40) < 4
    whole, part = (recall.retrieve(*three(failed=given).values()) for given in (None, failed))
    assert part["ir->text"].counts == {"queries": 40, "failed": 4, "without_positive": 0}
    assert part["text->ir"].counts == {"queries": 40, "failed": 0, "without_positive": 4}  # two groups lost both
    assert whole["ir->text"].counts == {"queries": 40, "failed": 0, "without_positive": 0}
    hits = whole["ir->text"].hits(5)
    hits[:4] = False
    np.testing.assert_array_equal(part["ir->text"].hits(5), hits)
    assert part["ir->text"].recall(5) == hits.mean() < whole["ir->text"].recall(5)
    assert (part["ir->text"].ranks[:4] == NEVER).all()


def test_intervals_are_over_images_and_differences_paired():
    images, texts, of = scene(0, 200, noise=4)
    other = unit(texts + 0.02 * torch.randn(texts.shape, generator=torch.Generator().manual_seed(1)))
    better, worse = (
        recall.recalls(retrieved(images, given, of), {"mean recall": recall.REMOTECLIP}) for given in (texts, other)
    )
    assert {each.n for each in better.values()} == {200}
    table = compare({"a": better, "b": worse})
    alone, less = table["scores"]["a"]["mean recall"], table["differences"]["b"]["mean recall"]
    assert alone["low"] < alone["mean"] < alone["high"]
    assert less["mean"] == pytest.approx(alone["mean"] - table["scores"]["b"]["mean recall"]["mean"])
    assert less["high"] - less["low"] < 0.8 * (alone["high"] - alone["low"])


def test_an_average_of_what_was_not_measured_is_refused():
    images, texts, of = scene(0, 20)
    with pytest.raises(KeyError, match=r"ir->text"):
        recall.recalls(retrieved(images, texts, of), {"Mean R": recall.FUSIONRS})
