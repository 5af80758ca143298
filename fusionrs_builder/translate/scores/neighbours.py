"""Whether the same ground is drawn alike in two tiles that overlap: no flips of polarity, no jumps of tone."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.intervals import table
from fusionrs_builder.translate.scores.records import Record
from fusionrs_builder.translate.translator import Translator

SMALLEST = 128
"""Pixels of the shorter side below which tiles are too small to tell."""

IMAGES = 100
"""Images that are cut and drawn, at most."""

FLAT = 4.0
"""Standard deviation, grey levels, below which an overlap is so even that it has no polarity that could flip."""

OPPOSED = -0.2
"""Correlation of two drawings of the same ground below which their polarity is opposed, and not only uncertain."""


def neighbours(contestants: Mapping[str, Translator], records: Iterable[Record], seed: int = 0) -> dict[str, Any] | str:
    """`flips`, the share of neighbours whose polarity is opposed, and `jumps`, by how many grey levels they differ.

    Args:
        contestants: the first is the one that is scored.
        records: with RGB, the shorter side `SMALLEST` px or more; one in memory at a time.
        seed: of the bootstrap over images.

    Returns:
        `n`, images of twelve pairs of neighbours each; `scores` and `differences`. In words why there is none.
    """
    values: dict[str, dict[str, list[float]]] = {name: {"flips": [], "jumps": []} for name in contestants}
    n = 0
    for record in records:
        assert record.rgb is not None
        n += 1
        for name, contestant in contestants.items():
            for metric, found in zip(("flips", "jumps"), overlaps(contestant, record.rgb), strict=True):
                values[name][metric].append(float(np.mean(found)))
    return {"n": n, **table(values, seed)} if n else f"no image has {SMALLEST} px or more on its shorter side"


def overlaps(translator: Translator, rgb: NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Draw nine tiles of an image, each for itself, and compare the twelve pairs of neighbours where they overlap.

    A tile is half of the shorter side long and a quarter from the next. The same pixels are drawn twice, so that a
    difference comes of what else is in the tile, never of the ground: any formula of the pixel alone has none.

    Args:
        translator: that draws.
        rgb: uint8 [H, W, 3], `SMALLEST` px or more.

    Returns:
        For each pair 1.0 where the correlation of the two drawings of the overlap is below `OPPOSED` and neither is
        `FLAT`, else 0.0; and their mean absolute difference in grey levels.
    """
    tile = min(rgb.shape[:2]) // 8 * 4
    step = tile // 2
    places = [(y, x) for y in (0, step, tile) for x in (0, step, tile)]
    cut = np.stack([rgb[y : y + tile, x : x + tile] for y, x in places]).transpose(0, 3, 1, 2)
    drawn = translator.translate(np.ascontiguousarray(cut))[:, 0].astype(np.float64).reshape(3, 3, tile, tile)
    flips, jumps = [], []
    for a, b in _pairs(drawn, step):
        jumps.append(float(np.abs(a - b).mean()))
        flips.append(float(min(a.std(), b.std()) >= FLAT and np.corrcoef(a.ravel(), b.ravel())[0, 1] < OPPOSED))
    return flips, jumps


def _pairs(drawn: NDArray[np.float64], step: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    for first in range(3):
        for second in range(2):
            yield drawn[first, second, :, step:], drawn[first, second + 1, :, :-step]
            yield drawn[second, first, step:], drawn[second + 1, first, :-step]
