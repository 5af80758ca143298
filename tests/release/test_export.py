import json
import re
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusionrs_builder import schema
from fusionrs_builder.errors import FusionError
from fusionrs_builder.release import export, features, plan
from fusionrs_builder.release.stage import ReleaseStage
from fusionrs_builder.settings import PushSettings
from fusionrs_builder.shards import FOOTER_KEY, Footer
from fusionrs_builder.stage import make
from fusionrs_builder.workspace import Workspace

from .conftest import contents, lay, push, record, three_corpora

RELEASED = [column.name for column in schema.COLUMNS if column.release]


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


def groups(workspace: Workspace, place: str = "data", name: str = "train-00000-of-00001") -> list[int]:
    metadata = pq.read_metadata(workspace.path("release/fusionrs", place, f"{name}.parquet"))
    return [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]


def test_row_groups_are_bounded(workspace: Workspace) -> None:
    lay(workspace, {"a-00000": (record(f"{n:04d}", side=8) for n in range(250))})
    push(workspace)
    assert groups(workspace) == [100, 100, 50]
    assert groups(workspace, "text") == [250]


def test_row_groups_are_bounded_by_bytes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture larger than the bound has a row group of its own."""
    sides = [8, 64, 8, 8, 8]
    lay(workspace, {"a-00000": [record(f"{n}", side=side) for n, side in enumerate(sides)]})
    monkeypatch.setattr(export, "GROUP_BYTES", 1000)
    push(workspace)
    assert groups(workspace) == [1, 1, 2, 1]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> pa.RecordBatch:
    """250 rows of a release, every seventh without a visible view."""
    workspace = Workspace.open(tmp_path_factory.mktemp("batch"), create=True)
    lay(
        workspace,
        {"a-00000": (record(f"{n}", side=8, **({} if n % 7 else {"rgb": None, "boxes": None})) for n in range(250))},
    )
    (file,) = plan.plan(workspace, {"a-00000": inputs(workspace, "a-00000")}, 400)
    return pa.Table.from_batches(list(export.rows(workspace, file, "any"))).combine_chunks().to_batches()[0]


def inputs(workspace: Workspace, shard: str) -> dict[str, str]:
    return {layer: workspace.footers(layer)[shard].content for layer in schema.LAYERS}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 120), max_size=10))
def test_bytes_do_not_depend_on_how_rows_are_handed_over(
    workspace: Workspace, batch: pa.RecordBatch, cuts: list[int]
) -> None:
    def written(cuts: list[int]) -> dict[str, bytes]:
        with export.ReleaseWriter(workspace, "out", "train-00000-of-00001") as writer:
            start = 0
            for cut in [*cuts, batch.num_rows]:
                writer.write(batch.slice(start, cut))
                start += cut
            writer.commit(Footer("push", "f", items=batch.num_rows))
        return contents(Path(workspace.path("out")))

    assert written(cuts) == written([])


def test_bytes_do_not_depend_on_the_row_groups_of_the_layers(filled: Workspace, tmp_path: Path) -> None:
    other = Workspace.open(tmp_path / "other", create=True)
    for number, layer in enumerate(schema.LAYERS):
        Path(other.path(layer)).mkdir(parents=True)
        for shard in filled.shards(layer):
            parquet = pq.ParquetFile(filled.path(layer, f"{shard}.parquet"))
            footer = {FOOTER_KEY: parquet.metadata.metadata[FOOTER_KEY]}
            table = parquet.read()
            table = table.replace_schema_metadata({**(table.schema.metadata or {}), **footer})
            pq.write_table(table, other.path(layer, f"{shard}.parquet"), row_group_size=3 + number)
            assert other.footer(layer, shard) == filled.footer(layer, shard)
    assert push(filled) == push(other)
    assert contents(Path(filled.path("release"))) == contents(Path(other.path("release")))


@pytest.mark.parametrize("count", [1, 10_001])
def test_a_release_of_any_size(workspace: Workspace, count: int) -> None:
    def records(part: int) -> Iterator[dict[str, object]]:
        pictures = record("same", side=4)
        return ({**pictures, "key": f"{n}"} for n in range(part * 5000, min(count, part * 5000 + 5000)))

    lay(workspace, {f"a-{part:05d}": records(part) for part in range(1 + (count - 1) // 5000)})
    push(workspace)
    assert sum(groups(workspace)) == sum(groups(workspace, "text")) == count
    assert max(groups(workspace)) <= 100 and max(groups(workspace, "text")) <= 1000
    found = datasets.load_dataset(workspace.path("release/fusionrs"), split="train")
    assert found.num_rows == count and found[count - 1]["id"] == f"a/{count - 1}"
    assert f"num_examples: {count}\n" in workspace.read_bytes("release/fusionrs/README.md").decode()


def test_each_corpus_is_a_configuration(workspace: Workspace) -> None:
    """Also where the name of one begins as that of another."""
    names = {"naip": ["a", "b"], "naip-2020": ["c"], "naip-2020-12345": ["d"]}
    lay(workspace, {f"{corpus}-00000": [record(key) for key in keys] for corpus, keys in names.items()})
    push(workspace, by_corpus=True)
    for corpus, keys in names.items():
        found = datasets.load_dataset(workspace.path("release/fusionrs"), corpus, split="train")
        assert found["id"][:] == [f"{corpus}/{key}" for key in keys]
    for config in ("default", "text"):
        assert datasets.load_dataset(workspace.path("release/fusionrs"), config, split="train").num_rows == 4


def test_pictures_may_be_missing(workspace: Workspace) -> None:
    ir16 = {"bytes": b"\x89PNG", "path": "x.png"}
    lay(workspace, {"a-00000": [record("x", rgb=None, ir16=ir16), record("y", ir=None)]})
    push(workspace)
    rows = pq.read_table(workspace.path("release/fusionrs/data/train-00000-of-00001.parquet")).to_pylist()
    assert [[row[name] is None for name in features.IMAGES] for row in rows] == [
        [True, False, False],
        [False, True, True],
    ]


@pytest.mark.parametrize("name", ["with spaces", "ünïcode/日本", "a" * 300, "quote\"'`|$<b>", "new\nline", "../../up"])
def test_any_id_will_do(workspace: Workspace, name: str) -> None:
    lay(workspace, {"a-00000": [record("x", id=f"a/{name}", corpus_key=name)]})
    push(workspace)
    found = datasets.load_dataset(workspace.path("release/fusionrs"), split="train")
    assert found["id"][:] == [f"a/{name}"]
    assert found[0]["rgb"].size == (16, 16)


def test_a_shard_replaced_while_it_is_read_is_told(filled: Workspace) -> None:
    """Rows of before and after must not come into one file, nor one that is taken for what stood before."""
    before = dict(three_corpora())
    stage = ReleaseStage(PushSettings(license_policy="any"))
    tasks = stage.tasks(filled)
    first, *others = stage.prepare(filled, tasks)
    worker = stage.open("cpu")
    make(filled, stage, worker, others[0])
    lay(filled, {"eurosat-00001": [record(f"new{n}") for n in range(10)]})
    message = "rgb/eurosat-00001.parquet was replaced while it was being released: run `fusionrs-build push` again"
    with pytest.raises(FusionError, match=re.escape(message)):
        make(filled, stage, worker, first)
    with pytest.raises(FusionError, match="is not written yet"):
        stage.finish(filled)
    # Whatever comes back, what is written is of what stands.
    lay(filled, {"eurosat-00001": before["eurosat-00001"]})
    assert "train-00000-of-00001" in push(filled)
    ids = pq.read_table(filled.path("release/fusionrs/data/train-00000-of-00001.parquet"), columns=["id"])["id"]
    assert not [name for name in ids.to_pylist() if "new" in name]


def peak_of(work: Callable[[], object]) -> int:
    """Most bytes that Python and Arrow held at once."""
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] + pool.max_memory()
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)


def test_memory_does_not_grow_with_the_release(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        workspace = Workspace.open(tmp_path / str(count), create=True)
        lay(workspace, {"a-00000": (record(f"{n:04d}", side=96) for n in range(count))})
        push(workspace, name="warm")  # imports and caches are not what is measured
        return peak_of(lambda: push(workspace))

    small, large = peak(200), peak(800)
    assert small > 100 * 96 * 96 * 3  # a row group is held
    assert large < 1.15 * small
