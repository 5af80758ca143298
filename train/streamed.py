"""Rows of a release as they come, without a copy on the disk."""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import datasets
import fsspec
import pyarrow.parquet as pq

from fusionrs_builder import load
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release.transforms import COLUMNS, VIEWS
from train.columns import captionless, kinds, require, sources
from train.samples import Batch, DataSettings, Row, decoded

BUFFER = 2048
"""Encoded rows among which the next is drawn when streaming; about 100 KB each."""

AHEAD = 2
"""Batches made ahead by each thread."""


class Streamed:
    """Rows as they come, shuffled through a buffer, decoded in threads. How many they are is told by the footers."""

    def __init__(self, settings: DataSettings, part: slice) -> None:
        self._settings, self._part = settings, part
        try:
            rows = load(settings.data, settings.split, streaming=True, columns=list(COLUMNS))
        except ValueError as error:  # of `datasets`: no such split
            raise UsageError(f"{settings.data}: split {settings.split}: {error}") from None
        values, nulls = Counter[str](), Counter[str]()
        self.count, self._files = 0, list[tuple[str, int, int]]()
        for file in datasets.load_dataset_builder(settings.data, "default").config.data_files[settings.split]:
            with fsspec.open(file) as handle:
                footer = pq.read_metadata(handle)
            require(footer.schema.to_arrow_schema().names, settings)
            self.count += footer.num_rows
            sizes = [footer.row_group(group).total_byte_size for group in range(footer.num_row_groups)]
            self._files.append((file.rpartition("/")[2], footer.num_rows, sum(sizes)))
            for group in range(footer.num_row_groups):
                for leaf in map(footer.row_group(group).column, range(footer.num_columns)):
                    values[leaf.path_in_schema] += leaf.num_values
                    nulls[leaf.path_in_schema] += leaf.statistics.null_count if leaf.statistics else 0
        for kind in kinds(settings):
            if values[f"{kind}.list.element"] == nulls[f"{kind}.list.element"]:
                raise captionless(kind, settings)
        if settings.infrared != "infrared":
            self.count -= nulls["rgb.bytes"]
        for view in VIEWS:
            rows = rows.cast_column(view, datasets.Image(decode=False))
        self._rows = rows

    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(self._files).encode()).hexdigest()

    def batches(self, epoch: int, wanted: range) -> Generator[Batch, None, None]:
        settings, size = self._settings, self._settings.batch_size
        # With several files at once `datasets` sleeps for 5 s after the first rows.
        shuffled = self._rows.shuffle(seed=settings.seed, buffer_size=BUFFER, max_buffer_input_shards=1)
        shuffled.set_epoch(epoch)
        shown = (row for row in shuffled if any(row[view] for view in sources(settings)))
        rows = islice(shown, wanted.start * size, None)
        waiting: deque[Future[Batch]] = deque()

        def made(read: Future[list[Row]]) -> Batch:
            found = read.result()
            if len(found) < size:
                raise FusionError(
                    f"{settings.data}: {settings.split} ended before the {self.count:,} rows that its files speak of: "
                    "run `fusionrs-build check`, or read it without streaming"
                )
            return decoded(found[self._part], epoch, settings)

        threads = max(settings.workers, 1)
        reader, decoders = ThreadPoolExecutor(1), ThreadPoolExecutor(threads)
        try:
            for _ in wanted:
                read = reader.submit(lambda: list(islice(rows, size)))
                waiting.append(decoders.submit(made, read))
                if len(waiting) > AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            reader.shutdown(cancel_futures=True)
            decoders.shutdown(cancel_futures=True)
