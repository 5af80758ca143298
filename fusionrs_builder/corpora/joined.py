"""Files read as one: an archive that its publisher cut into parts."""

import bisect
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO


class _Joined(io.RawIOBase):
    """Open files, one after the other."""

    def __init__(self, handles: Sequence[BinaryIO]) -> None:
        self._handles, self._place = handles, 0
        self._starts = [0]
        for handle in handles:
            self._starts.append(self._starts[-1] + os.fstat(handle.fileno()).st_size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._starts[-1]}[whence]
        if base + offset < 0:
            raise OSError("before the beginning")
        self._place = base + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        number = bisect.bisect_right(self._starts, self._place) - 1
        if number >= len(self._handles):
            return 0
        handle = self._handles[number]
        handle.seek(self._place - self._starts[number])
        count: int = handle.readinto(buffer)  # type: ignore[attr-defined]
        self._place += count
        return count


@contextmanager
def joined(paths: Sequence[Path]) -> Iterator[io.BufferedReader]:
    """Several files as one, that can be gone about in."""
    with ExitStack() as stack:
        handles = [stack.enter_context(path.open("rb", buffering=0)) for path in paths]
        yield stack.enter_context(io.BufferedReader(_Joined(handles), 1 << 16))
