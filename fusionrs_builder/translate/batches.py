"""The batches of a training, made ahead on threads; batch k depends on the seed and k alone, so a run can go on."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionrs_builder.translate import training_data
from fusionrs_builder.translate.augment import change_light, crop, expose, veil
from fusionrs_builder.translate.objectives.objective import Batch
from fusionrs_builder.translate.training_data import TrainingData

AHEAD = 4
"""Batches made ahead."""

DATA, STEP = 0, 1
"""Streams of chance: what is drawn from the data, and what happens in a step."""


def chance(seed: int, stream: int, step: int, rank: int = 0) -> np.random.Generator:
    """The source of chance of one step."""
    return np.random.default_rng((seed, stream, step, rank))


def batches(
    data: TrainingData,
    start: int,
    *,
    size: Callable[[], int],
    side: int,
    radiometric: float,
    exposure: float,
    clouds: float,
    unpaired: bool,
    seed: int,
    rank: int = 0,
) -> Generator[Batch, None, None]:
    """Batches without an end, from that of step `start` on, in order.

    Args:
        data: to draw from.
        start: the first step.
        size: images a batch, asked for each time.
        side: of the crops, pixels.
        radiometric: strength of `augment.change_light` on the visible side.
        exposure: share of the pairs that get less light, `augment.expose`.
        clouds: share of the pairs that get clouds, `augment.veil`.
        unpaired: fill `visible` and `infrared`; else they are the pair.
        seed: of all chance.
        rank: of this process among those that train together.
    """

    def made(step: int) -> Batch:
        rng = chance(seed, DATA, step, rank)
        n = size()
        pair = None
        if len(data.pairs):
            both = [_weather(_pair(data, side, rng), exposure, clouds, rng) for _ in range(n)]
            rgb, ir = _tensor([each[..., :3] for each in both]), _tensor([each[..., 3:] for each in both])
            pair = (change_light(rgb, radiometric, rng) * 2 - 1, ir * 2 - 1)
        if pair and not unpaired:
            return Batch(*pair, pair)
        rgb = _tensor([crop([_visible(data, rng)], side, rng) for _ in range(n)])
        ir = _tensor([crop([_infrared(data, rng)], side, rng) for _ in range(n)])
        return Batch(change_light(rgb, radiometric, rng) * 2 - 1, ir * 2 - 1, pair)

    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(2, "batches") as pool:
        try:
            step = start
            while True:
                while len(waiting) < AHEAD:
                    waiting.append(pool.submit(made, step))
                    step += 1
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _pair(data: TrainingData, side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 [side, side, 4]: R, G, B and the infrared."""
    pair = training_data.decoded(data.store, data.pairs.draw(rng))
    return crop([pair.rgb, pair.ir], side, rng)


def _weather(both: NDArray[np.uint8], exposure: float, clouds: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Clouds before less light: the sun shines on them too."""
    if rng.random() < clouds:
        both = veil(both, rng)
    return expose(both, rng) if rng.random() < exposure else both


def _visible(data: TrainingData, rng: np.random.Generator) -> NDArray[np.uint8]:
    entry = data.visible.draw(rng)
    assert entry.rgb is not None
    return data.store.visible(entry.rgb, entry.key)


def _infrared(data: TrainingData, rng: np.random.Generator) -> NDArray[np.uint8]:
    entry = data.infrared.draw(rng)
    assert entry.ir is not None
    return data.store.infrared(entry.ir, entry.key)


def _tensor(images: list[NDArray[np.uint8]]) -> Tensor:
    """uint8 [S, S, C] each -> float [N, C, S, S] in 0..1."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(255).contiguous()
