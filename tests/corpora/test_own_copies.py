"""Somebody's own copies in the settings of somebody else's build."""

from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder.corpora.own_copies import placed
from fusionrs_builder.errors import UsageError

TABLES: dict[str, dict[str, Any]] = {
    "mine": {"format": "voc", "license": "MIT"},
    "fusionrs-rc4": {"format": "fusionrs-index"},
    "eurosat-ms": {},
}
"""One that nobody can fetch, one that is an index into others, and one that the registry fetches."""


def test_what_can_be_had_is_placed() -> None:
    assert placed(TABLES, {}) == {"eurosat-ms": {}}
    found = placed(TABLES, {"mine": "/data/mine", "eurosat-ms": "~/eurosat"})
    assert found == {
        "mine": {**TABLES["mine"], "from": "/data/mine"},
        "eurosat-ms": {"from": str(Path.home() / "eurosat")},
    }


def test_a_relative_path_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert placed(TABLES, {"mine": "a/b"})["mine"]["from"] == str(tmp_path / "a" / "b")


def test_an_index_has_sources() -> None:
    copies = {"fusionrs-rc4": "/data/index.jsonl.gz", "fusionrs-rc4.RSICD": "/data/rsicd", "fusionrs-rc4.NWPU": "/n"}
    found = placed(TABLES, copies)["fusionrs-rc4"]
    sources = {"RSICD": "/data/rsicd", "NWPU": "/n"}
    assert found == {"format": "fusionrs-index", "index": "/data/index.jsonl.gz", "sources": sources}
    del copies["fusionrs-rc4"]
    assert "fusionrs-rc4" not in placed(TABLES, copies)  # sources without the index that points into them


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dior", "--from dior: the release has no corpus dior; it has eurosat-ms, fusionrs-rc4, mine"),
        ("dior.RSICD", "the release has no corpus dior"),
        ("mine.RSICD", "--from mine.RSICD: mine is one copy: --from mine=PATH"),
    ],
)
def test_a_wrong_name_is_told(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        placed(TABLES, {name: "/data"})


def test_the_tables_stay_as_they_were() -> None:
    before = {name: dict(table) for name, table in TABLES.items()}
    placed(TABLES, {"mine": "/data/mine", "fusionrs-rc4": "/i", "fusionrs-rc4.RSICD": "/r"})
    assert before == TABLES
