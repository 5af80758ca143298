"""What `--format auto` sees in small folders of the true shapes, and in the real samples."""

import json
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from rasterio.transform import from_origin

from fusionrs_builder import pipeline
from fusionrs_builder.corpora.auto import recognise
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.errors import UsageError
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture
from tests.corpora.reading import put_images, put_json


def put_text(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def put_raster(root: Path, path: str, count: int, dtype: str = "uint16", names: tuple[str, ...] = ()) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    place = {"crs": "EPSG:32633", "transform": from_origin(500000, 5000000, 10, 10)}
    with rasterio.open(root / path, "w", "GTiff", 32, 32, count, dtype=dtype, **place) as target:
        target.write(np.random.default_rng(0).integers(1, 200, (count, 32, 32)).astype(dtype))
        for number, name in enumerate(names, 1):
            target.set_band_description(number, name)


def karpathy(root: Path) -> None:
    put_images(root, "RSICD_images/airport_1.jpg")
    put_json(root / "dataset_rsicd.json", {"images": [{"filename": "airport_1.jpg", "sentences": [{"raw": "a"}]}]})


def class_json(root: Path) -> None:
    put_images(root, "NWPU/airplane/airplane_001.jpg")
    put_json(root / "dataset_nwpu.json", {"airplane": [{"filename": "airplane_001.jpg", "raw": "a", "raw_1": "b"}]})


def conversations(root: Path) -> None:
    put_images(root, "images/P1.png")
    put_json(root / "train.json", [{"id": "1", "image": "P1.png", "conversations": [{"from": "human", "value": "?"}]}])


def caption_json(root: Path) -> None:
    put_images(root, "images/1.png")
    put_json(root / "caps.json", [{"image": "1.png", "caption": "a river"}])


def caption_csv(root: Path) -> None:
    put_images(root, "images2/a.jpg")
    put_text(root, "train.csv", "filepath,title,title_multi_objects\nimages2/a.jpg,a plant,b\n")


def parquet(root: Path) -> None:
    image = pa.array([{"bytes": encoded(picture(1)), "path": "a.png"}])
    (root / "data").mkdir()
    pq.write_table(pa.table({"image": image, "label": ["x"]}), root / "data" / "train-00000-of-00001.parquet")


def webdataset(root: Path) -> None:
    put_images(root, "x.jpg")
    with tarfile.open(root / "shard-0000.tar", "w") as tar:
        tar.add(root / "x.jpg", "000001.jpg")
    (root / "x.jpg").unlink()


def voc(root: Path) -> None:
    put_images(root, "JPEGImages/1.jpg")
    put_text(root, "Annotations/1.xml", "<annotation><object><name>a</name></object></annotation>")


def coco(root: Path) -> None:
    put_images(root, "positive/001.jpg")
    put_json(root / "annotations.json", {"info": {}, "images": [{"id": 1, "file_name": "001.jpg"}], "annotations": []})


def dota(root: Path) -> None:
    put_images(root, "images/P0.png", "images/P1.png")
    for name in ("P0", "P1"):
        put_text(root, f"labelTxt/{name}.txt", "imagesource:GoogleEarth\ngsd:0.1\n1 1 9 1 9 9 1 9 small-vehicle 0\n")


def yolo(root: Path) -> None:
    put_images(root, "images/a.jpg")
    put_text(root, "labels/a.txt", "0 0.5 0.5 0.25 0.125\n")


def visdrone(root: Path) -> None:
    put_images(root, "images/0000001.jpg")
    put_text(root, "annotations/0000001.txt", "684,8,273,116,0,0,0,0\n406,119,265,70,1,4,0,0\n")


def pairs(root: Path) -> None:
    put_images(root, "train/visible/1.jpg", "train/infrared/1.jpg")


def pairs_by_suffix(root: Path) -> None:
    put_images(root, "00000001_co.png", "00000001_ir.png")


def masks(root: Path) -> None:
    put_images(root, "Train/Urban/images_png/1.png", "Train/Urban/masks_png/1.png")


def tiles(root: Path) -> None:
    put_images(root, "data/1/OAM-1546788-881058-21.png")
    put_text(root, "labels/1/OAM-1546788-881058-21.geojson", "{}")


def bands(root: Path) -> None:
    for band in ("B02", "B03", "B04", "B08", "B8A"):
        put_raster(root, f"T33/T33_20200101_{band}.tif", 1)


def named_raster(root: Path) -> None:
    put_raster(root, "a.tif", 4, names=("blue", "green", "red", "nir"))


def eurosat(root: Path) -> None:
    for label in ("Forest", "River"):
        put_raster(root, f"{label}/{label}_1.tif", 13)


def class_folders(root: Path) -> None:
    put_images(root, "beach/1.tif", "river/2.tif")


@pytest.mark.parametrize(
    ("make", "format", "keys"),
    [
        (karpathy, "karpathy", {}),
        (class_json, "class-json", {}),
        (conversations, "conversations", {}),
        (caption_json, "caption-json", {}),
        (caption_csv, "caption-csv", {"captions": "train.csv"}),
        (parquet, "parquet", {}),
        (webdataset, "webdataset", {}),
        (voc, "voc", {}),
        (coco, "coco", {}),
        (dota, "dota", {"annotations": "../labelTxt/{stem}.txt"}),
        (yolo, "delimited", {"annotations": "../labels/{stem}.txt"}),
        (visdrone, "delimited", {"annotations": "../annotations/{stem}.txt"}),
        (pairs, "pairs", {"visible": "*visible/*", "infrared": "*infrared/*"}),
        (pairs_by_suffix, "pairs", {"visible": "*_co.*", "infrared": "*_ir.*"}),
        (masks, "masks", {"include": "*images_png/*", "masks": "../masks_png/{stem}.png"}),
        (tiles, "tiles", {"annotations": "../../labels/{folder}/{stem}.geojson", "include": "data/*"}),
        (
            bands,
            "bands",
            {"bands": {"red": "*_B04.tif", "green": "*_B03.tif", "blue": "*_B02.tif", "nir": "*_B08.tif"}},
        ),
        (named_raster, "geotiff", {"bands": {"blue": "1", "green": "2", "red": "3", "nir": "4"}}),
        (eurosat, "geotiff", {"bands": {"red": "4", "green": "3", "blue": "2", "nir": "8"}}),
        (class_folders, "class-folders", {}),
    ],
)
def test_a_layout_is_recognised(
    make: Callable[[Path], None], format: str, keys: dict[str, object], tmp_path: Path
) -> None:
    make(tmp_path)
    layout = recognise(tmp_path, "c")
    assert layout.format == format
    assert keys.items() <= layout.keys.items()
    assert layout.saw


@pytest.mark.parametrize("make", [lambda root: None, lambda root: put_text(root, "readme.md", "hello")])
def test_what_is_no_corpus_is_said_with_what_was_seen(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(UsageError, match=r"no layout recognised in .* \((no file|1 \.md); folders none\)"):
        recognise(tmp_path, "c")


def test_a_look_is_short_however_many_files_there_are(tmp_path: Path) -> None:
    for label in ("beach", "river"):
        (tmp_path / label).mkdir()
        for number in range(700):
            (tmp_path / label / f"{number}.jpg").touch()
    assert recognise(tmp_path, "c").format == "class-folders"


def test_what_was_seen_becomes_settings_and_what_is_given_stays(ws: Workspace, tmp_path: Path) -> None:
    put_raster(tmp_path / "data", "a.tif", 4, "uint8")
    given = {"from_": str(tmp_path / "data"), "format": "auto", "license": "MIT"}
    summary = pipeline.download(ws, "c", **given, sensor="drone", run=Run(workers=1))
    assert summary.good == 1
    assert any("c: geotiff, by a.tif with 4 bands" in note for note in summary.notes)
    kept = pipeline.config.load(ws).corpora["c"]
    assert (kept.format, kept.sensor) == ("geotiff", "drone")
    assert kept.bands == {"red": "1", "green": "2", "blue": "3", "nir": "4"}
    other = Workspace.open(tmp_path / "other", create=True)
    pipeline.download(other, "c", **given, bands="red=2,green=3,blue=4,nir=1", run=Run(workers=1))
    assert pipeline.config.load(other).corpora["c"].bands["nir"] == "1"


THERMAL = {"modality": "ir", "band": "lwir"}
LANDSAT7 = {"bands": "red=3,green=2,blue=1,nir=4,lwir=7"}
NOTEBOOKS = "s2-eotdl/tutorials/notebooks/example_data"


@pytest.mark.parametrize(
    ("folder", "keys", "records", "objects", "labels"),
    [
        ("hit-uav/normal_xml", THERMAL, 483, {"Person": 2072, "Car": 1152, "Bicycle": 883}, 5),
        ("oam-buildings-hotosm", {"object_label": "building"}, 1339, {"building": 2876}, 1),
        (f"{NOTEBOOKS}/EuroSAT-RGB-small", {}, 100, {}, 10),
        (f"{NOTEBOOKS}/EuroSAT-small", {}, 6, {}, 2),
        (f"{NOTEBOOKS}/jaca_dataset", {}, 4, {}, 0),
        ("s2-eotdl/tutorials/usecases/useCaseD/data/sentinel_2", {}, 77, {"Boat": 77}, 1),
        ("s2-eotdl/tutorials/workshops", {}, 5, {}, 0),
        ("naip-opengeos", {}, 9, {}, 0),
        ("neon-trees-deepforest", {"include": "*[!3]?.png"}, 3, {"Tree": 340, "Dead": 28, "Alive": 9}, 3),
        ("landsat8-tirs-sattestdata", {}, 1, {}, 0),
        ("landsat7-thermal-opengeotutorial", LANDSAT7, 2, {}, 0),
        ("landsat8-zion-spdatalarge", {}, 1, {}, 0),
    ],
)
def test_the_samples_build_by_themselves(
    folder: str,
    keys: dict[str, str],
    records: int,
    objects: dict[str, int],
    labels: int,
    ws: Workspace,
    samples: Path,
) -> None:
    given = {"from_": str(samples / folder), "format": "auto", "license": "MIT"}
    summary = pipeline.download(ws, "c", **given, **keys, run=Run(workers=2))
    assert (summary.items, summary.good) == (records, records), "as the sample's note says"
    rows = [row for shard in ws.shards("rgb") for row in ws.rows("rgb", shard, ["boxes", "labels"])]
    counted = Counter(box["label"] for row in rows for box in row["boxes"])
    assert objects.items() <= counted.items()
    assert len({label for row in rows for label in row["labels"]}) == labels


def test_bands_whose_names_tell_no_colour_are_asked_for_by_name(ws: Workspace, tmp_path: Path) -> None:
    put_raster(tmp_path / "data", "a.tif", 2, names=("band 1 reflectance", "band 2 reflectance"))
    with pytest.raises(UsageError, match=r"corpus c: a\.tif .*\(band 1 reflectance, band 2 reflectance\): .*--bands"):
        pipeline.download(ws, "c", from_=str(tmp_path / "data"), format="auto", license="MIT")


def test_images_that_the_format_does_not_read_are_named(tmp_path: Path) -> None:
    named_raster(tmp_path)
    assert recognise(tmp_path, "c").hints == ()
    put_images(tmp_path, "b/1.jpg", "b/2.jpg")
    assert recognise(tmp_path, "c").hints == ("2 images that are no rasters are not read, such as b/1.jpg",)


def test_a_list_of_images_that_are_not_there_is_an_example_only(tmp_path: Path) -> None:
    voc(tmp_path)
    put_json(tmp_path / "coco.json", {"images": [{"id": 1, "file_name": "2.jpg"}], "annotations": []})
    assert recognise(tmp_path, "c").format == "voc"
    put_json(tmp_path / "coco.json", {"images": [{"id": 1, "file_name": "x/1.jpg"}], "annotations": []})
    assert recognise(tmp_path, "c").format == "coco"


def test_the_words_of_a_table_are_looked_for_in_its_head_only(tmp_path: Path) -> None:
    put_text(tmp_path, "notes.csv", "name,count\nimage,caption\n")
    put_text(tmp_path, "numbers.json", json.dumps({"a": [1, 2]}))
    with pytest.raises(UsageError, match="no layout recognised"):
        recognise(tmp_path, "c")
