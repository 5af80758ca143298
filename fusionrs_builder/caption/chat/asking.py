"""Ask one question until it is answered: the ledger first, then the server, as often as makes sense, within the budget.

What was answered is on the disk before anybody hears of it. The same question is under way once at a time.
"""

import asyncio
import random
from dataclasses import dataclass
from typing import Any

from fusionrs_builder.caption.chat.endpoint import Endpoint, FailedError
from fusionrs_builder.caption.chat.ledger import Answer, Ledger
from fusionrs_builder.caption.chat.money import Budget
from fusionrs_builder.caption.chat.question import Question
from fusionrs_builder.caption.chat.slots import Slots
from fusionrs_builder.errors import FusionError
from fusionrs_builder.settings import CaptionSettings

TRIES, RETRY_S = 5, 0.25
"""Of a question, where the server answers others; and the first wait between two, which doubles."""

SINGLE, REJECTIONS = (400, 413, 415, 422), 3
"""Codes that are about a single request, which is not sent again; and questions that a server may reject so before it
ever answered one: then the fault is in all of them. Of any other code that rejects, one is enough."""

FIXES = {
    401: "the key is missing or wrong: set OPENAI_API_KEY",
    403: "the key may not use this model",
    404: "no such model or address: check --model and --base-url (it ends in /v1 as a rule)",
    402: "the account is out of money",
    429: "the account is out of quota",
}


class UnansweredError(Exception):
    """A question to which this server gives no answer, though it answers others. Says why."""


@dataclass
class Tally:
    """What a run did.

    Attributes:
        asked: questions that were sent and answered.
        known: questions whose answer was in the ledger.
        failed: attempts that gave no answer.
        usd: for the answers, where the model has a price.
    """

    asked: int = 0
    known: int = 0
    failed: int = 0
    usd: float = 0.0


class Asking:
    """Asks. To be used within one event loop.

    Attributes:
        stopped: set when nothing more is to be sent.
        paying: tasks whose question is under way, and will be paid for.

    Args:
        settings: whom, and how many at once.
        endpoint: the server.
        ledger: what was answered before, and what will be.
        budget: what may be spent.
    """

    def __init__(self, settings: CaptionSettings, endpoint: Endpoint, ledger: Ledger, budget: Budget) -> None:
        self.settings, self.endpoint, self.ledger, self.budget = settings, endpoint, ledger, budget
        self.slots = Slots(settings.concurrency, settings.patience, endpoint.safe(settings.base_url))
        self.tally = Tally()
        self.stopped = False
        # A few more than there are slots: their attempts are on the disk when a slot is free.
        self._ready = asyncio.Semaphore(settings.concurrency + max(1, settings.concurrency // 8))
        self.paying: set[asyncio.Task[Any]] = set()
        self._rejected: set[str] = set()
        self._answers_before = ledger.spent(settings.model).answers
        self._under_way: dict[str, asyncio.Future[Answer]] = {}

    async def ask(self, question: Question) -> Answer:
        """The answer to a question.

        Raises:
            UnansweredError: this question has none.
            FusionError: no question has one: the server is down, the key is wrong, the money is spent.
        """
        key = question.asked.key
        if (known := self.ledger.find(key)) is not None:
            self.tally.known += 1
            return known
        if key in self._under_way:  # two records with the same images and labels
            return await asyncio.shield(self._under_way[key])
        future = asyncio.ensure_future(self._until_answered(question))
        self._under_way[key] = future
        try:
            return await asyncio.shield(future)  # who waits may be cancelled; what is under way will be paid for
        finally:
            del self._under_way[key]

    async def _until_answered(self, question: Question) -> Answer:
        tries = 0
        while True:
            try:
                answer = await self._once(question)
            except FailedError as failed:
                self.tally.failed += 1
                if self.stopped:
                    raise asyncio.CancelledError from None
                if not self.slots.troubled and not failed.too_many:
                    tries += 1  # the question may be to blame
                if failed.rejected in SINGLE or tries >= TRIES:
                    raise UnansweredError(failed.error.partition(":")[0]) from None
                if tries:
                    await asyncio.sleep(RETRY_S * 2 ** (tries - 1) * (1 + random.random()))
                continue
            self.tally.asked += 1
            self.tally.usd += answer.usd or 0.0
            return answer

    async def _once(self, question: Question) -> Answer:
        """One exchange, and what it cost, in the ledger before this returns.

        Raises:
            FailedError: no answer came.
            FusionError: as `ask`.
        """
        task = asyncio.current_task()
        assert task is not None
        async with self._ready:
            bound = await self.budget.reserve(question.asked, self.settings.max_tokens)
            attempt, sent, spent = None, False, 0.0
            try:
                attempt = await self._noted(question, bound)
                async with self.slots:
                    if self.stopped:
                        raise asyncio.CancelledError
                    self.paying.add(task)
                    sent, spent = True, bound or 0.0  # what is not known to be cheaper
                    answer = await self.endpoint.ask(question)
                    self.slots.went_well()
                # Others are asked while the answer goes to the disk.
                self.budget.learn(question.asked, answer.tokens_in)
                uncounted = self.budget.price is not None and answer.usd is None
                await asyncio.wrap_future(self.ledger.answered(attempt, question.asked, answer, uncounted))
                spent = spent if uncounted else answer.usd or 0.0
                return answer
            except FailedError as failed:
                spent = spent if failed.doubtful else 0.0
                assert attempt is not None
                await asyncio.wrap_future(self.ledger.failed(attempt, failed.error, failed.doubtful))
                self._judge(question, failed)
                raise
            except BaseException:
                if attempt is not None:
                    told = "stopped while it was under way" if sent else "stopped before it was sent"
                    self.ledger.failed(attempt, told, sent)
                raise
            finally:
                self.paying.discard(task)
                await self.budget.settle(bound, spent)

    async def _noted(self, question: Question, bound: float | None) -> int:
        """The number of the attempt, which is in the ledger before anything is sent."""
        noted = self.ledger.asking(question.asked, bound)
        try:
            return await asyncio.wrap_future(noted)
        except asyncio.CancelledError:
            noted.add_done_callback(
                lambda done: done.exception() or self.ledger.failed(done.result(), "stopped before it was sent", False)
            )
            raise

    def _judge(self, question: Question, failed: FailedError) -> None:
        """Raises FusionError where all questions are lost, not this one alone."""
        if failed.rejected and not self.slots.successes:
            self._rejected.add(question.asked.key)
            alone = failed.rejected in SINGLE
            enough = REJECTIONS if alone or self._answers_before else 1
            if len(self._rejected) >= enough and not (alone and self._answers_before):
                fix = FIXES.get(failed.rejected, "the server does not take such a request: see what it says")
                raise FusionError(f"{self.slots.server}: {failed.error}: {fix}")
        if failed.rejected not in SINGLE:  # which the server answers, as far as it lives
            self.slots.went_wrong(failed.error, failed.retry_after_s, failed.too_many)
