"""The record of a pool that looks most like one: what the control `copy-nearest` copies from."""

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder import pixels
from fusionrs_builder.benchmark.records import Record, Records, View
from fusionrs_builder.errors import FusionError

THREADS = 2

BLOCK = 1024
"""Records whose neighbours are looked for at once: with a pool of 100,000, 400 MB of scores."""

SIDE = pixels.LOOK_SIDE**2


class Nearest:
    """By the cosine of the little pictures (`pixels.look`, 16 x 16 means of the luma, less their own mean).

    Args:
        records: that something is asked about.
        pool: that answers are copied from; where it is `records` itself, a record is not its own neighbour.
        view: that is compared. Records without it, or whose picture is damaged, have no neighbour and are nobody's.
    """

    def __init__(self, records: Records, pool: Records, view: View = "infrared") -> None:
        self._records, self._pool, self._view = records, pool, view

    def __call__(self, place: int) -> Record | None:
        """The most alike of the pool, the first of equals; None where there is none."""
        found = self._found.get(place)
        return None if found is None else self._pool[found]

    @cached_property
    def _found(self) -> dict[int, int]:
        """The neighbour of each place."""
        own, places = _looks(self._records, self._view)
        alone = self._pool is self._records
        theirs, of = (own, places) if alone else _looks(self._pool, self._view)
        found: dict[int, int] = {}
        if len(of) <= alone:
            return found
        for start in range(0, len(places), BLOCK):
            scores = own[start : start + BLOCK] @ theirs.T
            if alone:
                scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
            found |= {places[start + n]: of[best] for n, best in enumerate(scores.argmax(axis=1).tolist())}
        return found


def _looks(records: Records, view: View) -> tuple[NDArray[np.float32], list[int]]:
    """[N, 256] of length 1, and the place of each."""

    def look(place: int) -> NDArray[np.float32] | None:
        try:
            found = np.frombuffer(pixels.look(np.asarray(records.picture(place, view))), np.uint8).astype(np.float32)
        except FusionError:
            return None
        found -= found.mean()
        return np.asarray(found / max(float(np.linalg.norm(found)), 1e-6), np.float32)

    having = [place for place, record in enumerate(records) if record.key(view)]
    with ThreadPoolExecutor(THREADS) as threads:
        found = [(place, row) for place, row in zip(having, threads.map(look, having), strict=True) if row is not None]
    rows = np.stack([row for _, row in found]) if found else np.zeros((0, SIDE), np.float32)
    return rows, [place for place, _ in found]
