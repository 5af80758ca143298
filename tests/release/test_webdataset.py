import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
from datasets import load_dataset, load_dataset_builder
from PIL import Image

from fusionrs_builder import pixels
from fusionrs_builder.errors import FusionError
from fusionrs_builder.release import layout, record_files
from fusionrs_builder.release.webdataset import write_webdataset
from fusionrs_builder.shards import Row
from fusionrs_builder.workspace import Workspace

from .conftest import contents, lay, picture, push, record

IDS = ("a.b.c", "with space", "deep/er/key.tif", "été/日本", "..", "__meta__", ".hidden", "x" * 300, "x" * 300 + "y")


def webp(key: str) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(picture(key, 16, 3)).save(sink, "WEBP")
    return sink.getvalue()


@pytest.fixture
def odd(workspace: Workspace) -> Path:
    """A release whose records differ in all that may differ."""
    sixteen = {"bytes": pixels.encode_png(np.full((16, 16), 40_000, np.uint16)), "path": "a.png"}
    jpeg = {"bytes": pixels.encode_jpeg(picture("a", 16, 3)), "path": "a.tif"}  # the bytes tell, not the name
    records = [
        *(record(key) for key in IDS),
        record("no-rgb", rgb=None, crs="EPSG:4326", bbox=[1.0, 2.0, 3.0, 4.5], gsd_m=0.1),
        record("sixteen", ir16=sixteen, ir_band="nir", ir_quality={"edge_agreement": -0.1}),
        record("jpeg", "test", rgb=jpeg, scene_captions=["première", "second"]),
        record("webp", "validation", rgb={"bytes": webp("w"), "path": "w.webp"}, scene_captions=[], labels=[]),
    ]
    lay(workspace, {"odd-00000": records})
    push(workspace)
    return Path(workspace.path("release", "fusionrs"))


def expected(release: Path, split: str) -> list[Row]:
    """What a reader of the tars must see, read from Parquet."""
    found = []
    for file in sorted((release / "data").glob(f"{split}-*.parquet")):
        for row in pq.read_table(file).to_pylist():
            sample: Row = {"__key__": record_files.key(row["id"])}
            for column, before in (("rgb", ""), ("ir", "ir."), ("ir16", "ir16.")):
                if image := row.pop(column):
                    sample[before + record_files.extension(image["bytes"], "", "")] = image["bytes"]
            if row["scene_captions"]:
                sample["txt"] = row["scene_captions"][0]
            hashes = {name: f"{row[name]:016x}" for name in ("phash", "ir_phash") if row[name] is not None}
            found.append(sample | {"json": row | hashes})
    return found


def tars(target: Path, split: str) -> list[str]:
    return sorted(map(str, (target / "data").glob(f"{split}-*.tar")))


def same(found: Row, wanted: Row) -> bool:
    """Whether a row of `datasets` holds a record: images decoded, a missing file None."""
    for name, value in found.items():
        if isinstance(value, Image.Image):
            if not np.array_equal(np.asarray(value), np.asarray(Image.open(io.BytesIO(wanted[name])))):
                return False
        elif name != "__url__" and value != wanted.get(name):
            return False
    return wanted.keys() <= found.keys()


@pytest.mark.parametrize("which", ["release", "odd"])
def test_the_webdataset_library_reads_every_record(which: str, request: Any, tmp_path: Path) -> None:
    release: Path = request.getfixturevalue(which)
    write_webdataset(release, tmp_path / "to")
    for split in layout.SPLITS:
        found = []
        for sample in webdataset.WebDataset(tars(tmp_path / "to", split), shardshuffle=False):
            found.append({name: value for name, value in sample.items() if name not in ("__url__", "__local_path__")})
            found[-1]["json"] = json.loads(sample["json"])
            if "txt" in sample:
                found[-1]["txt"] = sample["txt"].decode()
        assert found == expected(release, split)
    assert tars(tmp_path / "to", "train") == [str(tmp_path / "to" / "data" / "train-00000-of-00001.tar")]


@pytest.mark.parametrize("which", ["release", "odd"])
@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_opens_the_folder(which: str, streaming: bool, request: Any, tmp_path: Path) -> None:
    release: Path = request.getfixturevalue(which)
    write_webdataset(release, tmp_path / "to")
    found = load_dataset(str(tmp_path / "to"), streaming=streaming)
    assert set(found) == set(layout.SPLITS)
    for split, rows in found.items():
        wanted = expected(release, split)
        rows = list(rows)
        assert len(rows) == len(wanted)
        assert all(map(same, rows, wanted))
    assert found["train"].features["json"]["gsd_m"].dtype == "float32"


def test_load_dataset_by_the_name_of_the_format(odd: Path, release_of_one_corpus: Path, tmp_path: Path) -> None:
    """Types are guessed from the first records, unless they are given."""
    write_webdataset(release_of_one_corpus, tmp_path / "one")
    rows = load_dataset("webdataset", data_dir=str(tmp_path / "one"), split="train")
    assert all(map(same, rows, expected(release_of_one_corpus, "train")))
    assert len(rows) == 12

    write_webdataset(odd, tmp_path / "to")
    features = load_dataset_builder(str(tmp_path / "to")).info.features
    files = {"train": tars(tmp_path / "to", "train")}
    rows = load_dataset("webdataset", data_files=files, split="train", features=features)
    assert all(map(same, rows, expected(odd, "train")))
    assert len(rows) == len(IDS) + 2


@pytest.fixture
def release_of_one_corpus(tmp_path: Path) -> Path:
    workspace = Workspace.open(tmp_path / "one-ws", create=True)
    lay(workspace, {"one-00000": [record(f"{number}") for number in range(12)]})
    push(workspace)
    return Path(workspace.path("release", "fusionrs"))


def test_open_clip_finds_its_fields(odd: Path, tmp_path: Path) -> None:
    """It takes the records with `txt` and an image whose field is the bare extension, and renames these."""
    write_webdataset(odd, tmp_path / "to")
    shards = [path for split in layout.SPLITS for path in tars(tmp_path / "to", split)]
    pairs = (
        webdataset.WebDataset(shards, shardshuffle=False)
        .select(lambda sample: "txt" in sample and any(end in sample for end in ("png", "jpg", "jpeg", "webp")))
        .decode("pilrgb")
        .rename(image="jpg;png;jpeg;webp", text="txt")
        .to_tuple("image", "text")
    )
    found = list(pairs)
    assert len(found) == len(IDS) + 2  # not the one without rgb, not the one without caption
    assert {image.mode for image, _ in found} == {"RGB"}
    assert "première" in {text for _, text in found}


def test_files_of_a_record_stand_in_order_without_time_or_owner(odd: Path, tmp_path: Path) -> None:
    write_webdataset(odd, tmp_path / "to")
    with tarfile.open(tars(tmp_path / "to", "train")[0]) as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.type) for m in members} == {
        (0, 0, 0, "", "", 0o644, tarfile.REGTYPE)
    }
    by_key: dict[str, list[str]] = {}
    for member in members:
        key, _, field = member.name.partition(".")
        by_key.setdefault(key, []).append(field)
    assert by_key[record_files.key("odd/sixteen")] == ["png", "ir.png", "ir16.png", "txt", "json"]
    assert by_key[record_files.key("odd/no-rgb")] == ["ir.png", "txt", "json"]
    size = Path(tars(tmp_path / "to", "train")[0]).stat().st_size
    assert size % tarfile.RECORDSIZE == 0


def test_a_file_without_rows(release: Path, tmp_path: Path) -> None:
    for folder in ("data", "text"):
        file = release / folder / "train-00000-of-00001.parquet"
        file.rename(release / folder / "train-00001-of-00002.parquet")
        table = pq.read_table(release / folder / "train-00001-of-00002.parquet")
        pq.write_table(table.slice(0, 0), release / folder / "train-00000-of-00002.parquet")
    assert write_webdataset(release, tmp_path / "to").rows == 45
    found = load_dataset(str(tmp_path / "to"))
    assert {split: len(rows) for split, rows in found.items()} == {"train": 37, "validation": 4, "test": 4}
    assert len(list(webdataset.WebDataset(tars(tmp_path / "to", "train"), shardshuffle=False))) == 37


def test_only_the_tar_of_a_file_that_changed_is_written(release: Path, tmp_path: Path) -> None:
    target = tmp_path / "to"
    write_webdataset(release, target)
    before = {path: path.stat().st_ino for path in (target / "data").iterdir()}
    file = release / "data" / "test-00000-of-00001.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    write_webdataset(release, target)
    changed = {path.name for path, inode in before.items() if path.stat().st_ino != inode}
    assert changed == {"test-00000-of-00001.tar"}
    stats = json.loads((target / "stats" / "test-00000-of-00001.json").read_text())
    assert stats["rows"] == 3 == stats["fields"]["json"]
    (target / "stats" / "train-00000-of-00001.json").write_text("{")  # cut short by a power failure
    whole = contents(target)
    write_webdataset(release, target)
    assert contents(target).keys() == whole.keys()
    assert json.loads((target / "stats" / "train-00000-of-00001.json").read_text())["rows"] == 37


def test_a_picture_of_another_kind_is_named(release: Path, tmp_path: Path) -> None:
    file = release / "data" / "test-00000-of-00001.parquet"
    table = pq.read_table(file)
    rows = table.to_pylist()
    rows[0]["ir"]["bytes"] = b"II*\x00"
    pq.write_table(table.from_pylist(rows, schema=table.schema), file)
    with pytest.raises(FusionError, match=f"ir of {rows[0]['id']} is neither JPEG, PNG nor WebP"):
        write_webdataset(release, tmp_path / "to")
    assert not (tmp_path / "to" / "README.md").exists()
