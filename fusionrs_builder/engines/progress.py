"""How a long run shows that it lives: a bar on a terminal, a plain line every 30 s elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any

LINE_EVERY_S = 30.0


class Progress:
    """Counts items on stderr; call it with the number done since the last call.

    Args:
        what: the command, shown in front.
        total: items to do.
    """

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self.started = self._shown = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=what, unit=" items", dynamic_ncols=True)

    def __call__(self, count: int) -> None:
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._shown >= LINE_EVERY_S:
            self._shown = time.monotonic()
            rate = self.done / (self._shown - self.started)
            left = (self.total - self.done) / rate if rate else float("inf")
            print(
                f"{self.what}: {self.done:,} of {self.total:,} items, {rate:.1f}/s, about {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class Transfer:
    """Counts bytes on stderr; call it with those that came since the last call, and with all that are expected."""

    def __init__(self, what: str) -> None:
        self.what, self.done = what, 0
        self.started = self._shown = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(desc=what, unit="B", unit_scale=True, dynamic_ncols=True)

    def __call__(self, count: int, total: int | None) -> None:
        self.done += count
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(count)
        elif time.monotonic() - self._shown >= LINE_EVERY_S:
            self._shown = time.monotonic()
            rate = self.done / (self._shown - self.started)
            of = f" of {total / 1e6:,.1f}" if total else ""
            print(f"{self.what}: {self.done / 1e6:,.1f}{of} MB, {rate / 1e6:.1f} MB/s", file=sys.stderr, flush=True)

    def __enter__(self) -> "Transfer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
