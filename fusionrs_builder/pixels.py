"""Pixels in and out of encoded images, and the two hashes by which they are compared.

Everything that decodes, encodes or hashes an image goes through here, so that the same picture has the same
`pixel_sha256` and `phash` in every layer.
"""

import hashlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Array = NDArray[Any]

JPEG_QUALITY = 95


def decode(data: bytes) -> Image.Image:
    """Decode an image completely, turned upright where EXIF says how it was held.

    Args:
        data: any encoding Pillow reads. The encoding is found from the bytes, never from a file name.

    Returns:
        The image in its own mode (`RGB`, `L`, `P`, `RGBA`, `CMYK`, `I;16` ...), pixels loaded.

    Raises:
        ValueError: the bytes are empty, truncated, damaged, not an image, or decode to an absurd size.
    """
    if not data:
        raise ValueError("the image is empty (0 bytes)")
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
        # A damaged EXIF block fails in ways of its own; so does a size meant to exhaust memory.
        return ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        raise ValueError("not an image of a known format") from None
    except (OSError, SyntaxError, EOFError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"the image is damaged: {error}") from None


def rgb_array(data: bytes) -> Array:
    """Decode to 8-bit RGB: uint8 [H, W, 3], by Pillow's own conversion of any 8-bit mode.

    Raises:
        ValueError: as `decode`, or the image has more than 8 bits a channel and so needs a stretch first.
    """
    return np.asarray(_eight_bit(decode(data)).convert("RGB"))


def gray_array(data: bytes) -> Array:
    """Decode to one 8-bit channel: uint8 [H, W]; colour goes to ITU-R 601 luma, equal channels to their value.

    Raises:
        ValueError: as `rgb_array`.
    """
    return np.asarray(_eight_bit(decode(data)).convert("L"))


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"the image has mode {image.mode}, more than 8 bits a channel: stretch it to 8 bits first")
    return image


def pixel_sha256(array: Array) -> str:
    """sha256 of decoded pixels: of a line `dtype:shape` and then the values, little-endian, row by row.

    Args:
        array: any dtype; [H, W] for one channel, [H, W, 3] for colour.

    Returns:
        64 hexadecimal digits. Equal for equal pixels, however the image was encoded or laid out in memory.
    """
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    shape = "x".join(str(side) for side in array.shape)
    found = hashlib.sha256(f"{array.dtype.name}:{shape}\n".encode())
    found.update(array.data)
    return found.hexdigest()


def phash64(array: Array) -> int:
    """64-bit perceptual hash: the signs of the 8 x 8 lowest DCT terms of the 32 x 32 luma about their median.

    Args:
        array: uint8 [H, W] or [H, W, 3].

    Returns:
        0 .. 2**64 - 1. The Hamming distance of two hashes tells how far apart two pictures look.
    """
    import imagehash  # brings scipy: heavy, so not before the first hash

    found = 0
    for bit in imagehash.phash(Image.fromarray(array)).hash.ravel():
        found = found << 1 | int(bit)
    return found


def encode_jpeg(array: Array, quality: int = JPEG_QUALITY) -> bytes:
    """Encode uint8 [H, W] (one channel) or [H, W, 3] (RGB) as JPEG, chroma not subsampled."""
    return _encode(array, "JPEG", quality=quality, subsampling=0)


def encode_png(array: Array) -> bytes:
    """Encode uint8 [H, W], uint8 [H, W, 3] or uint16 [H, W] as PNG, bit for bit."""
    return _encode(array, "PNG", compress_level=6)


def _encode(array: Array, format: str, **options: Any) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(array).save(sink, format, **options)
    return sink.getvalue()
