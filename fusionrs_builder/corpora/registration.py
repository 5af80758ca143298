"""How far the two views of a pair are apart, by phase correlation of the directions of their edges.

Thermal and visible light differ in brightness, even in its sign, but share outlines. Each view becomes a field of
complex numbers: the doubled angle of its gradient, which is the same for a bright edge and a dark one, with a length
near 1 at edges and near 0 on flat ground. The peak of the whitened, smoothed cross-correlation is the shift. It is
believed only where it stands out from the rest; views without common outlines (night, fog, water) cannot be judged.
"""

import struct
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy import fft, ndimage

SIDE = 256
"""Pixels of the longer side at which views are compared."""

SMOOTHING = 2.0
"""Standard deviation in pixels by which the peak is smoothed: views differ by more than a shift."""

CONFIDENT = 10.0
"""Standard deviations by which a peak must stand out: the best of 1,600 pairs of unrelated aerial views reached 9.2."""

Values = NDArray[np.float32]


class Shift(NamedTuple):
    """Where a view lies relative to another.

    Attributes:
        columns, rows: what lies at x, y of the one lies at x - columns, y - rows of the other, in pixels.
        confidence: standard deviations by which the peak stands out.
    """

    columns: float
    rows: float
    confidence: float

    @property
    def distance(self) -> float:
        """Pixels, along a straight line."""
        return float(np.hypot(self.columns, self.rows))

    @property
    def is_known(self) -> bool:
        """Whether the views have enough in common to tell."""
        return self.confidence >= CONFIDENT


def shift(one: bytes, other: bytes, border: int = 0) -> Shift | None:
    """How far two image files are apart.

    Args:
        one: the one file.
        other: the other, of the same size.
        border: pixels on every side that are not looked at.

    Returns:
        None where one cannot be decoded, or they differ in size.
    """
    first, second = _glance(one, border), _glance(other, border)
    if first is None or second is None or first[1] != second[1]:
        return None
    found = between(first[0], second[0])
    scale = (first[1][0] - 2 * border) / first[0].shape[1]
    return Shift(found.columns * scale, found.rows * scale, found.confidence)


def between(one: Values, other: Values) -> Shift:
    """How far two arrays [H, W] of any scale of values are apart, in whole pixels, at most half a side."""
    height, width = one.shape
    spectrum = fft.fft2(_edges(one)) * np.conj(fft.fft2(_edges(other)))
    spectrum /= np.maximum(np.abs(spectrum), 1e-12)
    down, across = fft.fftfreq(height)[:, None], fft.fftfreq(width)[None]
    spectrum *= np.exp(-2 * (np.pi * SMOOTHING) ** 2 * (down**2 + across**2))
    correlation = fft.ifft2(spectrum).real
    row, column = np.unravel_index(int(correlation.argmax()), correlation.shape)
    spread = float(correlation.std())
    confidence = float(correlation.max() - correlation.mean()) / spread if spread > 1e-12 else 0.0
    return Shift(float(_signed(int(column), width)), float(_signed(int(row), height)), confidence)


def _edges(values: Values) -> NDArray[np.complex64]:
    """Direction of the edges [H, W], doubled, faded out towards the sides, without its mean."""
    down, across = np.gradient(ndimage.uniform_filter(values, 3))
    slope = across + 1j * down
    steepness = slope.real**2 + slope.imag**2
    flat = float(np.mean(np.sqrt(steepness))) ** 2
    field = slope**2 / (steepness + flat + 1e-12)
    fade = np.hanning(values.shape[0])[:, None] * np.hanning(values.shape[1])[None]
    edges: NDArray[np.complex64] = ((field - field.mean()) * fade).astype(np.complex64)
    return edges


def _signed(place: int, size: int) -> int:
    """A place on a circle as a way in either direction."""
    return (place + size // 2) % size - size // 2


def _glance(data: bytes, border: int) -> tuple[Values, tuple[int, int]] | None:
    """Brightness of an image file, upright, within its border and shrunk to `SIDE`; and its size before that."""
    try:
        with Image.open(BytesIO(data)) as image:
            longer = max(image.size)
            image.draft("L", (SIDE, SIDE))  # JPEG decodes to a half, a quarter ... at once
            shrunk = longer / max(image.size)
            upright = ImageOps.exif_transpose(image)
            gray = upright if upright.mode.startswith(("I", "F")) else upright.convert("L")
            values = Image.fromarray(np.asarray(gray).astype(np.float32))
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError):
        return None
    width, height = (round(side * shrunk) for side in values.size)
    if min(width, height) <= 2 * border:
        return None
    inner = (border / shrunk, border / shrunk, values.width - border / shrunk, values.height - border / shrunk)
    scale = min(1.0, SIDE / (max(width, height) - 2 * border))
    size = max(round((width - 2 * border) * scale), 1), max(round((height - 2 * border) * scale), 1)
    small = values.resize(size, Image.Resampling.BOX, box=inner)
    return np.asarray(small), (width, height)
