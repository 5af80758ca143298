import json
import tracemalloc
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fusionrs_builder import schema
from fusionrs_builder.release import export, plan
from fusionrs_builder.shards import FOOTER_KEY
from fusionrs_builder.workspace import Workspace

from .conftest import lay, push, record

RELEASED = [column.name for column in schema.COLUMNS if column.release]


def test_every_released_column_has_one_source() -> None:
    found = ["id", "made_from", *(name for names in export.SOURCES.values() for name in names)]
    assert sorted(found) == sorted(RELEASED)
    assert "ir" in export.SOURCES["ir"]


def test_rows_are_the_kept_ones_in_shard_order(release: Path, filled: Workspace) -> None:
    rows = pq.read_table(release / "data" / "train-00000-of-00001.parquet").to_pylist()
    expected = [
        row["id"]
        for shard in filled.shards("curation")
        for row in filled.rows("curation", shard)
        if row["keep"] and row["split"] == "train"
    ]
    assert [row["id"] for row in rows] == expected
    assert len(rows) == 37
    assert {row["split"] for row in rows} == {"train"}
    assert list(rows[0]) == RELEASED
    # From the ir layer, not from the column of the same name in the rgb layer.
    assert all(row["ir"] is not None and row["ir_source"] != "wrong" for row in rows)


def test_the_file_suits_datasets_and_the_viewer(release: Path) -> None:
    parquet = pq.ParquetFile(release / "data" / "train-00000-of-00001.parquet")
    features = json.loads(parquet.schema_arrow.metadata[b"huggingface"])["info"]["features"]
    assert [name for name, feature in features.items() if feature.get("_type") == "Image"] == ["rgb", "ir", "ir16"]
    assert parquet.schema_arrow.remove_metadata() == schema.arrow_schema("release")
    assert parquet.metadata.row_group(0).column(0).has_offset_index


def test_the_footer_tells_nothing_of_the_machine(release: Path) -> None:
    footer = json.loads(pq.read_metadata(release / "data" / "test-00000-of-00001.parquet").metadata[FOOTER_KEY])
    assert set(footer) == {"stage", "fingerprint", "content", "inputs", "items", "rows", "refused"}
    assert (footer["stage"], footer["items"], footer["rows"], footer["inputs"]) == ("push", 4, 4, {})


def test_row_groups_are_bounded(workspace: Workspace) -> None:
    lay(workspace, {"a-00000": (record(f"{n:04d}", side=8) for n in range(250))})
    push(workspace)
    metadata = pq.read_metadata(workspace.path("release/fusionrs/data/train-00000-of-00001.parquet"))
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [100, 100, 50]


def test_plan_fills_files_in_order(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = {
        f"a-{part:05d}": [record(f"{part}{n}", "test" if part == 0 and n == 0 else "train") for n in range(4)]
        for part in range(5)
    }
    lay(workspace, shards)
    size = sum(workspace.fs.size(workspace.path(f"{layer}/a-00001.parquet")) for layer in ("rgb", "ir"))
    monkeypatch.setattr(plan, "MEGABYTE", int(2.2 * size))
    files = plan.plan(workspace, list(shards), file_mb=1)
    assert [(file.name, [(part.shard[-1], part.rows) for part in file.parts]) for file in files] == [
        ("train-00000-of-00003", [("0", 3), ("1", 4)]),
        ("train-00001-of-00003", [("2", 4), ("3", 4)]),
        ("train-00002-of-00003", [("4", 4)]),
        ("test-00000-of-00001", [("0", 1)]),
    ]


def test_memory_does_not_grow_with_the_release(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        workspace = Workspace.open(tmp_path / str(count), create=True)
        lay(workspace, {"a-00000": (record(f"{n:04d}", side=96) for n in range(count))})
        push(workspace, name="warm")  # imports and caches are not what is measured
        tracemalloc.start()
        push(workspace)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(200), peak(800)
    assert small > 100 * 96 * 96 * 3  # a row group is held
    assert large < 1.15 * small
