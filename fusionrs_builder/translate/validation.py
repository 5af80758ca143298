"""The score by which a training chooses its weights: never the loss, which no two objectives share."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionrs_builder.translate.losses import pearson, ssim
from fusionrs_builder.translate.scores import c2st
from fusionrs_builder.translate.scores.records import TILE
from fusionrs_builder.translate.scores.statistics import LEAST_UNIT, gaps
from fusionrs_builder.translate.scores.structure import structure
from fusionrs_builder.translate.scores.unpaired import Looked
from fusionrs_builder.translate.training_data import Entry, TrainingData, decoded

MOST = 64
"""Images looked at, evenly spread over those kept for validation."""

ENOUGH = 0.85
"""Agreement of outlines above which more is no gain: no two bands have the same."""

SIDE = 256
"""Of the middle of each, pixels."""

Draw = Callable[[Tensor], Tensor]
"""float [1, 3, H, W] in -1..1 -> float [1, 1, H, W] in -1..1, H and W multiples of 4."""


def validate(draw: Draw, data: TrainingData) -> dict[str, float] | None:
    """Score the generator on what was kept for validation.

    Args:
        draw: the generator.
        data: with `checks`.

    Returns:
        `score`, the higher the better, and what it is made of. With pairs: the mean of `ssim` and `correlation` with
        what was measured, each corpus counted alike. Without: `edges`, the agreement of outlines with the RGB image, as
        far as `ENOUGH`; less `distance`, the mean over the six statistics of the distance to the real infrared images,
        in their standard deviations; less what `classifier`, the share of views that a random forest tells right, is
        above chance. Views are looked at as by the scores (`unpaired.Looked`). None where too little was kept.
    """
    if not data.validates():
        return None
    if pairs := _spread(data.checks["pairs"]):
        return _paired(draw, data, pairs)
    return _unpaired(draw, data, _spread(data.checks["visible"]), _spread(data.checks["infrared"]))


def _paired(draw: Draw, data: TrainingData, entries: Sequence[Entry]) -> dict[str, float]:
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for entry in entries:
        pair = decoded(data.store, entry)
        drawn = drawn_middle(draw, pair.rgb)
        a, b = (torch.from_numpy(view.astype(np.float64) / 255)[None, None] for view in (drawn, middle(pair.ir)))
        found[entry.key.partition("/")[0]].append((float(ssim(a, b)), float(pearson(a, b))))
    of_corpora = [np.mean(scores, axis=0) for scores in found.values()]
    likeness, correlation = (float(value) for value in np.mean(of_corpora, axis=0))
    return {"score": (likeness + correlation) / 2, "ssim": likeness, "correlation": correlation}


def _unpaired(draw: Draw, data: TrainingData, visible: Sequence[Entry], infrared: Sequence[Entry]) -> dict[str, float]:
    n = min(len(visible), len(infrared))
    visible, infrared = visible[:n], infrared[:n]
    drawn, edges = [], []
    for entry in visible:
        assert entry.rgb is not None
        rgb = data.store.visible(entry.rgb, entry.key)
        drawn.append(drawn_middle(draw, rgb))
        edges.append(structure(drawn[-1], middle(rgb)))
    real = [middle(data.store.infrared(entry.ir, entry.key)) for entry in infrared if entry.ir]
    side = min(min(view.shape) for view in (*drawn, *real)) // 4 * 4
    ours, theirs = Looked(side, None), Looked(side, None)
    for looked, views in ((ours, drawn), (theirs, real)):
        for view in views:
            looked.add(view)
    distances = []
    for name, least in LEAST_UNIT.items():
        apart, _ = gaps({"drawn": ours.statistics[name]}, theirs.statistics[name], least=least)
        distances.append(apart["drawn"].mean)
    agreement, distance = float(np.mean(edges)), float(np.mean(distances))
    groups = [TILE.sub("", entry.key) for entry in (*visible, *infrared)]
    told = c2st.told_apart(ours.features, theirs.features, groups)
    right = 1.0 if isinstance(told, str) else float(np.mean(told))  # too few to tell: the same for all weights
    score = min(agreement, ENOUGH) - distance - max(0.0, right - 0.5)
    return {"score": score, "edges": agreement, "distance": distance, "classifier": right}


def drawn_middle(draw: Draw, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of an RGB image drawn as infrared: uint8 [H, W, 3] -> uint8 [h, w]."""
    x = torch.from_numpy(np.ascontiguousarray(middle(rgb).transpose(2, 0, 1)))[None].float() / 127.5 - 1
    drawn = draw(x)[0, 0].float().cpu()
    view: NDArray[np.uint8] = ((drawn + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    return view


def middle(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of [H, W, ...], at most `SIDE` on a side, the sides multiples of 4."""
    height, width = (min(SIDE, side - side % 4) for side in image.shape[:2])
    y, x = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[y : y + height, x : x + width]


def _spread(entries: Sequence[Entry]) -> list[Entry]:
    step = max(1, -(-len(entries) // MOST))
    return list(entries[::step])
