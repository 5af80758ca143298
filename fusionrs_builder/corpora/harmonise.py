"""From what a reader found to one row of the rgb layer: checked, upright, 8-bit, resized or cut where asked, hashed.

Published bytes are kept untouched when nothing was asked that would change a pixel and the file is a plain 8-bit image.
"""

import math
import re
import warnings
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fusionrs_builder import pixels
from fusionrs_builder.config import CorpusSettings
from fusionrs_builder.corpora.reader import ORIENTATION, Item, Refused, Sample, Window

Stretch = dict[str, tuple[float, float]]
"""Low and high raw value a band, `visible` standing for red, green and blue."""

EXTENSION = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
"""File types every viewer and `datasets` can show: only these are kept as published."""

MIN_VISIBLE_OF_BOX = 0.5
"""Share of a box that must lie within a tile for the tile to keep it."""

UPRIGHT = 1


def harmonise(item: Item, sample: Sample, corpus: str, settings: CorpusSettings, stretch: Stretch) -> dict[str, Any]:
    """One row of the rgb layer.

    Args:
        item: what was listed.
        sample: what was read.
        corpus: name of the corpus.
        settings: of the corpus.
        stretch: of its bands that are not 8-bit.

    Raises:
        Refused: unreadable, too small, without data, of a depth no stretch is known for, or a box lies outside.
    """
    name = re.sub(r"[^\w.-]+", "_", item.key)
    rgb, rgb_bytes, whole = _visible(sample, item.window, settings, stretch)
    ir, ir_bytes, ir16, whole_ir = _infrared(sample, item.window, settings, stretch)
    first = rgb if rgb is not None else ir
    if first is None:
        raise Refused("no_image", "neither a visible nor an infrared image")
    if rgb is not None and ir is not None and rgb.shape[:2] != ir.shape[:2]:
        raise Refused(
            "unequal_views", f"visible is {rgb.shape[1]}x{rgb.shape[0]}, infrared {ir.shape[1]}x{ir.shape[0]}"
        )
    boxes = _boxes(sample, item.window, whole or whole_ir or (0, 0))

    height, width = first.shape[:2]
    if min(width, height) < settings.min_side:
        raise Refused("too_small", f"{width}x{height} px; min_side is {settings.min_side}")
    scale = 1.0
    if settings.image_size and min(width, height) > settings.image_size:
        scale = settings.image_size / min(width, height)
        size = (round(width * scale), round(height * scale))
        rgb, rgb_bytes = (None if rgb is None else _resize(rgb, size)), None
        ir, ir_bytes = (None if ir is None else _resize(ir, size)), None
        ir16 = None if ir16 is None else _resize(ir16, size)
        for box in boxes:
            for side in ("x0", "y0", "x1", "y1"):
                box[side] *= scale
            box["polygon"] = [value * scale for value in box["polygon"]]
        first = rgb if rgb is not None else ir
        assert first is not None
        height, width = first.shape[:2]

    if rgb is not None and rgb_bytes is None:
        # A change of mode alone (palette, alpha, CMYK, Exif) must not cost a second JPEG.
        lossless = settings.image_format == "png" or (isinstance(sample.rgb, bytes) and scale == 1 and not item.window)
        rgb_bytes = (pixels.encode_png(rgb), "png") if lossless else (pixels.encode_jpeg(rgb), "jpg")
    if ir is not None and ir_bytes is None:
        ir_bytes = (pixels.encode_png(ir), "png")
    used = [band for band in _bands_of(sample) if band in stretch]
    found = [box["label"] for box in boxes]
    return {
        "id": f"{corpus}/{item.key}",
        "rgb": _image(rgb_bytes, name),
        "ir": _image(ir_bytes, name),
        "ir16": None if ir16 is None else _image((pixels.encode_png(ir16), "png"), name),
        "ir_band": sample.band if ir is not None else None,
        "ir_source": sample.source if ir is not None else None,
        "publisher_captions": sample.captions,
        "labels": list(
            dict.fromkeys(
                label
                for label in [*settings.labels, *item.labels, *sample.labels, *sorted(set(found))]
                if label not in settings.ignore_labels
            )
        ),
        "boxes": boxes,
        "width": width,
        "height": height,
        "corpus": corpus,
        "corpus_key": item.key,
        "corpus_split": item.split or None,
        "source_url": settings.source_url or None,
        "source_revision": settings.source_revision or None,
        "license": settings.license or None,
        "license_url": settings.license_url or None,
        "attribution": settings.attribution or None,
        "redistributable": settings.redistributable,
        "crs": sample.crs,
        "bbox": sample.bbox,
        "gsd_m": sample.gsd_m / scale if sample.gsd_m else None,
        "acquired": _acquired(item.key, settings.acquired),
        "stretch": [{"band": band, "low": stretch[band][0], "high": stretch[band][1]} for band in used],
        "pixel_sha256": pixels.pixel_sha256(first),
        "phash": pixels.phash64(first),
        "origin_family": settings.family or corpus,
    }


def open_image(data: bytes) -> Image.Image:
    """Decode a published image file in full.

    Raises:
        Refused: empty, truncated, not an image, or larger than Pillow's limit against decompression bombs.
    """
    if not data:
        raise Refused("unreadable_image", "the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(data))
            image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused("too_large", f"{error}; cut it beforehand, or make it a GeoTIFF and use --tile") from None
    except UnidentifiedImageError:
        raise Refused("unreadable_image", f"no known image format (starts with {data[:8]!r})") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise Refused("unreadable_image", f"cannot be decoded: {error}") from None
    return image


Encoded = tuple[bytes, str]
"""Bytes and file extension."""


def _visible(
    sample: Sample, window: Window | None, settings: CorpusSettings, stretch: Stretch
) -> tuple[NDArray[np.uint8] | None, Encoded | None, tuple[int, int] | None]:
    """RGB pixels, the published bytes where they can be kept, and width and height before any cut."""
    if sample.rgb is None:
        return None, None, None
    if not isinstance(sample.rgb, bytes):
        _check_valid(sample.valid, settings)
        values = _stretched(sample.rgb, "visible", stretch, sample.valid)
        return values, None, (values.shape[1], values.shape[0])
    image = open_image(sample.rgb)
    if image.mode.startswith(("I", "F")) or _is_deep_png(sample.rgb):
        raise Refused("not_8_bit", "more than 8 bits a channel: read it as geotiff, where a stretch can be stated")
    keep = (
        image.mode == "RGB"
        and image.format in EXTENSION
        and image.getexif().get(ORIENTATION, UPRIGHT) == UPRIGHT
        and window is None
    )
    encoded = (sample.rgb, EXTENSION[image.format or ""]) if keep else None
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("RGBA", "LA", "PA", "P", "La", "RGBa") or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        alpha = np.asarray(rgba)[..., 3] > 0
        _check_valid(alpha if window is None else _cut(alpha, window), settings)
        upright = Image.composite(rgba.convert("RGB"), Image.new("RGB", rgba.size), rgba.getchannel("A").point(_opaque))
    array = np.asarray(upright.convert("RGB"))
    return _cut(array, window), encoded, (array.shape[1], array.shape[0])


def _infrared(
    sample: Sample, window: Window | None, settings: CorpusSettings, stretch: Stretch
) -> tuple[NDArray[np.uint8] | None, Encoded | None, NDArray[np.uint16] | None, tuple[int, int] | None]:
    """Infrared pixels, the published bytes where they can be kept, the 16-bit original, width and height uncut."""
    if sample.ir is None:
        return None, None, None, None
    if sample.band is None:
        raise Refused("unknown_band", "which infrared band this is must be said: set band to nir, swir, mwir or lwir")
    if not isinstance(sample.ir, bytes):
        _check_valid(sample.valid, settings)
        values = _stretched(sample.ir, sample.band, stretch, sample.valid)
        return values, None, _sixteen_bit(sample.ir, sample.valid), (values.shape[1], values.shape[0])
    image = open_image(sample.ir)
    upright = ImageOps.exif_transpose(image)
    raw = np.asarray(upright)
    if upright.mode in ("RGB", "RGBA", "P"):
        raw = np.asarray(upright.convert("RGB"))
        if (raw != raw[..., :1]).any():
            raise Refused("not_one_channel", "an infrared image whose three channels differ: a false-colour picture?")
        raw = raw[..., 0]
    if raw.ndim != 2 or raw.dtype == bool:
        raise Refused("not_one_channel", f"mode {image.mode}")
    keep = (
        image.mode == "L"
        and image.format in EXTENSION
        and image.getexif().get(ORIENTATION, UPRIGHT) == UPRIGHT
        and window is None
    )
    values = _stretched(_cut(raw, window), sample.band, stretch, None)
    encoded = (sample.ir, EXTENSION[image.format or ""]) if keep else None
    return values, encoded, _sixteen_bit(_cut(raw, window), None), (raw.shape[1], raw.shape[0])


def _stretched(values: NDArray[Any], band: str, stretch: Stretch, valid: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """The 8-bit view of raw values; pixels without data are 0."""
    if values.dtype == np.uint8:
        view: NDArray[np.uint8] = values
    elif band not in stretch:
        raise Refused("not_8_bit", f"{values.dtype} values of {band}, and no stretch is known: set stretch.{band}")
    else:
        low, high = stretch[band]
        scaled = (np.nan_to_num(values.astype(np.float32)) - low) * (255.0 / (high - low))
        view = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    if valid is not None:
        view = view * (valid if view.ndim == 2 else valid[..., None]).astype(np.uint8)
    return np.ascontiguousarray(view)


def _sixteen_bit(values: NDArray[Any], valid: NDArray[np.bool_] | None) -> NDArray[np.uint16] | None:
    """The original of a 16-bit sensor; None for other depths, and for negative values, which PNG cannot hold."""
    if values.dtype not in (np.uint16, np.int16, np.int32):
        return None
    known = values if valid is None else np.where(valid, values, 0)
    return known.astype(np.uint16) if known.min() >= 0 and known.max() <= 65535 else None


def _check_valid(valid: NDArray[np.bool_] | None, settings: CorpusSettings) -> None:
    if valid is not None and (share := float(valid.mean())) < settings.min_valid:
        raise Refused("no_data", f"{share:.0%} of the pixels have data; min_valid is {settings.min_valid:.0%}")


def _boxes(sample: Sample, window: Window | None, whole: tuple[int, int]) -> list[dict[str, Any]]:
    """Boxes clipped to the image, or to the tile, in its pixels.

    Raises:
        Refused: a box is empty or lies outside the image it was drawn on, or was drawn on another size of it.
    """
    if sample.size and sample.size != whole and sample.boxes:
        raise Refused(
            "other_size", f"annotated at {sample.size[0]}x{sample.size[1]}, the image is {whole[0]}x{whole[1]}"
        )
    # Boxes of a published image are in its pixels; those of a raster are in the window's already.
    published = isinstance(sample.ir if sample.rgb is None else sample.rgb, bytes)
    column, row, width, height = window if window and published else (0, 0, *whole)
    kept = []
    for box in sample.boxes:
        x0, y0, x1, y1 = (box[side] for side in ("x0", "y0", "x1", "y1"))
        if not all(math.isfinite(value) for value in (x0, y0, x1, y1)) or x1 <= x0 or y1 <= y0:
            raise Refused("bad_box", f"{box['label']}: {x0, y0, x1, y1} is empty")
        clipped = [max(x0 - column, 0), max(y0 - row, 0), min(x1 - column, width), min(y1 - row, height)]
        inside = max(clipped[2] - clipped[0], 0) * max(clipped[3] - clipped[1], 0) / ((x1 - x0) * (y1 - y0))
        outside = x1 <= 0 or y1 <= 0 or x0 >= whole[0] or y0 >= whole[1]
        if outside and (published or window is None):
            raise Refused("bad_box", f"{box['label']}: {x0, y0, x1, y1} lies outside the {whole[0]}x{whole[1]} image")
        if window and inside < MIN_VISIBLE_OF_BOX:
            continue
        shifted = [value - (row if i % 2 else column) for i, value in enumerate(box["polygon"])]
        bounded = [min(max(value, 0), height if i % 2 else width) for i, value in enumerate(shifted)]
        kept.append(dict(zip(("x0", "y0", "x1", "y1"), clipped, strict=True), label=box["label"], polygon=bounded))
    return kept


def _resize(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Antialiased bicubic; 16-bit values through floats."""
    if values.dtype == np.uint8:
        return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC))
    resized = np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
    rounded: NDArray[Any] = np.clip(np.rint(resized), 0, 65535).astype(values.dtype)
    return rounded


def _cut(values: NDArray[Any], window: Window | None) -> NDArray[Any]:
    if window is None:
        return values
    column, row, width, height = window
    return np.ascontiguousarray(values[row : row + height, column : column + width])


def _bands_of(sample: Sample) -> list[str]:
    """The bands that went through a stretch."""
    deep = [("visible", sample.rgb), (sample.band, sample.ir)]
    return [band for band, values in deep if band and isinstance(values, np.ndarray) and values.dtype != np.uint8]


def _image(encoded: Encoded | None, name: str) -> dict[str, Any] | None:
    return None if encoded is None else {"bytes": encoded[0], "path": f"{name}.{encoded[1]}"}


def _is_deep_png(data: bytes) -> bool:
    """Pillow reads a 16-bit RGB PNG as 8-bit without a word: byte 24 of the file is its depth."""
    return data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 24 and data[24] == 16


def _opaque(alpha: int) -> int:
    return 255 if alpha else 0


def _acquired(key: str, pattern: str) -> str | None:
    """The date in a key, by groups y, m, d, or y and j (day of the year)."""
    match = re.search(pattern, key) if pattern else None
    if not match:
        return None
    part = match.groupdict()
    if "j" in part:
        return str(np.datetime64(part["y"], "Y").astype("datetime64[D]") + (int(part["j"]) - 1))
    return "-".join(part[name] for name in ("y", "m", "d") if part.get(name))
