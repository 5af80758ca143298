"""What a mask says of its image: the class of each pixel by its number or colour, and from these labels, boxes, text.

A value that `classes` does not name is unlabelled, never guessed: it counts to no class, and a mask of which most is
unlabelled is refused with the values that were found. A colour between those of `classes` (a mask that was coded as
JPEG) is the nearest of them, if it is near.
"""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from fusionrs_builder.corpora import mask_boxes, raster, template_captions, views
from fusionrs_builder.corpora.reader import RASTER_SUFFIXES, Reader, Refused, Sample, Window
from fusionrs_builder.errors import UsageError

UNLABELLED = -1

MIN_SHARE = 0.01
"""Share of the image from which on a class is a label of it."""

COLOUR_TOLERANCE = 48
"""Levels of a channel by which a colour may be off: less than a fifth of the way from one colour to another."""

COLOUR = re.compile("#[0-9a-fA-F]{6}")


class ClassMasks:
    """The masks of a corpus.

    Args:
        reader: of the corpus; its `classes` name numbers or colours, its `ignore_labels` are nothing to speak of.

    Raises:
        UsageError: `classes` is empty, or names both, or neither.
    """

    def __init__(self, reader: Reader) -> None:
        settings = reader.settings
        self._reader, self._settings = reader, settings
        if not settings.classes:
            raise UsageError("classes: name the numbers of the masks (2=building), or their colours (#00ffff=urban)")
        self._coloured = all(COLOUR.fullmatch(value) for value in settings.classes)
        named = {_code(value, self._coloured): name for value, name in settings.classes.items()}
        titles = [settings.label_names.get(named[code], named[code]) for code in sorted(named)]
        # What is ignored comes last: the names are those of the classes before it.
        distinct = sorted(dict.fromkeys(titles), key=lambda title: title in settings.ignore_labels)
        self._names = [title for title in distinct if title not in settings.ignore_labels]
        self._codes = np.array(sorted(named), np.int64)
        self._classes = np.array([distinct.index(title) for title in titles], np.int16)

    def describe(self, sample: Sample, path: str, image: tuple[int, int], window: Window | None) -> None:
        """Add the labels, boxes and template captions of a mask to a sample.

        Args:
            sample: of the image, cut to the window already where it holds arrays.
            path: the mask, relative to the corpus folder.
            image: width and height of the whole image.
            window: the tile.

        Raises:
            Refused: the mask cannot be read, has another size, or most of it is unlabelled.
        """
        values = self._values(path, image, window)
        classes = self.of(values)
        labelled = float((classes != UNLABELLED).mean())
        if labelled < self._settings.min_valid:
            raise Refused(
                "unlabelled",
                f"{path}: {labelled:.0%} has a class; also found {_found(values, classes)}: name them in classes "
                f"(and ignore_labels, if they are nothing); min_valid is {self._settings.min_valid:.0%}",
            )
        boxes, shares = mask_boxes.boxes(classes, self._names), mask_boxes.shares(classes, self._names)
        sample.labels += [name for name, share in shares.items() if share >= MIN_SHARE]
        sample.template_captions += template_captions.of(boxes, shares, (classes.shape[1], classes.shape[0]))
        column, row = window[:2] if window and sample.published else (0, 0)
        for box in boxes:
            across, down = {"x0": column, "x1": column}, {"y0": row, "y1": row}
            sample.boxes.append({**box, **{side: box[side] + by for side, by in {**across, **down}.items()}})

    def of(self, values: NDArray[Any]) -> NDArray[np.int16]:
        """The class of each pixel [H, W], `UNLABELLED` where the value is none of `classes`.

        Args:
            values: numbers [H, W], or colours [H, W, 3], uint8.
        """
        if not self._coloured and values.dtype == np.uint8:
            classes: NDArray[np.int16] = self._looked_up(np.arange(256))[values]
            return classes
        codes = _packed(values) if self._coloured else values
        classes = self._looked_up(codes)
        if self._coloured and (off := classes == UNLABELLED).any():
            classes[off] = self._looked_up(self._nearest(codes[off]))
        return classes

    def _looked_up(self, codes: NDArray[Any]) -> NDArray[np.int16]:
        places = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        return np.where(self._codes[places] == codes, self._classes[places], np.int16(UNLABELLED))

    def _nearest(self, codes: NDArray[Any]) -> NDArray[Any]:
        """The colour of `classes` nearest to each of some colours, if it is near; else the colour itself."""
        distinct, back = np.unique(codes, return_inverse=True)
        apart = np.abs(_unpacked(distinct)[:, None] - _unpacked(self._codes)).max(axis=-1)
        near = np.where(apart.min(axis=1) <= COLOUR_TOLERANCE, self._codes[apart.argmin(axis=1)], distinct)
        return near[back]

    def _values(self, path: str, image: tuple[int, int], window: Window | None) -> NDArray[Any]:
        """Numbers [H, W] or colours [H, W, 3] of the window of a mask."""
        if path.lower().endswith(RASTER_SUFFIXES):
            return self._of_raster(path, image, window)
        mask = views.open_image(self._reader.bytes_of(path))
        _same_size(path, mask.size, image)
        if window:
            column, row, width, height = window
            mask = mask.crop((column, row, column + width, row + height))
        if self._coloured:
            return np.asarray(mask.convert("RGB"))
        return _one_number(np.asarray(mask), path)

    def _of_raster(self, path: str, image: tuple[int, int], window: Window | None) -> NDArray[Any]:
        with raster.opened(self._reader.root / path) as source:
            _same_size(path, (source.width, source.height), image)
            try:
                values = source.read(window=RasterWindow(*window) if window else None)
            except RasterioError as error:
                raise Refused("unreadable_image", f"{path}: {error}") from None
            if not self._coloured:
                return _one_number(np.moveaxis(values, 0, -1), path)
            if source.colorinterp[0] == ColorInterp.palette:
                table = source.colormap(1)
                palette = np.array([table.get(number, (0, 0, 0, 0))[:3] for number in range(256)], np.uint8)
                colours: NDArray[Any] = palette[values[0]]
                return colours
        if len(values) < 3 or values.dtype != np.uint8:
            raise Refused("bad_mask", f"{path}: classes are colours, and it has {len(values)} bands of {values.dtype}")
        return np.moveaxis(values[:3], 0, -1)


def _code(value: str, coloured: bool) -> int:
    """A number of `classes`, or red * 65536 + green * 256 + blue.

    Raises:
        UsageError: it is neither.
    """
    try:
        return int(value[1:], 16) if coloured else int(value)
    except ValueError:
        raise UsageError(
            f"classes: {value!r} is no number; give numbers (2=building) or colours (#00ffff=urban), not both"
        ) from None


def _packed(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    red, green, blue = (colours[..., channel].astype(np.int64) for channel in range(3))
    packed: NDArray[np.int64] = red << 16 | green << 8 | blue
    return packed


def _unpacked(codes: NDArray[Any]) -> NDArray[np.int64]:
    return np.stack([codes >> 16 & 255, codes >> 8 & 255, codes & 255], axis=-1)


def _one_number(values: NDArray[Any], path: str) -> NDArray[Any]:
    """The one channel of a mask of numbers, also where it is stored as several that agree."""
    if values.ndim == 2:
        return values.astype(np.uint8) if values.dtype == bool else values
    if (values[..., :3] != values[..., :1]).any():
        raise Refused("bad_mask", f"{path}: it has colours, and classes are numbers: name colours (#00ffff=urban)")
    return np.ascontiguousarray(values[..., 0])


def _same_size(path: str, mask: tuple[int, int], image: tuple[int, int]) -> None:
    if mask != image:
        raise Refused("other_size", f"{path} is {mask[0]}x{mask[1]}, the image {image[0]}x{image[1]}")


def _found(values: NDArray[Any], classes: NDArray[np.int16]) -> str:
    """The commonest values that are no class: `255 on 61 %, 7 on 2 %`."""
    others = values[classes == UNLABELLED]
    if values.ndim == 3:
        others = _packed(others)
    found, counts = np.unique(others, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:5]
    total = classes.size
    names = [f"#{int(found[one]):06x}" if values.ndim == 3 else f"{found[one]:g}" for one in most]
    return ", ".join(f"{name} on {counts[one] / total:.0%}" for name, one in zip(names, most, strict=True))
