import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionrs_builder.benchmark.metrics.ranks import NEVER, Side, ranks
from fusionrs_builder.errors import FusionError

UNIT = st.integers(0, 2**32 - 1)


def side(embeddings, groups, name="rgb", failed=None):
    return Side(name, torch.as_tensor(embeddings), groups, np.arange(len(groups)), failed)


def naive(scores, groups, gallery_groups):
    """The place of the first positive in a stable sort by falling score, from the whole matrix."""
    order = np.argsort(-scores, axis=1, kind="stable")
    positive = np.take_along_axis(groups[:, None] == gallery_groups, order, axis=1)
    return np.where(positive.any(axis=1), positive.argmax(axis=1) + 1, NEVER)


@given(UNIT, st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(1, 45))
@settings(max_examples=150, deadline=None)
def test_ranks_are_those_of_a_stable_sort_of_the_whole_matrix(seed, n, m, labels, block):
    random = np.random.default_rng(seed)
    # Of vectors of signs all lengths are equal and most scores tie.
    a, b = random.choice([-1.0, 1.0], (n, 8)).astype(np.float32), random.choice([-1.0, 1.0], (m, 8)).astype(np.float32)
    groups, others = random.integers(0, labels, n), random.integers(0, labels, m)
    others[0] = groups[0]
    found = ranks(side(a, groups), side(b, others, "text"), block)
    np.testing.assert_array_equal(found[0], naive(a @ b.T, groups, others))
    np.testing.assert_array_equal(found[1], naive(b @ a.T, others, groups))


def clustered(n, width, seed=0):
    """Queries near items of a gallery in which every third item is a copy of one before it."""
    random = torch.Generator().manual_seed(seed)
    gallery = torch.randn(n, width, generator=random)
    gallery[2::3] = gallery[torch.randint(0, 2, (len(gallery[2::3]),), generator=random)]
    return gallery + torch.randn(n, width, generator=random), gallery


@pytest.mark.parametrize("width", [17, 512])
def test_neither_blocks_nor_threads_change_a_rank(width):
    queries, gallery = clustered(100, width)
    groups = np.arange(100) // 2
    threads = torch.get_num_threads()
    found = [ranks(side(queries, groups), side(gallery, groups, "ir"), block) for block in (1, 7, 64, 99, 2048)]
    try:
        torch.set_num_threads(1)
        found.append(ranks(side(queries, groups), side(gallery, groups, "ir")))
    finally:
        torch.set_num_threads(threads)
    for there, back in found:
        np.testing.assert_array_equal(there, found[0][0])
        np.testing.assert_array_equal(back, found[0][1])


@given(UNIT, st.integers(1, 400), st.integers(0, 30))
@settings(max_examples=25, deadline=None)
def test_copies_tie_exactly_wherever_they_stand(seed, before, after):
    random = np.random.default_rng(seed)
    answer = random.normal(size=512).astype(np.float32)
    query = answer + random.normal(size=512).astype(np.float32)
    far = -np.tile(query, (7, 1))
    gallery = np.concatenate([np.tile(answer, (before, 1)), far, np.tile(answer, (1 + after, 1))])
    groups = np.full(len(gallery), 1)
    groups[before + 7] = 0
    found, _ = ranks(side(query[None], [0]), side(gallery, groups, "text"), 100)
    assert found.tolist() == [before + 1]


def test_scores_are_those_of_float64_to_1e_8():
    random = np.random.default_rng(0)
    a = random.normal(size=(400, 512)).astype(np.float32)
    b = (random.normal(size=512) + 1e-3 * random.normal(size=(400, 512))).astype(np.float32)  # much alike: scores too
    unit = [x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True) for x in (a, b)]
    scores = unit[0] @ unit[1].T
    groups = np.arange(400)
    found, _ = ranks(side(a, groups), side(b, groups, "text"))
    own = scores.diagonal()[:, None]
    off = 4e-8  # seven standard deviations
    assert ((scores > own + off).sum(axis=1) + 1 <= found).all()
    assert (found <= (scores > own - off).sum(axis=1)).all()  # the positive itself is above own - off


def test_all_sorts_of_floats_are_read_for_what_they_hold():
    queries, gallery = clustered(60, 32)
    groups = np.arange(60)
    coarse = queries.bfloat16(), gallery.bfloat16()
    expected = ranks(side(coarse[0].double(), groups), side(coarse[1].double(), groups, "ir"))
    for kind in (torch.bfloat16, torch.float32):
        found = ranks(side(coarse[0].to(kind), groups), side(coarse[1].to(kind), groups, "ir"))
        np.testing.assert_array_equal(found, expected)
    longer = ranks(side(coarse[0].double() * 1024, groups), side(coarse[1].double() / 4096, groups, "ir"))
    np.testing.assert_array_equal(longer, expected)


def test_embeddings_are_left_as_they_were():
    queries, gallery = (each.double() for each in clustered(20, 8))
    before = queries.clone(), gallery.clone()
    ranks(side(queries, np.arange(20)), side(gallery, np.arange(20), "ir"))
    assert torch.equal(queries, before[0]) and torch.equal(gallery, before[1])


def test_what_failed_misses_and_is_never_found():
    embeddings = np.eye(4, dtype=np.float32)
    broken = embeddings.copy()
    broken[1] = np.nan
    failed = [False, True, False, False]
    there, back = ranks(side(embeddings, range(4)), side(broken, range(4), "ir", failed))
    assert there.tolist() == [1, NEVER, 1, 1]
    assert back.tolist() == [1, NEVER, 1, 1]
    for gone in ranks(side(embeddings, range(4)), side(broken, range(4), "ir", [True] * 4)):
        assert gone.tolist() == [NEVER] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({1: np.nan}, r"text: embedding 1 \(from 0, of 3\) is not finite.*try fp32"),
        ({2: np.inf}, "text: embedding 2 .* is not finite"),
        ({0: 0.0}, "text: embedding 0 .* is of length 0"),
    ],
)
def test_broken_embeddings_are_named(change, message):
    embeddings = np.ones((3, 4), np.float32)
    for row, value in change.items():
        embeddings[row] = value
    with pytest.raises(FusionError, match=message):
        ranks(side(np.ones((3, 4), np.float32), range(3)), side(embeddings, range(3), "text"))


def test_widths_must_agree():
    with pytest.raises(FusionError, match="rgb embeddings are 768 wide and text embeddings 512: both .* one model"):
        ranks(side(np.ones((2, 768)), range(2)), side(np.ones((2, 512)), range(2), "text"))


def test_groups_must_meet():
    with pytest.raises(FusionError, match="no item of rgb shares a group with one of ir"):
        ranks(side(np.ones((2, 3)), [1, 2]), side(np.ones((2, 3)), [3, 4], "ir"))


@pytest.mark.parametrize(
    ("embeddings", "groups", "message"),
    [
        (torch.ones(2, 3, dtype=torch.int64), [0, 1], "rgb: embeddings are floats .* not torch.int64 of [2, 3]"),
        (torch.ones(3), [0, 1, 2], "not torch.float32 of [3]"),
        (torch.ones(0, 3), [], "rgb: there are no embeddings"),
        (torch.ones(2, 3), [0], "rgb: groups of the shape (1,) for 2 embeddings"),
    ],
)
def test_sides_must_make_sense(embeddings, groups, message):
    pattern = ".*".join(re.escape(part) for part in message.split(".*"))
    with pytest.raises(FusionError, match=pattern):
        side(embeddings, groups)


def test_the_matrix_of_scores_is_never_whole():
    count = 16_000  # 2 GB of float64, 1 GB of float32
    program = f"""
import numpy as np, torch
from fusionrs_builder.benchmark.metrics.ranks import Side, ranks
groups = np.arange({count})
embeddings = torch.randn({count}, 4)
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
before = peak()  # torch alone is hundreds of megabytes, more on some machines
there, back = ranks(Side("a", embeddings, groups, groups), Side("b", embeddings, groups, groups))
assert (there == 1).all() and (back == 1).all()
print(peak() - before)
"""
    growth = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(growth) < 600_000  # of a kilobyte


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_ranks_as_the_processor_does():
    queries, gallery = clustered(3000, 512)
    groups = np.arange(3000) // 3
    there = ranks(side(queries.cuda(), groups), side(gallery, groups, "ir"))
    np.testing.assert_array_equal(there, ranks(side(queries, groups), side(gallery, groups, "ir")))
