from fusionrs_builder.benchmark.leakage import leakage

from .conftest import records, row


def kin(name: str) -> frozenset[str]:
    return frozenset({"rsicd": ("rsicd", "rsitmd")}.get(name, (name,)))


def test_records_of_the_corpus_its_kin_and_their_groups_are_known():
    rows = [
        row("a", 1, corpus="rsitmd"),
        row("b", 2, corpus="naip", group_id="group:a"),
        row("c", 3, corpus="naip"),
        row("d", 4, corpus="other", origin_family="rsicd"),
    ]
    found = leakage(records(rows), ["rsicd"], kin)
    assert found == {
        "declared": ["rsicd"],
        "records": 3,
        "groups": 2,
        "of": 4,
        "ids": ["rsitmd/a", "naip/b", "other/d"],
    }


def test_what_it_never_saw_is_none():
    assert leakage(records([row("a", 1)]), ["rsicd"], kin)["records"] == 0
