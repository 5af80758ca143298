import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from fusionrs_builder import schema
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.shards import ROW_GROUP_BYTES, ROW_GROUP_ROWS, Footer
from fusionrs_builder.workspace import Workspace


def put(ws: Workspace, layer: str, shard: str, ids: list[str], **footer: object) -> Footer:
    with ws.writer(layer, shard) as writer:
        for name in ids:
            writer.write({"id": name})
        return writer.commit(Footer("test", "f", items=len(ids), **footer))  # type: ignore[arg-type]


def test_a_shard_gives_back_its_rows_and_its_footer(ws: Workspace) -> None:
    written = put(ws, "rgb", "a-00000", ["x", "y"], refused={"bad": 1})
    assert [row["id"] for row in ws.rows("rgb", "a-00000")] == ["x", "y"]
    assert ws.footer("rgb", "a-00000") == written
    assert (written.rows, written.items, written.good) == (2, 2, 1)
    assert ws.shards("rgb") == ["a-00000"]


def test_content_depends_on_the_rows_alone(ws: Workspace) -> None:
    first = put(ws, "rgb", "a-00000", ["x", "y"])
    same = put(ws, "rgb", "b-00000", ["x", "y"], inputs={"other": "1"})
    other = put(ws, "rgb", "c-00000", ["x", "z"])
    assert first.content == same.content != other.content


def test_nothing_appears_before_commit(ws: Workspace) -> None:
    with ws.writer("rgb", "a-00000") as writer:
        writer.write({"id": "x"})
        assert ws.shards("rgb") == []
    assert ws.shards("rgb") == []
    assert list(Path(ws.root, "rgb").iterdir()) == [], "an abandoned writer leaves nothing behind"


def test_the_file_that_stood_stays_when_a_writer_fails(ws: Workspace) -> None:
    put(ws, "rgb", "a-00000", ["x"])
    with pytest.raises(RuntimeError), ws.writer("rgb", "a-00000") as writer:
        writer.write({"id": "y"})
        raise RuntimeError
    assert [row["id"] for row in ws.rows("rgb", "a-00000")] == ["x"]


def test_row_groups_are_bounded_in_rows_and_bytes(ws: Workspace) -> None:
    import pyarrow.parquet as pq

    with ws.writer("rgb", "a-00000") as writer:
        for i in range(2 * ROW_GROUP_ROWS + 1):
            writer.write({"id": str(i)})
        writer.commit(Footer("test", "f"))
    with ws.writer("rgb", "b-00000") as writer:
        for i in range(3):
            writer.write({"id": str(i), "rgb": {"bytes": bytes(ROW_GROUP_BYTES), "path": "x"}})
        writer.commit(Footer("test", "f"))
    rows = {s: pq.ParquetFile(ws.path("rgb", f"{s}.parquet")).metadata for s in ("a-00000", "b-00000")}
    assert [rows["a-00000"].row_group(i).num_rows for i in range(3)] == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 1]
    assert rows["b-00000"].num_row_groups == 3


def test_a_damaged_or_foreign_file_is_not_done(ws: Workspace) -> None:
    put(ws, "rgb", "a-00000", ["x"])
    path = Path(ws.path("rgb", "a-00000.parquet"))
    path.write_bytes(path.read_bytes()[:-20])
    Path(ws.path("rgb", "b-00000.parquet")).write_bytes(b"")
    assert ws.footer("rgb", "a-00000") is None
    assert ws.footers("rgb") == {}
    with pytest.raises(FusionError, match=r"a-00000\.parquet cannot be read.*delete it and run again"):
        list(ws.rows("rgb", "a-00000"))


def test_layers_are_joined_by_position(ws: Workspace) -> None:
    put(ws, "rgb", "a-00000", ["x", "y"])
    put(ws, "ir", "a-00000", ["x", "y"])
    assert [row["id"] for row in ws.zip("a-00000", {"rgb": ["corpus"], "ir": ["ir_band"]})] == ["x", "y"]
    put(ws, "ir", "a-00000", ["y", "x"])
    with pytest.raises(FusionError, match="other records"):
        list(ws.zip("a-00000", {"rgb": None, "ir": None}))
    put(ws, "ir", "a-00000", ["x"])
    with pytest.raises(FusionError, match="other records"):
        list(ws.zip("a-00000", {"rgb": None, "ir": None}))


def test_a_missing_workspace_names_the_fix(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fusionrs-build init"):
        Workspace.open(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        Workspace.open(tmp_path / "file", create=True)


def test_a_newer_workspace_is_refused(ws: Workspace) -> None:
    ws.write_json("fusionrs.lock", {"workspace_version": schema.SCHEMA_VERSION + 1, "version": "9.9"})
    with pytest.raises(FusionError, match=r"made by fusionrs-builder 9\.9.*upgrade"):
        Workspace.open(ws.root)


def test_a_broken_lock_file_is_named(ws: Workspace) -> None:
    ws.write_bytes("fusionrs.lock", b"{")
    with pytest.raises(FusionError, match=r"fusionrs\.lock is not valid JSON"):
        Workspace.open(ws.root)
    ws.write_bytes("fusionrs.lock", b"[]")
    with pytest.raises(FusionError, match=r"fusionrs\.lock is not what this package wrote"):
        Workspace.open(ws.root)


def _hold(root: str, held: "multiprocessing.synchronize.Event", go: "multiprocessing.synchronize.Event") -> None:
    with Workspace.open(root, create=True).lock("translate"):
        held.set()
        go.wait(30)


def test_a_second_build_is_kept_out_until_the_first_dies(ws: Workspace) -> None:
    context = multiprocessing.get_context("spawn")
    held, go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(ws.root, held, go))
    other.start()
    assert held.wait(30)
    with (
        pytest.raises(FusionError, match=rf"in use by `fusionrs-build translate` \(process {other.pid}"),
        ws.lock("caption"),
    ):
        pass
    other.kill()
    other.join()
    with ws.lock("caption"):
        pass


def test_the_leavings_of_a_killed_run_are_removed_under_the_lock(ws: Workspace) -> None:
    ws.temporary("ir/a.parquet").write_bytes(b"half")
    ws.temporary("fusionrs.lock").write_bytes(b"half")
    with ws.lock("translate"):
        assert list(Path(ws.root).rglob(".tmp-*")) == []


def test_a_full_disk_is_said_with_the_file_and_the_fix(tmp_path: Path) -> None:
    """A limit on file size stands for the full disk: the write itself fails, as it would there."""
    code = f"""
import resource, signal
from fusionrs_builder.shards import Footer
from fusionrs_builder.workspace import Workspace
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
ws = Workspace.open({str(tmp_path / "ws")!r}, create=True)
try:
    with ws.writer("rgb", "a-00000") as writer:
        writer.write({{"id": "x", "rgb": {{"bytes": __import__("os").urandom(300_000), "path": "x"}}}})
        writer.commit(Footer("test", "f"))
except Exception as error:
    print(type(error).__name__, error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.startswith("FusionError could not write")
    assert "rgb/a-00000.parquet" in out
    assert "run the same command again" in out
    assert list((tmp_path / "ws" / "rgb").iterdir()) == []


def test_a_folder_without_the_right_to_write_is_said(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(FusionError, match=r"plan\.json: the disk is full"):
        ws.write_json("raw/a/plan.json", {})
    assert list(Path(ws.root).rglob(".tmp-*")) == []


def test_a_url_is_a_workspace_too(tmp_path: Path) -> None:
    ws = Workspace.open("memory://fusionrs-test", create=True)
    put(ws, "rgb", "a-00000", ["x"])
    ws.write_json("fusionrs.lock", {"workspace_version": 1})
    assert [row["id"] for row in ws.rows("rgb", "a-00000")] == ["x"]
    assert ws.footers("rgb")["a-00000"].rows == 1
    ws.remove("rgb", "a-00000")
    assert ws.shards("rgb") == []
    with ws.lock("download"):
        pass


def test_it_travels_to_other_processes(ws: Workspace) -> None:
    assert pickle.loads(pickle.dumps(ws)).root == ws.root


def test_json_is_written_in_one_way(ws: Workspace) -> None:
    ws.write_json("a.json", {"b": 1, "a": "é"})
    assert ws.read_bytes("a.json").decode() == '{\n  "a": "é",\n  "b": 1\n}\n'
    assert json.loads(ws.read_bytes("a.json")) == ws.read_json("a.json", None)
