"""Asking in rounds: all questions that have no answer yet are gathered, answered together, and what follows from the
answers is asked in the next round. For endpoints that take files of questions, and for a model in this process.

What was answered lies in the ledger; the stage then makes its shards from there, and asks no more.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence

from fusionrs_builder.caption.chat.asking import UnansweredError
from fusionrs_builder.caption.chat.captioner import Measured, Said, captioned, prepared
from fusionrs_builder.caption.chat.ledger import Answer, Ledger
from fusionrs_builder.caption.chat.question import Question, Questions
from fusionrs_builder.caption.rows import LAYERS, record_of, views_of
from fusionrs_builder.stage import Task
from fusionrs_builder.workspace import Workspace

ROUNDS = 4
"""At most: the question, the question once more, and each again where a round failed in part."""


def measured(
    workspace: Workspace, questions: Questions, shard: str, rows: Collection[int] | None = None
) -> Iterator[Measured | None]:
    """The records of a shard, measured; None for one that cannot be asked about.

    Args:
        workspace: where.
        questions: that makes the question of each.
        shard: its name.
        rows: numbers of the rows that are wanted; None: all.
    """
    for number, row in enumerate(workspace.zip(shard, LAYERS)):
        if rows is not None and number not in rows:
            continue
        try:
            views, _ = views_of(row)
        except ValueError:
            yield None
            continue
        yield prepared(record_of(row), views, questions) if views.rgb or views.ir else None


def open_questions(
    workspace: Workspace, questions: Questions, ledger: Ledger, pending: Sequence[Task]
) -> Iterator[Question]:
    """Every question whose answer is not in the ledger, and is needed now; each once."""
    seen: set[str] = set()
    for task in pending:
        for each in measured(workspace, questions, task.shard):
            if each is None:
                continue
            try:
                asyncio.run(captioned(each, questions, _Ledger(ledger)))
            except _OpenError as wanted:
                if wanted.question.asked.key not in seen:
                    seen.add(wanted.question.asked.key)
                    yield wanted.question


def in_rounds(
    workspace: Workspace,
    questions: Questions,
    ledger: Ledger,
    pending: Sequence[Task],
    answer: Callable[[Iterator[Question]], object],
) -> None:
    """Gather and answer until nothing is open, or nothing more is answered.

    Args:
        workspace: where.
        questions: that makes the questions.
        ledger: that the answers are written to.
        pending: shards that are to be made.
        answer: answers questions into the ledger, and returns what is true where another round may answer more.
    """
    for _ in range(ROUNDS):
        if not answer(open_questions(workspace, questions, ledger, pending)):
            return


def from_ledger(workspace: Workspace, questions: Questions, ledger: Ledger, shard: str) -> Iterator[Said | None]:
    """What was said of the records of a shard, from the ledger alone; a question without an answer has none."""
    known = _Ledger(ledger, lambda question: UnansweredError("not answered"))
    for each in measured(workspace, questions, shard):
        yield None if each is None else asyncio.run(captioned(each, questions, known))


class _OpenError(Exception):
    def __init__(self, question: Question) -> None:
        super().__init__(question.asked.key)
        self.question = question


class _Ledger:
    """Answers from the ledger alone."""

    def __init__(self, ledger: Ledger, missing: Callable[[Question], Exception] = _OpenError) -> None:
        self.ledger, self.missing = ledger, missing

    async def ask(self, question: Question) -> Answer:
        found = self.ledger.find(question.asked.key)
        if found is None:
            raise self.missing(question)
        return found
