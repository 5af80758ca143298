import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.curate import duplicates


def keys(*values: int) -> duplicates.Keys:
    return np.array(values, np.uint64)


def test_key_of_a_hash() -> None:
    assert duplicates.key("00000000000000ff" + "1" * 48) == 255
    assert duplicates.key(None) == duplicates.NO_KEY


def test_a_chain_over_two_kinds_of_content_is_one_group() -> None:
    first = keys(1, 1, 2, 3, 4)
    second = keys(9, 8, 8, 7, 6)  # 0 and 1 by the first, 1 and 2 by the second
    groups = duplicates.connected(first, second)
    assert groups[0] == groups[1] == groups[2]
    assert len(set(groups.tolist())) == 3


def test_missing_content_joins_nothing() -> None:
    groups = duplicates.connected(keys(0, 0, 5), keys(0, 7, 7))
    assert groups[0] != groups[1]
    assert groups[1] == groups[2]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=40))
def test_groups_equal_those_of_a_union_find(contents: list[tuple[int, int]]) -> None:
    parent = list(range(len(contents)))

    def find(record: int) -> int:
        while parent[record] != record:
            record = parent[record]
        return record

    for a in range(len(contents)):
        for b in range(a):
            if any(x == y != 0 for x, y in zip(contents[a], contents[b], strict=True)):
                parent[find(a)] = find(b)
    first, second = (keys(*(content[kind] for content in contents)) for kind in (0, 1))
    groups = duplicates.connected(first, second)
    for a in range(len(contents)):
        for b in range(a):
            assert (groups[a] == groups[b]) == (find(a) == find(b))


def test_the_original_is_the_first_usable_by_rank() -> None:
    pixels, seen = keys(5, 5, 5, 5, 0, 0), keys(0, 0, 0, 3, 0, 0)
    rank = np.array([3, 0, 1, 2, 4, 5])
    usable = np.array([True, False, True, True, True, True])
    # 1 comes first but is not usable; 3 differs in the second content; 4 and 5 have no content at all.
    assert duplicates.originals(rank, usable, (pixels, seen)).tolist() == [2, 1, 2, 3, 4, 5]


def test_smallest_of_each_group() -> None:
    groups, rank = np.array([0, 1, 0, 1, 2]), np.array([4, 3, 2, 1, 0])
    among = np.array([True, True, True, True, False])
    assert duplicates.smallest(groups, rank, among).tolist() == [2, 3, -1]


def test_group_names_are_fixed() -> None:
    """sha256 of the id: must never change, or every published split would."""
    assert duplicates.group_name(duplicates.group_number("naip/a")) == "group:bc706ccdf75d9ccc"
