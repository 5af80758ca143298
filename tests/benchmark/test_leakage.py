from fusionrs_builder.benchmark.leakage import Leakage

from .conftest import records, row

ROWS = [
    row("a", 1, corpus="rsitmd"),
    row("b", 2, corpus="naip", group_id="group:a"),
    row("c", 3, corpus="naip"),
    row("d", 4, corpus="other", origin_family="rsicd"),
]


def kin(name: str) -> frozenset[str]:
    return frozenset({"rsicd": ("rsicd", "rsitmd")}.get(name, (name,)))


def test_records_of_the_corpus_its_kin_and_their_groups_are_known():
    found = Leakage(records(ROWS), ["rsicd"], kin, ["rsicd"])
    assert found.of(range(4)) == {
        "declared": ["rsicd"],
        "unknown": [],
        "records": 3,
        "groups": 2,
        "of": 4,
        "ids": ["rsitmd/a", "naip/b", "other/d"],
    }


def test_of_a_result_it_counts_that_results_records():
    found = Leakage(records(ROWS), ["rsicd"], kin, ["rsicd"])
    assert (found.of([2, 3])["records"], found.of([2])["records"], found.of([2])["of"]) == (1, 0, 1)


def test_a_name_that_nobody_knows_is_told_with_what_it_may_mean():
    found = Leakage(records(ROWS), ["RSITMD", "laion2b", "naip"], kin, ["hit-uav"])
    assert found.unknown["RSITMD"][0] == "rsitmd" and found.unknown["laion2b"] == []
    assert found.of(range(4))["unknown"] == ["RSITMD", "laion2b"]
    assert found.of(range(4))["records"] == 3  # naip, and what shares a group with it
