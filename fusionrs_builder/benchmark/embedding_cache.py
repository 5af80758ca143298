"""Embeddings by what they are known by: in files of a folder, or in memory.

A file is written whole or not at all and never altered, so runs beside each other need no lock, and a killed one loses
the rows that it held in memory.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.benchmark.models.model import Embeddings
from fusionrs_builder.errors import FusionError
from fusionrs_builder.files import Files

FLUSH_ROWS, FLUSH_S = 1024, 30.0
"""Embeddings are written when there are so many of them, or so many seconds after those before them."""

FACTS = "model.json"
"""Says in a folder of the cache whose embeddings it holds, and whether that model takes text."""

DAMAGED = ".damaged"
"""What a file that cannot be trusted has added to its name."""


class Rows:
    """Embeddings by digests of 32 bytes: in files of a folder, in memory where there is none.

    Attributes:
        width: of all rows; None before the first.
        facts: see `FACTS`; empty where they are not known.
    """

    def __init__(self, folder: Path | None, say: Callable[[str], None]) -> None:
        self.width: int | None = None
        self.facts: dict[str, Any] = {}
        self._folder, self._flushed = folder, time.monotonic()
        self._pending: dict[bytes, NDArray[np.float32]] = {}
        self._blocks: list[Path | Embeddings] = []
        self._at: dict[bytes, tuple[int, int]] = {}
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FusionError(f"embeddings cannot be kept in {folder} ({error}): name another cache folder") from error
        with contextlib.suppress(FusionError):  # damaged: written again when the model is opened
            told = Files(str(folder)).read_json(FACTS, {})
            self.facts = told if isinstance(told, dict) else {}
        for path in sorted(folder.glob("*.npz")):
            try:
                keys, rows = read(path)
                if self.width not in (None, rows.shape[1]):
                    raise ValueError(f"its rows are {rows.shape[1]} wide, those of others {self.width}")
            except FileNotFoundError:  # another run has just set it aside
                continue
            except Exception as error:  # of numpy, zipfile, zlib: they have no common ancestor
                say(f"{path} is damaged ({error}): set aside as {path.name}{DAMAGED}, and made again")
                with contextlib.suppress(FileNotFoundError):
                    path.rename(f"{path}{DAMAGED}")
                continue
            self._add(path, [key.tobytes() for key in keys], rows)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._at

    def put(self, digest: bytes, row: NDArray[np.float32]) -> None:
        """Take a row; it is there, and safe from a crash, after the next flush, which may be now."""
        self._pending[digest] = row
        if len(self._pending) >= FLUSH_ROWS or time.monotonic() - self._flushed >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        digests, self._flushed = list(self._pending), time.monotonic()
        if not digests:
            return
        rows, joined = np.stack(list(self._pending.values())), b"".join(digests)
        block: Path | Embeddings = rows
        if self._folder is not None:
            sink = BytesIO()
            np.savez(sink, keys=np.frombuffer(joined, np.uint8).reshape(-1, 32), vectors=rows)
            block = self._folder / f"{hashlib.sha256(joined).hexdigest()[:32]}.npz"
            Files(str(self._folder)).write_bytes(block.name, sink.getvalue())
        self._add(block, digests, rows)
        self._pending.clear()

    def get(self, digests: Sequence[bytes]) -> Embeddings:
        """[N, width]; zeros for what is not there."""
        found = np.zeros((len(digests), self.width or 0), np.float32)
        by_block: dict[int, list[tuple[int, int]]] = {}
        for item, digest in enumerate(digests):
            if digest in self._at:
                block, row = self._at[digest]
                by_block.setdefault(block, []).append((item, row))
        for block, pairs in by_block.items():
            held = self._blocks[block]
            if isinstance(held, Path):
                try:
                    held = read(held)[1]
                except Exception as error:  # see above
                    raise FusionError(f"{held} was there and cannot be read now ({error}): run again") from error
            items, rows = np.array(pairs).T
            found[items] = held[rows]
        return found

    def write_facts(self, facts: dict[str, Any]) -> None:
        if self._folder is not None and facts != self.facts:
            Files(str(self._folder)).write_json(FACTS, facts)
        self.facts = facts

    def _add(self, block: Path | Embeddings, digests: Sequence[bytes], rows: Embeddings) -> None:
        self.width = rows.shape[1]
        self._at.update({digest: (len(self._blocks), row) for row, digest in enumerate(digests)})
        self._blocks.append(block)


def read(path: Path) -> tuple[NDArray[np.uint8], Embeddings]:
    """Keys [N, 32] and rows [N, d] of a file.

    Raises:
        Exception: of many kinds, where it is not what was written.
    """
    with np.load(path, allow_pickle=False) as file:
        keys, rows = file["keys"], file["vectors"]
    if keys.dtype != np.uint8 or rows.dtype != np.float32 or rows.ndim != 2 or keys.shape != (len(rows), 32):
        raise ValueError("it holds something else")
    if not np.isfinite(rows).all() or not rows.any(axis=1).all():
        raise ValueError("a row is not finite or of length 0")
    return keys, rows
