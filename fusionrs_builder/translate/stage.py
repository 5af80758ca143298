"""The stage `translate`: rgb/ -> ir/, one row for every row, in the same order.

Rows stream: decoding runs ahead on threads, runs of images of one size go through the network in batches for which a
thread waits, encoding and measuring follow on threads. What is in flight is bounded, so memory does not grow with the
shard.

An image of any size that decodes is drawn (Pillow refuses beyond 179 million pixels). A generator needs about
3 x ngf bytes a pixel of a large one, or of the images that are drawn at once: 4 GB for 6,000 px squared at ngf 32.
"""

import functools
import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder import pixels
from fusionrs_builder.errors import FusionError
from fusionrs_builder.schema import arrow_schema
from fusionrs_builder.settings import TranslateSettings
from fusionrs_builder.shards import Row
from fusionrs_builder.stage import Stage, Task, Worker
from fusionrs_builder.translate.quality import ir_quality
from fusionrs_builder.translate.translator import Translator, load_translator, translator_params
from fusionrs_builder.workspace import Workspace

BATCH_SIZE = {"cpu": max(16, os.cpu_count() or 1), "cuda": 64}

BATCH_PIXELS = 16 * 512 * 512
"""A batch is closed at this many pixels whatever its size: what the activations of a network may take."""

SMALLER = 4
"""Out of memory, batches become so many times smaller."""

COLUMNS = ("id", "rgb", "ir", "ir16", "ir_band", "ir_source", "width", "height", "corpus_key")

log = logging.getLogger(__name__)

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Item:
    """A row on its way.

    Attributes:
        row: of the rgb layer, then of the ir layer once `done`.
        done: nothing is left to do but to yield it.
        rgb: uint8 [H, W, 3], to be translated.
        ir: uint8 [H, W], as drawn.
    """

    row: Row
    done: bool = False
    rgb: NDArray[np.uint8] | None = None
    ir: NDArray[np.uint8] | None = field(default=None, repr=False)


@dataclass
class TranslateStage(Stage):
    """Give every record its infrared view: the measured one untouched, else one drawn from its RGB image.

    Attributes:
        settings: what to draw with, and how to store it.
        batch_size: images in the network at once, at most; None: 16 on a CPU (one a core, where there are more), 64 on
            a GPU. Changes no pixel on a CPU, where each image has one thread: fewer leave cores idle.
        threads: that decode and encode; None: as many as processors, 8 at most.
    """

    settings: TranslateSettings
    batch_size: int | None = None
    threads: int | None = None

    name: ClassVar[str] = "translate"
    version: ClassVar[int] = 6
    reads: ClassVar[tuple[str, ...]] = ("rgb",)
    parallel: ClassVar[bool] = False
    writes = "ir"

    def params(self) -> Mapping[str, Any]:
        """Whatever changes the output.

        Raises:
            UsageError: there is no such translator.
            FusionError: its files are damaged, or it cannot be fetched.
        """
        translator = translator_params(self.settings.translator, self.settings.precision)
        control = translator["sha256"] is None
        return {
            "translator": translator,
            "precision": None if control else self.settings.precision,
            "ir_format": self.settings.ir_format,
            "jpeg_quality": pixels.JPEG_QUALITY if self.settings.ir_format == "jpeg" else None,
        }

    def open(self, device: str) -> Worker:
        """The translator is loaded when the first row needs it: a shard of measured rows never pays for torch."""
        load = functools.cache(
            lambda: load_translator(self.settings.translator, device=device, precision=self.settings.precision)
        )
        size = self.batch_size or BATCH_SIZE["cuda" if device.startswith("cuda") else "cpu"]
        threads = self.threads or min(8, os.cpu_count() or 1)
        batches = Batches(load, size)

        def worker(workspace: Workspace, task: Task) -> Iterator[Row]:
            rows = workspace.rows("rgb", task.shard, COLUMNS)
            with (
                ThreadPoolExecutor(threads, "translate") as pool,
                ThreadPoolExecutor(1, "translate-network") as network,
            ):
                decoded = ahead(pool, prepare, rows, cost_of_row, 2 * size)
                # One batch waits while another is in the network: the network never does.
                parts = ahead(network, batches.draw, batches.of(decoded), len, 1)
                drawn = (item for part in parts for item in part)
                finish = functools.partial(finished, load=load, ir_format=self.settings.ir_format)
                yield from (item.row for item in ahead(pool, finish, drawn, cost_of_item, 2 * size))

        return worker


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[T], U], items: Iterable[T], cost: Callable[[T], int], most: int
) -> Iterator[U]:
    """`map(work, items)` on a pool, in order, with at most `most` items and about `BATCH_PIXELS` * 2 pixels in flight.

    Args:
        pool: to work on.
        work: what to do with an item.
        items: taken one by one, as room permits.
        cost: pixels of an item.
        most: items in flight.
    """
    waiting: deque[tuple[Future[U], int]] = deque()
    held = 0
    try:
        for item in items:
            waiting.append((pool.submit(work, item), cost(item)))
            held += waiting[-1][1]
            while len(waiting) > most or (held > 2 * BATCH_PIXELS and len(waiting) > 1):
                future, pixels_of_it = waiting.popleft()
                held -= pixels_of_it
                yield future.result()
        while waiting:
            yield waiting.popleft()[0].result()
    finally:
        for future, _ in waiting:
            future.cancel()


def cost_of_row(row: Row) -> int:
    return int(row["width"] or 0) * int(row["height"] or 0)


def cost_of_item(item: Item) -> int:
    return 0 if item.ir is None else item.ir.size


def prepare(row: Row) -> Item:
    """Finish what needs no network (measured rows, refusals); decode the rest."""
    if row["ir"] is not None:
        return _measured(row)
    if row["rgb"] is None:
        return _refused(row, "no-image", "the record has neither an RGB image nor a measured infrared one")
    try:
        rgb = pixels.rgb_array(row["rgb"]["bytes"] or b"")
    except ValueError as error:
        return _refused(row, "unreadable", f"rgb of {row['id']}: {error}")
    return Item(row, rgb=rgb)


class Batches:
    """Draws runs of neighbours of one size; order is kept.

    Out of memory, it goes on with smaller batches, once, and says so: what does not fit then is an error.

    Args:
        load: gives the translator.
        size: images in a batch, at most.
    """

    def __init__(self, load: Callable[[], Translator], size: int) -> None:
        self.load, self.size, self._shrunk = load, size, False

    def of(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        """Items that are done, one by one, and batches of those that are not."""
        batch: list[Item] = []
        for item in items:
            if batch and not self._fits(batch, item):
                yield batch
                batch = []
            if item.done:
                yield [item]
            else:
                batch.append(item)
        if batch:
            yield batch

    def _fits(self, batch: list[Item], item: Item) -> bool:
        first = batch[0].rgb
        if item.rgb is None or first is None or item.rgb.shape != first.shape or len(batch) >= self.size:
            return False
        return (len(batch) + 1) * (item.rgb.size // 3) <= BATCH_PIXELS

    def draw(self, batch: list[Item]) -> list[Item]:
        """The infrared view of each, where it is not done.

        Raises:
            FusionError: out of memory, in batches that are smaller already.
        """
        if batch[0].done:
            return batch
        drawn: list[Item] = []
        while len(drawn) < len(batch):
            part = batch[len(drawn) : len(drawn) + self.size]
            try:
                drawn += self._drawn(part)
            except (MemoryError, RuntimeError) as error:  # of torch, and of onnxruntime
                if not out_of_memory(error):
                    raise
                self._shrink(part, (str(error).strip() or repr(error)).splitlines()[0])
        return drawn

    def _drawn(self, part: list[Item]) -> list[Item]:
        rgb = np.stack([item.rgb for item in part if item.rgb is not None]).transpose(0, 3, 1, 2)
        drawn = self.load().translate(np.ascontiguousarray(rgb))
        return [replace(item, ir=ir) for item, ir in zip(part, drawn[:, 0], strict=True)]

    def _shrink(self, part: list[Item], reason: str) -> None:
        what = f"out of memory at {len(part)} images of {part[0].row['width']} x {part[0].row['height']} px"
        if self._shrunk or len(part) == 1:
            raise FusionError(
                f"{what} (from {part[0].row['id']}): {reason}: free memory, take fewer --workers or --device cpu, or "
                "download with --tile 512"
            )
        self._shrunk, self.size = True, max(1, len(part) // SMALLER)
        log.warning("%s: going on with %d at once (--batch-size %d starts so)", what, self.size, self.size)


def out_of_memory(error: Exception) -> bool:
    """Whether an error of Python, torch (CPU or GPU) or onnxruntime says that memory is exhausted."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "failed to allocate", "alloc_failed")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


def finished(item: Item, load: Callable[[], Translator], ir_format: str) -> Item:
    """Encode a drawn view and measure it as a reader will decode it."""
    if item.done or item.ir is None:
        return item
    data = pixels.encode_png(item.ir) if ir_format == "png" else pixels.encode_jpeg(item.ir)
    translator = load()
    row = _row(item.row) | {
        "ir": {"bytes": data, "path": safe_name(item.row) + (".png" if ir_format == "png" else ".jpg")},
        "ir_origin": "translated",
        "ir_band": translator.band,
        "ir_source": translator.source,
        **_measures(pixels.gray_array(data), item.rgb),
    }
    return Item(row, done=True)


def _measured(row: Row) -> Item:
    """Pass a measured view through, byte for byte, and say what it is like."""
    try:
        ir = pixels.gray_array(row["ir"]["bytes"] or b"")
        rgb = pixels.rgb_array(row["rgb"]["bytes"] or b"") if row["rgb"] is not None else None
    except ValueError as error:
        return _refused(row, "unreadable", f"measured ir or rgb of {row['id']}: {error}")
    kept = {name: row[name] for name in ("ir", "ir16", "ir_band", "ir_source")}
    return Item(_row(row) | kept | {"ir_origin": "measured"} | _measures(ir, rgb), done=True)


def _measures(ir: NDArray[np.uint8], rgb: NDArray[np.uint8] | None) -> Row:
    return {
        "ir_sha256": pixels.pixel_sha256(ir),
        "ir_phash": pixels.phash64(ir),
        "ir_look": pixels.look(ir),
        "ir_quality": ir_quality(ir, rgb),
    }


def _refused(row: Row, code: str, message: str) -> Item:
    return Item(_row(row) | {"reason": f"{code}: {message}"}, done=True)


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(arrow_schema("ir").names)


def _row(row: Row) -> Row:
    """A row of the ir layer with its id and nothing else yet."""
    return {**dict.fromkeys(_names()), "id": row["id"]}


def safe_name(row: Row) -> str:
    """The publisher's key as a file name without an ending: other than letters, digits, `.`, `_` and `-` become `_`."""
    return re.sub(r"[^\w.-]+", "_", row["corpus_key"] or row["id"], flags=re.ASCII)
