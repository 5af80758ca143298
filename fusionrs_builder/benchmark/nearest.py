"""The record of a pool that looks most like one: what the control `copy-nearest` copies from."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder import pixels
from fusionrs_builder.benchmark.records import Record, Records, View

THREADS = 2


class Nearest:
    """By the cosine of the little pictures (`pixels.look`, 16 x 16 means of the luma, less their own mean).

    Args:
        records: that something is asked about.
        pool: that answers are copied from; where it is `records` itself, a record is not its own neighbour.
        view: that is compared. Records without it have no neighbour and are nobody's.
    """

    def __init__(self, records: Records, pool: Records, view: View = "infrared") -> None:
        self._pool = pool
        self._own, self._mine = _looks(records, view)
        self._theirs, self._places = (self._own, self._mine) if pool is records else _looks(pool, view)

    def __call__(self, place: int) -> Record | None:
        """The most alike of the pool, the first of equals; None where there is none."""
        if place not in self._mine or not self._places:
            return None
        scores = self._theirs @ self._own[self._mine[place]]
        if self._own is self._theirs:
            scores[self._mine[place]] = -np.inf
            if len(scores) == 1:
                return None
        record: Record = self._pool[list(self._places)[int(scores.argmax())]]
        return record


def _looks(records: Records, view: View) -> tuple[NDArray[np.float32], dict[int, int]]:
    """[N, 256] of length 1, and the row of each place that has the view."""
    places = [place for place, record in enumerate(records) if record.key(view)]

    def look(place: int) -> NDArray[np.float32]:
        found = np.frombuffer(pixels.look(np.asarray(records.picture(place, view))), np.uint8).astype(np.float32)
        found -= found.mean()
        return np.asarray(found / max(float(np.linalg.norm(found)), 1e-6), np.float32)

    with ThreadPoolExecutor(THREADS) as threads:
        rows = list(threads.map(look, places))
    return (np.stack(rows) if rows else np.zeros((0, 256), np.float32)), {place: n for n, place in enumerate(places)}
