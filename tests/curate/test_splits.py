from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fusionrs_builder.curate import splits

SHARES = (0.9, 0.05, 0.05)

shares = (
    st.tuples(st.integers(1, 97), st.integers(1, 97))
    .filter(lambda cut: sum(cut) < 100)
    .map(lambda cut: (cut[0] / 100, cut[1] / 100, (100 - cut[0] - cut[1]) / 100))
)


def numbers(count: int, start: int = 0) -> NDArray[np.uint64]:
    return np.arange(start + 1, start + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def one_corpus(count: int) -> NDArray[np.int32]:
    return np.zeros(count, np.int32)


def assign(
    groups: NDArray[np.uint64],
    corpora: NDArray[np.int32],
    names: list[str],
    share: tuple[float, ...],
    seed: int,
    sizes: Any = None,
    held_out: Any = None,
    published: Any = (),
) -> NDArray[np.int8]:
    """Of groups of one record, none held out, unless told otherwise."""
    known = np.zeros((len(names), 3), np.bool_)
    for corpus, split in published:
        known[corpus, split] = True
    each = splits.Groups(
        groups,
        np.ones(len(groups), np.int64) if sizes is None else np.asarray(sizes, np.int64),
        corpora,
        np.full(len(groups), splits.UNSPLIT, np.int8) if held_out is None else np.asarray(held_out, np.int8),
        names,
    )
    return splits.assign(each, share, seed, known)


@given(st.integers(0, 3000), shares, st.text(max_size=4))
def test_quotas_are_the_shares_within_rounding(count: int, share: tuple[float, ...], key: str) -> None:
    found = splits.quotas(count, share, key)
    assert sum(found) == count
    assert all(abs(quota - count * part) < 1 for quota, part in zip(found, share, strict=True))


def test_equal_remainders_do_not_always_favour_the_same_split() -> None:
    """Of many corpora of ten records, test must get about as many as validation."""
    found = Counter(tuple(splits.quotas(10, SHARES, f"corpus {n}")) for n in range(100))
    assert set(found) == {(9, 1, 0), (9, 0, 1)}
    assert min(found.values()) > 30


@given(st.integers(3, 400), shares, st.integers(0, 9))
def test_every_split_has_a_group_and_the_shares_hold(count: int, share: tuple[float, ...], seed: int) -> None:
    found = assign(numbers(count), one_corpus(count), ["a"], share, seed)
    counts = np.bincount(found, minlength=3)
    assert counts.min() >= 1
    assert all(abs(counts[split] - count * share[split]) <= 2 for split in range(3))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_groups_for_every_split(count: int) -> None:
    assert len(assign(numbers(count), one_corpus(count), ["a"], SHARES, 0)) == count


def test_a_split_without_a_share_stays_empty() -> None:
    assert set(assign(numbers(50), one_corpus(50), ["a"], (1.0, 0.0, 0.0), 0).tolist()) == {0}


def test_small_corpora_together_fill_every_split() -> None:
    found = assign(numbers(20), np.arange(20, dtype=np.int32), [f"c{n}" for n in range(20)], SHARES, 0)
    assert np.bincount(found, minlength=3).min() >= 1


@given(st.permutations(range(60)), st.integers(0, 3))
def test_order_does_not_matter(order: list[int], seed: int) -> None:
    groups, corpora = numbers(60), np.arange(60, dtype=np.int32) % 2
    plain = assign(groups, corpora, ["a", "b"], SHARES, seed)
    assert assign(groups[order], corpora[order], ["a", "b"], SHARES, seed).tolist() == plain[order].tolist()


@given(st.integers(60, 200), st.integers(1, 200))
def test_another_corpus_changes_nothing_in_the_first(count: int, more: int) -> None:
    alone = assign(numbers(count), one_corpus(count), ["b"], SHARES, 3)
    groups = np.concatenate([numbers(more, start=count), numbers(count)])
    corpora = np.array([0] * more + [1] * count, np.int32)
    together = assign(groups, corpora, ["a", "b"], SHARES, 3)
    assert together[more:].tolist() == alone.tolist()


def test_growth_moves_few_groups() -> None:
    before = assign(numbers(1000), one_corpus(1000), ["a"], SHARES, 0)
    after = assign(numbers(1010), one_corpus(1010), ["a"], SHARES, 0)
    assert (before != after[:1000]).sum() <= 10


def test_the_seed_draws_anew() -> None:
    draws = [assign(numbers(1000), one_corpus(1000), ["a"], SHARES, seed) for seed in (0, 0, 1)]
    assert draws[0].tolist() == draws[1].tolist() != draws[2].tolist()


@given(st.lists(st.integers(1, 40), min_size=60, max_size=200), st.integers(0, 5))
def test_shares_are_counted_in_records(sizes: list[int], seed: int) -> None:
    found = assign(numbers(len(sizes)), one_corpus(len(sizes)), ["a"], (0.8, 0.1, 0.1), seed, sizes)
    for split in (splits.VALIDATION, splits.TEST):
        held = sum(size for size, where in zip(sizes, found, strict=True) if where == split)
        assert abs(held - sum(sizes) / 10) <= max(sizes)


def test_a_group_much_larger_than_a_held_out_split_goes_to_train() -> None:
    sizes = [500, *[1] * 500]
    for seed in range(20):
        found = assign(numbers(501), one_corpus(501), ["a"], SHARES, seed, sizes)
        assert found[0] == splits.TRAIN
        assert np.bincount(found[1:], minlength=3).tolist() == [400, 50, 50]


def test_what_is_held_out_stays_so_and_counts_towards_the_quota() -> None:
    held_out = np.full(200, splits.UNSPLIT)
    held_out[:6], held_out[6:10] = splits.TEST, splits.VALIDATION
    found = assign(numbers(200), one_corpus(200), ["a"], SHARES, 0, held_out=held_out)
    assert (found[:6] == splits.TEST).all()
    assert (found[6:10] == splits.VALIDATION).all()
    assert np.bincount(found).tolist() == [180, 10, 10]


def test_a_split_of_the_publisher_gets_no_other_records() -> None:
    held_out = np.full(200, splits.UNSPLIT)
    held_out[0] = splits.TEST
    published = [(0, splits.TEST)]
    found = assign(numbers(200), one_corpus(200), ["a"], SHARES, 0, held_out=held_out, published=published)
    assert np.bincount(found).tolist() == [189, 10, 1]


def test_an_empty_split_never_takes_what_is_held_out() -> None:
    held_out = [splits.TEST] * 4
    found = assign(numbers(4), one_corpus(4), ["a"], SHARES, 0, held_out=held_out, published=[(0, splits.TEST)])
    assert found.tolist() == held_out
