"""One exchange with an OpenAI-compatible server: a question goes out, an answer comes back, or word on why none did."""

import asyncio
import email.utils
import json
import logging
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import openai

from fusionrs_builder.caption.chat.answer import MAX_REPLY
from fusionrs_builder.caption.chat.ledger import Answer
from fusionrs_builder.caption.chat.money import cost
from fusionrs_builder.caption.chat.question import SCHEMA, Question
from fusionrs_builder.config import CaptionSettings, Price

MAX_BYTES = 4 * 1024 * 1024
"""Of an answer; a server that sends more is cut off."""

CONNECT_S = 15.0

TOLD = 300
"""Characters of what a server said that are repeated in an error."""

REJECTED = (400, 401, 403, 404, 405, 413, 415, 422)
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
            max_retries=0,  # `asking.py` does it, with the ledger and the budget in view
            timeout=timeout,
            http_client=httpx2.AsyncClient(transport=transport, timeout=timeout, follow_redirects=False),
        )
        self._format = 0

    async def close(self) -> None:
        await self._client.close()

    async def ask(self, question: Question) -> Answer:
        """Send a question, and wait for its answer.

        Raises:
            FailedError: none came.
        """
        while True:
            tried = self._format
            try:
                return await self._ask(question, FORMATS[tried])
            except FailedError as failed:
                # Said of `response_format` only before it has ever been taken: else the question is to blame.
                if failed.rejected not in (400, 422) or tried + 1 >= len(FORMATS) or self._taken(tried):
                    raise
                self._format = max(self._format, tried + 1)

    _accepted: int | None = None

    def _taken(self, way: int) -> bool:
        return self._accepted is not None and self._accepted <= way

    async def _ask(self, question: Question, format_: dict[str, Any] | None) -> Answer:
        started = time.monotonic()
        body = request(question, self.settings, format_)
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
            raise FailedError(f"garbage: more than {MAX_BYTES >> 20} MB", doubtful=True) from None
        answer = self._read(content, time.monotonic() - started)
        self._accepted = min(self._format if self._accepted is None else self._accepted, FORMATS.index(format_))
        return answer

    def _read(self, content: bytes, seconds: float) -> Answer:
        try:
            return completion(json.loads(content), self.price, seconds)
        except (ValueError, RecursionError):
            said = self.safe(content[:TOLD].decode(errors="replace"))
            raise FailedError(f"garbage: not a chat completion: {said!r}", doubtful=True) from None

    def _of_status(self, error: openai.APIStatusError) -> FailedError:
        status = error.status_code
        said = self.safe(_message(error))
        return FailedError(
            f"http_{status}: {said}",
            retry_after_s=_retry_after(error.response.headers),
            too_many=status == 429,
            rejected=status if status in REJECTED else 0,
        )

    def safe(self, text: str) -> str:
        """What a server said, without the key."""
        return safe(text, self._key)


def safe(text: str, key: str) -> str:
    """What a server said, short and on one line, the key taken out wherever it is repeated."""
    for secret in (key, key.partition("-")[2]):
        if len(secret) >= 8:
            text = text.replace(secret, "***")
    text = re.sub(r"(?i)\b(?:bearer\s+\S+|sk-[\w*-]{4,})", "***", text)
    return " ".join(text.split())[:TOLD]


def request(question: Question, settings: CaptionSettings, format_: dict[str, Any] | None) -> dict[str, Any]:
    """The body of a request for a chat completion."""
    body: dict[str, Any] = {"model": settings.model, "messages": question.messages()}
    body |= {"max_tokens": settings.max_tokens, "temperature": settings.temperature}
    return body if format_ is None else {**body, "response_format": format_}


def completion(body: Any, price: Price | None, seconds: float, via: str = "chat") -> Answer:
    """The envelope of an answer; what is in the text is for `answer.py` to judge, since it was paid for.

    Args:
        body: of the response: JSON values.
        price: of the model.
        seconds: that it took.
        via: `chat` or `batch`, which has a price of its own.

    Raises:
        ValueError: it is no chat completion.
    """
    try:
        choice = body["choices"][0]
        text = choice["message"].get("content") or choice["message"].get("refusal") or ""
        usage = body.get("usage") or {}
        tokens = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
        finish = str(choice.get("finish_reason") or "")
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"no chat completion: {error!r}") from None
    if not isinstance(text, str):
        raise ValueError("the content of a chat completion was no text")
    usd = cost(price, tokens[0], tokens[1], batch=via == "batch")
    return Answer(text[:MAX_REPLY], finish, tokens[0], tokens[1], usd, round(seconds, 3), via)


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
