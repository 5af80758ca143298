"""The batches of a training, made ahead on threads; batch k depends on the seed and k alone, so a run can go on."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionrs_builder.translate import training_data
from fusionrs_builder.translate.augment import change_light, crop, dithered, expose, veil
from fusionrs_builder.translate.domains import Store
from fusionrs_builder.translate.networks import with_context
from fusionrs_builder.translate.objectives.objective import Batch
from fusionrs_builder.translate.training_data import Domain, Entry, TrainingData

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
    context: Domain | None,
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
        context: pairs for the images of a batch that the ResNet draws (`networks.with_context`), in fair weather; None:
            all pairs are for all images.
        size: images a batch, asked for each time.
        side: of the crops, pixels.
        radiometric: strength of `augment.change_light` on the visible side.
        exposure: share of the pairs, but for those drawn from `context`, that get less light, `augment.expose`.
        clouds: share of them that get clouds, `augment.veil`.
        unpaired: fill `visible` and `infrared`; else they are the pair.
        seed: of all chance.
        rank: of this process among those that train together.
    """
    own_keys = {entry.key for entry in context.all()} if context is not None else set()

    def seen(rgb: Tensor, rng: np.random.Generator) -> Tensor:
        return dithered(change_light(rgb, radiometric, rng), rng) * 2 - 1

    def made(step: int) -> Batch:
        rng = chance(seed, DATA, step, rank)
        n = size()
        pair = familiar = None
        if len(data.pairs):
            own = with_context(n) if context is not None else 0
            entries = [(context or data.pairs).draw(rng) for _ in range(own)]
            entries += [data.pairs.draw(rng) for _ in range(n - own)]
            both = [_pair(data.store, entry, side, rng) for entry in entries]
            fair = [True] * n
            for at in range(own, n):
                both[at], fair[at] = _weather(both[at], exposure, clouds, rng)
            rgb, ir = _tensor([each[..., :3] for each in both]), _tensor([each[..., 3:] for each in both])
            pair = (seen(rgb, rng), ir * 2 - 1)
            if context is not None:
                familiar = torch.tensor([e.key in own_keys and ok for e, ok in zip(entries, fair, strict=True)]).float()
        if pair and not unpaired:
            return Batch(*pair, pair, familiar)
        rgb = _tensor([crop([_visible(data, rng)], side, rng) for _ in range(n)])
        ir = _tensor([crop([_infrared(data, rng)], side, rng) for _ in range(n)])
        return Batch(seen(rgb, rng), dithered(ir, rng) * 2 - 1, pair)

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


def _pair(store: Store, entry: Entry, side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 [side, side, 4]: R, G, B and the infrared."""
    pair = training_data.decoded(store, entry)
    return crop([pair.rgb, pair.ir], side, rng)


def _weather(
    both: NDArray[np.uint8], exposure: float, clouds: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], bool]:
    """Clouds before less light: the sun shines on them too. And whether it stayed fair."""
    veiled = rng.random() < clouds
    if veiled:
        both = veil(both, rng)
    darker = rng.random() < exposure
    return expose(both, rng) if darker else both, not (veiled or darker)


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
