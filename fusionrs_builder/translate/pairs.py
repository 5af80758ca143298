"""Pairs of an RGB image and the infrared one measured with it: what a translator is trained on and scored against."""

import re
from collections.abc import Sequence
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder import pixels
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate.domains import Source
from fusionrs_builder.workspace import Workspace


class Pair(NamedTuple):
    """One scene seen twice.

    Attributes:
        key: of the record.
        rgb: uint8 [H, W, 3].
        ir: uint8 [H, W].
    """

    key: str
    rgb: NDArray[np.uint8]
    ir: NDArray[np.uint8]


class EncodedPairs(Sequence[Pair]):
    """Pairs held as encoded bytes and decoded when asked for: a tenth of the memory."""

    def __init__(self) -> None:
        self._held: list[tuple[str, bytes, bytes]] = []
        self.sources: set[Source] = set()

    def append(self, key: str, rgb: bytes, ir: bytes, source: Source) -> None:
        self._held.append((key, rgb, ir))
        self.sources.add(source)

    def __len__(self) -> int:
        return len(self._held)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        key, rgb, ir = self._held[index]
        try:
            pair = Pair(key, pixels.rgb_array(rgb), pixels.gray_array(ir))
        except ValueError as error:
            raise FusionError(f"record {key}: {error}: delete its shard in rgb/ and run download again") from None
        if pair.rgb.shape[:2] != pair.ir.shape:
            raise FusionError(
                f"record {key}: rgb has {pair.rgb.shape[:2]} pixels and ir {pair.ir.shape}: a pair must be of one size"
            )
        return pair


def read_pairs(workspace: Workspace, band: str, hold_out: str | None = None) -> tuple[EncodedPairs, EncodedPairs]:
    """Read the records of the rgb layer that have both an RGB image and a measured infrared one.

    Args:
        workspace: whose rgb layer is read.
        band: wanted: `nir`, `swir`, `mwir` or `lwir`.
        hold_out: regular expression searched in `<corpus>/<corpus_key>`; records that match are held out. None: none.

    Returns:
        The pairs to train on and the pairs held out, each in the order of the shards.

    Raises:
        UsageError: `hold_out` is not a regular expression.
        FusionError: the workspace holds no such pairs.
    """
    held = pattern(hold_out)
    kept, out = EncodedPairs(), EncodedPairs()
    columns = ["corpus", "corpus_key", "rgb", "ir", "ir_band", "ir_source", "license", "attribution"]
    for shard in workspace.shards("rgb"):
        for row in workspace.rows("rgb", shard, columns):
            if row["rgb"] is None or row["ir"] is None or row["ir_band"] != band:
                continue
            key = f"{row['corpus']}/{row['corpus_key']}"
            chosen = out if held is not None and held.search(key) else kept
            said = (row["corpus"], row["license"], row["attribution"], row["ir_source"])
            chosen.append(key, row["rgb"]["bytes"], row["ir"]["bytes"], Source(*(text or "" for text in said)))
    if not len(kept) and not len(out):
        raise FusionError(
            f"{workspace.url} holds no record with both rgb and measured {band}: download a corpus that has them, "
            f"with {band} first in --prefer"
        )
    return kept, out


def pattern(text: str | None) -> re.Pattern[str] | None:
    """Compile a regular expression given by a user."""
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise UsageError(f"{text!r} is not a regular expression: {error}") from None
