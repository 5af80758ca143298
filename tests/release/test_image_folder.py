import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image

from fusionrs_builder import pixels
from fusionrs_builder.release import image_folder, layout, plan, record_files
from fusionrs_builder.release.features import IMAGES
from fusionrs_builder.release.image_folder import write_image_folder
from fusionrs_builder.shards import Row
from fusionrs_builder.workspace import Workspace

from .conftest import contents, lay, picture, push, record

IDS = ("a.b.c", "with space", "deep/er/key.tif", "été/日本", "..", "train", "x" * 300, "x" * 300 + "y")


@pytest.fixture
def odd(workspace: Workspace) -> Path:
    """A release whose records differ in all that may differ."""
    sixteen = {"bytes": pixels.encode_png(np.full((16, 16), 40_000, np.uint16)), "path": "a.png"}
    jpeg = {"bytes": pixels.encode_jpeg(picture("a", 16, 3)), "path": "a.tif"}  # the bytes tell, not the name
    records = [
        *(record(key) for key in IDS),
        record("no-rgb", rgb=None, crs="EPSG:4326", bbox=[1.0, 2.0, 3.0, 4.5], gsd_m=0.1),
        record("sixteen", "test", ir16=sixteen, ir_band="nir", ir_quality={"edge_agreement": -0.1}),
        record("jpeg", "validation", rgb=jpeg, scene_captions=[], labels=[]),
    ]
    lay(workspace, {"odd-00000": records})
    push(workspace)
    return Path(workspace.path("release", "fusionrs"))


def expected(release: Path, split: str) -> list[Row]:
    """The rows of the release, hashes as hexadecimal digits."""
    rows = [row for file in sorted((release / "data").glob(f"{split}-*")) for row in pq.read_table(file).to_pylist()]
    for row in rows:
        row |= {name: f"{row[name]:016x}" for name in ("phash", "ir_phash") if row[name] is not None}
    return rows


def same(found: Row, wanted: Row) -> bool:
    return list(found) == list(wanted) and all(
        np.array_equal(np.asarray(value), np.asarray(Image.open(io.BytesIO(wanted[name]["bytes"]))))
        if isinstance(value, Image.Image)
        else value == wanted[name]
        for name, value in found.items()
    )


@pytest.mark.parametrize("which", ["release", "odd"])
@pytest.mark.parametrize("how", ["folder", "streaming", "imagefolder"])
def test_load_dataset_gives_the_rows_of_the_release(
    which: str, how: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    release: Path = request.getfixturevalue(which)
    target = tmp_path / "to"
    write_image_folder(release, target)
    if how == "imagefolder":
        found = load_dataset("imagefolder", data_dir=str(target))
    else:
        found = load_dataset(str(target), streaming=how == "streaming")
    assert set(found) == set(layout.SPLITS)
    for split, rows in found.items():
        wanted = expected(release, split)
        rows = list(rows)
        assert len(rows) == len(wanted)
        assert all(map(same, rows, wanted))
    assert found["train"].features["gsd_m"].dtype == "float32"


def test_the_published_bytes_are_the_files(odd: Path, tmp_path: Path) -> None:
    write_image_folder(odd, tmp_path / "to")
    files = contents(tmp_path / "to")
    count = 0
    for split in layout.SPLITS:
        for row in expected(odd, split):
            for column in IMAGES:
                if row[column]:
                    data = row[column]["bytes"]
                    end = record_files.extension(data, "", "")
                    assert files[f"{split}/00000/{record_files.key(row['id'])}-{column}.{end}"] == data
                    count += 1
    assert count == 2 * (len(IDS) + 3)
    assert len([name for name in files if name.endswith((".png", ".jpg")) and "examples" not in name]) == count


def test_folders_hold_a_bounded_number_of_rows(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MEGABYTE", 1)  # a file a shard: folders run on over files
    lay(workspace, {f"a-{part:05d}": [record(f"{part}{n}", side=8) for n in range(7)] for part in range(3)})
    push(workspace)
    release = Path(workspace.path("release", "fusionrs"))
    target = tmp_path / "to"
    monkeypatch.setattr(image_folder, "ROWS", 5)
    write_image_folder(release, target)
    folders = sorted(path.name for path in (target / "train").iterdir() if path.is_dir())
    assert folders == ["00000", "00001", "00002", "00003", "00004"]
    assert [len(list((target / "train" / name).iterdir())) for name in folders] == [10, 10, 10, 10, 2]
    rows = load_dataset(str(target), split="train")
    assert all(map(same, rows, expected(release, "train")))

    (target / "train" / "00003" / "mine.txt").write_text("mine")
    monkeypatch.setattr(image_folder, "ROWS", 11)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "another")  # the same release, laid out anew
    assert write_image_folder(release, target).removed == 42 - 10  # the first five rows stay where they were
    assert sorted(path.name for path in (target / "train").iterdir()) == ["00000", "00001", "00003", "metadata.parquet"]
    assert contents(target / "train" / "00003") == {"mine.txt": b"mine"}
    assert all(map(same, load_dataset(str(target), split="train"), expected(release, "train")))


def test_a_split_whose_pixels_are_withheld(workspace: Workspace, tmp_path: Path) -> None:
    withheld = [record(f"w{n}", "test", redistributable=False) for n in range(3)]
    lay(workspace, {"a-00000": [record("open"), *withheld]})
    push(workspace, license_policy="redistributable")
    release = Path(workspace.path("release", "fusionrs"))
    write_image_folder(release, tmp_path / "to")
    for found in (load_dataset(str(tmp_path / "to")), load_dataset("imagefolder", data_dir=str(tmp_path / "to"))):
        assert [row["rgb"] for row in found["test"]] == [None] * 3
        for split in ("train", "test"):
            assert all(map(same, found[split], expected(release, split)))
