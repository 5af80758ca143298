"""What can be said of an infrared view without knowing the truth: the struct `ir_quality`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FLAT = 1e-12
"""Variance of gradient magnitudes below which an image has no edges to agree with."""


def ir_quality(ir: NDArray[np.uint8], rgb: NDArray[np.uint8] | None) -> dict[str, Any]:
    """Measure an infrared view.

    Args:
        ir: uint8 [H, W].
        rgb: uint8 [H, W, 3] of the same scene, or None; resampled to the size of `ir` where it differs.

    Returns:
        The fields of `schema.IR_QUALITY`: `edge_agreement`, -1..1, the Pearson correlation of the Sobel gradient
        magnitudes of `ir` and of the luma of `rgb`, blind to polarity; None without `rgb` or where either has no edges.
        `saturation`, 0..1, the share of pixels at 0 or 255. `entropy`, 0..8 bits, of the 256-bin histogram.
        `polarity` is None: no objects of known physics are known here.
    """
    counts = np.array(Image.fromarray(ir).histogram())
    shares = counts[counts > 0] / ir.size
    return {
        "edge_agreement": None if rgb is None else edge_agreement(ir, rgb),
        "saturation": float(counts[0] + counts[255]) / ir.size,
        "entropy": float(-(shares * np.log2(shares)).sum()) + 0.0,  # + 0.0: no minus zero
        "polarity": None,
    }


def edge_agreement(ir: NDArray[np.uint8], rgb: NDArray[np.uint8]) -> float | None:
    """Correlation of the gradient magnitudes of `ir` and of the luma of `rgb`, as in `ir_quality`."""
    luma = Image.fromarray(rgb).convert("L")
    if luma.size != ir.shape[::-1]:
        luma = luma.resize(ir.shape[::-1], Image.Resampling.BILINEAR)
    a, b = (gradient_magnitude(image) for image in (ir, np.asarray(luma)))
    if not a.size:
        return None
    a -= a.mean()
    b -= b.mean()
    product = np.empty_like(a)
    # Not `a @ b`: BLAS sums in another order with another number of threads.
    va, vb, vab = (float(np.multiply(x, y, out=product).mean(dtype=np.float64)) for x, y in ((a, a), (b, b), (a, b)))
    return None if min(va, vb) < FLAT else vab / (va * vb) ** 0.5


def gradient_magnitude(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Magnitude of the 3 x 3 Sobel gradient: uint8 [H, W] -> float32 [H - 2, W - 2], borders left out."""
    x = image.astype(np.int16)  # holds eight times 255, in half the memory of a float
    along = x[:, 2:] - x[:, :-2]
    down = x[2:] - x[:-2]
    gx = along[:-2] + 2 * along[1:-1]
    gx += along[2:]
    gy = down[:, :-2] + 2 * down[:, 1:-1]
    gy += down[:, 2:]
    squared, other = gx.astype(np.float32), gy.astype(np.float32)
    squared *= squared
    other *= other
    squared += other
    magnitude: NDArray[np.float32] = np.sqrt(squared, out=squared)
    return magnitude
