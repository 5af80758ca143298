"""Where a translator's training images come from: folders of images, workspaces, and releases as `push` makes them.

Nothing is decoded before it is asked for, and what was read out of Parquet waits in a scratch file, so that memory does
not grow with the data.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cachetools import LRUCache, cachedmethod
from numpy.typing import NDArray

from fusionrs_builder import pixels
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.workspace import Workspace

HUB = "hf://"

IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")

COLUMNS = ("corpus", "corpus_key", "rgb", "ir", "ir_band", "ir_source", "license", "attribution")


class Source(NamedTuple):
    """What the card has to say of the data of one corpus."""

    corpus: str
    license: str
    attribution: str
    sensor: str


class Record(NamedTuple):
    """A scene, its images still encoded.

    Attributes:
        key: `<corpus>/<corpus_key>`; of a folder, `<its name>/<path without ending>`.
        source: of the corpus.
        rgb: file or bytes of the RGB image; None where there is none.
        ir: file or bytes of the infrared image a sensor measured, of the band that was asked for; None likewise.
    """

    key: str
    source: Source
    rgb: Path | bytes | None
    ir: Path | bytes | None


def records(place: str, band: str, role: str) -> Iterator[Record]:
    """The records of a folder of images, a workspace, or a release.

    Args:
        place: a folder, or `hf://ORG/NAME[@REVISION]` of a release.
        band: infrared images of other bands, and drawn ones, are passed over.
        role: what the images of a mere folder are: `visible` or `infrared`.

    Raises:
        UsageError: there is no such folder, or nothing in it that could be read.
        FusionError: a file of it is damaged, or it cannot be fetched.
    """
    folder = _fetched(place) if place.startswith(HUB) else Path(place).expanduser()
    if not folder.is_dir():
        raise UsageError(f"{place} is no folder: name a folder of images, a workspace, a release or hf://ORG/NAME")
    if any(folder.glob("rgb/*.parquet")):
        workspace = Workspace.open(folder)
        rows = (row for shard in workspace.shards("rgb") for row in workspace.rows("rgb", shard, COLUMNS))
        return (_of_row(row, band) for row in rows)
    if release := sorted(folder.rglob("*.parquet")):
        return (_of_row(row, band) for file in release for row in _rows(file))
    return _of_images(folder, role)


def _of_row(row: dict[str, Any], band: str) -> Record:
    """A row of the rgb layer or of a release. In the rgb layer there is no `ir_origin`: all was measured."""
    measured = row["ir"] is not None and row["ir_band"] == band and row.get("ir_origin") in (None, "measured")
    source = Source(*(row[name] or "" for name in ("corpus", "license", "attribution", "ir_source")))
    rgb, ir = (row[name]["bytes"] if row[name] is not None else None for name in ("rgb", "ir"))
    return Record(f"{row['corpus']}/{row['corpus_key']}", source, rgb, ir if measured else None)


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    try:
        parquet = pq.ParquetFile(file)
        missing = {*COLUMNS, "ir_origin"} - set(parquet.schema_arrow.names)
        if missing:
            raise UsageError(f"{file} lacks the columns {', '.join(sorted(missing))}: it is not of a release")
        for group in range(parquet.num_row_groups):
            yield from parquet.read_row_group(group, columns=[*COLUMNS, "ir_origin"]).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise FusionError(f"{file} cannot be read ({error}): fetch it again") from error


def _of_images(folder: Path, role: str) -> Iterator[Record]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES and path.is_file())
    if not files:
        raise UsageError(f"{folder} holds no image ({', '.join(IMAGES)}) and no Parquet file: correct its name")
    source = Source(folder.resolve().name, "", "", "")
    for file in files:
        key = f"{source.corpus}/{file.relative_to(folder).with_suffix('').as_posix()}"
        yield Record(key, source, *((file, None) if role == "visible" else (None, file)))


def _fetched(place: str) -> Path:
    """The Parquet files of a release on the Hub, in the Hugging Face cache."""
    from huggingface_hub import snapshot_download

    name, _, revision = place.removeprefix(HUB).partition("@")
    try:
        return Path(
            snapshot_download(name, repo_type="dataset", revision=revision or None, allow_patterns=["*.parquet"])
        )
    except Exception as error:  # the library's errors, and those of what it stands on, have no common ancestor
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise FusionError(f"could not fetch {place}: {reason}: check the name, the network and your login") from error


class Kept(NamedTuple):
    """Where an encoded image waits: a file, or a place in the scratch file."""

    path: Path | None
    start: int = 0
    length: int = 0


Decode = Callable[[bytes], NDArray[np.uint8]]

DECODED_BYTES = 1 << 30
"""Of decoded images that a store holds in memory: a crop of a large scene costs the decoding of all of it."""


class Store:
    """Encoded images by the thousand at a few bytes of memory each; safe to read from several threads.

    Arrays it gives are shared, and cannot be written to.
    """

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the store
        self._end = 0
        self._recent: LRUCache[Hashable, NDArray[np.uint8]] = LRUCache(
            DECODED_BYTES, getsizeof=lambda each: each.nbytes
        )
        self._lock = threading.Lock()

    def keep(self, image: Path | bytes) -> Kept:
        if isinstance(image, Path):
            return Kept(image, length=image.stat().st_size)
        self._scratch.write(image)
        self._scratch.flush()
        self._end += len(image)
        return Kept(None, self._end - len(image), len(image))

    def bytes(self, kept: Kept) -> bytes:
        if kept.path is not None:
            try:
                return kept.path.read_bytes()
            except OSError as error:
                raise FusionError(f"{kept.path} cannot be read: {error}") from error
        return os.pread(self._scratch.fileno(), kept.length, kept.start)

    def visible(self, kept: Kept, key: str) -> NDArray[np.uint8]:
        """uint8 [H, W, 3].

        Raises:
            FusionError: it is no image that could be decoded.
        """
        return self._decoded(pixels.rgb_array, kept, key)

    def infrared(self, kept: Kept, key: str) -> NDArray[np.uint8]:
        """uint8 [H, W].

        Raises:
            FusionError: it is no image that could be decoded, or its channels differ: a picture in colours.
        """
        return self._decoded(_one_channel, kept, key)

    @cachedmethod(lambda store: store._recent, lock=lambda store: store._lock)
    def _decoded(self, decode: Decode, kept: Kept, key: str) -> NDArray[np.uint8]:
        try:
            array = decode(self.bytes(kept))
        except ValueError as error:
            where = kept.path or f"record {key}"
            raise FusionError(f"{where}: {error}; mend it, or leave it out, and train into a new folder") from None
        if min(array.shape[:2]) < LEAST:
            size = f"{array.shape[1]} x {array.shape[0]}"
            raise FusionError(f"{kept.path or f'record {key}'}: {size} pixels; a side must have {LEAST}: leave it out")
        array.flags.writeable = False
        return array


LEAST = 16
"""Pixels of the shorter side below which a generator has nothing to look at."""


CHANNEL_TOLERANCE = 8
"""Grey levels by which the channels of a grey image may differ after lossy coding."""


def _one_channel(data: bytes) -> NDArray[np.uint8]:
    colour = pixels.rgb_array(data)
    if int((colour.max(-1) - colour.min(-1)).max(initial=0)) > CHANNEL_TOLERANCE:
        raise ValueError("an infrared image whose channels differ: a picture in false colours?")
    return np.ascontiguousarray(colour[..., 1])
