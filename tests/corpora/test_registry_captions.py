"""Entries with text against the layouts they are for: tiny corpora of the publishers' file names.

Images are empty files: listing decodes none.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusionrs_builder.corpora import formats, registry

Found = dict[str, tuple[str, tuple[str, ...]]]
"""Split and labels of each item by key."""


HEADER = "filepath,title,title_multi_objects\n"


def said(*captions: str) -> list[dict[str, str]]:
    return [{"raw": caption} for caption in captions]


def karpathy(*names: str) -> str:
    splits = ("train", "val", "test")
    return json.dumps(
        {
            "images": [
                {"filename": name, "split": splits[i % 3], "sentences": said(f"view {i}")}
                for i, name in enumerate(names)
            ]
        }
    )


LAYOUTS: dict[str, tuple[dict[str, str], Found]] = {
    "rsicd": (
        {
            "RSICD_images/airport_1.jpg": "",
            "RSICD_images/00623.jpg": "",
            "dataset_rsicd.json": karpathy("airport_1.jpg", "00623.jpg"),
        },
        {"RSICD_images/airport_1": ("train", ()), "RSICD_images/00623": ("validation", ())},
    ),
    "rsitmd": (
        {"images/baseballfield_452.tif": "", "dataset_RSITMD.json": karpathy("baseballfield_452.tif")},
        {"images/baseballfield_452": ("train", ())},
    ),
    "ucm-captions": (
        {"imgs/1.tif": "", "imgs/2.tif": "", "dataset.json": karpathy("1.tif", "2.tif")},
        {"imgs/1": ("train", ()), "imgs/2": ("validation", ())},
    ),
    "sydney-captions": (
        {
            "Sydney_captions/imgs/1.tif": "",
            "Sydney_captions/filenames/descriptions_SYDNEY.txt": "1 A residential area .",
            "Sydney_captions/dataset.json": karpathy("1.tif"),
        },
        {"Sydney_captions/imgs/1": ("train", ())},
    ),
    "nwpu-captions": (
        {
            "NWPU_images/airplane/airplane_001.jpg": "",
            "dataset_nwpu.json": json.dumps(
                {"airplane": [{"filename": "airplane_001.jpg", "split": "test", "raw": "One.", "raw_1": "Two."}]}
            ),
        },
        {"NWPU_images/airplane/airplane_001": ("test", ("airplane",))},
    ),
    "skyscript": (
        {
            "images2/a198234555_CH_19.jpg": "",
            "images7/w1_US_21.jpg": "",
            "SkyScript_train_unfiltered_5M.csv": HEADER + "images2/a198234555_CH_19.jpg,road,road\n",
            "SkyScript_val_5K_filtered_by_CLIP_openai.csv": HEADER + "images7/w1_US_21.jpg,a lake,a lake and trees\n",
        },
        {"images2/a198234555_CH_19": ("train", ()), "images7/w1_US_21": ("validation", ())},
    ),
    "chatearthnet": (
        {
            "s2_images/1.png": "",
            "s2_images/2.png": "",
            "json_files/ChatEarthNet_caps_35_train.json": json.dumps([{"image": "1.png", "caption": "A long text."}]),
            "json_files/ChatEarthNet_caps_35_test.json": json.dumps([{"image_id": "2.png", "caption": ["Another."]}]),
            "json_files/ChatEarthNet_caps_4v_test.json": json.dumps([{"image_id": "1.png", "caption": ["By 4V."]}]),
        },
        {"s2_images/1": ("train", ()), "s2_images/2": ("test", ())},
    ),
    "vrsbench": (
        {
            "Images_train/P0003_0002.png": "",
            "Annotations_train/P0003_0002.json": json.dumps(
                {"image": "P0003_0002.png", "caption": "A harbour.", "qa_pairs": [], "objects": []}
            ),
        },
        {"Images_train/P0003_0002": ("train", ())},
    ),
}
"""Files with their text, and what is found in them."""


def listed(name: str, root: Path) -> Found:
    entry = registry.entry(name)
    assert entry is not None
    items = list(formats.reader(root, entry.settings, name).items())
    assert [item.fault for item in items if item.fault] == []
    return {item.key: (item.split, item.labels) for item in items}


def put(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_entry_reads_the_layout_it_is_for(name: str, tmp_path: Path) -> None:
    files, expected = LAYOUTS[name]
    put(tmp_path, files)
    assert listed(name, tmp_path) == expected


def table(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


IMAGE = {"bytes": b"\xff\xd8", "path": "1.jpg"}


def test_parquet_with_captions_and_classes(tmp_path: Path) -> None:
    table(tmp_path / "rsicd/data/train-00000-of-00001.parquet", image=[IMAGE], captions=[["A plane.", "Two planes."]])
    assert listed("rsicd-parquet", tmp_path / "rsicd") == {"data/train-00000-of-00001/0000000": ("train", ())}
    for name in ("whu-rs19", "optimal-31", "mlrsnet", "eurosat-rgb"):
        table(tmp_path / name / "data/test-00000-of-00001.parquet", image=[IMAGE], label=["Port"])
        assert listed(name, tmp_path / name) == {"data/test-00000-of-00001/0000000": ("test", ("Port",))}


def test_parquet_of_pairs_takes_only_the_rows_of_the_thermal_camera(tmp_path: Path) -> None:
    aligned, kinds = [IMAGE, None], ["thermal", "rgb"]
    table(tmp_path / "data/train-0.parquet", image=[IMAGE, IMAGE], RGB_aligned=aligned, modality=kinds)
    assert listed("segfly", tmp_path) == {"data/train-0/0000000": ("train", ())}


def test_texts_are_joined_to_bands_by_patch(tmp_path: Path) -> None:
    patch = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_32_64"
    for band in ("B02", "B03", "B04", "B08", "B11"):
        path = tmp_path / f"BigEarthNet-S2/{patch.rsplit('_', 2)[0]}/{patch}/{patch}_{band}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    texts = {"type": ["caption", "binary"], "output": ["A forest.", "yes"], "split": ["test", "test"]}
    table(tmp_path / "BigEarthNet.txt.parquet", patch_id=[patch, patch], **texts)
    (key,) = listed("bigearthnet-txt", tmp_path)
    assert key.endswith(patch)
    assert listed("bigearthnet-txt", tmp_path) == {key: ("test", ())}
    assert list(listed("bigearthnet", tmp_path)) == [key]
