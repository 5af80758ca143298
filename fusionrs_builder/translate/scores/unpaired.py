"""Drawn views against real infrared frames of other scenes: how alike the two sets are, whatever they show.

Every view goes the same way before it is looked at: the central square, the same for all; JPEG of the quality that the
stage writes; halved by the mean of 2 x 2 pixels. So neither size nor the traces of a coder can tell the two sets apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder import pixels
from fusionrs_builder.intervals import table
from fusionrs_builder.translate.scores import c2st, inception
from fusionrs_builder.translate.scores.records import Entry, Record, read, sample
from fusionrs_builder.translate.scores.statistics import LEAST_UNIT, STATISTICS, gaps, saturation, statistics
from fusionrs_builder.translate.translator import Translator
from fusionrs_builder.workspace import Workspace

WINDOW = 256
"""Side of the square that is cut from every view, pixels; less where the smallest view is smaller."""

LEAST = 64
"""Pixels of the shorter side below which a view is left out."""

MOST = 500
"""Drawn views, and as many real frames, at most: drawn at random where there are more."""

FEWEST = 10
"""Views of either kind below which nothing can be said."""


def between(
    contestants: Mapping[str, Translator],
    workspace: Workspace,
    visible: Sequence[Entry],
    frames: Workspace,
    of_others: Sequence[Entry],
    seed: int = 0,
) -> dict[str, Any] | str:
    """Draw a sample of the visible records, and compare with a sample of real frames.

    Args:
        contestants: the first is the one that is scored.
        workspace: of the visible records.
        visible: records with RGB.
        frames: workspace of the real frames.
        of_others: records with a measured view of the band, of other scenes.
        seed: of samples, folds, forest and bootstrap.

    Returns:
        As `unpaired`, with `frames_of`, the corpora of the real frames, and the reason for KID and FID where they are
        not measured. In words why there is nothing.

    Raises:
        FusionError: a record cannot be read, or the weights for KID and FID are damaged.
    """
    large, real = ([entry for entry in some if entry.side >= LEAST] for some in (visible, of_others))
    n = min(len(large), len(real), MOST)
    if n < FEWEST:
        return (
            f"{len(large)} visible images and {len(real)} real frames of other scenes have {LEAST} px or more: "
            f"{FEWEST} of each are needed; name a workspace with real frames by --real"
        )
    drawn, shown = sample(large, n, seed), sample(real, n, seed)
    extract = inception.load_inception()
    network = None if isinstance(extract, str) else extract
    side = window([*drawn, *shown])
    result = unpaired(contestants, read(workspace, drawn), read(frames, shown), side, network, seed)
    if isinstance(extract, str):
        result["not_measured"]["kid, fid"] = extract
    return {"frames_of": sorted({entry.corpus for entry in shown}), **result}


def window(entries: Iterable[Entry]) -> int:
    """Side of the square that fits into all of them, a multiple of 4 px."""
    return min(WINDOW, min(entry.side for entry in entries) // 4 * 4)


def central(view: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The square in the middle: uint8 [H, W] -> uint8 [side, side]."""
    y, x = ((length - side) // 2 for length in view.shape)
    return np.ascontiguousarray(view[y : y + side, x : x + side])


def matched(square: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A square as it is compared: uint8 [S, S] -> uint8 [S / 2, S / 2]."""
    side = len(square)
    coded = pixels.gray_array(pixels.encode_jpeg(square))
    half = coded.astype(np.float64).reshape(side // 2, 2, side // 2, 2).mean(axis=(1, 3))
    found: NDArray[np.uint8] = half.round().astype(np.uint8)
    return found


class Looked:
    """What is kept of a set of views: numbers, not pixels."""

    def __init__(self, side: int, extract: inception.Extractor | None) -> None:
        self.side, self.extract = side, extract
        self.statistics: dict[str, list[float]] = {name: [] for name in STATISTICS}
        self.features: list[NDArray[np.float64]] = []
        self.deep: list[NDArray[np.float32]] = []

    def add(self, view: NDArray[np.uint8]) -> None:
        square = central(view, self.side)
        view = matched(square)
        # A mean of four is seldom 0 or 255: what is saturated is told before.
        for name, value in {**statistics(view), "saturation": saturation(square)}.items():
            self.statistics[name].append(value)
        self.features.append(c2st.features(view))
        if self.extract:
            self.deep.append(self.extract(view))


def unpaired(
    contestants: Mapping[str, Translator],
    visible: Iterable[Record],
    real: Iterable[Record],
    side: int,
    extract: inception.Extractor | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare what each contestant draws with real frames.

    Args:
        contestants: the first is the one that is scored.
        visible: records with RGB; one in memory at a time.
        real: as many records with a measured view of the band, of other scenes.
        side: of `window`.
        extract: features for KID and FID; None: without them.
        seed: of folds, forest and bootstrap.

    Returns:
        `n` of either kind; `window`, px; `frames`: mean and standard deviation of each statistic over the real frames;
        `scores` and `differences`, for each contestant: the `gaps` of the six statistics and `c2st`, the accuracy of
        the classifier, 0..1; `closer`: in how many of the six statistics the translator is closer to the real frames
        than each control, and in how many the interval says so; `kid`, `kid_std` and `fid` in `deep` where measured;
        `not_measured`: reasons.
    """
    groups: list[str] = []
    drawn = {name: Looked(side, extract) for name in contestants}
    for record in visible:
        assert record.rgb is not None
        rgb = np.ascontiguousarray(record.rgb.transpose(2, 0, 1)[None])
        for name, contestant in contestants.items():
            drawn[name].add(contestant.translate(rgb)[0, 0])
        groups.append(record.entry.group)
    frames = Looked(side, extract)
    for record in real:
        assert record.ir is not None
        frames.add(record.ir)
        groups.append(record.entry.group)

    subject, *controls = contestants
    scores: dict[str, dict[str, Any]] = {name: {} for name in contestants}
    differences: dict[str, dict[str, Any]] = {name: {} for name in controls}
    for statistic in STATISTICS:
        values = {name: looked.statistics[statistic] for name, looked in drawn.items()}
        distance, farther = gaps(values, frames.statistics[statistic], seed, LEAST_UNIT[statistic])
        for name, score in distance.items():
            scores[name][statistic] = asdict(score)
        for name, score in farther.items():
            differences[name][statistic] = asdict(score)
    closer = {
        name: {
            "closer": sum(scores[subject][s]["mean"] < scores[name][s]["mean"] for s in STATISTICS),
            "surely": sum(differences[name][s]["high"] < 0 for s in STATISTICS),
            "of": len(STATISTICS),
        }
        for name in controls
    }
    result: dict[str, Any] = {
        "n": len(frames.features),
        "window": side,
        "frames": {s: {"mean": float(np.mean(v)), "std": float(np.std(v))} for s, v in frames.statistics.items()},
        "scores": scores,
        "differences": differences,
        "closer": closer,
        "not_measured": {},
    }
    told = {name: c2st.told_apart(looked.features, frames.features, groups, seed) for name, looked in drawn.items()}
    rights = {name: {"c2st": right} for name, right in told.items() if not isinstance(right, str)}
    if rights:
        found = table(rights, seed)
        for part, of in (("scores", scores), ("differences", differences)):
            for name, metrics in of.items():
                metrics |= found[part][name]
    else:
        result["not_measured"]["c2st"] = told[subject]
    if extract:
        result["deep"] = {name: inception.distances(looked.deep, frames.deep, seed) for name, looked in drawn.items()}
    return result
