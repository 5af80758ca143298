"""The batch endpoint of OpenAI: files of questions, answered within a day at half the price.

A job is a file of questions. What is known of it stands in the ledger before the next step is taken: a killed run
finds its jobs again, and one whose id was never heard is looked for by the file it was made of. Only what failed is
sent anew.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import openai

from fusionrs_builder.caption.chat.endpoint import Dialect, completion, key_of, request, safe
from fusionrs_builder.caption.chat.ledger import COLLECTED, CREATED, GIVEN_UP, UPLOADED, Asked, Ledger
from fusionrs_builder.caption.chat.money import Budget, price_of
from fusionrs_builder.caption.chat.question import Question, Questions
from fusionrs_builder.caption.chat.rounds import in_rounds, open_questions
from fusionrs_builder.errors import FusionError
from fusionrs_builder.settings import CaptionSettings
from fusionrs_builder.stage import Task, digest
from fusionrs_builder.workspace import Workspace

MAX_REQUESTS, MAX_FILE_BYTES = 10_000, 100_000_000
"""Of a job; the endpoint takes 50,000 and 200 MB."""

POLL_S = 30.0

WINDOW: Literal["24h"] = "24h"

RUNNING = ("validating", "in_progress", "finalizing", "cancelling")
"""States of a batch in which it will still change; all others are final."""


@dataclass
class _File:
    """Questions of a job that is being put together."""

    lines: list[bytes] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    size: int = 0


class BatchAPI:
    """Answers questions through the batch endpoint.

    Args:
        settings: address, model, parameters, cap.
        ledger: of the answers and the jobs.
        say: is told what happens.
    """

    def __init__(self, settings: CaptionSettings, ledger: Ledger, say: Callable[[str], None]) -> None:
        self.settings, self.ledger, self.say = settings, ledger, say
        self._key = key_of(os.environ)
        # Its own patience: every step here is safe to repeat, but for the creation of a batch, which is looked up.
        self._client = openai.OpenAI(
            api_key=self._key, base_url=settings.base_url, timeout=settings.timeout, max_retries=5
        )
        self.price = price_of(settings)
        self.budget = Budget(self.price, settings.max_usd, ledger.spent())
        self._troubles: list[str] = []
        self._dialect, self._refusal, self._answers = Dialect(modern=True), "", False

    def run(self, workspace: Workspace, questions: Questions, pending: Sequence[Task]) -> None:
        """Answer all that the pending shards need, but for questions that the endpoint refuses one by one.

        Raises:
            FusionError: the endpoint refuses, a batch failed or expired, or the cap is reached.
        """
        self.finish(self._unfinished())
        in_rounds(workspace, questions, self.ledger, pending, self.answer)
        if self._troubles and next(open_questions(workspace, questions, self.ledger, pending), None) is not None:
            told = "; ".join(dict.fromkeys(self._troubles))
            raise FusionError(f"{self.settings.base_url}: {told}. Answers are kept: run again to send what is open")

    def answer(self, questions: Iterable[Question]) -> bool:
        """Send questions in as many jobs as they need, wait for all, and keep the answers.

        Returns:
            Whether another round may answer more.
        """
        if self._troubles:
            return False
        before = self.ledger.spent().answers
        names: list[str] = []
        for file in self._files(questions, names):
            names.append(self._create(self._upload(file)))
        self.finish(names)
        if self.ledger.spent().answers > before:
            self._answers = True
            return True
        if self._refusal and not self._answers and not self._troubles:  # of all: then it is not the questions
            simpler = self._dialect.without(self._refusal)
            if simpler is not None:
                self._dialect, self._refusal = simpler, ""
                return True
            self._troubles.append(f"the batch endpoint answers nothing: {self._refusal}")
        return False

    def finish(self, names: Sequence[str]) -> None:
        """Wait for jobs, and collect what they answered."""
        waiting = list(names)
        while waiting:
            still = [name for name in waiting if not self._collected(name)]
            if still == waiting:
                time.sleep(POLL_S)
            waiting = still
        spent = self.ledger.spent()
        self.budget.spent, self.budget.reserved = spent.usd + spent.doubtful_usd, 0.0

    def _files(self, questions: Iterable[Question], sent: list[str]) -> Iterator[_File]:
        """Questions in files that the endpoint takes and that the budget allows."""
        budget, file = self.budget, _File()
        for question in questions:
            bound = budget.bound(question.asked, self.settings.max_tokens, batch=True)
            if not budget.fits(bound):
                # What is under way may turn out cheaper than it was held for.
                if file.lines:
                    yield file
                    file = _File()
                self.finish(sent)
                sent.clear()
                bound = budget.bound(question.asked, self.settings.max_tokens, batch=True)
                if not budget.fits(bound):
                    raise budget.spent_up(bound or 0.0)
            budget.reserved += bound or 0.0
            body = request(question, self.settings, self._dialect)
            line = json.dumps(
                {"custom_id": question.asked.key, "method": "POST", "url": "/v1/chat/completions", "body": body}
            ).encode()
            if file.lines and (len(file.lines) >= MAX_REQUESTS or file.size + len(line) > MAX_FILE_BYTES):
                yield file
                file = _File()
            file.lines.append(line)
            file.asked.append(question.asked)
            file.size += len(line) + 1
        if file.lines:
            yield file

    def _upload(self, file: _File) -> str:
        """Hand in a file of questions. Returns the name of the job."""
        name = digest([asked.key for asked in file.asked])[:16]
        with self._explained("the questions could not be handed in"):
            uploaded = self._client.files.create(file=(f"{name}.jsonl", b"\n".join(file.lines)), purpose="batch")
        facts = {"file": uploaded.id, "asked": [asdict(asked) for asked in file.asked]}
        self.ledger.note_job(name, UPLOADED, facts)
        return name

    def _create(self, name: str) -> str:
        """Have the file of a job answered, unless that was asked for already and only its id was lost."""
        facts = self._facts(name)
        found = self._lost(facts["file"])
        if found is None:
            with self._explained("no batch could be made", name):
                found = self._client.with_options(max_retries=0).batches.create(
                    input_file_id=facts["file"], endpoint="/v1/chat/completions", completion_window=WINDOW
                ).id  # fmt: skip
        self.ledger.note_job(name, CREATED, {**facts, "batch": found})
        self.say(f"batch {found}: {len(facts['asked'])} questions")
        return name

    def _lost(self, file: str) -> str | None:
        """The batch of a file, if there is one: the process may have died, or the line broken, before its id came."""
        with self._explained("the batches could not be listed"):
            return next((batch.id for batch in self._client.batches.list() if batch.input_file_id == file), None)

    def _unfinished(self) -> list[str]:
        for name in self.ledger.jobs(UPLOADED):
            self._create(name)
        return self.ledger.jobs(CREATED)

    def _collected(self, name: str) -> bool:
        """Whether a job is through; what it answered is then in the ledger."""
        facts = self._facts(name)
        with self._explained(f"batch {facts['batch']} could not be asked after", name):
            batch = self._client.batches.retrieve(facts["batch"])
            if batch.status in RUNNING:
                return False
            found = [
                line
                for file in (batch.output_file_id, batch.error_file_id)
                if file
                for line in self._client.files.content(file).content.splitlines()
            ]
        asked = {each["key"]: Asked(**{**each, "images": tuple(each["images"])}) for each in facts["asked"]}
        answered = sum(self._keep(line, asked) for line in found)
        self.ledger.note_job(name, COLLECTED, {"batch": facts["batch"], "status": batch.status, "answered": answered})
        if batch.status != "completed":
            errors = [each.message or "" for each in (batch.errors.data if batch.errors else None) or []]
            self._troubles.append(safe(f"batch {facts['batch']} {batch.status} {'; '.join(errors)}", self._key))
        self.say(f"batch {facts['batch']} {batch.status}: {answered} of {len(asked)} questions answered")
        return True

    def _keep(self, line: bytes, asked: dict[str, Asked]) -> bool:
        """Put one line of a result into the ledger; returns whether it was an answer."""
        if not line.strip():
            return False
        try:
            found = json.loads(line)
            one = asked[found["custom_id"]]
        except (ValueError, LookupError, TypeError):
            return False  # of another job, or no line of a result: its question stays open
        try:
            price = self.settings.prices.get(one.model)
            answer = completion(found["response"]["body"], self._key, price, 0.0, "batch")
        except (ValueError, LookupError, TypeError):
            attempt = self.ledger.asking(one, 0.0).result()
            said = found.get("error") or (found.get("response") or {}).get("body")
            self._refusal = safe(json.dumps(said), self._key)
            self.ledger.failed(attempt, f"batch: {self._refusal}", doubtful=False).result()
            return False
        self.budget.learn(one, answer.tokens_in)
        uncounted = price is not None and answer.usd is None
        bound = self.budget.bound(one, self.settings.max_tokens, batch=True)
        held = self.ledger.asking(one, bound).result() if uncounted else None
        self.ledger.answered(held, one, answer, uncounted).result()
        return True

    def _facts(self, name: str) -> dict[str, Any]:
        facts = self.ledger.job(name)
        assert facts is not None
        return facts

    def _explained(self, what: str, job: str | None = None) -> "_Explained":
        return _Explained(what, self._key, self.settings.base_url, self.ledger, job)


class _Explained:
    """Turns what the client raises into an error without secrets."""

    def __init__(self, what: str, key: str, server: str, ledger: Ledger, job: str | None) -> None:
        self.what, self.key, self.server, self.ledger, self.job = what, key, server, ledger, job

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, openai.APIStatusError) and error.status_code in (400, 404, 422) and self.job is not None:
            facts = self.ledger.job(self.job) or {}
            self.ledger.note_job(self.job, GIVEN_UP, {**facts, "asked": []})  # it will never be otherwise
        if isinstance(error, openai.OpenAIError):
            raise FusionError(
                f"{self.server}: {self.what}: {safe(str(error), self.key)}. Run again to go on: "
                "jobs and answers are kept"
            ) from None
