from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.workspace import Workspace
from tests.corpora.formats.test_geotiff import ramp, write
from tests.corpora.reading import build, by_key, captions, faults, put_images, reader

BANDS = {"red": "*_B04.tif", "green": "*_B03.tif", "blue": "*_B02.tif", "nir": "*_B08.tif"}
TILE = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP"
COLUMNS = {"id": "patch_id", "caption": "output", "split": "split", "where": "type:caption"}
KEYS: dict[str, Any] = {"image_store": "bands", "bands": BANDS, "columns": COLUMNS}


def put(path: Path, *rows: tuple[Any, ...]) -> None:
    """Patch, split, type and output, as BigEarthNet.txt has them."""
    names = ("patch_id", "split", "type", "output")
    table = pa.table({name: [row[at] for row in rows] for at, name in enumerate(names)})
    table = table.append_column("input", pa.array(["Describe the image."] * len(rows)))
    pq.write_table(table.append_column("country", pa.array(["Finland"] * len(rows))), path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(3):
        patch = f"{TILE}_26_{number}"
        for band in ("B02", "B03", "B04", "B08"):
            write(tmp_path / "BigEarthNet-S2" / TILE / patch / f"{patch}_{band}.tif", ramp(1, dtype="uint16"))
    put(
        tmp_path / "BigEarthNet.txt.parquet",
        (f"{TILE}_26_0", "train", "caption", "A forest."),
        (f"{TILE}_26_0", "train", "binary", "yes"),
        (f"{TILE}_26_0", "train", "caption", "a forest"),
        (f"{TILE}_26_0", "train", "caption", "Trees by a lake."),
        (f"{TILE}_26_1", "bench", "caption", "A field."),
        (f"{TILE}_99_9", "test", "caption", "Not in this part of the store."),
        (f"{TILE}_99_9", "test", "caption", "Nor this."),
    )
    pq.write_table(pa.table({"patch_id": [f"{TILE}_26_0"], "labels": ["Forest"]}), tmp_path / "metadata.parquet")
    return tmp_path


def last(key: str) -> str:
    return key.rpartition("/")[2].removeprefix(f"{TILE}_")


def test_texts_meet_the_images_of_another_format(root: Path) -> None:
    found = reader(root, "text-parquet", **KEYS)
    items = {last(key): item for key, item in by_key(found.items()).items()}
    assert captions(found, items["26_0"]) == ["A forest.", "Trees by a lake."]
    assert captions(found, items["26_2"]) == [], "an image without text is a record all the same"
    assert [items[name].split for name in ("26_0", "26_1", "26_2")] == ["train", "bench", ""]
    assert found.read(items["26_0"]).band == "nir"
    assert set(found.values(items["26_0"])) == set(BANDS)
    assert faults(items.values()) == {f"BigEarthNet.txt.parquet#{TILE}_99_9": "missing_image"}, "once, not a text"


def test_a_whole_corpus(root: Path, ws: Workspace) -> None:
    rows, refused = build(ws, root, "text-parquet", caption_origin="publisher", **KEYS)
    assert (len(rows), dict(refused)) == (3, {"missing_image": 1})
    texts = {last(key): row["publisher_captions"] for key, row in rows.items()}
    assert texts == {"26_0": ["A forest.", "Trees by a lake."], "26_1": ["A field."], "26_2": []}
    assert all(row["stretch"] for row in rows.values())


def test_which_texts_are_captions_must_be_said(root: Path) -> None:
    keys = {**KEYS, "columns": {"id": "patch_id", "caption": "output"}}
    with pytest.raises(UsageError, match="which are captions, where=type:VALUE, of binary, caption"):
        list(reader(root, "text-parquet", **keys).items())
    keys["columns"] = {**COLUMNS, "where": "type:captioning"}
    with pytest.raises(UsageError, match="no row .* has where=type:captioning; type is one of binary, caption"):
        list(reader(root, "text-parquet", **keys).items())
    keys["columns"] = {**COLUMNS, "where": "type:caption|other&country:Finland"}
    assert len(list(reader(root, "text-parquet", **keys).items())) == 4


def test_usual_names_and_ordinary_images(tmp_path: Path) -> None:
    put_images(tmp_path, "River/1.jpg", "Forest/2.jpg")
    pq.write_table(pa.table({"image_id": ["1", "2"], "text": ["A river.", "Trees."]}), tmp_path / "texts.parquet")
    found = reader(tmp_path, "text-parquet", image_store="class-folders")
    items = by_key(found.items())
    assert captions(found, items["River/1"]) == ["A river."]
    assert items["Forest/2"].labels == ("Forest",)


def test_images_of_another_parquet(tmp_path: Path) -> None:
    """What the other format keeps for itself in an item is handed back to it."""
    from tests.corpora.formats.test_parquet import IMAGE, image

    pq.write_table(pa.table({"image": pa.array([image(0)], IMAGE), "key": ["a"]}), tmp_path / "images.parquet")
    pq.write_table(pa.table({"key": ["a"], "text": ["A port."]}), tmp_path / "texts.parquet")
    keys = {
        "image_store": "parquet",
        "include": "images.parquet",
        "captions": "texts.parquet",
        "columns": {"id": "key"},
    }
    found = reader(tmp_path, "text-parquet", **keys)
    (item,) = found.items()
    sample = found.read(item)
    assert (item.key, sample.rgb, sample.captions) == ("a", image(0)["bytes"], ["A port."])


def test_faults_of_texts_and_of_images(root: Path) -> None:
    (next((root / "BigEarthNet-S2" / TILE / f"{TILE}_26_1").glob("*_B08.tif"))).unlink()
    put(
        root / "BigEarthNet.txt.parquet",
        (f"{TILE}_26_0", "train", "caption", None),
        (f"{TILE}_26_1", "train", "caption", "A field."),
        (None, "train", "caption", "Of what?"),
        (f"{TILE}_26_2", "train", "caption", "A lake."),
        (f"{TILE}_26_2", "test", "caption", "Water."),
    )
    items = {last(key): item for key, item in by_key(reader(root, "text-parquet", **KEYS).items()).items()}
    assert faults(items.values()) == {
        f"BigEarthNet-S2/{TILE}/{TILE}_26_0/{TILE}_26_0": "empty_caption",
        f"BigEarthNet-S2/{TILE}/{TILE}_26_1/{TILE}_26_1": "missing_band",
        "BigEarthNet.txt.parquet#": "missing_image",
    }
    assert items["26_2"].split == "test", "named in train and in test: never trained on"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"image_store": ""}, "image_store: in what format are the images"),
        ({"image_store": "text-parquet"}, "image_store: text-parquet holds texts"),
        ({"image_store": "nonsense"}, "unknown format 'nonsense'"),
        ({"tile": 64}, "tile: captions describe a whole image"),
        (
            {"columns": {**COLUMNS, "id": "name"}},
            "no Parquet file with columns of ids.*there is BigEarthNet.txt.parquet",
        ),
        ({"columns": {**COLUMNS, "where": "kind:caption"}}, "no column 'kind' for where"),
        ({"columns": {**COLUMNS, "split": "fold"}}, "no column 'fold' for split"),
        ({"captions": "none*"}, "no Parquet file with columns of ids and texts .* there is none at all"),
    ],
)
def test_a_wrong_setting_is_named(root: Path, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        list(reader(root, "text-parquet", **{**KEYS, **keys}).items())


def test_a_file_that_is_broken_is_named(root: Path) -> None:
    path = root / "BigEarthNet.txt.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FusionError, match="BigEarthNet.txt.parquet cannot be read .*fetch it again"):
        list(reader(root, "text-parquet", **KEYS).items())
