"""Pixels in and out of encoded images, and the hashes and the little picture by which they are compared.

Everything that decodes, encodes or hashes an image goes through here, so that the same picture has the same
`pixel_sha256`, `phash` and `look` in every layer.
"""

import hashlib
import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Array = NDArray[Any]

JPEG_QUALITY = 95

LOOK_SIDE = 16
"""Pixels of `look` on a side."""

MARGIN = 0.015
"""Share of the width and of the height left out on each side. Of real tiles cropped by 1 % on each side, hashes within
4 bits find 92 % without this and all with it; cropped by 2 % on each side, 54 % and 98 %."""

_SIDE = 32
_DCT = 2 * np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(_SIDE) + 1) / (2 * _SIDE))
"""The first 8 of 32 rows of the DCT (type II), as imagehash has it."""

_ODD = np.where(np.arange(8) % 2, -1.0, 1.0)[None]
"""What mirroring does to the terms of a row."""


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
    except (OSError, SyntaxError, EOFError, ValueError, TypeError, struct.error, Image.DecompressionBombError) as error:
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
    return _as_numbers(_lowest_terms(_luma(array))[None])[0]


def phash64_dihedral(array: Array) -> tuple[int, ...]:
    """`phash64` of the picture turned and flipped in its eight ways, in the order of `dihedral`, from one DCT.

    A flip changes the sign of every second term, a transpose swaps the two axes of terms.
    """
    return tuple(_as_numbers(_turned(_lowest_terms(_luma(array)))))


def _turned(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Terms of the picture in its eight turns: float64 [8, 8, 8]."""
    flips = np.stack([terms, terms * _ODD, terms * _ODD.T, terms * _ODD * _ODD.T])
    return np.concatenate([flips, flips.swapaxes(1, 2)])


def dihedral(squares: Array) -> tuple[Array, ...]:
    """The eight flips and rotations of [..., n, n]: upright, mirrored, upside down, both, and these four transposed."""
    flips = (squares, squares[..., ::-1], squares[..., ::-1, :], squares[..., ::-1, ::-1])
    return *flips, *(flip.swapaxes(-1, -2) for flip in flips)


def look(array: Array) -> bytes:
    """The picture in little: `LOOK_SIDE` x `LOOK_SIDE` means of its luma, a byte each, row by row.

    Args:
        array: uint8 [H, W] or [H, W, 3].
    """
    return _little(_luma(array))


def quality(array: Array) -> dict[str, float]:
    """What tells an empty picture from a full one.

    Args:
        array: uint8 [H, W] or [H, W, 3].

    Returns:
        `saturation`: share of pixels with every channel at 0 or 255; `entropy`: of the luma's histogram, bits, 0 .. 8.
    """
    return {"saturation": _saturation(array), "entropy": _entropy(_luma(array))}


def described(array: Array) -> dict[str, Any]:
    """All of the above from one luma: `phash`, `phash16`, `look`, `saturation`, `entropy`.

    `phash16` are the hashes of the eight turns, then of these without `MARGIN` on each side, as a copy may be cropped.

    Args:
        array: uint8 [H, W] or [H, W, 3].
    """
    luma = _luma(array)
    hashes = _as_numbers(np.concatenate([_turned(_lowest_terms(luma)), _turned(_lowest_terms(luma, MARGIN))]))
    return {
        "phash": hashes[0],
        "phash16": hashes,
        "look": _little(luma),
        "saturation": _saturation(array),
        "entropy": _entropy(luma),
    }


def _little(luma: Image.Image) -> bytes:
    return luma.resize((LOOK_SIDE, LOOK_SIDE), Image.Resampling.BOX).tobytes()


def _saturation(array: Array) -> float:
    """Told by every second pixel of every second row."""
    extreme = array[::2, ::2] + np.uint8(1) <= 1  # 255 + 1 is 0
    return float((extreme if array.ndim == 2 else extreme[..., 0] & extreme[..., 1] & extreme[..., 2]).mean())


def _entropy(luma: Image.Image) -> float:
    shares = np.asarray(luma.histogram()) / (luma.width * luma.height)
    shares = shares[shares > 0]
    return float(max(0.0, -(shares * np.log2(shares)).sum()))


def _luma(array: Array) -> Image.Image:
    return Image.fromarray(array).convert("L")


def _lowest_terms(luma: Image.Image, margin: float = 0.0) -> NDArray[np.float64]:
    """The 8 x 8 lowest DCT terms; rounded, lest the hash of an even picture be the noise of the processor's sums."""
    wide, high = luma.width * margin, luma.height * margin
    box = (wide, high, luma.width - wide, luma.height - high)
    small = np.asarray(luma.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, box), np.float64)
    terms: NDArray[np.float64] = np.round(_DCT @ small @ _DCT.T, 3)
    return terms


def _as_numbers(terms: NDArray[np.float64]) -> list[int]:
    """The hash of each of [N, 8, 8]: a bit a term, 1 above the median of the 64."""
    flat = terms.reshape(-1, 64)
    middle = np.partition(flat, (31, 32), axis=1)[:, 31:33].mean(axis=1, keepdims=True)
    numbers: list[int] = np.packbits(flat > middle, axis=1).view(">u8").ravel().tolist()
    return numbers


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
