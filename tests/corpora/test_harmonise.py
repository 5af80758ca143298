from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from fusionrs_builder import pixels
from fusionrs_builder.corpora import registry
from fusionrs_builder.corpora.harmonise import harmonise
from fusionrs_builder.corpora.reader import Item, Refused, Sample, box
from fusionrs_builder.settings import CorpusSettings
from tests.conftest import encoded, picture

PLAIN = CorpusSettings(license="MIT")


def row(sample: Sample, item: Item = Item("k", ("k.jpg",)), stretch: Any = None, **keys: Any) -> dict[str, Any]:
    return harmonise(item, sample, "c", CorpusSettings.model_validate({"license": "MIT", **keys}), stretch or {})


def shown(image: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(image["bytes"])))


def refusal(sample: Sample, **keys: Any) -> str:
    with pytest.raises(Refused) as caught:
        row(sample, **keys)
    return caught.value.reason


@pytest.mark.parametrize(("kind", "extension"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_published_bytes_stay_untouched(kind: str, extension: str) -> None:
    data = encoded(picture(1), kind)
    made = row(Sample(rgb=data), Item("a/b c", ("a/b c.png",)))
    assert made["rgb"] == {"bytes": data, "path": f"a_b_c.{extension}"}, "the extension follows the content"
    assert (made["id"], made["width"], made["height"]) == ("c/a/b c", 48, 40)


def test_a_palette_image_becomes_rgb_without_loss() -> None:
    image = Image.fromarray(picture(1)).quantize(32)
    made = row(Sample(rgb=encoded(image)))
    assert made["rgb"]["path"].endswith(".png")
    assert (shown(made["rgb"]) == np.asarray(image.convert("RGB"))).all()


def test_a_cmyk_image_becomes_rgb() -> None:
    data = encoded(Image.fromarray(picture(1)).convert("CMYK"), "JPEG", quality=95)
    made = row(Sample(rgb=data))
    assert Image.open(BytesIO(made["rgb"]["bytes"])).mode == "RGB"
    assert np.abs(shown(made["rgb"]).astype(int) - picture(1)).mean() < 12


def test_a_grey_image_gets_three_equal_channels() -> None:
    grey = picture(1, channels=1)
    assert (shown(row(Sample(rgb=encoded(grey)))["rgb"]) == grey[..., None]).all()


def test_transparent_pixels_are_without_data() -> None:
    rgba = np.dstack([picture(1), np.full((40, 48), 255, np.uint8)])
    rgba[:10, :, 3] = 0
    made = row(Sample(rgb=encoded(rgba)))
    assert (shown(made["rgb"])[:10] == 0).all()
    assert (shown(made["rgb"])[10:] == picture(1)[10:]).all()
    rgba[:30, :, 3] = 0
    assert refusal(Sample(rgb=encoded(rgba))) == "no_data"


@pytest.mark.parametrize("orientation", range(2, 9))
def test_an_exif_rotated_image_is_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(1), "JPEG", quality=95, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    made = row(Sample(rgb=data))
    assert (made["width"], made["height"]) == upright.size
    assert (shown(made["rgb"]) == np.asarray(upright)).all(), "no second JPEG"
    assert Image.open(BytesIO(made["rgb"]["bytes"])).getexif().get(0x0112, 1) == 1


def test_deep_images_ask_for_a_stretch() -> None:
    deep = encoded(np.arange(40 * 48, dtype=np.uint16).reshape(40, 48) * 30)
    assert refusal(Sample(rgb=deep)) == "not_8_bit"
    assert refusal(Sample(ir=deep, band="lwir")) == "not_8_bit"
    made = row(Sample(ir=deep, band="lwir"), stretch={"lwir": (0.0, 57570.0)})
    assert shown(made["ir"]).max() == 255
    assert (shown(made["ir16"]) == np.arange(40 * 48).reshape(40, 48) * 30).all()


def test_a_16_bit_colour_png_is_not_cut_to_8_bits_in_silence() -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(range(120)) for _ in range(20))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20, 20, 16, 2, 0, 0, 0))
    png += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert refusal(Sample(rgb=png)) == "not_8_bit"


def test_damaged_images_are_refused() -> None:
    jpeg = encoded(picture(1), "JPEG")
    for data in (b"", jpeg[: len(jpeg) // 2], b"<html>not found</html>", jpeg[:2], b"\x89PNG\r\n\x1a\n"):
        assert refusal(Sample(rgb=data)) == "unreadable_image"
    assert refusal(Sample(rgb=encoded(picture(1, 1, 1)))) == "too_small"
    assert refusal(Sample()) == "no_image"


def test_damaged_exif_is_refused() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(1), "WEBP", exif=exif)
    assert row(Sample(rgb=data))["width"] == 40, "turned"
    assert refusal(Sample(rgb=data.replace(b"MM\0*", b"MM\xff*"))) == "unreadable_image"


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert refusal(Sample(rgb=encoded(picture(1)))) == "too_large"


def test_a_single_channel_thermal_image_keeps_its_bytes() -> None:
    data = encoded(picture(1, channels=1), "JPEG", quality=90)
    made = row(Sample(ir=data, band="lwir", source="camera lwir"))
    assert made["rgb"] is None
    assert made["ir"]["bytes"] == data
    assert made["ir16"] is None
    assert (made["ir_band"], made["ir_source"]) == ("lwir", "camera lwir")
    assert made["pixel_sha256"] == pixels.pixel_sha256(shown(made["ir"]))


def test_infrared_in_three_equal_channels_becomes_one() -> None:
    grey = picture(1, channels=1)
    made = row(Sample(ir=encoded(np.dstack([grey] * 3)), band="lwir"))
    assert (shown(made["ir"]) == grey).all()
    assert refusal(Sample(ir=encoded(picture(1)), band="lwir")) == "not_one_channel"
    assert refusal(Sample(ir=encoded(grey))) == "unknown_band"


def test_the_stretch_is_linear_and_clipped() -> None:
    raw = np.array([[0, 100, 200, 300, 400]] * 16, np.uint16).repeat(4, axis=1)
    made = row(Sample(rgb=np.dstack([raw] * 3), ir=raw, band="nir"), stretch={"visible": (100, 300), "nir": (0, 400)})
    assert shown(made["ir"])[0, ::4].tolist() == [0, 64, 128, 191, 255]
    assert made["stretch"] == [
        {"band": "visible", "low": 100, "high": 300, "scale": 1, "offset": 0},
        {"band": "nir", "low": 0, "high": 400, "scale": 1, "offset": 0},
    ]
    made = row(Sample(rgb=np.dstack([raw] * 3)), stretch={"visible": (100, 300)}, image_format="png")
    assert shown(made["rgb"])[0, ::4, 0].tolist() == [0, 0, 128, 255, 255]


def test_pixels_without_data_are_zero_and_nan_does_no_harm() -> None:
    raw = np.full((20, 20), 200.0, np.float32)
    raw[:5] = np.nan
    made = row(Sample(ir=raw, band="nir", valid=np.isfinite(raw)), stretch={"nir": (0, 400)})
    assert shown(made["ir"])[0, 0] == 0
    assert shown(made["ir"])[10, 0] == 128
    assert made["ir16"] is None, "a float has no 16-bit original"
    assert refusal(Sample(ir=raw, band="nir", valid=np.zeros((20, 20), bool)), stretch={"nir": (0, 1)}) == "no_data"


def test_negative_values_have_no_png16() -> None:
    raw = np.full((20, 20), -5, np.int16)
    raw[0] = 10
    assert row(Sample(ir=raw, band="nir"), stretch={"nir": (-10, 10)})["ir16"] is None


def test_resizing_scales_boxes_and_ground_distance() -> None:
    boxes = [box("car", 8, 8, 24, 16, [8, 8, 24, 8, 24, 16])]
    made = row(Sample(rgb=encoded(picture(1, 96, 80)), boxes=boxes, gsd_m=2.0), image_size=40)
    assert (made["width"], made["height"], made["gsd_m"]) == (48, 40, 4.0)
    assert [made["boxes"][0][side] for side in ("x0", "y0", "x1", "y1")] == [4, 4, 12, 8]
    assert made["boxes"][0]["polygon"] == [4, 4, 12, 4, 12, 8]
    assert made["rgb"]["path"].endswith(".jpg")
    assert row(Sample(rgb=encoded(picture(1))), image_size=64)["width"] == 48, "nothing is enlarged"


def test_both_views_are_resized_alike() -> None:
    raw = picture(2, 96, 80, 1).astype(np.uint16) * 100
    made = row(Sample(rgb=picture(1, 96, 80), ir=raw, band="nir"), stretch={"nir": (0, 25500)}, image_size=40)
    assert shown(made["ir"]).shape == shown(made["rgb"]).shape[:2] == shown(made["ir16"]).shape == (40, 48)
    assert shown(made["ir16"]).dtype == np.uint16


def test_a_tile_takes_its_pixels_and_the_boxes_it_shows() -> None:
    boxes = [box("in", 20, 20, 28, 28), box("half", 10, 20, 26, 28), box("out", 0, 0, 8, 8)]
    item = Item("k_x00016_y00016", ("k.png",), window=(16, 16, 20, 20))
    made = row(Sample(rgb=encoded(picture(1)), boxes=boxes), item, image_format="png")
    assert (shown(made["rgb"]) == picture(1)[16:36, 16:36]).all()
    assert [(b["label"], b["x0"], b["y0"], b["x1"], b["y1"]) for b in made["boxes"]] == [
        ("in", 4, 4, 12, 12),
        ("half", 0, 4, 10, 12),
    ]
    assert made["labels"] == ["half", "in"]


def test_boxes_are_clipped_or_refused() -> None:
    data = encoded(picture(1))
    made = row(Sample(rgb=data, boxes=[box("car", 40, 30, 60, 50)]))
    assert [made["boxes"][0][side] for side in ("x0", "y0", "x1", "y1")] == [40, 30, 48, 40]
    for wrong in (box("a", 60, 0, 70, 10), box("a", 5, 5, 5, 9), box("a", 9, 5, 5, 9), box("a", float("nan"), 0, 9, 9)):
        assert refusal(Sample(rgb=data, boxes=[wrong])) == "bad_box"
    assert refusal(Sample(rgb=data, boxes=[box("a", 1, 1, 5, 5)], size=(640, 512))) == "other_size"
    assert row(Sample(rgb=data, size=(640, 512)))["boxes"] == [], "a size without boxes says nothing"


def test_ignored_labels_keep_their_boxes() -> None:
    boxes = [box("DontCare", 1, 1, 5, 5), box("Car", 1, 1, 5, 5), box("Car", 3, 3, 9, 9)]
    made = row(Sample(rgb=encoded(picture(1)), boxes=boxes), ignore_labels=["DontCare"], labels=["harbour"])
    assert made["labels"] == ["harbour", "Car"]
    assert len(made["boxes"]) == 3


@pytest.mark.parametrize(
    ("key", "pattern", "date"),
    [
        ("m_20090818_x", r"_(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)", "2009-08-18"),
        ("LE70220491999322", r"LE7\d{6}(?P<y>\d{4})(?P<j>\d{3})", "1999-11-18"),
        ("2015", r"(?P<y>\d{4})", "2015"),
        ("none", r"(?P<y>\d{4})", None),
        ("none", "", None),
    ],
)
def test_the_date_is_as_exact_as_the_key(key: str, pattern: str, date: str | None) -> None:
    assert row(Sample(rgb=encoded(picture(1))), Item(key, ()), acquired=pattern)["acquired"] == date


def test_unequal_views_are_refused() -> None:
    sample = Sample(rgb=encoded(picture(1)), ir=encoded(picture(1, 40, 40, 1)), band="nir")
    assert refusal(sample) == "unequal_views"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF"]), st.integers(0, 2000))
def test_any_bytes_become_a_row_or_a_refusal(noise: bytes, kind: str, place: int) -> None:
    good = encoded(Image.fromarray(picture(1)).convert("P" if kind == "GIF" else "RGB"), kind)
    broken = good[:place] + noise + good[place + len(noise) :]
    try:
        made = harmonise(Item("k", ()), Sample(rgb=broken), "c", PLAIN, {})
    except Refused:
        return
    assert shown(made["rgb"]).shape == (made["height"], made["width"], 3)


def test_a_box_outside_the_image_refuses_its_tiles_too() -> None:
    item = Item("k_x00000_y00000", ("k.png",), window=(0, 0, 20, 20))
    with pytest.raises(Refused, match=r"lies outside the 48x40 image"):
        row(Sample(rgb=encoded(picture(1)), boxes=[box("car", 60, 0, 70, 10)]), item)


def test_a_colour_infrared_picture_gives_its_first_channel_and_no_visible_view() -> None:
    colour = picture(1)
    made = row(Sample(ir=encoded(colour), band="nir", source="camera nir", cir=True))
    assert made["rgb"] is None
    assert (shown(made["ir"]) == colour[..., 0]).all(), "near infrared, red, green: stored as if red, green, blue"
    assert (made["ir_band"], made["ir_source"]) == ("nir", "camera nir")
    grey = Sample(ir=encoded(picture(1, channels=1)), band="nir", cir=True)
    assert refusal(grey) == "not_colour_infrared"


def test_infrared_channels_may_differ_by_what_jpeg_does_to_them() -> None:
    grey = picture(1, channels=1)
    near = np.dstack([grey, grey, np.clip(grey.astype(int) + 6, 0, 255).astype(np.uint8)])
    assert (shown(row(Sample(ir=encoded(near), band="lwir"))["ir"]) == grey).all()


def bordered(values: np.ndarray, border: int = 16) -> np.ndarray:
    sides = ((border, border), (border, border), (0, 0))[: values.ndim]
    return np.pad(values, sides, constant_values=255)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_white_border_is_cut_off_both_views_and_boxes_move_with_it(kind: str) -> None:
    rgb, ir = bordered(picture(1)), bordered(picture(2, channels=1))
    quality = {"quality": 95} if kind == "JPEG" else {}
    sample = Sample(
        rgb=encoded(rgb, kind, **quality),
        ir=encoded(ir, kind, **quality),
        band="lwir",
        boxes=[box("car", 21, 18, 36, 28)],
    )
    made = row(sample, border=16, image_format="png")
    assert (made["width"], made["height"]) == (48, 40)
    if kind == "PNG":
        assert (shown(made["rgb"]) == picture(1)).all()
        assert (shown(made["ir"]) == picture(2, channels=1)).all()
    assert [made["boxes"][0][side] for side in ("x0", "y0", "x1", "y1")] == [5, 2, 20, 12]
    drawn_on_the_border = Sample(
        rgb=encoded(rgb, kind, **quality), boxes=[box("car", 1, 1, 8, 8), box("car", 17, 17, 36, 36)]
    )
    assert len(row(drawn_on_the_border, border=16)["boxes"]) == 1


def test_an_image_without_the_border_stays_whole() -> None:
    data = encoded(picture(1))
    assert row(Sample(rgb=data), border=16)["rgb"]["bytes"] == data
    unlike = Sample(rgb=encoded(bordered(picture(1))), ir=encoded(picture(2, 80, 72, 1)), band="lwir")
    assert refusal(unlike, border=16) == "unequal_views"
    with pytest.raises(ValueError, match="cannot be cut into tiles"):
        CorpusSettings(border=16, tile=64)


def test_labels_get_their_right_names() -> None:
    boxes = [box("feright car", 1, 1, 5, 5), box("*", 1, 1, 5, 5)]
    made = row(
        Sample(rgb=encoded(picture(1)), boxes=boxes, labels=["baseballfield"]),
        label_names={"feright car": "freight car", "baseballfield": "baseball field"},
        ignore_labels=["*"],
    )
    assert made["labels"] == ["baseball field", "freight car"]
    assert [each["label"] for each in made["boxes"]] == ["freight car", "*"]


@pytest.mark.parametrize("copy", ["expresswayservicearea", "Expressway-Service-area", "expressway_service area"])
def test_copies_of_a_corpus_spell_its_labels_differently(copy: str) -> None:
    entry = registry.entry("dior")
    assert entry
    made = harmonise(Item("k"), Sample(rgb=encoded(picture(1)), boxes=[box(copy, 1, 1, 9, 9)]), "c", entry.settings, {})
    assert made["labels"] == ["expressway service area"]


def test_text_is_kept_apart_by_origin_and_groups_and_splits_are_the_publishers() -> None:
    sample = Sample(rgb=encoded(picture(1)), captions=["a"], template_captions=["b"], model_captions=["c"])
    made = row(sample, Item("k", (), split="test", group="joint-group:1"))
    assert (made["publisher_captions"], made["template_captions"], made["model_captions"]) == (["a"], ["b"], ["c"])
    assert (made["corpus_split"], made["corpus_group"]) == ("test", "joint-group:1")


def test_cloud_above_the_limit_is_refused() -> None:
    cloud = np.zeros((40, 48), bool)
    cloud[:20] = True
    sample = Sample(rgb=picture(1), cloud=cloud)
    assert refusal(sample, max_cloud=0.4) == "cloudy"
    assert row(sample, max_cloud=0.5)["width"] == 48


def test_mixed_resolutions_are_kept_on_the_row_or_refused_where_not_wanted() -> None:
    data = encoded(picture(1))
    assert [row(Sample(rgb=data, gsd_m=gsd))["gsd_m"] for gsd in (0.3, 10.0)] == [0.3, 10.0]
    assert row(Sample(rgb=data, gsd_m=0.3), gsd_range="0.1,1")["gsd_m"] == 0.3
    assert refusal(Sample(rgb=data, gsd_m=10.0), gsd_range="0.1,1") == "other_gsd"
    assert row(Sample(rgb=data), gsd_range="0.1,1")["gsd_m"] is None


def test_physical_values_keep_the_sensors_integers_and_their_scale() -> None:
    raw = np.full((20, 20), 40000, np.uint16)
    kelvin = (raw * 0.00341802 + 149.0).astype(np.float32)
    sample = Sample(ir=kelvin, ir_raw=raw, band="lwir", scale={"lwir": (0.00341802, 149.0)}, acquired="2021-06-01")
    made = row(sample, stretch={"lwir": (270.0, 320.0)}, acquired=r"(?P<y>\d{4})")
    assert (shown(made["ir16"]) == raw).all()
    assert shown(made["ir"])[0, 0] == round((149 + 136.7208 - 270) / 50 * 255)
    assert made["stretch"] == [{"band": "lwir", "low": 270.0, "high": 320.0, "scale": 0.00341802, "offset": 149.0}]
    assert made["acquired"] == "2021-06-01"


def test_the_rights_of_the_source_are_the_rows() -> None:
    rights = CorpusSettings(license="CC0-1.0", redistributable=True, attribution="them", family="theirs")
    made = row(Sample(rgb=encoded(picture(1)), rights=rights))
    assert (made["license"], made["redistributable"], made["attribution"]) == ("CC0-1.0", True, "them")
    assert made["origin_family"] == "theirs"


@pytest.mark.parametrize("keys", [{}, {"image_size": 32}, {"image_size": 32, "image_format": "png"}])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_hashes_are_of_the_pixels_that_readers_see(kind: str, keys: dict[str, Any]) -> None:
    for sample in (Sample(rgb=encoded(picture(1), kind)), Sample(ir=encoded(picture(1, channels=1), kind), band="nir")):
        made = row(sample, **keys)
        seen = shown(made["rgb"] or made["ir"])
        assert made["pixel_sha256"] == pixels.pixel_sha256(seen)
        assert made["phash"] == pixels.phash64(seen)
    tile = row(Sample(rgb=encoded(picture(1), kind)), Item("k", ("k.png",), window=(8, 8, 24, 24)), **keys)
    assert tile["pixel_sha256"] == pixels.pixel_sha256(shown(tile["rgb"]))


def test_what_curate_compares_is_on_the_row() -> None:
    rgba = np.dstack([picture(1), np.full((40, 48), 255, np.uint8)])
    rgba[:10, :, 3] = 0
    made = row(Sample(rgb=encoded(rgba), cloud=np.eye(40, 48, dtype=bool)))
    seen = shown(made["rgb"])
    assert made["phash16"] == pixels.described(seen)["phash16"]
    assert made["phash16"][:8] == list(pixels.phash64_dihedral(seen))
    assert made["look"] == pixels.look(seen)
    assert made["rgb_quality"] == {**pixels.quality(seen), "nodata": 0.25, "cloud": 40 / 1920}


def test_half_a_character_is_refused_rather_than_stopping_the_build() -> None:
    data = encoded(picture(1))
    assert refusal(Sample(rgb=data, labels=["\ud800"])) == "bad_encoding"
    assert refusal(Sample(rgb=data, captions=["\ud800"])) == "bad_encoding"
    assert refusal(Sample(rgb=data, boxes=[box("\ud800", 1, 1, 9, 9)]), ignore_labels="\ud800") == "bad_encoding"


def test_images_of_one_sequence_are_one_group() -> None:
    sample, pattern = Sample(rgb=encoded(picture(1))), "(?P<group>V\\d+)/"
    frames = [
        Item(f"k{n}", (path,)) for n, path in enumerate(["V1/rgb/1.jpg", "V1/rgb/2.jpg", "V2/rgb/1.jpg", "1.jpg"])
    ]
    found = [row(sample, item, group_pattern=pattern)["corpus_group"] for item in frames]
    assert found == ["c/V1", "c/V1", "c/V2", None]
    published = Item("k", ("V1/rgb/1.jpg",), group="joint-group:1")
    assert row(sample, published, group_pattern=pattern)["corpus_group"] == "joint-group:1"
