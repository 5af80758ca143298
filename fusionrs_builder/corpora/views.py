"""The two views of a record: decoded, upright, one depth, cut and resized where asked.

Published bytes are kept untouched when nothing was asked that would change a pixel and the file is a plain 8-bit image.
"""

import struct
import warnings
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fusionrs_builder import pixels
from fusionrs_builder.corpora.reader import ORIENTATION, Refused, Sample, Window
from fusionrs_builder.settings import CorpusSettings

Stretch = dict[str, tuple[float, float]]
"""Low and high value a band, `visible` standing for red, green and blue."""

Encoded = tuple[bytes, str]
"""Bytes and file extension."""

EXTENSION = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
"""File types every viewer and `datasets` can show: only these are kept as published."""

SHRINK = Image.Resampling.HAMMING
"""Antialiased; Pillow's documentation ranks it with bicubic for shrinking, at half the cost."""

CHANNEL_TOLERANCE = 8
"""Grey levels by which the three channels of a grey image may differ after lossy coding."""

WHITE, WHITE_SHARE = 245, 0.9
"""A border is white where this share of its values reaches this one: JPEG spills the image into its inner blocks."""

UPRIGHT = 1


@dataclass(frozen=True)
class View:
    """One view of a record.

    Attributes:
        image: 8-bit, mode RGB or L.
        whole: width and height before any cut, to which published boxes refer.
        published: the publisher's bytes, while they still show these pixels.
        lossy: the publisher's own coding is the only loss so far, so that a second one must not be added.
        deep: the sensor's integers, uint16 [H, W], of a 16-bit infrared view.
        nodata: share of pixels without data, 0..1.
    """

    image: Image.Image
    whole: tuple[int, int]
    published: Encoded | None = None
    lossy: bool = False
    deep: NDArray[np.uint16] | None = None
    nodata: float = 0.0

    def cut(self, window: Window) -> "View":
        """The pixels of a window."""
        column, row, width, height = window
        deep = None if self.deep is None else self.deep[row : row + height, column : column + width]
        image = self.image.crop((column, row, column + width, row + height))
        return replace(self, image=image, published=None, lossy=False, deep=deep)

    def shrunk(self, size: tuple[int, int]) -> "View":
        """Resized, antialiased, to width and height; 16-bit values through floats."""
        deep = None
        if self.deep is not None:
            values = np.asarray(Image.fromarray(self.deep.astype(np.float32)).resize(size, SHRINK))
            deep = np.clip(np.rint(values), 0, 65535).astype(np.uint16)
        return replace(self, image=self.image.resize(size, SHRINK), published=None, lossy=False, deep=deep)

    def encoded(self, image_format: str) -> Encoded:
        """The published bytes where they hold, else the pixels encoded: infrared and what had one loss already as PNG.

        Args:
            image_format: of a visible view otherwise, `jpeg` or `png`.
        """
        if self.published:
            return self.published
        array = np.asarray(self.image)
        if self.image.mode == "L" or self.lossy or image_format == "png":
            return pixels.encode_png(array), "png"
        return pixels.encode_jpeg(array), "jpg"

    def shown(self, encoded: Encoded) -> NDArray[np.uint8]:
        """The pixels that any reader of the encoded view sees: uint8 [H, W, 3], or [H, W] of an infrared one."""
        if encoded is self.published or encoded[1] == "png":
            return np.asarray(self.image)
        return pixels.rgb_array(encoded[0])

    def encoded_deep(self) -> Encoded | None:
        """The 16-bit original."""
        return None if self.deep is None else (pixels.encode_png(self.deep), "png")


def visible(sample: Sample, window: Window | None, settings: CorpusSettings, stretch: Stretch) -> View | None:
    """The visible view; None where the sample has none.

    Raises:
        Refused: unreadable, without data, or of a depth no stretch is known for.
    """
    if sample.rgb is None:
        return None
    if not isinstance(sample.rgb, bytes):
        return _of_array(sample.rgb, "visible", sample, settings, stretch)
    image = open_image(sample.rgb)
    if image.mode.startswith(("I", "F")) or _is_deep_png(sample.rgb):
        raise Refused("not_8_bit", "more than 8 bits a channel: read it as geotiff, where a stretch can be stated")
    upright = _upright(image)
    published = _kept(image, "RGB", sample.rgb)
    nodata = 0.0
    if upright.mode in ("RGBA", "LA", "PA", "P", "La", "RGBa") or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        alpha = np.asarray(rgba)[..., 3] > 0
        nodata = _nodata(alpha if window is None else _windowed(alpha, window), settings)
        black = Image.new("RGB", rgba.size)
        upright = Image.composite(rgba.convert("RGB"), black, rgba.getchannel("A").point(_opaque))
    colour = upright if upright.mode == "RGB" else upright.convert("RGB")
    whole = View(colour, colour.size, published, lossy=True, nodata=nodata)
    return whole if window is None else whole.cut(window)


def infrared(sample: Sample, window: Window | None, settings: CorpusSettings, stretch: Stretch) -> View | None:
    """The measured infrared view; None where the sample has none.

    Raises:
        Refused: as `visible`; its band is not known, or it is a picture in colours.
    """
    if sample.ir is None:
        return None
    if sample.band is None:
        raise Refused("unknown_band", "which infrared band this is must be said: set band to nir, swir, mwir or lwir")
    if not isinstance(sample.ir, bytes):
        view = _of_array(sample.ir, sample.band, sample, settings, stretch)
        raw = sample.ir if sample.ir_raw is None else sample.ir_raw
        return replace(view, deep=_sixteen_bit(raw, sample.valid))
    image = open_image(sample.ir)
    upright = _upright(image)
    raw = _first_channel(upright) if sample.cir else _one_channel(upright)
    view = View(Image.fromarray(_stretched(raw, sample.band, stretch)), upright.size, _kept(image, "L", sample.ir))
    view = replace(view, deep=_sixteen_bit(raw, None))
    return view if window is None else view.cut(window)


def without_border(views: list[View], border: int) -> tuple[list[View], int]:
    """Cut the white border off all views of a record.

    Returns:
        The views, and the pixels cut on every side: 0 where there is no such border.

    Raises:
        Refused: one view has the border and another has not, or nothing lies within it.
    """
    bordered = [_is_bordered(view.image, border) for view in views]
    if not any(bordered):
        return views, 0
    if not all(bordered):
        raise Refused("unequal_views", f"one view has a white border of {border} px and the other has not")
    return [
        view.cut((border, border, view.image.width - 2 * border, view.image.height - 2 * border)) for view in views
    ], border


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


def _of_array(values: NDArray[Any], band: str, sample: Sample, settings: CorpusSettings, stretch: Stretch) -> View:
    """A view of raw values, which a reader has cut already."""
    nodata = 0.0 if sample.valid is None else _nodata(sample.valid, settings)
    view = _stretched(values, band, stretch)
    if sample.valid is not None:
        view = view * (sample.valid if view.ndim == 2 else sample.valid[..., None]).astype(np.uint8)
    return View(Image.fromarray(np.ascontiguousarray(view)), (view.shape[1], view.shape[0]), nodata=nodata)


def _stretched(values: NDArray[Any], band: str, stretch: Stretch) -> NDArray[np.uint8]:
    """The 8-bit view of raw values."""
    if values.dtype == np.uint8:
        return values
    if band not in stretch:
        raise Refused("not_8_bit", f"{values.dtype} values of {band}, and no stretch is known: set stretch.{band}")
    low, high = stretch[band]
    scaled = (np.nan_to_num(values.astype(np.float32)) - low) * (255.0 / (high - low))
    eight_bit: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return eight_bit


def _first_channel(image: Image.Image) -> NDArray[Any]:
    """The near infrared of a colour-infrared picture: it is stored where red would be."""
    if len(image.getbands()) < 3:
        raise Refused("not_colour_infrared", f"mode {image.mode} holds one channel; correct the pattern `cir`")
    return np.asarray(image.convert("RGB").getchannel(0))


def _one_channel(image: Image.Image) -> NDArray[Any]:
    """The one channel of a grey image, also where it is stored as three that agree."""
    if image.mode not in ("RGB", "RGBA", "P"):
        values = np.asarray(image)
        if values.ndim != 2 or values.dtype == bool:
            raise Refused("not_one_channel", f"mode {image.mode}")
        return values
    colour = np.asarray(image.convert("RGB"))
    if int((colour.max(axis=-1) - colour.min(axis=-1)).max()) > CHANNEL_TOLERANCE:
        raise Refused("not_one_channel", "an infrared image whose three channels differ: a false-colour picture?")
    return np.ascontiguousarray(colour[..., 1])


def _sixteen_bit(values: NDArray[Any], valid: NDArray[np.bool_] | None) -> NDArray[np.uint16] | None:
    """The original of a 16-bit sensor; None for other depths, and for negative values, which PNG cannot hold."""
    if values.dtype not in (np.uint16, np.int16, np.int32):
        return None
    known = values if valid is None else np.where(valid, values, 0)
    return known.astype(np.uint16) if known.min() >= 0 and known.max() <= 65535 else None


def _nodata(valid: NDArray[np.bool_], settings: CorpusSettings) -> float:
    share = float(valid.mean())
    if share < settings.min_valid:
        raise Refused("no_data", f"{share:.0%} of the pixels have data; min_valid is {settings.min_valid:.0%}")
    return 1 - share


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its Exif data say."""
    try:
        return ImageOps.exif_transpose(image)
    except (ValueError, SyntaxError, struct.error) as error:
        raise Refused("unreadable_image", f"its Exif data are damaged: {error}") from None


def _kept(image: Image.Image, mode: str, data: bytes) -> Encoded | None:
    """The published bytes, if any viewer shows them just as they are decoded here."""
    plain = image.mode == mode and image.format in EXTENSION
    if plain and image.getexif().get(ORIENTATION, UPRIGHT) == UPRIGHT:
        return data, EXTENSION[image.format or ""]
    return None


def _is_bordered(image: Image.Image, border: int) -> bool:
    width, height = image.size
    if min(width, height) <= 2 * border:
        return False
    sides = (
        (0, 0, width, border),
        (0, height - border, width, height),
        (0, border, border, height - border),
        (width - border, border, width, height - border),
    )
    return all((np.asarray(image.crop(side)) >= WHITE).mean() >= WHITE_SHARE for side in sides)


def _windowed(values: NDArray[Any], window: Window) -> NDArray[Any]:
    column, row, width, height = window
    return values[row : row + height, column : column + width]


def _is_deep_png(data: bytes) -> bool:
    """Pillow reads a 16-bit RGB PNG as 8-bit without a word: byte 24 of the file is its depth."""
    return data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 24 and data[24] == 16


def _opaque(alpha: int) -> int:
    return 255 if alpha else 0
