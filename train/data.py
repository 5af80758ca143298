"""The release as batches of tensors, for contrastive training of visible images, infrared images and text.

How it works. Encoded rows are drawn in an order that (seed, epoch) alone fixes, and each rank takes its part of every
batch. Workers decode, crop and turn it as bytes, a sixth of what floats would take on their way; floats are made of
them on the device of the training. All other chance (captions, crops, turns) is a hash of (seed, epoch, id). So a batch
is the same whatever the number of workers, and a run can go on at any batch.
"""

import contextlib
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from typing import Any, get_args

import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fusionrs_builder.benchmark.records import Inputs
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release.load import load_split
from fusionrs_builder.release.transforms import COLUMNS
from train.columns import captionless, kinds, require, rows_sha256, sources
from train.samples import Batch, Captions, DataSettings, decoded
from train.streamed import Streamed
from train.workers import died

AHEAD = 2
"""Batches made ahead by each worker."""


class Loader:
    """One split as batches, `len` of them an epoch: the last incomplete one is dropped. One epoch runs at a time."""

    def __init__(
        self,
        settings: DataSettings,
        mean: Sequence[float],
        std: Sequence[float],
        rank: int = 0,
        world: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        """Open the split.

        Args:
            settings: what to read.
            mean: of R, G and B in 0..1.
            std: likewise.
            rank: of this process among those that train together.
            world: how many there are.
            device: where the tensors are put.

        Raises:
            UsageError: a setting is wrong, the release or the split is not there, or it has fewer rows than a batch or
                no captions at all.
            FusionError: a column is missing.
        """
        _check(settings, world)
        self._device = torch.device(device)
        # (x / 255 - mean) / std
        self._scale = [1 / (255 * each) for each in std]
        self._shift = [torch.tensor(-m / s, device=self._device) for m, s in zip(mean, std, strict=True)]
        share = settings.batch_size // world
        part = slice(rank * share, (rank + 1) * share)
        self._source = (
            Streamed(settings, part) if settings.streaming else _Mapped(settings, part, self._device.type == "cuda")
        )
        self._batches = self._source.count // settings.batch_size
        if not self._batches:
            raise UsageError(
                f"{settings.data}: {settings.split} has {self._source.count:,} rows to show, fewer than the "
                f"{settings.batch_size:,} of a batch: lower batch_size, or build a larger release"
            )

    def __len__(self) -> int:
        return self._batches

    @property
    def sha256(self) -> str:
        """Of the rows: their ids, pixels and captions in order; of streamed ones, of their files' names and sizes."""
        return self._source.sha256()

    def epoch(self, number: int, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from one of them on.

        Raises:
            FusionError: an image cannot be decoded, or a worker died.
        """
        with contextlib.closing(self._source.batches(number, range(start_batch, len(self)))) as batches:
            for batch in batches:
                rgb, infrared = self._floats(batch.rgb, batch.has_rgb), self._floats(batch.infrared, batch.has_infrared)
                yield Batch(*map(self._moved, batch._replace(rgb=rgb, infrared=infrared)))

    def _moved(self, value: Any) -> Any:
        return value.to(self._device, non_blocking=True) if isinstance(value, Tensor) else value

    def _floats(self, view: Tensor, there: Tensor) -> Tensor:
        """uint8 [N, 1 or 3, S, S] -> float32 [N, 3, S, S], one pass a channel; zeros for a view that is not there."""
        view = self._moved(view)
        found = torch.empty(len(view), 3, *view.shape[2:], device=self._device)
        for channel, (scale, shift) in enumerate(zip(self._scale, self._shift, strict=True)):
            torch.add(shift, view[:, channel % view.shape[1]], alpha=scale, out=found[:, channel])
        return found if there.all() else found.mul_(self._moved(there)[:, None, None, None])


class _Mapped:
    """Rows by their place, from the copy that `datasets` keeps on the disk, decoded in processes."""

    def __init__(self, settings: DataSettings, part: slice, pin: bool) -> None:
        rows = load_split(settings.data, settings.split)
        require(rows.column_names, settings)
        column = rows.data.column
        for kind in kinds(settings):
            if not pc.max(pc.list_value_length(column(kind))).as_py():
                raise captionless(kind, settings)
        shown = [column(view).is_valid().to_numpy() for view in sources(settings)]
        places = np.flatnonzero((np.logical_and if settings.pairs else np.logical_or).reduce(shown))
        self._rows = rows
        self.count = len(places)
        self._order = _Order(places, part, settings)
        self._loader: DataLoader[Any] = DataLoader(
            _Decoded(rows.select_columns(list(COLUMNS)), settings),
            batch_size=None,
            sampler=self._order,
            num_workers=settings.workers,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # that of the training must be as it was when a run goes on
            pin_memory=pin,
            persistent_workers=settings.workers > 0,
            prefetch_factor=AHEAD if settings.workers else None,
        )

    def sha256(self) -> str:
        return rows_sha256(self._rows)

    def batches(self, epoch: int, wanted: range) -> Generator[Batch, None, None]:
        self._order.epoch, self._order.wanted = epoch, wanted
        before = signal.getsignal(signal.SIGCHLD)
        found = iter(self._loader)
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGCHLD, before)  # torch's handler of a worker's death raises amid whatever runs then
        while True:
            try:
                batch = next(found, None)
            except (RuntimeError, OSError, EOFError) as error:
                if told := died(error, self._loader.num_workers):
                    raise told from error
                raise
            if batch is None:
                return
            if isinstance(batch, str):
                raise FusionError(batch)
            yield batch


class _Order(Sampler[tuple[int, list[int]]]):
    """The epoch, and the places of the rows of each batch of it."""

    def __init__(self, places: NDArray[np.int64], part: slice, settings: DataSettings) -> None:
        self.epoch, self.wanted = 0, range(0)
        self._places, self._part, self._settings = places, part, settings

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        order = np.random.default_rng((self._settings.seed, self.epoch)).permutation(self._places)
        size = self._settings.batch_size
        for number in self.wanted:
            yield self.epoch, order[number * size : (number + 1) * size][self._part].tolist()


class _Decoded(Dataset[Any]):
    """Batches by what `_Order` gives. An error is handed on as its message, into which torch would put a traceback."""

    def __init__(self, rows: Any, settings: DataSettings) -> None:
        self._rows, self._settings = rows, settings

    def __getitem__(self, batch: tuple[int, list[int]]) -> Batch | str:
        epoch, places = batch
        columns = self._rows[places]
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        try:
            return decoded(rows, epoch, self._settings)
        except FusionError as error:
            return str(error)


def _as_it_is(batch: Any) -> Any:
    return batch


def _check(settings: DataSettings, world: int) -> None:
    for name, least in (("batch_size", 1), ("image_size", 1), ("workers", 0), ("seed", 0)):
        if getattr(settings, name) < least:
            raise UsageError(f"{name} = {getattr(settings, name)}: give {least} or more")
    for name, known in (("infrared", get_args(Inputs)), ("captions", get_args(Captions))):
        if getattr(settings, name) not in known:
            raise UsageError(f"{name} = {getattr(settings, name)!r}: give one of {', '.join(known)}")
    if settings.pairs and settings.streaming:
        raise UsageError("pairs cannot be told from the others when streaming: leave one of the two out")
    if settings.batch_size % world:
        raise UsageError(f"batch_size = {settings.batch_size} cannot be shared by {world} processes: give a multiple")
