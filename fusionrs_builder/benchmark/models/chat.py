"""Models behind an OpenAI-compatible server: `chat:BASE_URL#MODEL`.

`CONCURRENCY` workers take one question after another: no more pictures are in memory than there are workers. What was
answered is in the store before it is counted.
"""

import asyncio
import base64
import os
import re
import sys
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from operator import length_hint
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from fusionrs_builder import pixels
from fusionrs_builder.benchmark.models.answer_store import AnswerStore
from fusionrs_builder.benchmark.models.model import Answer, Question, TextModel
from fusionrs_builder.engines.progress import Progress
from fusionrs_builder.errors import FusionError, UsageError

CONCURRENCY = 8
"""Questions under way at once."""

RETRIES = 4
"""Of one question, by the client of `openai`, which waits longer each time."""

TIMEOUT_S = 120.0
"""For one answer."""

GIVE_UP = 20
"""Questions in a row that failed, after which no more are asked."""

LONGEST_SIDE = 1024
"""Pixels of a picture that is sent; a larger one is made smaller."""

MOST_CHARACTERS = 20_000
"""Of an answer that are kept; no caption has as many."""

TOLD = 300
"""Characters of what a server said that are repeated in an error."""

FIXES = {
    401: "the key is missing or wrong: set OPENAI_API_KEY",
    403: "the key may not use this model",
    404: "no such model or address: name the model as the server does, and an address that ends in /v1 as a rule",
}
"""What all questions fail of alike, by HTTP status."""

Asked = tuple[str, str, int]
"""What an answer depends on beside the model: prompt, key of the pictures, most tokens."""


def model(rest: str, store: AnswerStore) -> TextModel:
    """A model of a server.

    Args:
        rest: of the spec: `BASE_URL#MODEL`.
        store: of the answers.

    Raises:
        UsageError: the address or the name of the model is missing, or the address holds a secret.
    """
    base, _, name = rest.partition("#")
    base = base.rstrip("/")
    if not name or not _plain(base):
        raise UsageError(
            "chat: name the address and the model, such as chat:http://localhost:8000/v1#Qwen/Qwen3-VL-8B-Instruct; "
            "the address has no user, password or query: the key is taken from OPENAI_API_KEY"
        )
    identity = f"chat {base} {name} temperature=0 side={LONGEST_SIDE} jpeg={pixels.JPEG_QUALITY}"

    def answer(questions: Iterable[Question], device: str) -> dict[str, Answer]:
        return _to_its_end(_Asking(base, name, identity, store, questions).all())

    return TextModel(
        spec=f"chat:{base}#{name}", name=name, pretrained=urlsplit(base).netloc, identity=identity, answer=answer
    )


def shrunk(picture: Image.Image) -> Image.Image:
    """A picture, its longest side `LONGEST_SIDE` pixels at most."""
    if max(picture.size) <= LONGEST_SIDE:
        return picture
    small = picture.copy()
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return small


@dataclass(frozen=True)
class _Dialect:
    """Names of parameters that a server takes.

    Attributes:
        modern: `max_completion_tokens` instead of `max_tokens`.
        warm: whether a temperature may be given.
    """

    modern: bool = False
    warm: bool = True

    def without(self, refusal: str) -> "_Dialect":
        """The next simpler one after a request was refused with these words; this one where there is none."""
        if "max_tokens" in refusal and not self.modern:
            return replace(self, modern=True)
        return replace(self, warm=False) if "temperature" in refusal else self

    def parameters(self, most_tokens: int) -> dict[str, Any]:
        length = {"max_completion_tokens" if self.modern else "max_tokens": most_tokens}
        return {**length, "temperature": 0} if self.warm else length


class _Asking:
    """All questions of one call, within one event loop."""

    def __init__(self, base: str, name: str, identity: str, store: AnswerStore, questions: Iterable[Question]) -> None:
        self._base, self._name, self._identity, self._store = base, name, identity, store
        self._spec, self._key = f"chat:{base}#{name}", _key()
        self._left: Iterator[Question] = iter(questions)
        self._progress = Progress(self._spec, length_hint(questions))
        self._answers: dict[str, Answer] = {}
        self._under_way: dict[Asked, list[str]] = {}
        self._dialect, self._spoken = _Dialect(), False
        self._failures, self._last, self._refused, self._unreachable = 0, "", False, False

    async def all(self) -> dict[str, Answer]:
        """An answer to each, by its key.

        Raises:
            FusionError: the server is gone, or refuses all questions.
        """
        import openai

        with self._progress:
            async with openai.AsyncOpenAI(
                api_key=self._key, base_url=self._base, max_retries=RETRIES, timeout=TIMEOUT_S
            ) as self._client:
                try:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(CONCURRENCY):
                            group.create_task(self._work())
                except BaseExceptionGroup as errors:
                    raise errors.exceptions[0] from None
        if self._failures and self._unreachable:  # gone before the last few questions
            raise self._stopped()
        return self._answers

    async def _work(self) -> None:
        for question in self._left:
            asked = (question.prompt, question.pictures_key, question.most_tokens)
            if asked in self._under_way:  # two records with the same pixels
                self._under_way[asked].append(question.key)
                continue
            self._under_way[asked] = [question.key]
            answer = await self._answer(question, asked)
            for key in self._under_way.pop(asked):
                self._answers[key] = answer
                self._progress(1)

    async def _answer(self, question: Question, asked: Asked) -> Answer:
        import openai

        known = self._store.get(self._identity, *asked)
        if known is not None:
            await asyncio.sleep(0)  # lest the others wait for a long row of these
            return Answer(known)
        try:
            content = await asyncio.to_thread(_content, question)
        except FusionError as error:  # a picture that cannot be read
            return Answer(None, str(error))
        try:
            text = self._text(await self._exchange(content, question.most_tokens))
        except (openai.OpenAIError, ValueError) as error:
            return self._failed(error)
        self._failures = 0
        await asyncio.to_thread(self._store.put, self._identity, *asked, text)
        return Answer(text)

    async def _exchange(self, content: list[dict[str, Any]], most_tokens: int) -> Any:
        """One answer as it came. What a server refused is left out of all questions once it answered one so."""
        import openai

        dialect = self._dialect
        messages: Any = [{"role": "user", "content": content}]
        while True:
            try:
                reply = await self._client.chat.completions.create(
                    model=self._name, messages=messages, **dialect.parameters(most_tokens)
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                following = self._dialect if self._spoken else dialect.without(str(error))
                if following == dialect:
                    raise
                dialect = following
                continue
            if not self._spoken:
                self._dialect, self._spoken = dialect, True
                if not dialect.warm:
                    print(f"{self._spec} takes no temperature: it answers at its own", file=sys.stderr, flush=True)
            return reply

    def _text(self, reply: Any) -> str:
        """What the model said.

        Raises:
            ValueError: the reply is no chat completion, or there are no words in it.
        """
        try:
            choice = reply.choices[0]
            text = choice.message.content or choice.message.refusal or ""
            if not text.strip() and choice.finish_reason == "length":
                raise ValueError("no words before the longest answer was reached: turn the model's thinking off")
        except (AttributeError, LookupError, TypeError):
            raise ValueError("the server's answer is no chat completion") from None
        return _without_key(text, self._key)[:MOST_CHARACTERS]

    def _failed(self, error: Exception) -> Answer:
        """The failure of one question.

        Raises:
            FusionError: all questions fail alike.
        """
        import httpx2
        import openai

        status = error.status_code if isinstance(error, openai.APIStatusError) else 0
        told = _told(error, self._key)
        if status in FIXES:
            raise FusionError(f"{self._spec}: {FIXES[status]} (the server said {told})")
        self._failures, self._last, self._refused = self._failures + 1, told, status in (400, 413, 415, 422)
        self._unreachable = isinstance(error.__cause__, httpx2.ConnectError)
        if self._failures >= GIVE_UP:
            raise self._stopped()
        return Answer(None, told)

    def _stopped(self) -> FusionError:
        answered = sum(answer.text is not None for answer in self._answers.values())
        pending = sum(len(keys) for keys in self._under_way.values())
        total = len(self._answers) + pending + sum(1 for _ in self._left)
        what, fix = "stopped answering", "start it again"
        if self._refused:
            what, fix = "refuses what it is asked", "see that the model takes pictures, and texts as long as these,"
        return FusionError(
            f"{self._spec}: the server {what} after {answered:,} of {total:,} questions: {fix} and run the same "
            f"command: answers that came are kept (the last failure: {self._last})"
        )


def _to_its_end(coroutine: Coroutine[Any, Any, dict[str, Answer]]) -> dict[str, Answer]:
    """Run it; on a thread of its own where this one has an event loop already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def _content(question: Question) -> list[dict[str, Any]]:
    """Of the message: the pictures in their order, then the words."""
    content: list[dict[str, Any]] = []
    for picture in question.pictures():
        file = pixels.encode_jpeg(np.asarray(shrunk(picture.convert("RGB"))))
        url = "data:image/jpeg;base64," + base64.b64encode(file).decode()
        content.append({"type": "image_url", "image_url": {"url": url}})
    return [*content, {"type": "text", "text": question.prompt}]


def _plain(base: str) -> bool:
    """Whether this is an address and nothing more: no credentials, which would stand in every result."""
    try:
        parts = urlsplit(base)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in base and "?" not in base
    except ValueError:
        return False


def _key() -> str:
    """The secret of the server; servers on one's own machine want none.

    Raises:
        UsageError: it holds what no header may hold.
    """
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError("OPENAI_API_KEY holds a space, a line break or a sign that is no plain letter: copy it anew")
    return key or "none"


def _without_key(text: str, key: str) -> str:
    """A text, the key taken out of it, and what no file can hold replaced."""
    return (text.replace(key, "***") if len(key) >= 8 else text).encode(errors="replace").decode()


def _told(error: Exception, key: str) -> str:
    """What happened, short and on one line, without secrets."""
    text = str(error)
    body = getattr(error, "body", None)
    if isinstance(body, dict) and body.get("message"):
        text = f"{getattr(error, 'status_code', '')} {body['message']}"
    elif error.__cause__ is not None:
        text = f"{text} {type(error.__cause__).__name__}: {error.__cause__}"
    text = re.sub(r"(?i)\b(?:bearer\s+\S+|sk-[\w*-]{4,})", "***", _without_key(text, key))
    return " ".join(text.split())[:TOLD]
