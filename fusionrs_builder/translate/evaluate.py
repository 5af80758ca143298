"""Scores of a translator against measured infrared, always beside the grey controls, with n and 95 % intervals."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionrs_builder.errors import FusionError
from fusionrs_builder.translate.losses import SSIM_WINDOW, pearson, ssim
from fusionrs_builder.translate.pairs import Pair, pattern, read_pairs
from fusionrs_builder.translate.translator import CONTROLS, Precision, Translator, load_translator
from fusionrs_builder.workspace import Workspace

METRICS = ("psnr", "ssim", "correlation")

BOOTSTRAP = 2000
"""Resamples of the images, with replacement, for each interval."""


@dataclass(frozen=True)
class Score:
    """A mean over images with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})"


def image_scores(drawn: NDArray[np.uint8], measured: NDArray[np.uint8]) -> dict[str, float]:
    """Scores of one image.

    Args:
        drawn: uint8 [H, W].
        measured: uint8 [H, W].

    Returns:
        psnr: 10 log10(255^2 / mean squared error), dB; an equal image counts as one that is off by 1 in one pixel.
        ssim: `losses.ssim`: 7 x 7 uniform window.
        correlation: Pearson, 0 where either image is flat.
    """
    error = (drawn.astype(np.float64) - measured) ** 2
    a, b = (torch.from_numpy(image.astype(np.float64) / 255)[None, None] for image in (drawn, measured))
    return {
        "psnr": float(10 * np.log10(255**2 / max(error.mean(), 1 / error.size))),
        "ssim": float(ssim(a, b)),
        "correlation": float(pearson(a, b)),
    }


def summarise(values: Sequence[float], seed: int = 0) -> Score:
    """The mean and its percentile bootstrap interval over images. `values` must not be empty."""
    array = np.asarray(values, np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(array), (BOOTSTRAP, len(array)))
    low, high = np.percentile(array[drawn].mean(axis=1), [2.5, 97.5])
    return Score(float(array.mean()), float(low), float(high))


def evaluate(translator: Translator, pairs: Iterable[Pair], tile: int | None = None, seed: int = 0) -> dict[str, Any]:
    """Score a translator and the controls `gray` and `gray-inverted` on the same pairs.

    Args:
        translator: to be scored.
        pairs: images and what was measured; one in memory at a time.
        tile: score full tiles of this many pixels, cut from the top left, instead of whole images.
        seed: of the bootstrap.

    Returns:
        `n` (images or tiles), `tile`, `seed`, `source` (of the translator), and `scores`: for each name a table of
        `psnr` (dB), `ssim` and `correlation`, each with `mean`, `low`, `high`. JSON values only.

    Raises:
        FusionError: there is nothing to score, or an image is smaller than the SSIM window.
    """
    contestants: dict[str, Translator] = {
        name: CONTROLS[name] for name in ("gray", "gray-inverted") if name != translator.name
    }
    contestants = {translator.name: translator, **contestants}
    values: dict[str, dict[str, list[float]]] = {name: {metric: [] for metric in METRICS} for name in contestants}
    n = 0
    for pair in pairs:
        for part in _tiles(pair, tile):
            n += 1
            for name, contestant in contestants.items():
                drawn = contestant.translate(part.rgb.transpose(2, 0, 1)[None])[0, 0]
                for metric, value in image_scores(drawn, part.ir).items():
                    values[name][metric].append(value)
    if not n:
        raise FusionError("nothing to score: no held-out pair" + (f" holds a tile of {tile} px" if tile else ""))
    scores = {
        name: {metric: asdict(summarise(found, seed)) for metric, found in of.items()} for name, of in values.items()
    }
    return {"source": translator.source, "n": n, "tile": tile, "seed": seed, "scores": scores}


def as_markdown(result: dict[str, Any]) -> str:
    """The result of `evaluate` as a table."""
    heads = "| translator | PSNR, dB | SSIM | correlation |\n|---|---|---|---|"
    lines = [
        f"| {name} | " + " | ".join(str(Score(**of[metric])) for metric in METRICS) + " |"
        for name, of in result["scores"].items()
    ]
    what = f"tiles of {result['tile']} px" if result["tile"] else "images"
    return "\n".join([heads, *lines, "", f"Means over n = {result['n']} {what}, with 95 % bootstrap intervals."])


def evaluate_translator(
    workspace: Workspace,
    spec: str,
    *,
    band: str = "nir",
    keys: str | None = None,
    tile: int | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    seed: int = 0,
) -> dict[str, Any]:
    """Score a translator on records of a workspace that have both RGB and a measured band.

    Args:
        workspace: whose rgb layer is read.
        spec: of the translator, as in `load_translator`.
        band: measured band to compare with.
        keys: regular expression searched in `<corpus>/<corpus_key>`: score these records only. None: all.
        tile: score tiles of this many pixels instead of whole images.
        device: as in `load_translator`.
        precision: as in `load_translator`.
        seed: of the bootstrap.

    Returns:
        As `evaluate`, with `band` and `keys`.

    Raises:
        UsageError: no such translator, or `keys` is not a regular expression.
        FusionError: no such records; or as `load_translator`.
    """
    pattern(keys)
    translator = load_translator(spec, device, precision)
    rest, chosen = read_pairs(workspace, band, keys)
    if keys is not None and not len(chosen):
        raise FusionError(
            f"no record with measured {band} has a key that matches {keys!r}: there are {len(rest)} others"
        )
    return {**evaluate(translator, chosen if keys is not None else rest, tile, seed), "band": band, "keys": keys}


def _tiles(pair: Pair, tile: int | None) -> Iterable[Pair]:
    height, width = pair.ir.shape
    if min(height, width, tile or height) < SSIM_WINDOW:
        raise FusionError(
            f"record {pair.key} or a tile is smaller than {SSIM_WINDOW} px: leave it out of the evaluation"
        )
    if tile is None:
        yield pair
        return
    for y in range(0, height - tile + 1, tile):
        for x in range(0, width - tile + 1, tile):
            part = (slice(y, y + tile), slice(x, x + tile))
            yield Pair(f"{pair.key}@{x},{y}", pair.rgb[part], pair.ir[part])
