import random
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pytest

from fusionrs_builder import schema
from fusionrs_builder.release.documents import notice
from fusionrs_builder.release.documents.notice import Holding, Terms
from fusionrs_builder.shards import Footer, ShardWriter
from fusionrs_builder.workspace import Workspace

from ..conftest import record, three_corpora

FOLDER = "release/fusionrs"
LAYER = f"{FOLDER}/data"

EVIL = "a\r\nb\u2028c\x00 \u202e# *d* | [e](javascript:f) \x1b[31m"


def released(workspace: Workspace, records: Mapping[str, Iterable[dict[str, Any]]]) -> list[str]:
    """Write records, by corpus, as the files of a release with both configurations. Returns their names."""
    splits: dict[str, list[dict[str, Any]]] = {}
    for corpus, rows in records.items():
        for row in rows:
            name = f"{corpus}/{row['key']}"
            row = {"id": name, "corpus": corpus, "corpus_key": row["key"], "group_id": f"group:{name}", **row}
            splits.setdefault(row["split"], []).append(row)
    whole = schema.arrow_schema("release")
    text = pa.schema([column for column in whole if column.type != schema.IMAGE])
    for split, rows in splits.items():
        for folder, arrow in (("data", whole), ("text", text)):
            with ShardWriter(workspace, f"{FOLDER}/{folder}/{split}-00000-of-00001.parquet", arrow) as writer:
                for row in rows:
                    writer.write(row)
                writer.commit(Footer("push", "f"))
    return [f"{split}-00000-of-00001" for split in sorted(splits)]


def three() -> dict[str, list[dict[str, Any]]]:
    """45 records of three corpora: 20 drawn, 15 measured, 10 of infrared only."""
    found: dict[str, list[dict[str, Any]]] = {}
    for shard, rows in three_corpora():
        found.setdefault(shard.rsplit("-", 1)[0], []).extend(row for row in rows if row["keep"])
    return found


def text_of(workspace: Workspace, records: Mapping[str, Iterable[dict[str, Any]]]) -> str:
    return notice.render("T", notice.gather(workspace, LAYER, released(workspace, records)))


def paragraph(text: str, corpus: str) -> str:
    (found,) = [part for part in text.split("\n\n") if part.startswith(f"{corpus}\n")]
    return found.rstrip("\n")


def test_a_paragraph_of_each_corpus(workspace: Workspace) -> None:
    text = text_of(workspace, three())
    assert text.startswith("T\n\nThis release holds 45 records of 3 corpora. ")
    assert [part.split("\n")[0] for part in text.split("\n\n")[3:]] == ["eurosat", "hit-uav", "naip"]
    assert paragraph(text, "hit-uav") == (
        "hit-uav\n"
        "    Records: 10\n"
        "    Pixels: in this release for 10 of 10 (rgb 0, ir 10)\n"
        "    Source: not stated\n"
        "    Licence: CC-BY-4.0\n"
        "    May be published again: no\n"
        "    Attribution:\n"
        "        HIT-UAV | authors"
    )
    assert "Licence: CC0-1.0, https://creativecommons.org/publicdomain/zero/1.0/\n" in paragraph(text, "naip")
    assert paragraph(text, "naip").endswith("    Attribution: none stated")


def test_source_revision_and_pixels_kept_back(workspace: Workspace) -> None:
    special = {"source_url": "https://x.org/set", "source_revision": "v2", "redistributable": False}
    held_back = [record(str(number), rgb=None, ir=None, **special) for number in range(3)]
    text = text_of(workspace, {"closed": held_back, "open": [record("a"), record("b", ir=None)]})
    assert "Source: https://x.org/set, revision v2\n" in paragraph(text, "closed")
    assert "Pixels: none in this release\n" in paragraph(text, "closed")
    assert "Pixels: in this release for 2 of 2 (rgb 2, ir 1)\n" in paragraph(text, "open")


def test_terms_that_differ_within_a_corpus_stand_apart(workspace: Workspace) -> None:
    rows = [record("a", attribution="Ann"), record("b", license="CC-BY-4.0", attribution="Bob")]
    parts = [part for part in text_of(workspace, {"mixed": rows}).split("\n\n") if part.startswith("mixed\n")]
    assert [(part.count("Ann"), part.count("Bob"), part.count("CC-BY")) for part in parts] == [(0, 1, 1), (1, 0, 0)]


def test_every_attribution_in_full_once_and_sorted(workspace: Workspace) -> None:
    lines = [f"{'long ' * 100}{number:02d}" for number in range(30)]
    rows = [record(str(number), side=4, attribution=lines[number % 30]) for number in range(120)]
    random.Random(0).shuffle(rows)
    found = paragraph(text_of(workspace, {"a": rows}), "a").split("Attribution:\n")[1]
    assert [line.strip() for line in found.split("\n")] == lines


def test_lines_that_say_the_same_are_held_once() -> None:
    held = Holding()
    for number in range(1000):
        held.count({"rgb": {"path": "x"}, "ir": None, "attribution": f"(c)  A\n{'B' if number % 2 else ' B '}"})
    assert held.attributions == {"(c) A B"}
    assert (held.records, held.rgb, held.ir, held.pixels) == (1000, 1000, 0, 1000)


def test_strangers_text_adds_no_line(workspace: Workspace) -> None:
    strangers = ["license", "license_url", "source_url", "source_revision", "attribution"]
    text = text_of(workspace, {"a": [record("x", **dict.fromkeys(strangers, EVIL))]})
    assert text.count("\n") == text_of(workspace, {"a": [record("x", **dict.fromkeys(strangers, "t"))]}).count("\n")
    assert text.splitlines() == text.split("\n")[:-1]
    assert "        a b c # *d* | [e](javascript:f) [31m\n" in text


def test_the_order_of_the_files_does_not_matter() -> None:
    terms = [Terms(corpus, "", "", "MIT", "", True) for corpus in "abc"]
    holdings = [(each, Holding(records=1, attributions={"y", "x"})) for each in terms]
    assert notice.render("T", dict(holdings)) == notice.render("T", dict(reversed(holdings)))


@pytest.mark.parametrize(
    ("rows", "said"), [(0, "0 records of 0 corpora."), (1, "1 record of 1 corpus."), (2, "2 records of 1 corpus.")]
)
def test_few_records(workspace: Workspace, rows: int, said: str) -> None:
    text = text_of(workspace, {"a": [record(str(number)) for number in range(rows)]})
    assert f"This release holds {said} " in text
    assert text.count("Licence: MIT") == bool(rows)
