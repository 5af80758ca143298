"""What a run would cost, told from a pilot of a few records. Their answers are kept like all others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionrs_builder.caption.chat.captioner import Measured, Said
from fusionrs_builder.caption.chat.ledger import Ledger, ledger_path
from fusionrs_builder.caption.chat.money import cost, price_of
from fusionrs_builder.caption.chat.prompt import Prompt
from fusionrs_builder.caption.chat.question import Questions
from fusionrs_builder.caption.chat.rounds import measured
from fusionrs_builder.caption.chat.session import Session
from fusionrs_builder.errors import FusionError
from fusionrs_builder.settings import CaptionSettings
from fusionrs_builder.stage import Task
from fusionrs_builder.workspace import Workspace

PILOT = 20
"""Records that are asked about."""

RESAMPLES = 2000

PILOT_SHARD = "pilot"


@dataclass(frozen=True)
class Estimate:
    """What is to be expected of the records that still want captions; pairs are a 95 % interval.

    Attributes:
        records: that want captions.
        pilot: records that were asked about.
        answers_a_record: some are asked twice.
        tokens_in, tokens_out: of all, mean.
        usd, usd_interval: at the price of the model; None without one.
        batch_usd, batch_usd_interval: at the price of the batch endpoint.
        hours, hours_interval: with as many questions at once as are allowed, if the server is as fast for all of them.
    """

    records: int
    pilot: int
    answers_a_record: float
    tokens_in: int
    tokens_out: int
    usd: float | None
    usd_interval: tuple[float, float] | None
    batch_usd: float | None
    batch_usd_interval: tuple[float, float] | None
    hours: float
    hours_interval: tuple[float, float]

    def lines(self) -> list[str]:
        """For people."""
        told = [
            f"a pilot of {self.pilot} records took {self.answers_a_record:.2f} answers a record; of {self.records:,} "
            "records that want captions:",
            f"  {self.tokens_in:,} tokens in, {self.tokens_out:,} tokens out",
        ]
        for name, usd, interval in (
            ("online", self.usd, self.usd_interval), ("batch ", self.batch_usd, self.batch_usd_interval)
        ):  # fmt: skip
            if usd is not None and interval is not None:
                digits = 2 if usd >= 1 else 4
                low, high = interval
                told.append(f"  {name} ${usd:,.{digits}f} (95 %: {low:,.{digits}f} to {high:,.{digits}f})")
        if self.usd is None:
            told.append('  no price: add [caption.prices."MODEL"] with input and output to fusionrs.toml')
        unit, many = ("hours", 1) if self.hours >= 1 else ("minutes", 60)
        mean, low, high = (many * hours for hours in (self.hours, *self.hours_interval))
        told.append(f"  {mean:.1f} {unit} online (95 %: {low:.1f} to {high:.1f}), as fast as the pilot")
        return told


def estimate(workspace: Workspace, settings: CaptionSettings, pending: Sequence[Task], seed: int) -> Estimate:
    """Ask about a few records of the shards that are to be made, and reckon what all would take.

    Args:
        workspace: where.
        settings: whom to ask, and how.
        pending: shards that are to be made.
        seed: of the choice of records.

    Raises:
        FusionError: as asking does; or there is nothing to ask.
    """
    questions = Questions(settings, Prompt.load(settings.prompt))
    total = sum(task.items for task in pending)
    if not total:
        raise FusionError("nothing to estimate: every shard has its captions")
    chosen = np.sort(np.random.default_rng(seed).permutation(total)[:PILOT])

    known: list[Ledger] = []

    def records(_: str) -> Iterator[Measured | None]:
        """What was answered before costs nothing."""
        for each in _chosen(workspace, questions, pending, chosen.tolist()):
            yield each if each and known[0].find(each.question.asked.key) is None else None

    session = Session(settings, questions, ledger_path(workspace), records)
    known.append(session.ledger)
    try:
        said = list(session.shard(PILOT_SHARD, ()))
    finally:
        session.close()
    return reckoned(said, total, settings, seed)


def reckoned(said: Sequence[Said | None], total: int, settings: CaptionSettings, seed: int = 0) -> Estimate:
    """The estimate that follows from a pilot.

    Args:
        said: of the pilot; None for records that need nothing.
        total: records in all.
        settings: price and concurrency.
        seed: of the bootstrap over records.
    """
    costs = np.array([_cost(each) for each in said], np.float64)  # [records, answers, tokens in, out, seconds]
    rng = np.random.default_rng(seed)
    means = costs[rng.integers(0, len(costs), (RESAMPLES, len(costs)))].mean(axis=1)
    price = price_of(settings)

    def usd(per_record: Any, batch: bool) -> float | None:
        return cost(price, total * per_record[1], total * per_record[2], batch)

    def interval(values: Sequence[float | None]) -> tuple[float, float] | None:
        known = [value for value in values if value is not None]
        return (float(np.quantile(known, 0.025)), float(np.quantile(known, 0.975))) if known else None

    mean = costs.mean(axis=0)
    hours = total * means[:, 3] / settings.concurrency / 3600
    return Estimate(
        records=total,
        pilot=len(said),
        answers_a_record=float(mean[0]),
        tokens_in=round(total * mean[1]),
        tokens_out=round(total * mean[2]),
        usd=usd(mean, False),
        usd_interval=interval([usd(each, False) for each in means]),
        batch_usd=usd(mean, True),
        batch_usd_interval=interval([usd(each, True) for each in means]),
        hours=float(total * mean[3] / settings.concurrency / 3600),
        hours_interval=(float(np.quantile(hours, 0.025)), float(np.quantile(hours, 0.975))),
    )


def _cost(said: Said | None) -> tuple[float, float, float, float]:
    came = said.answers if said else ()
    return (
        len(came), sum(a.tokens_in for a in came), sum(a.tokens_out for a in came), sum(a.seconds for a in came)
    )  # fmt: skip


def _chosen(
    workspace: Workspace, questions: Questions, pending: Sequence[Task], numbers: Sequence[int]
) -> Iterator[Measured | None]:
    """The records of these numbers, counted over all shards."""
    start = 0
    for task in pending:
        mine = {number - start for number in numbers if start <= number < start + task.items}
        if mine:
            yield from measured(workspace, questions, task.shard, mine)
        start += task.items
