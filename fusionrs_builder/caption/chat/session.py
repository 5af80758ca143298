"""Asks about the records of one shard after another: the network never waits for the disk, nor at the end of a shard.

The event loop has a thread of its own. While the last answers of a shard are out, the first questions of the next are
sent already; their answers are in the ledger, whatever happens then.
"""

import asyncio
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from fusionrs_builder.caption.chat.asking import Asking
from fusionrs_builder.caption.chat.captioner import Measured, Said, captioned
from fusionrs_builder.caption.chat.endpoint import Endpoint, key_of
from fusionrs_builder.caption.chat.ledger import Ledger
from fusionrs_builder.caption.chat.money import Budget, price_of
from fusionrs_builder.caption.chat.question import Questions
from fusionrs_builder.settings import CaptionSettings

AHEAD = 4
"""Records that are prepared or under way, as a multiple of the questions at once: a slow one holds up nobody."""

GRACE_S = 20.0
"""For answers that are under way, and will be paid for, when the run ends early."""

SAY_EVERY_S = 30.0

Records = Callable[[str], Iterator[Measured | None]]
"""The records of a shard, measured; None for one that cannot be asked about."""


class Session:
    """One run: one event loop, one endpoint, one ledger.

    Args:
        settings: whom to ask, and how.
        questions: that made the questions.
        ledger: file of the answers.
        records: of a shard, in order.
        done: called when no more records are wanted.
    """

    def __init__(
        self,
        settings: CaptionSettings,
        questions: Questions,
        ledger: Path,
        records: Records,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings, self.questions, self._records, self._done = settings, questions, records, done
        try:
            self.ledger = Ledger(ledger)
        except BaseException:
            done()
            raise
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chat", daemon=True)
        self._thread.start()
        try:
            self.ledger.settle_the_dead()
            self._asking = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        except BaseException:
            done()
            self._let_go()
            raise
        self._waiting: deque[tuple[str, Future[Said] | None]] = deque()
        self._known: set[str] = set()
        self._names: deque[str] = deque()
        self._rows: Iterator[tuple[str, Measured | None]] = self._in_order()
        self._closed = False
        self._said = time.monotonic()

    async def _open(self) -> Asking:
        price = price_of(self.settings)
        budget = Budget(price, self.settings.max_usd, self.ledger.spent())
        return Asking(self.settings, Endpoint(self.settings, key_of(os.environ), price), self.ledger, budget)

    def shard(self, shard: str, following: Sequence[str]) -> Iterator[Said | None]:
        """What the model said of each record of a shard, in order; None for one that it was not asked about.

        Args:
            shard: the one that is wanted now.
            following: those that will be wanted next, in order.

        Raises:
            FusionError: as `Asking.ask`; what was answered is in the ledger.
        """
        for name in (shard, *following):
            if name not in self._known:
                self._known.add(name)
                self._names.append(name)
        self._fill()
        while self._waiting and self._waiting[0][0] == shard:
            said = self._waiting[0][1]
            result = None if said is None else said.result()
            self._waiting.popleft()
            self._fill()
            self._say()
            yield result

    def close(self) -> None:
        """Ask nothing more, wait a while for what is under way, and let go of everything."""
        if self._closed:
            return
        self._closed = True
        self._done()
        try:
            asyncio.run_coroutine_threadsafe(self._wind_down(), self._loop).result()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.ledger.close()

    def _say(self) -> None:
        """A plain line now and then: the shard itself shows nothing before its last answer."""
        if time.monotonic() - self._said >= SAY_EVERY_S:
            self._said, t = time.monotonic(), self._asking.tally
            print(
                f"caption: {t.asked:,} answers, {t.known:,} known before, {t.failed:,} attempts failed, ${t.usd:,.2f}",
                file=sys.stderr,
                flush=True,
            )

    def _in_order(self) -> Iterator[tuple[str, Measured | None]]:
        """The records of the shards that were named and not begun."""
        while self._names:
            shard = self._names.popleft()
            for measured in self._records(shard):
                yield shard, measured

    def _fill(self) -> None:
        """Prepare and send, as far as the window reaches."""
        while len(self._waiting) < AHEAD * self.settings.concurrency:
            record = next(self._rows, None)
            if record is None:
                if not self._names:
                    return
                self._rows = self._in_order()  # shards were named after it had run dry
                continue
            shard, measured = record
            said = None
            if measured is not None:
                job = captioned(measured, self.questions, self._asking)
                said = asyncio.run_coroutine_threadsafe(job, self._loop)
            self._waiting.append((shard, said))

    async def _wind_down(self) -> None:
        self._asking.stopped = True
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        under_way = tasks & self._asking.paying
        for task in tasks - under_way:
            task.cancel()
        if under_way:
            print(f"caption: waiting up to {GRACE_S:g} s for {len(under_way)} answers under way", file=sys.stderr)
            await asyncio.wait(under_way, timeout=GRACE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._asking.endpoint.close()
