from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.corpora.spool import BATCH, Spool

KEYS = st.text(max_size=8) | st.sampled_from(["a", "\udc80.png", "a\x00b", "\n"])


@given(st.lists(st.tuples(KEYS, st.integers())))
def test_it_is_a_sorted_multi_map(pairs: list[tuple[str, int]]) -> None:
    with Spool() as spool:
        for key, value in pairs:
            spool.add(key, value)
        assert len(spool) == len(pairs)
        assert sorted(spool.sorted(), key=repr) == sorted(pairs, key=repr)
        for wanted, _ in pairs:
            assert spool.get(wanted) == [value for key, value in pairs if key == wanted]


def test_plain_keys_come_in_order_whatever_the_order_of_arrival() -> None:
    with Spool() as spool:
        for number in reversed(range(BATCH + 10)):
            spool.add(f"{number:06d}", {"n": number})
        assert [value["n"] for _, value in spool.sorted()] == list(range(BATCH + 10))
        assert spool.first("000003") == {"n": 3}
        assert spool.first("none") is None
