"""The stage `translate`: rgb/ -> ir/, one row for every row, in the same order.

Rows stream: decoding runs ahead on threads, runs of images of one size go through the network in batches, encoding and
measuring follow on threads. What is in flight is bounded, so memory does not grow with the shard.
"""

import functools
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
from fusionrs_builder.config import TranslateSettings
from fusionrs_builder.schema import arrow_schema
from fusionrs_builder.shards import Row
from fusionrs_builder.stage import Stage, Task, Worker
from fusionrs_builder.translate.quality import ir_quality
from fusionrs_builder.translate.translator import Translator, load_translator, translator_params
from fusionrs_builder.workspace import Workspace

BATCH_SIZE = {"cpu": 16, "cuda": 64}

BATCH_PIXELS = 16 * 512 * 512
"""A batch is closed at this many pixels whatever its size: what the activations of a network may take."""

MAX_PIXELS = 4096 * 4096
"""A larger image does not fit the network's activations into ordinary memory; it is refused with advice."""

COLUMNS = ("id", "rgb", "ir", "ir16", "ir_band", "ir_source", "width", "height", "corpus_key")

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
        batch_size: images in the network at once, at most; None: 16 on a CPU, 64 on a GPU. Changes no pixel on a CPU.
        threads: that decode and encode; None: as many as processors, 8 at most.
    """

    settings: TranslateSettings
    batch_size: int | None = None
    threads: int | None = None

    name: ClassVar[str] = "translate"
    version: ClassVar[int] = 2
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

        def worker(workspace: Workspace, task: Task) -> Iterator[Row]:
            rows = workspace.rows("rgb", task.shard, COLUMNS)
            with ThreadPoolExecutor(threads, "translate") as pool:
                decoded = ahead(pool, prepare, rows, cost_of_row, 2 * size)
                drawn = draw(decoded, load, size)
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
    if rgb.shape[0] * rgb.shape[1] > MAX_PIXELS:
        size = f"{rgb.shape[1]} x {rgb.shape[0]} px"
        return _refused(row, "too-large", f"rgb of {row['id']} has {size}: download its corpus with --tile 512")
    return Item(row, rgb=rgb)


def draw(items: Iterable[Item], load: Callable[[], Translator], size: int) -> Iterator[Item]:
    """Draw the infrared view of runs of neighbours of one size; order is kept.

    Args:
        items: prepared.
        load: gives the translator.
        size: images in a batch, at most.
    """
    batch: list[Item] = []
    for item in items:
        if batch and not _fits(batch, item, size):
            yield from _drawn(batch, load)
            batch = []
        if item.done:
            yield item
        else:
            batch.append(item)
    yield from _drawn(batch, load)


def _fits(batch: list[Item], item: Item, size: int) -> bool:
    first = batch[0].rgb
    if item.rgb is None or first is None or item.rgb.shape != first.shape or len(batch) >= size:
        return False
    return (len(batch) + 1) * (item.rgb.size // 3) <= BATCH_PIXELS


def _drawn(batch: list[Item], load: Callable[[], Translator]) -> Iterator[Item]:
    if batch:
        rgb = np.stack([item.rgb for item in batch if item.rgb is not None]).transpose(0, 3, 1, 2)
        for item, ir in zip(batch, load().translate(np.ascontiguousarray(rgb))[:, 0], strict=True):
            yield replace(item, ir=ir)


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
