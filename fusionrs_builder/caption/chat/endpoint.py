"""One exchange with an OpenAI-compatible server: a question goes out, an answer comes back, or word on why none did."""

import asyncio
import email.utils
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx2
import openai

from fusionrs_builder.caption.chat.answer import MAX_REPLY
from fusionrs_builder.caption.chat.ledger import Answer
from fusionrs_builder.caption.chat.money import cost
from fusionrs_builder.caption.chat.question import SCHEMA, Question
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CaptionSettings, Price

MAX_BYTES = 4 * 1024 * 1024
"""Of an answer; a server that sends more is cut off."""

CONNECT_S = 15.0

MOST_TOKENS = 1 << 32
"""Of a question or an answer; more is no count."""

TOLD = 300
"""Characters of what a server said that are repeated in an error."""

REJECTED = (400, 401, 402, 403, 404, 405, 413, 415, 422)
"""The server will not answer this, and would not the next time; all other codes are worth another try."""

FORMATS: tuple[dict[str, Any] | None, ...] = (
    {"type": "json_schema", "json_schema": {"name": "captions", "strict": True, "schema": SCHEMA}},
    {"type": "json_object"},
    None,
)
"""Ways to ask for JSON, best first. A server that knows none is asked in words alone."""

# They log whole requests, with keys and images.
for _name in ("openai", "httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class FailedError(Exception):
    """No answer came.

    Attributes:
        error: a short code and what happened, without secrets.
        retry_after_s: how long the server asks to wait.
        too_many: it was asked too often.
        rejected: HTTP status of a request that the server will not answer; 0 otherwise.
        doubtful: it may have charged for it all the same.
    """

    def __init__(
        self,
        error: str,
        *,
        retry_after_s: float | None = None,
        too_many: bool = False,
        rejected: int = 0,
        doubtful: bool = False,
    ) -> None:
        super().__init__(error)
        self.error, self.retry_after_s, self.too_many = error, retry_after_s, too_many
        self.rejected, self.doubtful = rejected, doubtful


class Endpoint:
    """A server and a model. To be used and closed within one event loop.

    Args:
        settings: address, model, parameters, time limit, concurrency.
        key: secret of the server; anything where it wants none.
        price: of the model.
    """

    def __init__(self, settings: CaptionSettings, key: str, price: Price | None) -> None:
        self.settings, self.price, self._key = settings, price, key
        timeout = httpx2.Timeout(settings.timeout, connect=min(CONNECT_S, settings.timeout), pool=None)
        most = settings.concurrency
        transport = _Bounded(httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_keepalive_connections=most)))
        self._client = openai.AsyncOpenAI(
            api_key=key,
            base_url=settings.base_url,
            default_headers={"Accept-Encoding": "identity"},
            max_retries=0,  # `asking.py` does it, with the ledger and the budget in view
            timeout=timeout,
            http_client=httpx2.AsyncClient(transport=transport, timeout=timeout, follow_redirects=False),
        )
        self._dialect, self._spoken = Dialect(), False

    async def close(self) -> None:
        await self._client.close()

    async def ask(self, question: Question) -> Answer:
        """Send a question, and wait for its answer.

        Servers differ in what they take: ways to ask for JSON, and names of parameters. What one refused is left out of
        the same question; only when that is answered is it left out of all.

        Raises:
            FailedError: none came.
        """
        dialect = self._dialect
        while True:
            try:
                answer = await self._ask(question, dialect)
            except FailedError as failed:
                simpler = dialect.without(failed.error) if failed.rejected in (400, 422) else None
                if simpler is None or (self._spoken and dialect == self._dialect and dialect.modern == simpler.modern):
                    raise
                dialect = simpler
                continue
            self._dialect, self._spoken = dialect, True
            return answer

    async def _ask(self, question: Question, dialect: "Dialect") -> Answer:
        started = time.monotonic()
        body = request(question, self.settings, dialect)
        try:
            async with asyncio.timeout(self.settings.timeout):  # a server that drips bytes has no silence to time
                raw = await self._client.chat.completions.with_raw_response.create(**body)
                content = raw.http_response.content
        except openai.APIStatusError as error:
            raise self._of_status(error) from None
        except (TimeoutError, openai.APITimeoutError) as error:
            reached = not isinstance(error.__cause__, httpx2.ConnectTimeout | httpx2.PoolTimeout)
            raise FailedError(f"timeout: no answer within {self.settings.timeout:g} s", doubtful=reached) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__
            reached = not isinstance(cause, httpx2.ConnectError | httpx2.UnsupportedProtocol)
            said = self.safe(f"{type(cause).__name__}: {cause}")
            raise FailedError(f"connection: {said}", doubtful=reached) from None
        except _TooLongError:
            raise FailedError(f"garbage: more than {MAX_BYTES >> 20} MB, or compressed", doubtful=True) from None
        return self._read(content, time.monotonic() - started)

    def _read(self, content: bytes, seconds: float) -> Answer:
        try:
            return completion(json.loads(content), self._key, self.price, seconds)
        except (ValueError, RecursionError):
            said = self.safe(content[:TOLD].decode(errors="replace"))
            raise FailedError(f"garbage: not a chat completion: {said!r}", doubtful=True) from None

    def _of_status(self, error: openai.APIStatusError) -> FailedError:
        status = error.status_code
        said = self.safe(_message(error))
        broke = status == 429 and "insufficient_quota" in f"{error.code} {error.type} {said}"
        return FailedError(
            f"http_{status}: {said}",
            retry_after_s=_retry_after(error.response.headers),
            too_many=status == 429 and not broke,
            rejected=status if status in REJECTED or 300 <= status < 400 or broke else 0,
        )

    def safe(self, text: str) -> str:
        """What a server said, without the key."""
        return safe(text, self._key)


@dataclass(frozen=True)
class Dialect:
    """What of the protocol a server knows.

    Attributes:
        format: number of the way in `FORMATS` to ask for JSON.
        modern: `max_completion_tokens` instead of `max_tokens`.
        warm: whether a temperature may be given.
    """

    format: int = 0
    modern: bool = False
    warm: bool = True

    def without(self, error: str) -> "Dialect | None":
        """The next simpler one after a request was refused with these words; None after the last."""
        if "max_completion_tokens" in error and not self.modern:
            return replace(self, modern=True)
        if "temperature" in error and self.warm:
            return replace(self, warm=False)
        return replace(self, format=self.format + 1) if self.format + 1 < len(FORMATS) else None


def key_of(environment: Mapping[str, str]) -> str:
    """The secret of the server, from the environment; servers on one's own machine want none.

    Raises:
        UsageError: it holds what no header may hold.
    """
    key = environment.get("OPENAI_API_KEY", "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError("OPENAI_API_KEY holds a space, a line break or a sign that is no plain letter: copy it anew")
    return key or "none"


def without_key(text: str, key: str) -> str:
    """A text, the key taken out wherever it is repeated, and what no file can hold replaced."""
    for secret in (key, key.partition("-")[2]):
        if len(secret) >= 8:
            text = text.replace(secret, "***")
    return text.encode(errors="replace").decode()


def safe(text: str, key: str) -> str:
    """What a server said, short and on one line, without secrets."""
    text = re.sub(r"(?i)\b(?:bearer\s+\S+|sk-[\w*-]{4,})", "***", without_key(text, key))
    return " ".join(text.split())[:TOLD]


def request(question: Question, settings: CaptionSettings, dialect: Dialect) -> dict[str, Any]:
    """The body of a request for a chat completion."""
    body: dict[str, Any] = {"model": settings.model, "messages": question.messages()}
    body["max_completion_tokens" if dialect.modern else "max_tokens"] = settings.max_tokens
    if dialect.warm:
        body["temperature"] = settings.temperature
    form = FORMATS[dialect.format]
    return body if form is None else {**body, "response_format": form}


def completion(body: Any, key: str, price: Price | None, seconds: float, via: str = "chat") -> Answer:
    """The envelope of an answer; what is in the text is for `answer.py` to judge, since it was paid for.

    Args:
        body: of the response: JSON values.
        key: secret of the server, which is taken out of what it says.
        price: of the model.
        seconds: that it took.
        via: `chat` or `batch`, which has a price of its own.

    Raises:
        ValueError: it is no chat completion.
    """
    try:
        choice = body["choices"][0]
        message = choice["message"]
        text = message.get("content") or message.get("refusal") or ""
        if isinstance(text, list):
            text = "".join(part.get("text") or "" for part in text)
        finish = without_key(str(choice.get("finish_reason") or ""), key)[:40]
        usage = body.get("usage") or {}
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"no chat completion: {error!r}") from None
    if not isinstance(text, str):
        raise ValueError("the content of a chat completion was no text")
    counts = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    tokens = [count if type(count) is int and 0 <= count <= MOST_TOKENS else 0 for count in counts]
    # What a server does not count has no price here, and is held for its bound.
    usd = cost(price, tokens[0], tokens[1], batch=via == "batch") if tokens[0] else None
    return Answer(without_key(text, key)[:MAX_REPLY], finish, tokens[0], tokens[1], usd, round(seconds, 3), via)


def _message(error: openai.APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        message = inner.get("message") if isinstance(inner, dict) else inner
        if message:
            return str(message)
    return str(body or error.message)


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds that a server asks to wait, as a number or a date; None where it names none."""
    value = headers.get("retry-after-ms") or headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value) / (1000 if "retry-after-ms" in headers else 1))
    except ValueError:
        pass
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


class _TooLongError(Exception):
    pass


class _Bounded(httpx2.AsyncBaseTransport):
    """Cuts off answers without end."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise _TooLongError  # compressed, though it was asked not to be: its size is known to nobody
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _BoundedStream(response.stream)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for part in self._inner:
            seen += len(part)
            if seen > MAX_BYTES:
                raise _TooLongError
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()
