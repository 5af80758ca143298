"""Rows of a release as tensors of one size, made when a row is asked for."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fusionrs_builder import pixels
from fusionrs_builder.errors import FusionError
from fusionrs_builder.shards import Row

if TYPE_CHECKING:
    import torch

VIEWS = ("rgb", "ir")

COLUMNS = ("id", "rgb", "ir", "ir_origin", "scene_captions", "ir_captions")
"""What is read of a row."""

KEYS = ("id", "rgb", "has_rgb", "ir", "has_ir", "ir_origin", "text", "ir_text")
"""What is made of it."""


@dataclass(frozen=True)
class Tensors:
    """Makes the two views tensors of one size, and picks the captions.

    A view that the record does not have is an error, so that nobody learns from black images unknowingly.

    Attributes:
        size: pixels of a side of the centre square, once the shorter side is resized to as many, with antialias.
            Views that show the same ground still do.
        allow_missing: give zeros for a view that is not there; `has_rgb` or `has_ir` is then False.
        seed: draw one caption of each kind by it and the record's id; all of them when None.
    """

    size: int
    allow_missing: bool = False
    seed: int | None = None

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """As `row`, of some rows as columns."""
        rows = [self.row(dict(zip(batch, values, strict=True))) for values in zip(*batch.values(), strict=True)]
        return {key: [row[key] for row in rows] for key in KEYS}

    def row(self, row: Row) -> Row:
        """One row.

        Args:
            row: `COLUMNS` of the release, images as `{bytes, path}` or None.

        Returns:
            `rgb` float32 [3, size, size] and `ir` float32 [1, size, size] in 0..1; `has_rgb` and `has_ir`: whether
            they were there; `text` of the scene and `ir_text` of its infrared view: lists of str, or a str each with
            a seed; `id` and `ir_origin` as they are.

        Raises:
            FusionError: a view is not there, or cannot be decoded; or there is no caption to draw.
        """
        views = {view: self._view(row, view) for view in VIEWS}
        return {
            "id": row["id"],
            **views,
            **{f"has_{view}": row[view] is not None for view in VIEWS},
            "ir_origin": row["ir_origin"],
            "text": self._text(row, "scene_captions"),
            "ir_text": self._text(row, "ir_captions"),
        }

    def _view(self, row: Row, view: str) -> "torch.Tensor":
        import torch  # seconds to import

        if row[view] is None:
            if self.allow_missing:
                return torch.zeros(3 if view == "rgb" else 1, self.size, self.size)
            raise FusionError(
                f"{row['id']} has no {view} view: leave such rows out (require=[{view!r}]), or take zeros and "
                f"has_{view}=False for it (allow_missing=True)"
            )
        decode = pixels.rgb_array if view == "rgb" else pixels.gray_array
        try:
            array = squared(decode(row[view]["bytes"]), self.size)
        except ValueError as error:
            raise FusionError(f"{row['id']}: its {view} view cannot be read: {error}") from error
        return torch.from_numpy(array.reshape(self.size, self.size, -1).transpose(2, 0, 1).copy()).float() / 255

    def _text(self, row: Row, column: str) -> list[str] | str:
        captions: list[str] = row[column] or []
        if self.seed is None:
            return captions
        if not captions:
            raise FusionError(f"{row['id']} has no {column} to draw from: take lists of captions (seed=None)")
        drawn = hashlib.sha256(f"{self.seed} {column} {row['id']}".encode()).digest()
        return captions[int.from_bytes(drawn[:8], "big") % len(captions)]


def squared(array: pixels.Array, size: int) -> pixels.Array:
    """Resize with antialias and take the centre square: uint8 [H, W] or [H, W, 3] to [size, size] or [size, size, 3].

    In one step, so that a side that is no whole number of pixels is not rounded, which would move one view and not
    another of some other size.
    """
    height, width = array.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    square = Image.fromarray(array).resize((size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    return np.asarray(square)
