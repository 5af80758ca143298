"""Which rows go to which file."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.release import plan
from fusionrs_builder.release.layout import NAME, SPLITS
from fusionrs_builder.release.plan import File, Part
from fusionrs_builder.shards import Footer
from fusionrs_builder.workspace import Workspace

from .conftest import lay, push, record


def shards(workspace: Workspace) -> dict[str, dict[str, str]]:
    return {shard: {} for shard in workspace.shards("rgb")}


def test_files_are_filled_in_order(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    records = {
        f"a-{part:05d}": [record(f"{part}{n}", "test" if part == 0 and n == 0 else "train") for n in range(4)]
        for part in range(5)
    }
    lay(workspace, records)
    size = sum(workspace.fs.size(workspace.path(f"{layer}/a-00001.parquet")) for layer in ("rgb", "ir"))
    monkeypatch.setattr(plan, "MEGABYTE", int(2.2 * size))
    files = plan.plan(workspace, shards(workspace), file_mb=1)
    assert [(file.name, [(part.shard[-1], part.rows) for part in file.parts]) for file in files] == [
        ("train-00000-of-00003", [("0", 3), ("1", 4)]),
        ("train-00001-of-00003", [("2", 4), ("3", 4)]),
        ("train-00002-of-00003", [("4", 4)]),
        ("test-00000-of-00001", [("0", 1)]),
    ]


def test_names_say_split_and_corpus(workspace: Workspace) -> None:
    lay(workspace, {"naip-00000": [record("a")], "naip-2020-00000": [record("b"), record("c", "test")]})
    names = [file.name for file in plan.plan(workspace, shards(workspace), 400, by_corpus=True)]
    assert names == [
        "train.naip-00000-of-00001",
        "train.naip-2020-00000-of-00001",
        "test.naip-2020-00000-of-00001",
    ]
    assert all(NAME.fullmatch(name) for name in names)
    assert [file.name for file in plan.plan(workspace, shards(workspace), 400)] == [
        "train-00000-of-00001",
        "test-00000-of-00001",
    ]


def test_what_is_not_kept_has_no_place(workspace: Workspace) -> None:
    lay(workspace, {"a-00000": [record("x", keep=False, reason="duplicate: y")], "b-00000": [record("y")]})
    (file,) = plan.plan(workspace, shards(workspace), 400)
    assert [part.shard for part in file.parts] == ["b-00000"]
    lay(workspace, {"b-00000": [record("y", keep=False, reason="blank: y")]})
    assert plan.plan(workspace, shards(workspace), 400) == []


def test_the_size_of_a_file_is_that_of_its_plan(workspace: Workspace) -> None:
    lay(workspace, {"a-00000": [record(f"{n}", side=96) for n in range(20)]})
    push(workspace)
    size = Path(workspace.path("release/fusionrs/data/train-00000-of-00001.parquet")).stat().st_size

    def planned() -> float:
        (file,) = plan.plan(workspace, shards(workspace), 400)
        return sum(part.size for part in file.parts) / size

    assert 0.85 < planned() < 1.15
    # A measured view stands in the rgb layer too, and must not count twice.
    rows, views = (list(workspace.rows(layer, "a-00000")) for layer in ("rgb", "ir"))
    with workspace.writer("rgb", "a-00000") as writer:
        for row, view in zip(rows, views, strict=True):
            writer.write({**row, "ir": view["ir"], "ir16": view["ir"]})
        writer.commit(Footer("test", "f"))
    assert 0.85 < planned() < 1.15


def test_no_row_changes_its_file_with_the_policy(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = {"license": "unknown", "redistributable": False}
    lay(workspace, {f"a-{n:05d}": [record(f"{n}-{m}", side=64, **closed) for m in range(5)] for n in range(6)})
    monkeypatch.setattr(plan, "MEGABYTE", 200_000)
    made = {policy: push(workspace, file_mb=1, license_policy=policy) for policy in ("any", "redistributable")}
    assert made["any"] == made["redistributable"] and len(made["any"]) > 1


SIZES = st.lists(st.floats(0, 30), min_size=1, max_size=30)


@given(sizes=SIZES, limit=st.floats(1, 40))
def test_no_file_is_larger_than_asked_unless_a_shard_is(sizes: list[float], limit: float) -> None:
    parts = [Part(f"a-{n:05d}", 1, size, {}) for n, size in enumerate(sizes)]
    bins = plan._fill(parts, limit)
    assert [part for each in bins for part in each] == parts
    assert all(len(each) == 1 or sum(part.size for part in each) <= limit for each in bins)
    # No two neighbours would have gone into one.
    assert all(sum(part.size for part in one) + two[0].size > limit for one, two in itertools.pairwise(bins))


@given(split=st.sampled_from(SPLITS), corpus=st.from_regex(r"[a-z0-9_-]{0,20}", fullmatch=True), number=st.integers(0))
def test_every_name_is_read_back(split: str, corpus: str, number: int) -> None:
    found = NAME.fullmatch(File(split, corpus, number % 99_999, 99_999, ()).name)
    assert found is not None
    assert (found["split"], found["corpus"] or "") == (split, corpus)
