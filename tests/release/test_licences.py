"""Whose pixels are in a release: no more than the policy allows, in any of its files."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.release.features import IMAGES, arrow_schema
from fusionrs_builder.release.licences import Policy, allows, withheld
from fusionrs_builder.release.licences import withhold as withhold_pictures
from fusionrs_builder.workspace import Workspace

from .conftest import Record, contents, lay, push, record

POLICIES: tuple[Policy, ...] = ("redistributable", "noncommercial", "any")


@pytest.mark.parametrize(
    ("licence", "redistributable", "policies"),
    [
        ("CC-BY-4.0", True, POLICIES),
        ("CC-BY-4.0", False, ["any"]),  # somebody's doubts go over the name
        ("CC-BY-NC-4.0", False, ["noncommercial", "any"]),
        ("cc-by-nc-sa-3.0", False, ["noncommercial", "any"]),
        (" CC-BY-NC-SA-3.0-IGO ", False, ["noncommercial", "any"]),
        ("CC-BY-NC-4.0", True, ["noncommercial", "any"]),
        ("CC BY NC 4.0", True, ["noncommercial", "any"]),
        ("free for non-commercial use", True, ["noncommercial", "any"]),
        ("noncommercial", True, ["noncommercial", "any"]),
        ("research only", True, ["noncommercial", "any"]),
        ("Academic use only", True, ["noncommercial", "any"]),
        ("NCSA", True, POLICIES),
        ("CC-BY-NC-ND-4.0", False, ["any"]),  # a drawn view is a change
        ("CC-BY-NC-SA-4.0 by a derivative's account; the publisher states none", False, ["any"]),
        ("CC-BY-NC-SA-4.0 (the README contradicts itself)", False, ["any"]),
        ("unknown", False, ["any"]),
        ("", False, ["any"]),
    ],
)
def test_what_a_policy_allows(licence: str, redistributable: bool, policies: list[Policy]) -> None:
    assert [policy for policy in POLICIES if allows(policy, licence, redistributable)] == list(policies)


LICENCES = st.sampled_from(["MIT", "CC-BY-NC-4.0", "unknown", "", None])
ROWS = st.lists(st.tuples(LICENCES, st.sampled_from([True, False, None]), st.booleans()), max_size=8)


@given(rows=ROWS, policy=st.sampled_from(POLICIES))
def test_only_pictures_are_withheld(rows: list[Any], policy: Policy) -> None:
    picture = {"bytes": b"pixels", "path": "a.png"}
    given = [
        {"id": str(n), "license": name, "redistributable": free, "rgb": picture if has_rgb else None, "ir": picture}
        for n, (name, free, has_rgb) in enumerate(rows)
    ]
    batch = pa.RecordBatch.from_pylist(given, arrow_schema())
    found = withhold_pictures(batch, policy)
    assert found.schema == batch.schema
    for before, after in zip(batch.to_pylist(), found.to_pylist(), strict=True):
        kept = allows(policy, before["license"] or "", bool(before["redistributable"]))
        assert after == (before if kept else {**before, **dict.fromkeys(IMAGES)})


def closed(key: str, split: str = "train", **special: Any) -> Record:
    return record(key, split, **{"license": "unknown", "redistributable": False, **special})


@pytest.fixture
def mixed(workspace: Workspace) -> Workspace:
    """Records of anybody and of somebody in one shard, and a corpus of nobody's else."""
    ir16 = {"bytes": b"\x89PNG sixteen bits", "path": "a.png"}
    lay(
        workspace,
        {
            "both-00000": [
                record("free one"),
                closed("kept back", ir16=ir16),
                record("free two", "test"),
                closed("for science", license="CC-BY-NC-4.0"),
            ],
            "closed-00000": [closed(f"{n}", ("train", "test")[n % 2]) for n in range(4)],
        },
    )
    return workspace


def pixels_of(workspace: Workspace) -> dict[str, list[bytes]]:
    """Encoded pictures by record."""
    found: dict[str, list[bytes]] = {}
    for shard in workspace.shards("rgb"):
        for row in workspace.zip(shard, {"rgb": ["rgb"], "ir": ["ir", "ir16"]}):
            found[row["id"]] = [row[name]["bytes"] for name in IMAGES if row[name]]
    return found


@pytest.mark.parametrize(
    ("policy", "there"),
    [
        ("redistributable", {"both/free one", "both/free two"}),
        ("noncommercial", {"both/free one", "both/free two", "both/for science"}),
    ],
)
@pytest.mark.parametrize("by_corpus", [False, True])
def test_no_byte_of_a_withheld_picture_is_in_the_release(
    mixed: Workspace, policy: str, there: set[str], by_corpus: bool
) -> None:
    push(mixed, license_policy=policy, by_corpus=by_corpus)
    files = contents(Path(mixed.path("release/fusionrs")))
    for name, pictures in pixels_of(mixed).items():
        assert len(pictures) >= 2
        for data in pictures:
            assert any(data in text for text in files.values()) == (name in there), name
    shown = {path for path in files if path.startswith("examples/")}
    assert len(shown) == 2 * len(there)


def test_pictures_of_an_earlier_policy_do_not_stay(mixed: Workspace) -> None:
    """Also where no picture at all is left to show."""
    mixed.remove("rgb", "both-00000")
    for layer in ("ir", "captions", "curation"):
        mixed.remove(layer, "both-00000")
    push(mixed, license_policy="any")
    assert list(Path(mixed.path("release/fusionrs/examples")).iterdir())
    push(mixed, license_policy="redistributable")
    files = contents(Path(mixed.path("release/fusionrs")))
    assert not [path for path in files if path.startswith("examples/")]
    assert "examples/" not in files["README.md"].decode() and b"examples/" not in files["SHA256SUMS"]
    assert not any(data in text for each in pixels_of(mixed).values() for data in each for text in files.values())


def test_a_withheld_row_keeps_what_is_needed_to_rebuild_it(mixed: Workspace) -> None:
    push(mixed, license_policy="redistributable")
    push(mixed, license_policy="any", name="whole")
    for place in ("data", "text"):
        for path in Path(mixed.path("release/whole", place)).iterdir():
            whole = pq.read_table(path).to_pylist()
            found = pq.read_table(mixed.path("release/fusionrs", place, path.name)).to_pylist()
            for ours, row in zip(found, whole, strict=True):
                held = place == "text" or row["license"] == "MIT"
                assert ours == (row if held else {**row, **dict.fromkeys(IMAGES)})
                assert ours["pixel_sha256"] and ours["made_from"]["rgb"] and ours["made_from"]["shard"]


def test_rows_without_pictures_are_counted(mixed: Workspace) -> None:
    push(mixed, license_policy="redistributable")
    layer = "release/fusionrs/data"
    assert withheld(mixed, layer, mixed.shards(layer)) == {("both", "translated"): 2, ("closed", "translated"): 4}
    push(mixed, license_policy="any")
    assert not withheld(mixed, layer, mixed.shards(layer))
