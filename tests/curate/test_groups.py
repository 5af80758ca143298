import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.curate import groups


def keys(*values: int) -> groups.Keys:
    return np.array(values, np.uint64)


def test_key_of_a_hash() -> None:
    assert groups.key("00000000000000ff" + "1" * 48) == 255
    assert groups.key(None) == groups.NO_KEY


def test_a_chain_over_two_kinds_of_content_is_one_group() -> None:
    first = keys(1, 1, 2, 3, 4)
    second = keys(9, 8, 8, 7, 6)  # 0 and 1 by the first, 1 and 2 by the second
    found = groups.connected(len(first), map(groups.equal, (first, second)))
    assert found[0] == found[1] == found[2]
    assert len(set(found.tolist())) == 3


def test_missing_content_joins_nothing() -> None:
    found = groups.connected(3, map(groups.equal, (keys(0, 0, 5), keys(0, 7, 7))))
    assert found[0] != found[1]
    assert found[1] == found[2]


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
    found = groups.connected(len(first), map(groups.equal, (first, second)))
    for a in range(len(contents)):
        for b in range(a):
            assert (found[a] == found[b]) == (find(a) == find(b))


def test_smallest_of_each_group() -> None:
    group, rank = np.array([0, 1, 0, 1, 2]), np.array([4, 3, 2, 1, 0])
    among = np.array([True, True, True, True, False])
    assert groups.smallest(group, rank, among).tolist() == [2, 3, -1]


def test_group_names_are_fixed() -> None:
    """sha256 of the id: must never change, or every published split would."""
    assert groups.group_name(groups.group_number("naip/a")) == "group:bc706ccdf75d9ccc"


def test_links_of_keys_that_a_record_has_several_of() -> None:
    links = groups.equal(keys(7, 8, 7, 8), np.array([0, 0, 5, 9]))
    assert groups.connected(10, [links])[[0, 5, 9]].tolist() == [0, 0, 0]


def test_published_groups_stand_where_the_search_would_join_them() -> None:
    joined = np.array([0, 0, 0, 0, 1, 1, 2])
    published = keys(11, 12, 11, 0, 13, 13, 0)
    first = np.array([3, 0, 2, 1, 4, 5, 6])  # record 1, of group 12, comes before 0 and 2, of group 11
    found, standing = groups.parted(joined, published, first)
    assert found[0] == found[2] != found[1]
    assert found[3] == found[1], "a copy of both goes with the one of precedence"
    assert found[4] == found[5]
    assert len(set(found.tolist())) == 4
    assert standing.tolist() == [11, 12, 11, 12, 13, 13, 0]


def test_without_published_groups_nothing_is_parted() -> None:
    joined = np.array([0, 1, 0])
    found, standing = groups.parted(joined, keys(0, 0, 0), np.arange(3))
    assert found.tolist() == [0, 1, 0]
    assert not standing.any()
