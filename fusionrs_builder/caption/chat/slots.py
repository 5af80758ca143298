"""How many questions may be under way at once: as many as the server bears.

Like TCP: from half of what was too many on, one more for every answer up to what was borne before, then slowly. A
server that asks for patience, or fails, is left alone for a while; one that fails for long is given up.
"""

import asyncio
import random
import time
from collections.abc import Callable
from types import TracebackType

from fusionrs_builder.errors import FusionError

TROUBLED = 8
"""Failures in a row, of any questions, after which the server itself is held to be in trouble."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


class Slots:
    """An asynchronous context: holds a slot while a question is under way.

    Args:
        most: slots at best.
        patience_s: without any answer, after which the server is given up.
        server: its address, for errors.
        clock: seconds; a test's own.
    """

    def __init__(self, most: int, patience_s: float, server: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self.patience_s, self.server, self._clock = most, patience_s, server, clock
        self.limit, self._borne = float(most), float(most)
        self.busy = self.successes = self.failures_in_a_row = 0
        self.not_before = 0.0
        self._turned_away = 0
        self._slowed_at = self._last_good = clock()
        self._freed = asyncio.Condition()

    @property
    def troubled(self) -> bool:
        """Whether the server fails whatever it is asked: then no single question is to blame."""
        return self.failures_in_a_row >= TROUBLED

    async def __aenter__(self) -> None:
        while True:
            if (pause := self.not_before - self._clock()) > 0:
                await asyncio.sleep(pause * (1 + 0.1 * random.random()))
                continue
            async with self._freed:
                if self.busy < max(1, int(self.limit)):
                    break
                await self._freed.wait()
        if not self.busy and not self.failures_in_a_row and not self._turned_away:
            self._last_good = self._clock()  # silence counts from when the server was asked
        self.busy += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._freed:
            self.busy -= 1
            self._freed.notify_all()

    def went_well(self) -> None:
        """An answer came."""
        self.successes += 1
        self.failures_in_a_row = self._turned_away = 0
        self._last_good = self._clock()
        self.limit = min(self.most, self.limit + (1.0 if self.limit < self._borne else 1 / self.limit))

    def went_wrong(self, what: str, retry_after_s: float | None, too_many: bool) -> None:
        """No answer came: fewer at once from now on, and a pause where the server asks for one or is in trouble.

        Args:
            what: happened, for the error.
            retry_after_s: how long the server asks to wait.
            too_many: it says that it is asked too often, which is no sign of trouble.

        Raises:
            FusionError: there was no answer for longer than the patience, or a longer wait is asked for.
        """
        now = self._clock()
        if not too_many:
            self.failures_in_a_row += 1
        if retry_after_s is not None and retry_after_s > self.patience_s:
            raise FusionError(
                f"{self.server} asks to wait {retry_after_s:.0f} s, longer than caption.patience = "
                f"{self.patience_s:g}: run again later; what was answered is kept"
            )
        if now - self._last_good > self.patience_s:
            raise FusionError(
                f"{self.server} gave no answer for {now - self._last_good:.0f} s; the last was: {what}. "
                "Run again when it is back; what was answered is kept"
            )
        pause = retry_after_s or 0.0
        if too_many or self.troubled:
            if now >= self._slowed_at:  # once for all that were under way together
                self._borne = max(1.0, self.limit / 2)
                self.limit = 1.0 if self.troubled else self._borne
                self._turned_away += too_many
                in_a_row = max(self.failures_in_a_row - TROUBLED, self._turned_away - 1, 0)
                backoff = FIRST_PAUSE_S * 2 ** min(in_a_row, 10)
                pause = pause or min(LONGEST_PAUSE_S, backoff)
                self._slowed_at = now + pause
            self.not_before = max(self.not_before, now + pause)
        elif pause:
            self.not_before = max(self.not_before, now + pause)
