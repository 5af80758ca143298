import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder import checked, layers, pixels, schema
from fusionrs_builder.checked import Checked, Key, Keys
from fusionrs_builder.shards import FOOTER_KEY, Row
from fusionrs_builder.stage import MADE_BY
from fusionrs_builder.workspace import Workspace
from tests.release.conftest import MEASURED, lay, picture, record

SHARD, OTHER = "eurosat-00000", "naip-00000"


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.booleans(), st.sampled_from("ab"))))
def test_keys_are_told_as_by_looking_at_all_of_them(drawn: list[tuple[int, int, bool, str]]) -> None:
    rows = [Key(f"row {n}", f"{a}", f"{b}" if kept else None, split) for n, (a, b, kept, split) in enumerate(drawn)]
    keys, found = Keys(), Checked()
    for row in rows:
        keys.add(row)
    keys.tell(found, lambda: rows)
    twice = [name for name, count in Counter(row.id for row in rows).items() if count > 1]
    groups = {row.group for row in rows if row.group is not None}
    torn = [group for group in groups if len({row.split for row in rows if row.group == group}) > 1]
    told = [line for line in found.problems if "is there twice" in line]
    assert {line.split(" is there")[0].rsplit(" ", 1)[1] for line in told} <= set(twice)
    assert len(told) == min(checked.SAID, len(twice))
    assert len(found.problems) == len(told) + min(checked.SAID, len(torn))
    counts = {"id": len(twice) - checked.SAID, "group": len(torn) - checked.SAID}
    assert found.finish().problems[len(told) + min(checked.SAID, len(torn)) :] == [
        f"{kind}: {count} more" for kind, count in counts.items() if count > 0
    ]


@pytest.fixture
def filled(ws: Workspace) -> Workspace:
    lay(ws, {SHARD: [_hashed(f"{number:03d}", ["train", "test"][number % 2]) for number in range(10)]})
    lay(ws, {OTHER: [_hashed("a b/c d", **MEASURED), _hashed("dropped", keep=False, split=None, group_id=None)]})
    return ws


def _hashed(key: str, split: str | None = "train", **special: Any) -> Row:
    return record(key, ir_sha256=pixels.pixel_sha256(picture("ir" + key, 16, 1)), **{"split": split, **special})


def problems(workspace: Workspace, every: bool = False) -> list[str]:
    return layers.check(workspace, every).problems


def place(workspace: Workspace, layer: str, shard: str = SHARD) -> Path:
    return Path(workspace.path(layer, f"{shard}.parquet"))


def rewrite(workspace: Workspace, layer: str, change: Callable[[list[Row]], Any], shard: str = SHARD) -> None:
    """Change rows and leave the footer as it is."""
    path = place(workspace, layer, shard)
    with pq.ParquetFile(path) as parquet:
        table = parquet.read()
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path, row_group_size=4)


def first(**columns: Any) -> Callable[[list[Row]], Any]:
    return lambda rows: rows[0].update(columns)


def test_layers_are_what_they_say(filled: Workspace) -> None:
    found = layers.check(filled)
    assert (found.rows, found.pictures, found.problems) == (12, 2 * 12, [])
    for layer in schema.LAYERS:
        rewrite(filled, layer, lambda rows: None)
    assert problems(filled) == [], "what the tests below do is seen for what it changes"


def test_no_records(ws: Workspace) -> None:
    found = layers.check(ws)
    assert (found.rows, found.problems) == (0, [f"{ws.root} has no records: run `fusionrs-build download`"])


@pytest.mark.parametrize("last", schema.LAYERS)
def test_a_build_under_way_is_no_problem(filled: Workspace, last: str) -> None:
    for layer in schema.LAYERS[schema.LAYERS.index(last) + 1 :]:
        for shard in (SHARD, OTHER):
            place(filled, layer, shard).unlink()
    assert problems(filled) == []


@pytest.mark.parametrize(("layer", "command"), MADE_BY.items())
@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1 no more PAR1", None])
def test_a_damaged_shard(filled: Workspace, layer: str, command: str, data: bytes | None) -> None:
    path = place(filled, layer)
    path.write_bytes(path.read_bytes()[:-9] if data is None else data)
    told = f"{layer}/{SHARD}.parquet is damaged, or not of this version: delete it, then run `fusionrs-build {command}`"
    assert problems(filled) == [told]


def test_a_shard_of_other_columns(filled: Workspace) -> None:
    path = place(filled, "captions")
    pq.write_table(pq.ParquetFile(path).read().drop_columns("ir_captions"), path)
    (found,) = problems(filled)
    assert found.startswith(f"captions/{SHARD}.parquet is damaged, or not of this version")


@pytest.mark.parametrize(
    "footer",
    ["{", "[]", '{"stage": "test"}', '{"stage": "test", "fingerprint": "f", "inputs": [1]}', '{"mine": 1}'],
)
def test_a_footer_that_is_none(filled: Workspace, footer: str) -> None:
    path = place(filled, "ir")
    table = pq.ParquetFile(path).read()
    pq.write_table(table.replace_schema_metadata({FOOTER_KEY: footer}), path)
    (found,) = problems(filled)
    assert found.startswith((f"ir/{SHARD}.parquet is damaged", f"ir/{SHARD}.parquet cannot be read: AttributeError"))


def test_bytes_flipped_in_the_pages(filled: Workspace) -> None:
    path = place(filled, "captions")
    whole = path.read_bytes()
    for number in range(4, len(whole), len(whole) // 40):
        data = bytearray(whole)
        data[number] ^= 0xFF
        path.write_bytes(data)
        assert all("\n" not in line for line in problems(filled))
    path.write_bytes(whole)
    assert problems(filled) == []


def test_stale_layers(filled: Workspace) -> None:
    for layer, other in (("ir", "rgb"), ("captions", "ir")):
        path = place(filled, layer)
        footer = filled.footer(layer, SHARD)
        assert footer
        told = json.dumps({**asdict(footer), "inputs": {**footer.inputs, other: "0" * 64}})
        table = pq.ParquetFile(path).read()
        pq.write_table(table.replace_schema_metadata({FOOTER_KEY: told}), path)
    assert problems(filled) == [
        f"ir/{SHARD}.parquet was made from another rgb/{SHARD}.parquet: run `fusionrs-build translate`",
        f"captions/{SHARD}.parquet was made from another ir/{SHARD}.parquet: run `fusionrs-build caption`",
    ]


def test_a_layer_that_is_gone(filled: Workspace) -> None:
    place(filled, "captions").unlink()
    told = (
        f"curation/{SHARD}.parquet was made from captions/{SHARD}.parquet, which is gone: run `fusionrs-build caption`"
    )
    assert problems(filled) == [told]
    place(filled, "rgb").unlink()
    assert problems(filled) == [
        f"ir/{SHARD}.parquet has no rgb/{SHARD}.parquet: run `fusionrs-build translate`",
        f"curation/{SHARD}.parquet has no rgb/{SHARD}.parquet: run `fusionrs-build curate`",
    ]


@pytest.mark.parametrize("change", [lambda rows: rows.reverse(), lambda rows: rows.pop(), first(id="other")])
@pytest.mark.parametrize("layer", schema.LAYERS)
def test_layers_of_other_records(filled: Workspace, layer: str, change: Callable[[list[Row]], Any]) -> None:
    rewrite(filled, layer, change)
    assert problems(filled) == [
        f"shard {SHARD} holds other records in one of rgb, ir, captions, curation: delete the later one and run again"
    ]


def test_an_id_that_stands_twice(filled: Workspace) -> None:
    for layer in schema.LAYERS:
        rewrite(filled, layer, first(id=f"eurosat/{5:03d}"))
    assert problems(filled) == [f"{SHARD}: the id eurosat/005 is there twice, first in {SHARD}"]
    for layer in schema.LAYERS:
        rewrite(filled, layer, first(id="naip/a b/c d"))
    assert problems(filled) == [f"{OTHER}: the id naip/a b/c d is there twice, first in {SHARD}"]


def test_a_group_in_two_splits(filled: Workspace) -> None:
    rewrite(filled, "curation", lambda rows: [row.update(group_id="one") for row in rows[2:4]])
    assert problems(filled) == [f"{SHARD}: the group of eurosat/003 lies in train and in test"]
    rewrite(filled, "curation", lambda rows: rows[3].update(keep=False, split=None))
    assert problems(filled) == []


@pytest.mark.parametrize("columns", [{"group_id": None}, {"split": None}, {"group_id": ""}])
def test_a_kept_record_that_is_not_curated(filled: Workspace, columns: Row) -> None:
    rewrite(filled, "curation", first(**columns))
    assert problems(filled) == [f"{SHARD}: eurosat/000 lacks its id, or its group and split"]


@pytest.mark.parametrize("data", [b"", b"no picture", None])
@pytest.mark.parametrize(
    ("layer", "view"), [("rgb", "rgb"), ("rgb", "ir"), ("rgb", "ir16"), ("ir", "ir"), ("ir", "ir16")]
)
def test_pictures_that_cannot_be_decoded(filled: Workspace, layer: str, view: str, data: bytes | None) -> None:
    rewrite(filled, layer, first(**{view: {"bytes": data, "path": "a.png"}}))
    (found,) = problems(filled)
    assert found.startswith(f"{layer}/{SHARD}.parquet: {view} of eurosat/000 cannot be read: ValueError: ")


def test_pixels_that_are_not_those_of_the_hash(filled: Workspace) -> None:
    other = {channels: {"bytes": pixels.encode_png(picture("other", 16, channels)), "path": "a"} for channels in (1, 3)}
    rewrite(filled, "rgb", first(rgb=other[3]))
    rewrite(filled, "ir", first(ir=other[1]))
    rewrite(filled, "rgb", first(rgb=None, ir=other[1]), OTHER)
    rewrite(filled, "ir", lambda rows: rows[1].update(ir=None, ir16=other[1]), OTHER)
    assert sorted(problems(filled)) == [
        f"ir/{SHARD}.parquet: ir of eurosat/000 has other pixels than its sha256 says",
        f"rgb/{SHARD}.parquet: rgb of eurosat/000 has other pixels than its sha256 says",
        f"rgb/{OTHER}.parquet: ir of naip/a b/c d has other pixels than its sha256 says",
    ]


def test_only_row_groups_of_the_sample_are_read(filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for layer in ("rgb", "ir"):
        damaged = {layer: {"bytes": b"", "path": "a"}}
        rewrite(filled, layer, lambda rows, damaged=damaged: rows[5].update(damaged))
    monkeypatch.setattr(checked, "SAMPLE", 2)
    groups: list[int] = []
    read = pq.ParquetFile.read_row_group

    def reads(self: pq.ParquetFile, group: int, columns: list[str] | None = None) -> pa.Table:
        if columns and "ir16" in columns:
            groups.append(group)
        return read(self, group, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", reads)
    found = layers.check(filled)
    assert (found.pictures, found.problems) == (4, [])  # records 0 and 6 of 12
    assert groups == [0, 1, 0, 1]
    assert len(problems(filled, every=True)) == 2


def test_a_folder_where_a_shard_should_be(filled: Workspace) -> None:
    place(filled, "ir").unlink()
    place(filled, "ir").mkdir()
    (found,) = problems(filled)
    assert found.startswith(f"ir/{SHARD}.parquet is damaged")


def test_shards_that_are_not_ours(filled: Workspace) -> None:
    pq.write_table(pa.table({"id": [1, 2]}), filled.path("rgb", "mine.parquet"))
    assert problems(filled) == [
        "rgb/mine.parquet is damaged, or not of this version: delete it, then run `fusionrs-build download`"
    ]
