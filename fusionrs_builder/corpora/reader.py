"""What a reader of an annotation format is: it lists the items of a corpus, and reads one.

A reader neither resizes, encodes nor hashes: `harmonise.py` turns what it reads into a row. A new format is a subclass
with `items` and `read`, in a file of its own in `formats/`.
"""

import fnmatch
import json
import os
import posixpath
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusionrs_builder.errors import FusionError
from fusionrs_builder.settings import CorpusSettings

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2")
RASTER_SUFFIXES = (".tif", ".tiff", ".gtif", ".jp2", ".vrt", ".img")

ORIENTATION = 0x0112
"""The Exif tag that says how the camera was held."""

SPLITS = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "testset"), "test"),
}
"""What publishers call the three splits."""

Window = tuple[int, int, int, int]
"""Column and row of the upper left pixel, width, height."""


class Refused(Exception):  # noqa: N818 - not an error of the program: a counted outcome
    """The item cannot become a record.

    Args:
        reason: short code, counted.
        message: what is wrong and what could be done.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.message = reason, message


@dataclass(frozen=True)
class Item:
    """One thing that becomes a record or a reject.

    Attributes:
        key: the publisher's key, unique in the corpus; a tile adds its place.
        files: the image files it comes from, relative to the corpus folder.
        annotations: the annotation files, likewise.
        bytes: size of its source, for the size of shards.
        window: the tile to cut, None for the whole image.
        split: the publisher's split.
        labels: class names known from the layout.
        fault: reason and message, when listing already found it unusable.
        group: the publisher's own group of records that belong together.
        data: JSON of what listing found for it in a file of many (captions, boxes), so that reading opens no such file.
    """

    key: str
    files: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    bytes: int = 0
    window: Window | None = None
    split: str = ""
    labels: tuple[str, ...] = ()
    fault: tuple[str, str] | None = None
    group: str = ""
    data: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields that are not empty."""
        return {name: value for name, value in vars(self).items() if value not in ("", (), 0, None)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Item":
        """The item of which `to_json` made the values."""
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**fields)

    def found(self) -> Any:
        """What `data` holds.

        Raises:
            ValueError: nothing.
        """
        return json.loads(self.data)


@dataclass
class Sample:
    """What a reader found for an item.

    Attributes:
        rgb: the published image file, or raw values [H, W, 3] of a raster.
        ir: likewise, raw values [H, W]; already cut to the window when an array.
        cir: `ir` is a colour-infrared picture, whose first channel is the near infrared.
        band: infrared band of `ir`.
        source: sensor and band.
        valid: pixels with data, bool [H, W]; None when all.
        cloud: pixels under cloud or its shadow, bool [H, W]; None where nobody looked.
        captions, template_captions, model_captions: text by people, by rule, by a language model.
        boxes: objects as in `schema.BOX`, in pixels of the whole image (of the window, for arrays).
        size: width and height the annotations were made for, where they say so.
        acquired: ISO 8601 date or time, where the source states one.
        ir_raw: the sensor's integers [H, W] where `ir` holds physical values made of them.
        scale: scale and offset a band, `visible` for red, green and blue: value = scale * raw + offset.
        rights: settings whose licence, attribution, address and family hold for it, where they are not the corpus' own.
    """

    rgb: bytes | NDArray[Any] | None = None
    ir: bytes | NDArray[Any] | None = None
    cir: bool = False
    band: str | None = None
    source: str | None = None
    valid: NDArray[np.bool_] | None = None
    cloud: NDArray[np.bool_] | None = None
    captions: list[str] = field(default_factory=list)
    template_captions: list[str] = field(default_factory=list)
    model_captions: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    boxes: list[dict[str, Any]] = field(default_factory=list)
    size: tuple[int, int] | None = None
    crs: str | None = None
    bbox: list[float] | None = None
    gsd_m: float | None = None
    acquired: str | None = None
    ir_raw: NDArray[Any] | None = None
    scale: dict[str, tuple[float, float]] = field(default_factory=dict)
    rights: CorpusSettings | None = None

    @property
    def published(self) -> bool:
        """Whether it is an image file as published, rather than values a reader has cut to the window."""
        return isinstance(self.ir if self.rgb is None else self.rgb, bytes)


class Reader(ABC):
    """Reads one corpus in one format.

    Args:
        root: the corpus folder.
        settings: of the corpus.
    """

    suffixes: tuple[str, ...] = IMAGE_SUFFIXES

    def __init__(self, root: Path, settings: CorpusSettings) -> None:
        self.root, self.settings = root, settings

    @abstractmethod
    def items(self) -> Iterator[Item]:
        """Everything the corpus holds, without decoding it. Any order; a key may come twice (the second is refused)."""

    @abstractmethod
    def read(self, item: Item) -> Sample:
        """Read one item.

        Raises:
            Refused: it cannot become a record.
        """

    def values(self, item: Item) -> Mapping[str, NDArray[Any]]:
        """A thinned view of the raw values of each band that is not 8-bit, from which the stretch is found."""
        return {}

    def report(self) -> dict[str, Any]:
        """What listing found out besides the items: kept as `raw/<corpus>/coverage.json`. Nothing, for most."""
        return {}

    def summary(self) -> list[str]:
        """The report in lines for the terminal."""
        return []

    def roots(self) -> tuple[Path, ...]:
        """The folders and files it reads: when none of their files changes, neither do the records."""
        return (self.root,)

    def picture(self, data: bytes, path: str) -> Sample:
        """A sample of one published image file: visible, infrared (`modality`), or colour-infrared (`cir`).

        Args:
            data: the file.
            path: its name below the corpus folder, by which `cir` knows it.
        """
        if self.settings.cir and fnmatch.fnmatch(path, self.settings.cir):
            return Sample(ir=data, band="nir", source=f"{self.settings.sensor} nir".strip(), cir=True)
        if self.settings.modality == "ir":
            source = f"{self.settings.sensor} {self.settings.band or ''}".strip()
            return Sample(ir=data, band=self.settings.band, source=source)
        return Sample(rgb=data)

    def say(self, sample: Sample, captions: Sequence[str]) -> None:
        """Add captions to a sample where `caption_origin` says they belong, cleaned of white space at their ends.

        Raises:
            Refused: one is empty, or no text.
        """
        kept = {"publisher": sample.captions, "template": sample.template_captions, "model": sample.model_captions}
        for caption in captions:
            if not isinstance(caption, str) or not caption.strip():
                raise Refused("empty_caption", f"a caption is {caption!r}")
            kept[self.settings.caption_origin].append(" ".join(caption.split()))

    def split_of(self, path: str) -> str:
        """The split that `split_pattern` finds in a path; none where it does not match."""
        return split_name(self._split_word(path))

    def label_of(self, path: str) -> tuple[str, ...]:
        """The label that `label_pattern` finds in a path; none where it does not match."""
        match = re.search(self.settings.label_pattern, path) if self.settings.label_pattern else None
        return (match["label"],) if match else ()

    def key_of(self, path: str) -> str:
        """The groups of `pair_key` in a path, joined by `/`; none where it does not match."""
        match = re.search(self.settings.pair_key, path) if self.settings.pair_key else None
        return "/".join(filter(None, match.groups())) if match else ""

    def beside(self, path: str, template: str) -> str:
        """The file that belongs to an image by a template such as `../masks/{stem}.png`, relative to the corpus folder.

        `{stem}` is the image's name without its suffix, `{folder}` the folder it lies in, `{split}` the publisher's own
        word that `split_pattern` finds, `{key}` what `pair_key` finds. Empty without a template.
        """
        folder, _, name = path.rpartition("/")
        filled = template.format(
            stem=stem(name), folder=folder.rpartition("/")[2], split=self._split_word(path), key=self.key_of(path)
        )
        return posixpath.normpath(posixpath.join(folder, filled)) if filled else ""

    def _split_word(self, path: str) -> str:
        match = re.search(self.settings.split_pattern, path) if self.settings.split_pattern else None
        return str(match["split"]) if match else ""

    def images(self) -> Iterator[str]:
        """Image files below the corpus folder that match `include`, relative, in no particular order."""
        return filter(self.is_included, self.all_images())

    def all_images(self) -> Iterator[str]:
        """Image files, also those that `include` leaves out."""
        return (path for path in walk(self.root) if path.lower().endswith(self.suffixes))

    def is_included(self, path: str) -> bool:
        """Whether `include` does not leave a path out."""
        return fnmatch.fnmatch(path, self.settings.include or "*")

    def bytes_of(self, path: str) -> bytes:
        """A file of the corpus.

        Raises:
            Refused: it cannot be read.
        """
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise Refused("unreadable_file", f"{path}: {error.strerror}") from None

    def size_of(self, *paths: str) -> int:
        """Bytes of files together; 0 for one that is not there: reading it will say so."""
        return sum((stamp(self.root / path) or [0])[0] for path in paths)

    def tiled(self, item: Item, size: tuple[int, int] | None = None) -> Iterator[Item]:
        """The item itself, or its tiles where tiling is asked and the image is larger than a tile.

        Tiles lie whole within the image: margins narrower than a tile are left out, since a tile moved inwards would
        share pixels with its neighbour.
        """
        if self.settings.tile is None or item.fault:
            yield item
            return
        width, height = size or self._size(item.files[0])
        for window in windows(width, height, self.settings.tile, self.settings.overlap):
            column, row, wide, high = window
            if (wide, high) == (width, height):
                yield item
                return
            share = wide * high / (width * height)
            yield Item(
                f"{item.key}_x{column:05d}_y{row:05d}", item.files, item.annotations, int(item.bytes * share), window,
                item.split, item.labels, None, item.group, item.data,
            )  # fmt: skip

    def _size(self, path: str) -> tuple[int, int]:
        """Width and height from the file's head; 0, 0 (so: not tiled) when it cannot be told."""
        try:
            with Image.open(self.root / path) as image:
                lying = image.getexif().get(ORIENTATION, 1) >= 5  # turned by a quarter when it is made upright
                return (image.height, image.width) if lying else image.size
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return 0, 0


def split_name(text: str) -> str:
    """train, validation or test for the names publishers give them; another name as it is."""
    return SPLITS.get(text.strip().lower(), text.strip().lower())


def windows(width: int, height: int, tile: int, overlap: int) -> Iterator[Window]:
    """Full tiles of an image, row by row; the whole image where it is no larger than a tile on some side."""
    if width <= tile or height <= tile:
        yield 0, 0, width, height
        return
    step = tile - overlap
    for row in range(0, height - tile + 1, step):
        for column in range(0, width - tile + 1, step):
            yield column, row, tile, tile


def walk(root: Path) -> Iterator[str]:
    """Files below a folder, relative to it, `/` between parts; links are followed, hidden files and folders left out.

    Raises:
        FusionError: a folder cannot be listed: leaving it out would lose records in silence.
    """

    def fail(error: OSError) -> None:
        raise FusionError(f"cannot list {error.filename}: {error.strerror}; change its rights, or move it elsewhere")

    seen: set[str] = set()
    for folder, folders, files in os.walk(root, onerror=fail, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back up
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")


def stamp(path: Path) -> list[int]:
    """Size and time of change of a file; empty when it is gone or cannot be reached."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def printable(text: str) -> str:
    """A text with escapes in place of what UTF-8 cannot hold: names of files and JSON may hold half a character."""
    return text.encode(errors="backslashreplace").decode()


def stem(path: str) -> str:
    """A path without its suffix: the usual key of an image."""
    return path.rsplit(".", 1)[0] if "." in path.rsplit("/", 1)[-1] else path


def box(label: str, x0: float, y0: float, x1: float, y1: float, polygon: list[float] | None = None) -> dict[str, Any]:
    """An object as in `schema.BOX`."""
    return {"label": label, "x0": x0, "y0": y0, "x1": x1, "y1": y1, "polygon": polygon or []}
