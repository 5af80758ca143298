"""Each trap of the segmentation corpora on small files in their true formats, read as the registry says."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from fusionrs_builder import pixels
from fusionrs_builder.corpora import registry
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.errors import UsageError
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture
from tests.corpora.formats.test_geotiff import write
from tests.corpora.reading import build, by_key, faults, peak, put_images, reader

SIZE = 48, 40
CLASSES = {"1": "building", "2": "water"}
BESIDE = {"include": "*.jpg", "masks": "{stem}.png", "classes": CLASSES}


def numbers(*rectangles: tuple[int, int, int, int, int], fill: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A mask of one number with rectangles (number, x0, y0, x1, y1) of others."""
    mask = np.full((size[1], size[0]), fill, np.uint8)
    for number, x0, y0, x1, y1 in rectangles:
        mask[y0:y1, x0:x1] = number
    return mask


def put(path: Path, pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(pixels, kind, **options))


def entry(name: str, **keys: Any) -> dict[str, Any]:
    found = registry.entry(name)
    assert found is not None
    return {**found.settings.model_dump(exclude_unset=True), **keys}


def sides(boxes: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(one["label"], one["x0"], one["y0"], one["x1"], one["y1"]) for one in boxes]


def refused(found: Any) -> Refused:
    with pytest.raises(Refused) as raised:
        found.read(next(found.items()))
    return raised.value


def test_loveda_where_folders_repeat_names_and_0_is_no_data(tmp_path: Path, ws: Workspace) -> None:
    for folder, number in (("Train/Urban", 2), ("Train/Rural", 7), ("Val/Rural", 4)):
        put(tmp_path / folder / "images_png/1366.png", picture(number))
        put(tmp_path / folder / "masks_png/1366.png", numbers((number, 4, 4, 44, 36), (0, 0, 0, 2, 40), fill=1))
    rows, rejects = build(ws, tmp_path, **entry("loveda"))
    assert not rejects
    assert {key: (row["labels"], row["corpus_split"]) for key, row in rows.items()} == {
        "Train/Urban/images_png/1366": (["building"], "train"),
        "Train/Rural/images_png/1366": (["agriculture"], "train"),
        "Val/Rural/images_png/1366": (["water"], "validation"),
    }
    urban = rows["Train/Urban/images_png/1366"]
    assert sides(urban["boxes"]) == [("building", 4, 4, 44, 36)]
    assert urban["publisher_captions"] == []
    assert urban["template_captions"] == [
        "There is one building in the center of the image.",
        "About two thirds of the image is covered by buildings.",
    ]
    assert urban["rgb"]["bytes"] == (tmp_path / "Train/Urban/images_png/1366.png").read_bytes()


def test_openearthmap_whose_publisher_keeps_the_masks_of_the_test_back(tmp_path: Path, ws: Workspace) -> None:
    for region, name in (("aachen", "aachen_1"), ("accra", "accra_2"), ("lima", "lima_9")):
        write(tmp_path / region / f"images/{name}.tif", np.moveaxis(picture(1), -1, 0))
        if region != "lima":
            write(tmp_path / region / f"labels/{name}.tif", numbers((8, 2, 2, 12, 12), fill=6)[None])
    for split, name in (("train", "aachen_1"), ("val", "accra_2"), ("test", "lima_9")):
        (tmp_path / f"{split}.txt").write_text(f"{name}.tif\n")
    rows, rejects = build(ws, tmp_path, **entry("openearthmap"))
    assert not rejects
    assert {row["corpus_split"]: row["labels"] for row in rows.values()} == {
        "train": ["water", "building"],
        "validation": ["water", "building"],
        "test": [],
    }
    assert rows["aachen/images/aachen_1"]["crs"] == "EPSG:32614"
    assert rows["lima/images/lima_9"]["template_captions"] == []


def test_a_mask_that_is_lost_from_a_test_split_is_refused(tmp_path: Path) -> None:
    put_images(tmp_path, "test/1.jpg", "test/2.jpg", "train/3.jpg")
    put(tmp_path / "test/1.png", numbers())
    found = reader(tmp_path, "masks", split_pattern="^(?P<split>train|test)/", **BESIDE)
    assert faults(found.items()) == {"test/2": "missing_annotation", "train/3": "missing_annotation"}


def test_landcover_ai_is_cut_here_and_its_script_never_runs(tmp_path: Path, ws: Workspace) -> None:
    wide = np.moveaxis(picture(3, 1100, 600), -1, 0)
    write(tmp_path / "images/M-33-20-D-c-4-2.tif", wide, "EPSG:2180", 0.25)
    mask = numbers((1, 520, 10, 540, 30), (3, 0, 0, 500, 512), fill=0, size=(1100, 600))
    write(tmp_path / "masks/M-33-20-D-c-4-2.tif", mask[None], "EPSG:2180", 0.25)
    ran = tmp_path / "ran"
    (tmp_path / "split.py").write_text(f"open({str(ran)!r}, 'w')\n")
    (tmp_path / "train.txt").write_text("M-33-20-D-c-4-2_0\n")
    rows, rejects = build(ws, tmp_path, **entry("landcover-ai"))
    assert not rejects
    assert not ran.exists()
    left, right = (rows[f"images/M-33-20-D-c-4-2_x{x:05d}_y00000"] for x in (0, 512))
    assert (left["labels"], right["labels"]) == (["water"], ["building"]), "background is none"
    assert sides(right["boxes"]) == [("building", 8, 10, 28, 30)], "in pixels of the tile"
    assert left["gsd_m"] == 0.25
    assert (left["width"], left["height"]) == (512, 512)


def test_deepglobe_masks_are_colours_and_are_cut_as_their_image(tmp_path: Path, ws: Workspace) -> None:
    colours = np.zeros((600, 1100, 3), np.uint8)
    colours[:, :512] = 0, 0, 255
    colours[:, 512:] = 0, 255, 255
    put(tmp_path / "train/1_sat.jpg", picture(4, 1100, 600), "JPEG", quality=95)
    put(tmp_path / "train/1_mask.png", colours)
    put(tmp_path / "train/2_mask.png", colours)
    rows, rejects = build(ws, tmp_path, **entry("deepglobe-landcover"))
    assert rejects == Counter(missing_image=1)
    assert {key: row["labels"] for key, row in rows.items()} == {
        "train/1_sat_x00000_y00000": ["water"],
        "train/1_sat_x00512_y00000": ["urban land"],
    }


def test_a_colour_mask_coded_as_jpeg_is_read_by_the_nearest_colour(tmp_path: Path) -> None:
    colours = np.zeros((40, 48, 3), np.uint8)
    colours[:, :24], colours[:, 24:40] = (255, 255, 0), (255, 0, 255)
    put(tmp_path / "1_sat.jpg", picture(1), "JPEG")
    put(tmp_path / "1_mask.jpg", colours, "JPEG", quality=75)
    keys = {"masks": "{key}_mask.jpg", "tile": None, "min_valid": 0.5}
    found = reader(tmp_path, **entry("deepglobe-landcover", **keys))
    sample = found.read(next(found.items()))
    assert sample.labels == ["agriculture", "rangeland"]
    assert sample.template_captions == [
        "About half of the image is covered by agriculture and about a third by rangeland."
    ], "black is unknown, not the darkest class"


@pytest.mark.parametrize("kind", ["rgb", "palette"])
def test_potsdam_has_measured_infrared_and_masks_a_folder_above(tmp_path: Path, ws: Workspace, kind: str) -> None:
    bands = np.stack([*np.moveaxis(picture(5), -1, 0), picture(6, channels=1)])
    write(tmp_path / "4_Ortho_RGBIR/top_potsdam_2_10_RGBIR.tif", bands)
    if kind == "rgb":
        colours = np.full((3, 40, 48), 255, np.uint8)
        colours[2, 5:15, 5:20] = 0
        write(tmp_path / "top_potsdam_2_10_label.tif", colours)
    else:
        write(tmp_path / "top_potsdam_2_10_label.tif", numbers((1, 5, 5, 20, 15))[None])
        with rasterio.open(tmp_path / "top_potsdam_2_10_label.tif", "r+") as mask:
            mask.write_colormap(1, {0: (255, 255, 255, 255), 1: (255, 255, 0, 255)})
    rows, rejects = build(ws, tmp_path, **entry("potsdam"))
    assert not rejects
    row = rows["4_Ortho_RGBIR/top_potsdam_2_10_RGBIR"]
    assert (row["ir_band"], row["labels"]) == ("nir", ["impervious surface", "car"])
    assert sides(row["boxes"]) == [("car", 5, 5, 20, 15)]


def test_vaihingen_has_no_blue_and_so_no_rgb(tmp_path: Path, ws: Workspace) -> None:
    write(tmp_path / "top/top_mosaic_09cm_area1.tif", np.moveaxis(picture(7), -1, 0), crs=None)
    blue = np.stack([numbers(fill=level) for level in (0, 0, 255)])
    write(tmp_path / "gts/top_mosaic_09cm_area1.tif", blue, crs=None)
    rows, rejects = build(ws, tmp_path, **entry("vaihingen"))
    assert not rejects
    (row,) = rows.values()
    assert row["rgb"] is None
    assert (row["ir_band"], row["labels"]) == ("nir", ["building"])
    assert (pixels.gray_array(row["ir"]["bytes"]) == picture(7)[..., 0]).all()


def test_chesapeake_has_other_layers_beside_and_15_is_no_data(tmp_path: Path, ws: Workspace) -> None:
    folder = tmp_path / "va_1m_2014_extended-debuffered-val_tiles"
    name = "m_3707502_ne_18_1"
    write(folder / f"{name}_naip-new.tif", np.stack([picture(number, channels=1) for number in range(4)]))
    for layer in ("naip-old", "landsat-leaf-on", "nlcd", "buildings"):
        write(folder / f"{name}_{layer}.tif", numbers(fill=11)[None])
    write(folder / f"{name}_lc.tif", numbers((15, 0, 0, 20, 40), (6, 20, 0, 24, 40), fill=2)[None])
    rows, rejects = build(ws, tmp_path, **entry("chesapeake-cvpr"))
    assert not rejects, "the other layers are no masks without an image"
    (row,) = rows.values()
    assert (row["corpus_split"], row["ir_band"]) == ("validation", "nir")
    assert row["labels"] == ["tree canopy", "road"]


def test_a_mask_of_which_most_is_unlabelled_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    put_images(tmp_path, "a.jpg")
    put(tmp_path / "a.png", numbers((1, 0, 0, 6, 40), (15, 6, 0, 12, 40), fill=255))
    refusal = refused(reader(tmp_path, "masks", **BESIDE))
    assert refusal.reason == "unlabelled"
    assert "255 on 75%, 15 on 12%" in refusal.message
    found = reader(tmp_path, "masks", min_valid=0.1, **BESIDE)
    assert found.read(next(found.items())).labels == ["building"]


def test_flair_masks_have_another_prefix_and_elevation_is_no_infrared(tmp_path: Path, ws: Workspace) -> None:
    zone = tmp_path / "D004_2021/Z1_NN"
    bands = np.stack([picture(number, channels=1) for number in range(5)])
    write(zone / "img/IMG_061946.tif", bands, "EPSG:2154", 0.2)
    write(zone / "msk/MSK_061946.tif", numbers((1, 10, 10, 30, 30), (19, 0, 0, 48, 5), fill=5)[None], "EPSG:2154", 0.2)
    write(zone / "msk/MSK_000002.tif", numbers()[None], "EPSG:2154", 0.2)
    rows, rejects = build(ws, tmp_path, **entry("flair"))
    assert rejects == Counter(missing_image=1)
    (row,) = rows.values()
    assert row["labels"] == ["water", "building"], "`other` is ignored"
    assert (pixels.gray_array(row["ir"]["bytes"]) == bands[3]).all()


def test_ssl4eo_masks_lie_under_another_top_folder_by_the_same_path(tmp_path: Path, ws: Workspace) -> None:
    for place, number in (("0000001", 11), ("0000002", 41)):
        scene = f"{place}/LC08_044034_20190622"
        stack = np.stack([picture(band, channels=1).astype(np.uint16) * 3 + 1 for band in range(11)])
        write(tmp_path / f"ssl4eo_l_oli_tirs_toa_benchmark/{scene}/all_bands.tif", stack, pixel=30.0)
        write(tmp_path / f"ssl4eo_l_oli_nlcd/{scene}/nlcd_2019.tif", numbers(fill=number)[None], pixel=30.0)
    write(tmp_path / "ssl4eo_l_oli_nlcd/0000003/LC08_1_20190101/nlcd_2019.tif", numbers(fill=11)[None], pixel=30.0)
    rows, rejects = build(ws, tmp_path, **entry("ssl4eo-l-benchmark"))
    assert rejects == Counter(missing_image=1)
    assert sorted(row["labels"] for row in rows.values()) == [["deciduous forest"], ["open water"]]
    assert {row["ir_band"] for row in rows.values()} == {"nir"}


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    put_images(tmp_path, "a.jpg")
    put(tmp_path / "a.png", numbers(size=(40, 48)))
    refusal = refused(reader(tmp_path, "masks", **BESIDE))
    assert (refusal.reason, refusal.message) == ("other_size", "a.png is 40x48, the image 48x40")


def test_damaged_files_are_refused_for_what_they_are(tmp_path: Path, ws: Workspace) -> None:
    put_images(tmp_path, "image.jpg", "mask.jpg", "sound.jpg")
    (tmp_path / "image.jpg").write_bytes((tmp_path / "image.jpg").read_bytes()[:20])
    for name in ("image", "mask", "sound"):
        put(tmp_path / f"{name}.png", numbers(fill=1))
    (tmp_path / "mask.png").write_bytes((tmp_path / "mask.png").read_bytes()[:60])
    rows, rejects = build(ws, tmp_path, "masks", **BESIDE)
    assert set(rows) == {"sound"}
    assert rejects == Counter(unreadable_image=2)


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "1"])
def test_numbers_are_read_from_every_kind_of_png(tmp_path: Path, mode: str) -> None:
    put_images(tmp_path, "a.jpg")
    mask = Image.fromarray(numbers((1, 4, 4, 24, 24)))
    if mode == "P":
        mask = mask.copy()
        mask.putpalette([255, 255, 255, 200, 0, 0])
    elif mode == "RGB":
        mask = mask.convert("RGB")
    elif mode == "1":
        mask = mask.point(lambda value: 255 * value).convert("1")
    put(tmp_path / "a.png", mask)
    found = reader(tmp_path, "masks", **{**BESIDE, "classes": {"0": "ground", "1": "building"}})
    sample = found.read(next(found.items()))
    assert sample.labels == ["ground", "building"]
    assert sides(sample.boxes) == [("building", 4, 4, 24, 24)]


def test_a_mask_of_colours_where_numbers_were_promised_is_refused(tmp_path: Path) -> None:
    put_images(tmp_path, "a.jpg")
    put(tmp_path / "a.png", picture(3))
    assert refused(reader(tmp_path, "masks", **BESIDE)).reason == "bad_mask"


def test_masks_of_images_left_out_are_not_missed(tmp_path: Path) -> None:
    put_images(tmp_path, "city/a.jpg", "land/b.jpg")
    for path in ("city/a.png", "land/b.png", "land/c.png"):
        put(tmp_path / path, numbers())
    found = reader(tmp_path, "masks", **{**BESIDE, "include": "city/*.jpg"})
    assert faults(found.items()) == {"land/c": "missing_image"}


def test_classes_of_one_name_are_one_and_labels_take_their_new_names(tmp_path: Path) -> None:
    put_images(tmp_path, "a.jpg")
    put(tmp_path / "a.png", numbers((1, 0, 0, 24, 40), (2, 24, 0, 48, 40)))
    keys = {**BESIDE, "classes": {"1": "truvk", "2": "truck"}, "label_names": {"truvk": "truck"}}
    found = reader(tmp_path, "masks", **keys)
    sample = found.read(next(found.items()))
    assert sample.labels == ["truck"]
    assert sides(sample.boxes) == [("truck", 0, 0, 48, 40)]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"masks": ""}, "masks: say where"),
        ({"classes": {}}, "classes: name the numbers"),
        ({"classes": {"1": "building", "#00ffff": "urban"}}, "not both"),
        ({"classes": {"building": "1"}}, "'building' is no number"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        reader(tmp_path, "masks", **{**BESIDE, **keys})


def test_listing_a_large_corpus_holds_little_memory(tmp_path: Path) -> None:
    for number in range(1500):
        folder = tmp_path / f"{number // 100}"
        folder.mkdir(exist_ok=True)
        for suffix in ("jpg", "png"):
            (folder / f"{number:06d}.{suffix}").touch()
    found = reader(tmp_path, "masks", **BESIDE)
    list(found.items())  # what is loaded once
    with peak(1e6):
        assert sum(1 for _ in found.items()) == 1500


def test_keys_are_paths_and_tiles_add_their_place(tmp_path: Path) -> None:
    put_images(tmp_path, "a.jpg")
    put(tmp_path / "a.png", numbers())
    assert list(by_key(reader(tmp_path, "masks", tile=20, **BESIDE).items())) == [
        f"a_x{x:05d}_y{y:05d}" for y in (0, 20) for x in (0, 20)
    ]
