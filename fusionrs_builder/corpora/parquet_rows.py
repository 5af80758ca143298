"""Single rows of Parquet files whose images are too many to hold: a worker asks for rows one after the other.

A row group of ordinary size is kept whole, and the last ones stay, since keys need not follow the order of rows. A
large one is streamed, a few rows at a time: cheap while rows are asked for in order.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

KEPT_BYTES = 256 * 1024 * 1024
"""Row groups kept, at most; a larger one is streamed."""

BATCH = 16
"""Rows of a large row group held at once."""

BUFFER = 1024 * 1024
"""Bytes read ahead from a large row group, in place of all of a column."""


class ParquetRows:
    """Rows of the Parquet files below a folder.

    Args:
        root: the folder.
        columns: what to read of a row of a file.
    """

    def __init__(self, root: Path, columns: Callable[[str], list[str]]) -> None:
        self.root, self.columns = root, columns
        self._kept: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()
        self._large: tuple[tuple[str, int], int, Iterator[pa.RecordBatch]] | None = None
        self._batch: pa.RecordBatch | None = None

    def row(self, path: str, group: int, row: int) -> dict[str, Any]:
        """One row: value by column.

        Raises:
            OSError, pyarrow.ArrowException: it cannot be read.
        """
        place = (path, group)
        if place in self._kept:
            self._kept.move_to_end(place)
        elif self._large and self._large[0] == place:
            return self._streamed(place, row)
        else:
            with pq.ParquetFile(self.root / path) as file:
                if file.metadata.row_group(group).total_byte_size > KEPT_BYTES:
                    return self._streamed(place, row)
                self._kept[place] = file.read_row_group(group, columns=self.columns(path))
            while len(self._kept) > 1 and sum(table.nbytes for table in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)
        return _only(self._kept[place].slice(row, 1))

    def _streamed(self, place: tuple[str, int], row: int) -> dict[str, Any]:
        """One row of a large row group, from where the last one was; from its start where that lies behind."""
        if self._large is None or self._large[0] != place or self._batch is None or row < self._large[1]:
            file = pq.ParquetFile(self.root / place[0], buffer_size=BUFFER, pre_buffer=False)
            batches = file.iter_batches(BATCH, row_groups=[place[1]], columns=self.columns(place[0]), use_threads=False)
            self._batch = next(batches)
            self._large = (place, 0, batches)
        _, start, batches = self._large
        while row >= start + self._batch.num_rows:
            start += self._batch.num_rows
            self._batch = next(batches)
        self._large = (place, start, batches)
        return _only(self._batch.slice(row - start, 1))


def _only(table: pa.Table | pa.RecordBatch) -> dict[str, Any]:
    (row,) = table.to_pylist()
    return dict(row)
