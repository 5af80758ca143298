import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionrs_builder.corpora.stage import DownloadStage
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.settings import BuildSettings, CorpusSettings
from fusionrs_builder.stage import is_done, make
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture
from tests.corpora.formats.test_geotiff import BANDS, ramp, write

Make = Callable[..., Path]


def stage(root: Path, limit: int | None = None, build: dict[str, Any] | None = None, **keys: Any) -> DownloadStage:
    settings = {"from": str(root), "format": "class-folders", "license": "MIT", **keys}
    return DownloadStage({"c": CorpusSettings.model_validate(settings)}, BuildSettings(**(build or {})), limit)


def run(ws: Workspace, stage: DownloadStage) -> list[str]:
    """Make what is missing, as a command does; returns the shards made."""
    pending = [task for task in stage.tasks(ws) if not is_done(ws, stage, task)]
    for task in stage.prepare(ws, pending):
        make(ws, stage, stage.open("cpu"), task)
    stage.finish(ws)
    return [task.shard for task in pending]


def test_shards_are_bounded_in_items_and_bytes(class_folders: Make, ws: Workspace) -> None:
    root = class_folders(7)
    made = stage(root, build={"shard_records": 3})
    assert [(t.shard, t.items) for t in made.tasks(ws)] == [("c-00000", 3), ("c-00001", 3), ("c-00002", 1)]


def test_items_in_are_good_plus_refused(class_folders: Make, ws: Workspace) -> None:
    root = class_folders(5)
    (root / "River/bad.jpg").write_bytes(b"not an image")
    (root / "River/empty.jpg").write_bytes(b"")
    (root / "River/00000.png").write_bytes(encoded(picture(99)))
    run(ws, stage(root))
    footer = ws.footer("rgb", "c-00000")
    assert footer is not None
    assert (footer.items, footer.good) == (8, 5)
    assert footer.refused == {"duplicate_key": 1, "unreadable_image": 2}
    rejects = {row["key"]: row for row in ws.rows("rejects", "c-00000")}
    assert rejects["River/00000"]["files"] == ["River/00000.png"]
    assert "already taken by River/00000.jpg" in rejects["River/00000"]["message"]
    ids = [row["id"] for row in ws.rows("rgb", "c-00000", ["id"])]
    assert ids == sorted(set(ids))


def test_only_what_changed_is_made_again(class_folders: Make, ws: Workspace) -> None:
    root = class_folders(9)
    build = {"shard_records": 4}
    assert run(ws, stage(root, build=build)) == ["c-00000", "c-00001", "c-00002"]
    assert run(ws, stage(root, build=build)) == []
    (root / "River/00008.jpg").write_bytes(encoded(picture(77), "JPEG"))
    assert run(ws, stage(root, build=build)) == ["c-00002"]
    assert run(ws, stage(root, build=build, attribution="someone")) == ["c-00000", "c-00001", "c-00002"]
    assert run(ws, stage(root, build=build, attribution="someone", title="new")) == []
    moved = root.rename(root.parent / "elsewhere")
    assert run(ws, stage(moved, build=build, attribution="someone")) == [], "where it lies is no matter"


def test_a_run_with_nothing_to_do_does_not_list_again(class_folders: Make, ws: Workspace, monkeypatch: Any) -> None:
    root = class_folders(3)
    run(ws, stage(root))
    monkeypatch.setattr(DownloadStage, "_planned", lambda *_: pytest.fail("listed again"))
    assert run(ws, stage(root)) == []


def test_looking_writes_nothing(class_folders: Make, tmp_path: Path) -> None:
    ws = Workspace.open(tmp_path / "none", create=True)
    assert len(stage(class_folders(3)).tasks(ws)) == 1
    assert not (tmp_path / "none").exists()


def test_limit_takes_the_first_items(class_folders: Make, ws: Workspace) -> None:
    run(ws, stage(class_folders(5), limit=2))
    assert [row["corpus_key"] for row in ws.rows("rgb", "c-00000")] == ["Forest/00001", "Forest/00003"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"format": "vok"}, "unknown format 'vok'; set --format to one of bands, caption-csv"),
        ({"format": ""}, "no format given"),
        ({"from": "/nowhere"}, "/nowhere is not a folder; correct --from"),
        ({"from": ""}, "say where it is with --from"),
        ({"license": ""}, "under what licence"),
    ],
)
def test_a_wrong_setting_names_the_corpus_and_the_flag(class_folders: Make, keys: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=f"corpus c: .*{said}"):
        stage(class_folders(1), **keys).params()


def test_a_corpus_of_no_items_is_an_error(tmp_path: Path, ws: Workspace) -> None:
    with pytest.raises(FusionError, match="corpus c: nothing found in"):
        stage(tmp_path).tasks(ws)


def test_an_unreadable_image_file_is_refused(class_folders: Make, ws: Workspace, monkeypatch: Any) -> None:
    root = class_folders(2)
    real = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.name == "00001.jpg":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    run(ws, stage(root))
    (reject,) = ws.rows("rejects", "c-00000")
    assert (reject["reason"], reject["message"]) == ("unreadable_file", "Forest/00001.jpg: Permission denied")


def test_the_stretch_is_one_for_the_corpus_and_kept(tmp_path: Path, ws: Workspace) -> None:
    for i in range(5):
        write(tmp_path / "raw" / f"{i}.tif", ramp(4, 60, 80, "uint16") * (i + 1))
    made = stage(tmp_path / "raw", format="geotiff", bands=BANDS)
    run(ws, made)
    stretches = {str(row["stretch"]) for row in ws.rows("rgb", "c-00000")}
    assert len(stretches) == 1, "never an image at a time"
    values = np.concatenate([ramp(4, 60, 80, "uint16")[3].ravel() * (i + 1) for i in range(5)])
    low, high = np.percentile(values, (1, 99))
    kept = made.plan(ws, "c").stretch["nir"]
    assert np.allclose(kept, (low, high), rtol=0.02)
    again = stage(tmp_path / "raw", format="geotiff", bands=BANDS, stretch={"nir": [0, 1000]})
    assert again.plan(ws, "c").stretch["nir"] == (0, 1000)
    assert again.plan(ws, "c").stretch["visible"] == made.plan(ws, "c").stretch["visible"]


def test_bad_rasters_leave_the_stretch_to_the_others(tmp_path: Path, ws: Workspace) -> None:
    write(tmp_path / "raw/a.tif", ramp(4, dtype="uint16"))
    nan = np.full((4, 60, 80), np.nan, np.float32)
    write(tmp_path / "raw/b.tif", nan)
    (tmp_path / "raw/c.tif").write_bytes(b"II*\0")
    run(ws, stage(tmp_path / "raw", format="geotiff", bands=BANDS))
    reasons = {row["key"]: row["reason"] for row in ws.rows("rejects", "c-00000")}
    assert reasons == {"b": "no_data", "c": "unreadable_image"}
    assert [row["corpus_key"] for row in ws.rows("rgb", "c-00000")] == ["a"]


def test_home_and_variables_are_expanded(class_folders: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = class_folders(1)
    monkeypatch.setenv("CORPORA", str(root.parent))
    assert stage(Path("$CORPORA") / root.name).root("c") == root
    assert os.path.isdir(root)


def test_linked_folders_are_read_and_dangling_links_counted(class_folders: Make, tmp_path: Path, ws: Workspace) -> None:
    real = class_folders(4)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "Forest").symlink_to(real / "Forest")
    (real / "Forest" / "up").symlink_to(linked)  # a circle
    (linked / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (real / "Forest" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    run(ws, stage(linked))
    assert [row["corpus_key"] for row in ws.rows("rgb", "c-00000")] == ["Forest/00001", "Forest/00003"]
    assert {row["key"]: row["reason"] for row in ws.rows("rejects", "c-00000")} == {
        "Forest/gone": "unreadable_file",
        "gone": "missing_label",
    }


def test_tiles_of_a_turned_image_cover_it_upright(tmp_path: Path, ws: Workspace) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    folder = tmp_path / "turned" / "A"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(encoded(picture(1, 96, 64), "JPEG", exif=exif))  # upright: 64 wide, 96 high
    run(ws, stage(folder.parent, tile=32))
    rows = list(ws.rows("rgb", "c-00000"))
    assert len(rows) == 6
    assert {(row["width"], row["height"]) for row in rows} == {(32, 32)}
    assert max(row["corpus_key"] for row in rows) == "A/a_x00032_y00064"
