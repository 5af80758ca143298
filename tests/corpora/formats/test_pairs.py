"""Each trap of the corpora of visible and infrared pairs on small files in their true formats."""

from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fusionrs_builder import pixels
from fusionrs_builder.errors import UsageError
from fusionrs_builder.workspace import Workspace
from tests.conftest import picture
from tests.corpora.formats.test_masks import entry, numbers, put, sides
from tests.corpora.reading import build, by_key, faults, peak, put_images, reader
from tests.corpora.test_registration import heat, scene

KEYS = {"visible": "rgb/*", "infrared": "tir/*", "pair_key": r"([^/]+)\.\w+$", "band": "lwir"}


def gray(seed: int, width: int = 48, height: int = 40) -> NDArray[np.uint8]:
    return picture(seed, width, height, channels=1)


def polygon(name: str, x: int, y: int, side: int = 40) -> str:
    corners = ((x, y), (x + side, y), (x + side, y + side), (x, y + side))
    points = "".join(f"<x{i}>{cx}</x{i}><y{i}>{cy}</y{i}>" for i, (cx, cy) in enumerate(corners, 1))
    return f"<object><name>{name}</name><polygon>{points}</polygon></object>"


def framed(values: NDArray[np.uint8], border: int = 100) -> NDArray[np.uint8]:
    sides_of = ((border, border), (border, border), (0, 0))[: values.ndim]
    return np.pad(values, sides_of, constant_values=255)


def dronevehicle(root: Path, number: str, objects: str, split: str = "train") -> None:
    put(root / f"{split}/{split}img/{number}.jpg", framed(picture(1, 64, 52)), "JPEG", quality=95)
    thermal = framed(np.stack([gray(2, 64, 52)] * 3, axis=-1))
    put(root / f"{split}/{split}imgr/{number}.jpg", thermal, "JPEG", quality=95)
    for folder in ("label", "labelr"):
        path = root / f"{split}/{split}{folder}/{number}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = "<size><width>264</width><height>252</height><depth>3</depth></size>"
        path.write_text(f"<annotation>{size}{objects}</annotation>")


def test_dronevehicle_has_a_white_border_and_labels_with_typing_errors(tmp_path: Path, ws: Workspace) -> None:
    typed = ("feright car", "feright_car", "feright", "truvk", "*", "", "car")
    objects = "".join(polygon(name, 100 + 3 * i, 104, 8) for i, name in enumerate(typed))
    dronevehicle(tmp_path, "00001", objects)
    dronevehicle(tmp_path, "00001", polygon("bus", 120, 120, 10), split="val")
    rows, rejects = build(ws, tmp_path, **entry("dronevehicle"))
    assert not rejects
    row = rows["train/00001"]
    assert (row["width"], row["height"]) == (64, 52)
    assert pixels.gray_array(row["ir"]["bytes"]).shape == (52, 64)
    assert [one[:2] + one[2:3] for one in sides(row["boxes"])] == [
        ("freight car", 0, 4), ("freight car", 3, 4), ("freight car", 6, 4), ("truck", 9, 4), ("car", 18, 4),
    ]  # fmt: skip
    assert row["labels"] == ["car", "freight car", "truck"]
    assert {key: row["corpus_split"] for key, row in rows.items()} == {
        "train/00001": "train", "val/00001": "validation",
    }  # fmt: skip
    assert sides(rows["val/00001"]["boxes"]) == [("bus", 20, 20, 30, 30)]


def vedai(root: Path, number: str, text: str) -> None:
    put(root / f"Vehicules1024/{number}_co.png", picture(int(number)))
    put(root / f"Vehicules1024/{number}_ir.png", gray(int(number) + 50))
    (root / "Annotations1024").mkdir(exist_ok=True)
    (root / f"Annotations1024/{number}.txt").write_text(text)


def test_vedai_has_the_class_in_the_fourth_column_and_files_without_boxes(tmp_path: Path, ws: Workspace) -> None:
    vedai(tmp_path, "00000001", "20.5 15.5 0.3 11 1 0 10 30 31 11 10 11 21 20\n")
    vedai(tmp_path, "00000002", "20.5 15.5 11 1 0\n")
    rows, rejects = build(ws, tmp_path, **entry("vedai"))
    assert rejects == Counter(malformed_annotation=1)
    (row,) = rows.values()
    assert row["corpus_key"] == "00000001"
    assert sides(row["boxes"]) == [("pickup", 10, 10, 31, 21)]
    assert row["ir_band"] == "nir"
    assert row["rgb"]["bytes"] == (tmp_path / "Vehicules1024/00000001_co.png").read_bytes()
    assert row["ir"]["bytes"] == (tmp_path / "Vehicules1024/00000001_ir.png").read_bytes()


def test_kust4k_has_equal_names_in_three_folders(tmp_path: Path, ws: Workspace) -> None:
    for name in ("00001D", "00002N"):
        put(tmp_path / f"rgb/{name}.png", picture(1))
        put(tmp_path / f"tir/{name}.png", gray(2))
        put(tmp_path / f"label/{name}.png", numbers((4, 5, 5, 15, 15), (1, 20, 0, 44, 40)))
    rows, rejects = build(ws, tmp_path, **entry("kust4k"))
    assert not rejects, "most is unlabelled, which is a class by name"
    assert set(rows) == {"00001D", "00002N"}
    assert rows["00001D"]["labels"] == ["road", "car"]
    assert sides(rows["00001D"]["boxes"]) == [("car", 5, 5, 15, 15)]
    assert rows["00001D"]["template_captions"]
    assert not rows["00001D"]["publisher_captions"]


def test_cart_names_differ_in_a_word_and_thermal16_is_not_mixed_in(tmp_path: Path, ws: Workspace) -> None:
    pairs = tmp_path / "labeled_rgbt_pairs"
    for number in (1, 2):
        put(pairs / f"color/big_bear_eo-{number:05d}.png", picture(number))
        put(pairs / f"thermal8/big_bear_thermal-{number:05d}.png", gray(number + 9))
        deep = Image.fromarray(gray(number).astype(np.uint16) * 70)
        put(pairs / f"thermal16/big_bear_thermal-{number:05d}.tiff", deep, "TIFF")
    put(tmp_path / "labeled_thermal_singles/thermal8/big_bear_thermal-00001.png", gray(5))
    rows, rejects = build(ws, tmp_path, **entry("caltech-rgbt"))
    assert not rejects
    assert set(rows) == {"big_bear_/-00001", "big_bear_/-00002"}
    assert {row["ir_source"] for row in rows.values()} == {"UAV thermal camera lwir"}


def test_sixteen_bit_thermal_keeps_the_integers_of_the_sensor(tmp_path: Path, ws: Workspace) -> None:
    values = gray(3).astype(np.uint16) * 30 + 7000
    put(tmp_path / "rgb/a.png", picture(1))
    put(tmp_path / "tir/a.tiff", Image.fromarray(values), "TIFF")
    rows, rejects = build(ws, tmp_path, "pairs", **KEYS)
    assert not rejects
    low, high = np.percentile(values, (1, 99))
    shown = np.clip((values - low) / (high - low) * 255, 0, 255)
    assert np.abs(pixels.gray_array(rows["a"]["ir"]["bytes"]) - shown).max() <= 1, "a stretch found in the corpus"
    assert (np.asarray(Image.open(BytesIO(rows["a"]["ir16"]["bytes"]))) == values).all()


def test_kaist_repeats_names_in_every_sequence(tmp_path: Path, ws: Workspace) -> None:
    for place in ("set00/V000", "set06/V001"):
        for view in ("visible", "lwir"):
            values = picture(1) if view == "visible" else np.stack([gray(3)] * 3, axis=-1)
            put(tmp_path / place / view / "I00000.jpg", values, "JPEG", quality=95)
    rows, rejects = build(ws, tmp_path, **entry("kaist"))
    assert not rejects
    assert set(rows) == {"set00/V000/I00000", "set06/V001/I00000"}


def test_llvip_pairs_share_an_annotation(tmp_path: Path, ws: Workspace) -> None:
    for split, number in (("train", "010001"), ("test", "190001")):
        put(tmp_path / f"visible/{split}/{number}.jpg", picture(1), "JPEG", quality=95)
        put(tmp_path / f"infrared/{split}/{number}.jpg", gray(3), "JPEG", quality=95)
        box = "<bndbox><xmin>4</xmin><ymin>5</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>"
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        (tmp_path / f"Annotations/{number}.xml").write_text(
            f"<annotation><object><name>person</name>{box}</object></annotation>"
        )
    rows, rejects = build(ws, tmp_path, **entry("llvip"))
    assert not rejects
    assert {key: row["corpus_split"] for key, row in rows.items()} == {"train/010001": "train", "test/190001": "test"}
    assert sides(rows["train/010001"]["boxes"]) == [("person", 4, 5, 20, 30)]


def test_aviid_is_three_sets_of_one_naming(tmp_path: Path) -> None:
    put_images(
        tmp_path, *(f"AVIID-{n}/{split}{view}/1.jpg" for n in (1, 2) for split in ("train", "test") for view in "AB")
    )
    items = by_key(reader(tmp_path, **entry("aviid")).items())
    assert {key: item.split for key, item in items.items()} == {
        f"AVIID-{n}/{split}/1": split for n in (1, 2) for split in ("train", "test")
    }
    assert not faults(items.values())


def test_halves_strays_and_keys_given_twice_are_counted(tmp_path: Path, ws: Workspace) -> None:
    put_images(tmp_path, "rgb/1.jpg", "tir/1.jpg", "rgb/2.jpg", "tir/3.jpg", "rgb/4.jpg", "rgb/4.png", "tir/4.jpg")
    put_images(tmp_path, "rgb/x.jpg", "other/5.jpg")
    found = reader(tmp_path, "pairs", **{**KEYS, "pair_key": r"(\d+)\.\w+$"})
    assert faults(found.items()) == {
        "rgb/2": "missing_pair", "tir/3": "missing_pair", "rgb/4": "ambiguous_pair", "tir/4": "ambiguous_pair",
        "rgb/x": "bad_name",
    }  # fmt: skip
    assert Counter(item.fault[0] for item in found.items() if item.fault)["ambiguous_pair"] == 3
    messages = {item.files[0]: item.fault[1] for item in found.items() if item.fault}
    assert messages["tir/3.jpg"] == "no visible image of the key 3, for tir/3.jpg"
    assert "3 images have the key 4, rgb/4.png too" in messages["rgb/4.jpg"]


def test_annotations_of_no_pair_and_pairs_without_one(tmp_path: Path) -> None:
    put_images(tmp_path, "rgb/1.jpg", "tir/1.jpg", "rgb/2.jpg", "tir/2.jpg", "rgb/3.jpg")
    (tmp_path / "xml").mkdir()
    for number in (1, 3, 9):
        (tmp_path / f"xml/{number}.xml").write_text("<annotation/>")
    (tmp_path / "png").mkdir()
    for number in (2, 3):
        put(tmp_path / f"png/{number}.png", numbers())
    beside = {"annotations": "../xml/{stem}.xml", "masks": "../png/{stem}.png", "classes": {"0": "road"}}
    found = reader(tmp_path, "pairs", **beside, **KEYS)
    assert faults(found.items()) == {
        "1": "missing_annotation", "2": "missing_annotation", "rgb/3": "missing_pair", "xml/9": "missing_image",
    }  # fmt: skip


def views(root: Path, name: str, across: int, down: int) -> None:
    values = scene(7)
    put(root / f"rgb/{name}.png", np.stack([values[60:316, 60:316].astype(np.uint8)] * 3, axis=-1))
    moved = heat(values)[60 + down : 316 + down, 60 + across : 316 + across]
    put(root / f"tir/{name}.png", np.clip(moved, 0, 255).astype(np.uint8))


def test_views_that_are_apart_are_refused_beyond_max_shift(tmp_path: Path, ws: Workspace) -> None:
    for name, across in (("near", 6), ("far", 40)):
        views(tmp_path, name, across, -9)
    rows, rejects = build(ws, tmp_path, "pairs", **KEYS)
    assert set(rows) == {"near"}
    assert rejects == Counter(not_registered=1)
    (reject,) = [row for shard in ws.shards("rejects") for row in ws.rows("rejects", shard)]
    assert "41 px off (+40 across, -9 down)" in reject["message"]
    assert len(build(ws, tmp_path, "pairs", max_shift=50, **KEYS)[0]) == 2


def test_views_with_nothing_in_common_are_kept_since_none_can_judge(tmp_path: Path, ws: Workspace) -> None:
    put(tmp_path / "rgb/night.png", np.zeros((40, 48, 3), np.uint8))
    put(tmp_path / "tir/night.png", gray(4))
    assert set(build(ws, tmp_path, "pairs", **KEYS)[0]) == {"night"}


def test_damaged_and_unequal_views_are_refused(tmp_path: Path, ws: Workspace) -> None:
    put_images(tmp_path, "rgb/cut.jpg", "rgb/other.jpg", "rgb/false.jpg", "tir/false.jpg")
    put(tmp_path / "tir/cut.png", gray(1))
    (tmp_path / "rgb/cut.jpg").write_bytes((tmp_path / "rgb/cut.jpg").read_bytes()[:100])
    put(tmp_path / "tir/other.png", gray(1, 30, 20))
    rows, rejects = build(ws, tmp_path, "pairs", **KEYS)
    assert not rows
    assert rejects == Counter(unreadable_image=1, unequal_views=1, not_one_channel=1)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"visible": ""}, "visible: pairs needs it"),
        ({"pair_key": ""}, "pair_key: pairs needs it, e.g. --pair-key"),
        ({"band": None}, "band: pairs needs it"),
        ({"annotations": "{stem}.json"}, "reads .xml and .txt"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        reader(tmp_path, "pairs", **{**KEYS, **keys})


def test_patterns_that_both_match_are_named(tmp_path: Path) -> None:
    put_images(tmp_path, "rgb/1.jpg")
    with pytest.raises(UsageError, match=r"both patterns match rgb/1\.jpg"):
        list(reader(tmp_path, "pairs", **{**KEYS, "infrared": "*"}).items())


def test_listing_a_large_corpus_holds_little_memory(tmp_path: Path) -> None:
    for view in ("rgb", "tir"):
        (tmp_path / view).mkdir()
        for number in range(1500):
            (tmp_path / view / f"{number:06d}.jpg").touch()
    found = reader(tmp_path, "pairs", **KEYS)
    list(found.items())  # what is loaded once
    with peak(1.5e6):
        assert sum(1 for _ in found.items()) == 1500
