"""A row of the release as tensors: its views cropped and turned alike, its captions drawn, its groups.

All chance is a hash of (seed, epoch, id), so a row is the same whichever worker or rank makes it.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from fusionrs_builder import pixels
from fusionrs_builder.benchmark.records import Inputs
from fusionrs_builder.captions import key, normalised
from fusionrs_builder.captions import turned as turned_caption
from fusionrs_builder.errors import FusionError

LEAST_AREA = 0.9
"""Of a random crop, as a share of the largest square of the image; as open_clip has it. Captions count what is in the
whole frame, and say where in it."""

SPARE = 1.5
"""A JPEG is decoded at least so many times as fine as is wanted. Of aerial images of 256 and 640 px shown at 64 and 96,
1 loses 2 to 7 % of the finest detail, 1.5 up to 4 % and 2 up to 1.5 %; one of 256 px shown at 64 takes 0.4, 0.4 and
0.8 ms."""

NO_TEXT = -1
"""Group of a row without text: it takes part in no term with it."""

Captions = Literal["scene", "ir", "mixed"]
Row = Mapping[str, Any]
Array = NDArray[Any]


@dataclass(frozen=True)
class DataSettings:
    """What is read, and how.

    Attributes:
        data: release folder, or ORG/NAME on the Hugging Face Hub.
        split: train, validation or test, or a part such as train[:10%] (not with streaming).
        infrared: what is shown as the infrared view: itself, or a control made of the visible image, for which rows
            without one are left out.
        captions: text of the infrared view: its own captions, the scene's, or either by chance where a row has both.
        batch_size: rows a batch, over all ranks.
        image_size: pixels of a side.
        workers: processes that decode, 0: none; with streaming threads, at least one.
        augment: random square crops in the eight turns of a square, the same for both views; else the centre square.
        pairs: leave out rows without both views.
        texts: kinds of captions, scene and ir, of which there must be some in the split.
        streaming: read rows as they come, without a copy on the disk, mixed among 2,048 at a time; every rank then
            reads all of them.
        seed: of all chance.
    """

    data: str = ""
    split: str = "train"
    infrared: Inputs = "infrared"
    captions: Captions = "ir"
    batch_size: int = 64
    image_size: int = 224
    workers: int = 2
    augment: bool = True
    pairs: bool = False
    texts: Sequence[Literal["scene", "ir"]] = ("scene", "ir")
    streaming: bool = False
    seed: int = 0


class Batch(NamedTuple):
    """N rows, the part of one rank. A view that a row does not have is zeros; the row takes part in no term with it.

    Attributes:
        ids: of the records.
        rgb: float32 [N, 3, S, S], normalised.
        infrared: float32 [N, 3, S, S], one channel repeated (the three of rgb for `duplicate`), normalised alike.
        has_rgb: bool [N].
        has_infrared: bool [N].
        measured: bool [N]: a sensor saw the infrared view of the record, whatever is shown in its place.
        scene: caption of the scene drawn for this epoch; "" where there is none, or one without letters and digits.
        infrared_text: that of the infrared view, likewise; with `captions="scene"` it is `scene`.
        scene_group: int64 [N], equal for equal normalised captions, also across both kinds; -1: no text.
        infrared_group: likewise.
    """

    ids: list[str]
    rgb: Tensor
    infrared: Tensor
    has_rgb: Tensor
    has_infrared: Tensor
    measured: Tensor
    scene: list[str]
    infrared_text: list[str]
    scene_group: Tensor
    infrared_group: Tensor


class Crop(NamedTuple):
    """A square of an image, told so that views of other sizes show the same ground.

    Attributes:
        side: as a share of the shorter side of the image.
        left: where it lies in the room there is for it, 0..1.
        top: likewise.
        turn: 0..7, in the order of `pixels.dihedral`.
    """

    side: float = 1.0
    left: float = 0.5
    top: float = 0.5
    turn: int = 0


def decoded(rows: Sequence[Row], epoch: int, settings: DataSettings) -> Batch:
    """Rows, images as `{bytes, path}`, as a batch whose views are still uint8: rgb [N, 3, S, S], infrared [N, 1, S, S]
    ([N, 3, S, S] for `duplicate`).

    Raises:
        FusionError: an image cannot be decoded.
    """
    size, shape = settings.image_size, (len(rows), 3, settings.image_size, settings.image_size)
    rgb = np.zeros(shape, np.uint8)
    infrared = rgb.copy() if settings.infrared == "duplicate" else np.zeros_like(rgb[:, :1])
    there, texts = [], []
    for at, row in enumerate(rows):
        chances = chance(settings.seed, epoch, row["id"])
        texts.append(_texts(row, chances, settings.captions))
        crop = Crop()
        if settings.augment:
            crop, texts[-1] = true_to(texts[-1], random_crop(chances))
        images = _views(row, size, crop, settings.infrared)
        for views, image in zip((rgb, infrared), images, strict=True):
            if image is not None:
                views[at] = turned(image, crop.turn)
        there.append([image is not None for image in images])
    has_rgb, has_infrared = torch.tensor(there).unbind(1)
    scene, infrared_text = ([text[which] for text in texts] for which in (0, 1))
    return Batch(
        ids=[row["id"] for row in rows],
        rgb=torch.from_numpy(rgb),
        infrared=torch.from_numpy(infrared),
        has_rgb=has_rgb,
        has_infrared=has_infrared,
        measured=torch.tensor([row["ir_origin"] == "measured" for row in rows]),
        scene=scene,
        infrared_text=infrared_text,
        scene_group=torch.tensor([_group(text) for text in scene]),
        infrared_group=torch.tensor([_group(text) for text in infrared_text]),
    )


def chance(seed: int, epoch: int, id: str) -> list[float]:
    """Eight numbers in [0, 1) that these alone fix."""
    found = hashlib.blake2b(f"{seed} {epoch} {id}".encode()).digest()
    return [(number >> 11) / 2**53 for number in struct.unpack("<8Q", found)]


def random_crop(chances: Sequence[float]) -> Crop:
    """A crop by numbers in [0, 1), of which the last four count."""
    area, left, top, turn = chances[-4:]
    return Crop((LEAST_AREA + (1 - LEAST_AREA) * area) ** 0.5, left, top, int(turn * 8))


def true_to(texts: tuple[str, str], crop: Crop) -> tuple[Crop, tuple[str, str]]:
    """A crop, and captions that hold of it; it is turned less where their words would not do."""
    for turn in (crop.turn, crop.turn % 4):
        scene, infrared = (turned_caption(text, turn) for text in texts)
        if scene is not None and infrared is not None:
            return crop._replace(turn=turn), (scene, infrared)
    return crop._replace(turn=0), texts


def square(data: bytes, mode: Literal["RGB", "L"], size: int, crop: Crop) -> Image.Image:
    """Decode, crop and resize (bicubic, antialiased) in one step, not yet turned: [size, size].

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that is fine enough, see `SPARE`; of a colour one, only the
    luma where no more is wanted.

    Raises:
        Exception: of many kinds; the image is damaged, or has more than 8 bits.
    """
    image: Image.Image = Image.open(BytesIO(data))
    finer = crop.side * min(image.size) / (size * SPARE)
    image.draft(mode, (int(image.width / finer), int(image.height / finer)))
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"mode {image.mode} has more than 8 bits a channel")
    if image.mode != mode:
        image = image.convert(mode)
    side = crop.side * min(image.size)
    left, top = crop.left * (image.width - side), crop.top * (image.height - side)
    box = (left, top, min(left + side, image.width), min(top + side, image.height))
    return image.resize((size, size), Image.Resampling.BICUBIC, box)


def turned(image: Image.Image, turn: int) -> Array:
    """uint8 [1 or 3, S, S]."""
    array = np.asarray(image)
    return pixels.dihedral(array.transpose(2, 0, 1) if array.ndim == 3 else array[None])[turn]


def _views(row: Row, size: int, crop: Crop, shown: Inputs) -> tuple[Image.Image | None, Image.Image | None]:
    def seen(column: str, mode: Literal["RGB", "L"]) -> Image.Image | None:
        if row[column] is None:
            return None
        try:
            return square(row[column]["bytes"], mode, size, crop)
        except Exception as error:
            raise FusionError(
                f"{row['id']}: its {column} view cannot be read: {error} (`fusionrs-build check` finds all of them)"
            ) from error

    rgb = seen("rgb", "RGB")
    if shown == "infrared":
        return rgb, seen("ir", "L")
    if rgb is None or shown == "duplicate":
        return rgb, rgb
    gray = rgb.convert("L")
    return rgb, ImageOps.invert(gray) if shown == "gray-inverted" else gray


def _texts(row: Row, chances: Sequence[float], captions: Captions) -> tuple[str, str]:
    """Of the scene and of the infrared view."""
    scene, infrared = (
        _drawn(row[f"{kind}_captions"], number) for kind, number in zip(("scene", "ir"), chances, strict=False)
    )
    if captions == "scene" or (captions == "mixed" and (not infrared or (scene and chances[2] < 0.5))):
        return scene, scene
    return scene, infrared


def _drawn(captions: Sequence[str] | None, number: float) -> str:
    if not captions:
        return ""
    caption = captions[int(number * len(captions))]
    return caption if normalised(caption) else ""


def _group(text: str) -> int:
    if not text:
        return NO_TEXT
    return key(text) >> 1  # int64 has no room for the last bit
