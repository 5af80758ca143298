"""Entries of images, labels, boxes, masks and pairs against the layouts they are for: the publishers' file names.

Images are empty files: listing decodes none.
"""

import re
from pathlib import Path

import pytest

from fusionrs_builder.corpora import registry
from tests.corpora.test_registry_captions import Found, listed, put

LAYOUTS: dict[str, tuple[dict[str, str], Found]] = {
    "ucmerced": (
        {
            "UCMerced_LandUse/Images/beach/beach00.tif": "",
            "UCMerced_LandUse/Images/beach/beach01.tif": "",
            "UCMerced_LandUse/Images/river/river07.tif": "",
            "uc_merced-train.txt": "beach00.tif\n",
            "uc_merced-val.txt": "beach01.tif\n",
            "uc_merced-test.txt": "river07.tif\n",
        },
        {
            "UCMerced_LandUse/Images/beach/beach00": ("train", ("beach",)),
            "UCMerced_LandUse/Images/beach/beach01": ("validation", ("beach",)),
            "UCMerced_LandUse/Images/river/river07": ("test", ("river",)),
        },
    ),
    "resisc45": (
        {
            "NWPU-RESISC45/airplane/airplane_001.jpg": "",
            "NWPU-RESISC45/lake/lake_700.jpg": "",
            "resisc45-train.txt": "airplane_001.jpg\n",
            "resisc45-val.txt": "",
            "resisc45-test.txt": "lake_700.jpg\n",
        },
        {
            "NWPU-RESISC45/airplane/airplane_001": ("train", ("airplane",)),
            "NWPU-RESISC45/lake/lake_700": ("test", ("lake",)),
        },
    ),
    "patternnet": (
        {"PatternNet/images/beach/beach001.jpg": ""},
        {"PatternNet/images/beach/beach001": ("", ("beach",))},
    ),
    "eurosat-ms": (
        {
            "ds/images/remote_sensing/otherDatasets/sentinel_2/tif/Forest/Forest_1.tif": "",
            "ds/images/remote_sensing/otherDatasets/sentinel_2/tif/River/River_2.tif": "",
            "eurosat-spatial-train.txt": "Forest_1.jpg\n",
            "eurosat-spatial-val.txt": "",
            "eurosat-spatial-test.txt": "River_2.jpg\n",
        },
        {
            "ds/images/remote_sensing/otherDatasets/sentinel_2/tif/Forest/Forest_1": ("train", ("Forest",)),
            "ds/images/remote_sensing/otherDatasets/sentinel_2/tif/River/River_2": ("test", ("River",)),
        },
    ),
    "usavars": (
        {
            "uar/tile_0,1.tif": "",
            "uar/tile_0,2.tif": "",
            "train_split.txt": "tile_0,1.tif\n",
            "val_split.txt": "",
            "test_split.txt": "tile_0,2.tif\n",
        },
        {"uar/tile_0,1": ("train", ()), "uar/tile_0,2": ("test", ())},
    ),
    "treesatai": (
        {
            "aerial/60m/Abies_alba_1_834_WEFL_NLF.tif": "",
            "train_filenames.lst": "Abies_alba_1_834_WEFL_NLF.tif\n",
            "test_filenames.lst": "",
        },
        {"aerial/60m/Abies_alba_1_834_WEFL_NLF": ("train", ())},
    ),
    "sen12ms": (
        {
            "ROIs1158_spring/s2_1/ROIs1158_spring_s2_1_p30.tif": "",
            "ROIs1158_spring/s1_1/ROIs1158_spring_s1_1_p30.tif": "",
            "train_list.txt": "",
            "test_list.txt": "ROIs1158_spring_s2_1_p30.tif\n",
        },
        {"ROIs1158_spring/s2_1/ROIs1158_spring_s2_1_p30": ("test", ())},
    ),
    "ssl4eo-s12": (
        {
            f"s2a/0000000/20200604T054639_20200604T054831_T43RCP/{band}.tif": ""
            for band in ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
        },
        {"s2a/0000000/20200604T054639_20200604T054831_T43RCP": ("", ())},
    ),
    "dior": (
        {
            "Images_trainval/00001.jpg": "",
            "Annotations_trainval/00001.xml": "<annotation><object><name>golffield</name></object></annotation>",
        },
        {"00001": ("", ())},
    ),
    "aid": ({"AID/BareLand/bareland_1.jpg": ""}, {"AID/BareLand/bareland_1": ("", ("BareLand",))}),
    "rsod": (
        {"aircraft/JPEGImages/aircraft_1.jpg": "", "aircraft/Annotation/xml/aircraft_1.xml": "<annotation/>"},
        {"aircraft_1": ("", ())},
    ),
    "fair1m": (
        {
            "train/part1/images/0.tif": "",
            "train/part1/labelXml/0.xml": "<annotation/>",
            "validation/images/0.tif": "",
            "validation/labelXml/0.xml": "<annotation/>",
        },
        {"train/part1/images/0": ("train", ()), "validation/images/0": ("validation", ())},
    ),
    "nwpu-vhr10": (
        {
            "NWPU VHR-10 dataset/positive image set/001.jpg": "",
            "NWPU VHR-10 dataset/negative image set/001.jpg": "",
            "NWPU VHR-10 dataset/ground truth/001.txt": "(563,478),(630,573),1\n",
            "NWPU VHR-10 dataset/annotations.json": '{"images": [{"id": 0, "file_name": "001.jpg"}]}',
        },
        {"NWPU VHR-10 dataset/positive image set/001": ("", ())},
    ),
    "dota": (
        {
            "train/images/P0000.png": "",
            "train/annotations/version2.0/P0000.txt": "1 1 9 1 9 9 1 9 ship 0\n",
            "val/images/P0003.png": "",
            "val/annotations/version2.0/P0003.txt": "",
        },
        {"train/images/P0000": ("train", ()), "val/images/P0003": ("validation", ())},
    ),
    "visdrone": (
        {
            "VisDrone2019-DET-train/images/0000001_1.jpg": "",
            "VisDrone2019-DET-train/annotations/0000001_1.txt": "684,8,273,116,0,0,0,0\n406,119,265,70,1,4,0,0\n",
        },
        {"VisDrone2019-DET-train/images/0000001_1": ("train", ())},
    ),
    "loveda": (
        {"Train/Urban/images_png/1366.png": "", "Train/Urban/masks_png/1366.png": ""},
        {"Train/Urban/images_png/1366": ("train", ())},
    ),
    "openearthmap": (
        {
            "aachen/images/aachen_1.tif": "",
            "aachen/labels/aachen_1.tif": "",
            "train.txt": "aachen_1.tif\n",
            "val.txt": "",
            "test.txt": "",
        },
        {"aachen/images/aachen_1": ("train", ())},
    ),
    "flair": (
        {"D004_2021/Z1_NN/img/IMG_000001.tif": "", "D004_2021/Z1_NN/msk/MSK_000001.tif": ""},
        {"D004_2021/Z1_NN/img/IMG_000001": ("", ())},
    ),
    "deepglobe-landcover": ({"train/1_sat.jpg": "", "train/1_mask.png": ""}, {"train/1_sat": ("", ())}),
    "ssl4eo-l-benchmark": (
        {
            "ssl4eo_l_oli_tirs_toa_benchmark/0000001/LC08_044034_20190622/all_bands.tif": "",
            "ssl4eo_l_oli_nlcd/0000001/LC08_044034_20190622/nlcd_2019.tif": "",
        },
        {"ssl4eo_l_oli_tirs_toa_benchmark/0000001/LC08_044034_20190622/all_bands": ("", ())},
    ),
    "caltech-rgbt": (
        {
            "labeled_rgbt_pairs/color/flight4_eo-001.jpg": "",
            "labeled_rgbt_pairs/thermal8/flight4_thermal-001.jpg": "",
            "labeled_rgbt_pairs/thermal16/flight4_thermal-001.tiff": "",
            "labeled_thermal_singles/thermal16/a.tiff": "",
        },
        {"flight4_/-001": ("", ())},
    ),
    "kust4k": ({"rgb/00001D.png": "", "tir/00001D.png": "", "label/00001D.png": ""}, {"00001D": ("", ())}),
    "dronevehicle": (
        {
            "val/valimg/00001.jpg": "",
            "val/valimgr/00001.jpg": "",
            "val/vallabel/00001.xml": "<annotation/>",
            "val/vallabelr/00001.xml": "<annotation/>",
        },
        {"val/00001": ("validation", ())},
    ),
    "llvip": (
        {
            "visible/train/010001.jpg": "",
            "infrared/train/010001.jpg": "",
            "Annotations/010001.xml": "<annotation/>",
        },
        {"train/010001": ("train", ())},
    ),
    "kaist": (
        {"set00/V000/visible/I00000.jpg": "", "set00/V000/lwir/I00000.jpg": ""},
        {"set00/V000/I00000": ("", ())},
    ),
    "aviid": (
        {"AVIID-1/trainA/1.jpg": "", "AVIID-1/trainB/1.jpg": ""},
        {"AVIID-1/train/1": ("train", ())},
    ),
    "rgbt-tiny": (
        {
            "DJI_0022_1/00/00001.jpg": "",
            "DJI_0022_1/01/00001.jpg": "",
            "DJI_0023_1/00/00001.jpg": "",
            "DJI_0023_1/01/00001.jpg": "",
        },
        {"DJI_0022_1/00001": ("", ()), "DJI_0023_1/00001": ("", ())},
    ),
    "vedai": (
        {
            "Vehicules1024/00000001_co.png": "",
            "Vehicules1024/00000001_ir.png": "",
            "Annotations1024/00000001.txt": "580 798 1.1 11 1 0 567 588 593 572 773 769 823 827\n",
        },
        {"00000001": ("", ())},
    ),
}
"""Files with their text, and what is found in them."""


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_entry_reads_the_layout_it_is_for(name: str, tmp_path: Path) -> None:
    files, expected = LAYOUTS[name]
    put(tmp_path, files)
    assert listed(name, tmp_path) == expected


@pytest.mark.parametrize(
    ("name", "path", "group"),
    [
        ("kaist", "set00/V003/visible/I00000.jpg", "set00/V003"),
        ("rgbt-tiny", "DJI_0022_1/00/00001.jpg", "DJI_0022_1"),
        ("flair", "data/train-val/D004_2021/Z1_NN/img/IMG_000001.tif", "D004"),
    ],
)
def test_videos_and_domains_are_not_cut_by_a_split(name: str, path: str, group: str) -> None:
    entry = registry.entry(name)
    assert entry
    match = re.search(entry.settings.group_pattern, path)
    assert match
    assert match["group"] == group
