"""What the visible image looks like, measured: brightness, colours and texture of scenes nobody labelled."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.caption.evidence import cell_means, edge_density
from fusionrs_builder.caption.geometry import CELLS
from fusionrs_builder.caption.regions import block_means

SAMPLE_PIXELS = 128
"""Colours are counted on a grid of at most so many pixels a side."""
MIN_CHROMA, MIN_SATURATION = 20, 0.17
"""A pixel has a hue when its channels differ by so many levels and by this part of the largest."""
GREY_SATURATION = 0.09
"""A pixel is grey when its channels differ by no more than this part of the largest; between the two it is muted."""
RED_SATURATION = 0.45
"""Less saturated reds are brown."""
DARK_VALUE, WHITE_VALUE = 48, 215
"""Largest channel up to which a pixel is dark; smallest from which a pixel without hue is white."""
MAIN_SHARE, SECOND_SHARE = 0.55, 0.3
"""A colour is the main one from the first share on; two colours are named together from the second on each."""
CELL_LEVELS, CELL_LEAD = 20.0, 6.0
"""A cell is the brightest (darkest) when it lies so many levels off the mean and leads the next cell by so many."""

HUES = (
    (14, "red"), (50, "brown"), (75, "olive"), (180, "green"), (202, "blue-green"), (262, "blue"), (330, "purple"),
    (360, "red"),
)  # fmt: skip
"""Upper bounds in degrees. Light brown is called tan."""
TAN_VALUE = 170


@dataclass(frozen=True)
class Look:
    """Measurements of one visible image.

    Attributes:
        brightness: mean luma, 0..255.
        edges: share of pixels that differ clearly from the next, 0..1.
        colours: one main colour, or two that share the frame; empty where none is clear. `dark`
            and `muted` (too little of a hue to name it) are among them.
        brightest, darkest: cell of the 3 x 3 grid that clearly is; None where none is.
        cells: mean luma of the nine cells, row by row from the upper left, 0..255.
    """

    brightness: float
    edges: float
    colours: tuple[str, ...]
    brightest: str | None
    darkest: str | None
    cells: tuple[float, ...]


def look(rgb: NDArray[np.uint8]) -> Look:
    """Measure a visible image, uint8 [H, W, 3].

    Raises:
        ValueError: another shape or type, or no pixels.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise ValueError(f"rgb must be uint8 [H, W, 3] with pixels, not {rgb.dtype} {list(rgb.shape)}")
    luma = luminance(rgb)
    means, shares, cells = block_means(luma)
    amounts = np.bincount(cells.ravel(), (means * shares).ravel(), 9)
    areas = np.bincount(cells.ravel(), shares.ravel(), 9)
    brightness = float(luma.mean())
    excess = amounts / np.maximum(areas, 1e-9) - brightness if areas.all() else np.zeros(9)
    step = -(-max(luma.shape) // SAMPLE_PIXELS)
    return Look(
        brightness=brightness,
        edges=edge_density(luma),
        colours=colours(rgb[::step, ::step]),
        brightest=_leader(excess),
        darkest=_leader(-excess),
        cells=cell_means(luma),
    )


def luminance(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """ITU-R 601 luma, uint8 [H, W], of uint8 [H, W, 3]."""
    # Whole numbers below 2^24 are exact in float32, whose product of matrices is fast.
    sums = rgb.astype(np.float32) @ np.array([77, 150, 29], np.float32)
    return (sums.astype(np.uint16) >> 8).astype(np.uint8)


def colours(rgb: NDArray[np.uint8]) -> tuple[str, ...]:
    """The colours that fill most of an image, uint8 [H, W, 3]: one, two, or none where no colour is clear."""
    red, green, blue = (rgb[..., channel].ravel().astype(np.int16) for channel in range(3))
    largest = np.maximum(np.maximum(red, green), blue)
    smallest = np.minimum(np.minimum(red, green), blue)
    chroma = largest - smallest
    safe = np.maximum(chroma, 1)
    hue = np.select(
        [largest == red, largest == green],
        [60.0 * (green - blue) / safe % 360, 60.0 * (blue - red) / safe + 120],
        60.0 * (red - green) / safe + 240,
    )
    names = [*dict.fromkeys(name for _, name in HUES), "tan", "muted", "grey", "white", "dark"]
    code = {name: number for number, name in enumerate(names)}
    kind = np.array([code[name] for _, name in HUES])[np.searchsorted([bound for bound, _ in HUES[:-1]], hue)]
    kind[(kind == code["red"]) & (chroma < RED_SATURATION * largest)] = code["brown"]
    kind[(kind == code["brown"]) & (largest >= TAN_VALUE)] = code["tan"]
    kind[(chroma < MIN_CHROMA) | (chroma < MIN_SATURATION * largest)] = code["muted"]
    grey = chroma <= GREY_SATURATION * largest
    kind[grey] = np.where(smallest[grey] >= WHITE_VALUE, code["white"], code["grey"])
    kind[largest <= DARK_VALUE] = code["dark"]
    shares = np.bincount(kind, minlength=len(names)) / len(kind)
    first, second = np.argsort(-shares, kind="stable")[:2]
    if shares[first] >= MAIN_SHARE:
        return (names[first],)
    if shares[second] >= SECOND_SHARE:
        return (names[first], names[second])
    return ()


def _leader(excess: NDArray[np.float64]) -> str | None:
    second, first = np.argsort(excess, kind="stable")[-2:]
    clear = excess[first] >= CELL_LEVELS and excess[first] - excess[second] >= CELL_LEAD
    return CELLS[first] if clear else None
