"""Scores of a drawn view against the one that a sensor measured of the same scene."""

import numpy as np
import torch
from numpy.typing import NDArray

from fusionrs_builder.translate.losses import pearson, ssim

METRICS = ("psnr", "ssim", "correlation", "mae")


def image_scores(drawn: NDArray[np.uint8], measured: NDArray[np.uint8]) -> dict[str, float]:
    """Scores of one image.

    Args:
        drawn: uint8 [H, W].
        measured: uint8 [H, W].

    Returns:
        psnr: 10 log10(255^2 / mean squared error), dB; an equal image counts as one that is off by 1 in one pixel.
        ssim: `losses.ssim`: 7 x 7 uniform window.
        correlation: Pearson, 0 where either image is flat.
        mae: mean absolute error, grey levels, 0..255.
    """
    difference = drawn.astype(np.float64) - measured
    error = difference**2
    a, b = (torch.from_numpy(image.astype(np.float64) / 255)[None, None] for image in (drawn, measured))
    return {
        "psnr": float(10 * np.log10(255**2 / max(error.mean(), 1 / error.size))),
        "ssim": float(ssim(a, b)),
        "correlation": float(pearson(a, b)),
        "mae": float(np.abs(difference).mean()),
    }


def ndvi_error(drawn: NDArray[np.uint8], measured: NDArray[np.uint8], rgb: NDArray[np.uint8]) -> float:
    """Mean absolute difference of (nir - red) / (nir + red) with the drawn and with the measured near infrared.

    The values are those of the 8-bit views, not reflectances: where red and near infrared were stretched apart, the
    ratio is not the NDVI of the ground, and its error tells only how far a user of the views would be led astray.

    Args:
        drawn: uint8 [H, W].
        measured: uint8 [H, W].
        rgb: uint8 [H, W, 3].

    Returns:
        0..2. A pixel that is black in both bands has the ratio 0.
    """
    red = rgb[..., 0].astype(np.float64)
    a, b = ((nir - red) / np.maximum(nir + red, 1) for nir in (drawn.astype(np.float64), measured.astype(np.float64)))
    return float(np.abs(a - b).mean())
