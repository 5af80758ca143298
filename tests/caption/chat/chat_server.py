"""An OpenAI-compatible server on loopback that answers from the facts it is given, or fails in every known way.

It counts what it is asked, what it answered and what it charges, so that a ledger can be held against it.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

Body = dict[str, Any]

FAULTS = ("401", "404", "429", "429-after", "500", "reset", "hang", "garbage", "not-json", "schema", "empty", "refusal",
          "long", "other", "half")  # fmt: skip

CHARGED = ("ok", "not-json", "schema", "empty", "refusal", "other")
"""Kinds of answer with a usage in them."""

WORDS = (
    ("calm", "plain", "quiet", "simple", "regular", "uneven", "varied", "sparse"),
    ("ground", "area", "surface", "terrain", "place", "land"),
    ("fine", "coarse", "soft", "crisp", "subtle", "faint", "gentle", "rough"),
    ("texture", "pattern", "structure", "grain", "detail", "layout"),
    ("even", "patchy", "mixed", "broken", "smooth", "irregular"),
)


def tokens_of(body: Body) -> tuple[int, int]:
    """What this server counts for a request: by its characters and images, as real ones do."""
    text = "".join(part.get("text", "") for message in body["messages"] for part in _parts(message))
    images = sum(part["type"] == "image_url" for message in body["messages"] for part in _parts(message))
    return len(text) // 4 + 300 * images, 60 + len(text) % 40


def question_of(body: Body) -> str:
    """A request by what a ledger keeps of it: its text, and the sha256 of each image."""
    parts = _parts(body["messages"][-1])
    files = [base64.b64decode(p["image_url"]["url"].partition(",")[2]) for p in parts if p["type"] == "image_url"]
    return keyed(parts[0]["text"], [hashlib.sha256(file).hexdigest() for file in files])


def keyed(text: str, images: Sequence[str]) -> str:
    return json.dumps([text, *images])


def _parts(message: Body) -> list[Body]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def captions(body: Body) -> Body:
    """Captions that pass every check: they name nothing that could be wrong, and are like no others."""
    text = "".join(part.get("text", "") for part in _parts(body["messages"][-1]))
    images = "".join(part["image_url"]["url"] for part in _parts(body["messages"][-1]) if part["type"] == "image_url")
    return captions_of(hashlib.sha256((text.partition("Your last answer")[0] + images).encode()).digest())


def captions_of(digest: bytes) -> Body:
    """The same of a sha256."""

    def phrase(at: int) -> str:
        a, b, c, d, e = (some[digest[at + n] % len(some)] for n, some in enumerate(WORDS))
        return f"{a} {b} with a {c} {d} and {e} parts"

    return {
        "scene": [f"An overhead view of {phrase(0)}.", f"Seen from above, this is {phrase(5)}."],
        "ir_aware": [f"An infrared-style view of {phrase(10)}.", f"This view shows {phrase(15)}."],
        "unsupported": [],
    }


@dataclass
class Counts:
    """What the server did.

    Attributes:
        asked: requests by kind of answer.
        answered: question (`question_of`): times it was answered and charged for.
        prices: question: the tokens that it is charged for.
        tokens_in, tokens_out: charged.
        slots: most requests under way at once.
        first, final: seconds of the clock at the first and the last answer.
    """

    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    prices: dict[str, tuple[int, int]] = field(default_factory=dict)
    tokens_in: int = 0
    tokens_out: int = 0
    slots: int = 0
    busy: int = 0
    last: Body = field(default_factory=dict)
    headers: str = ""
    first: float = 0.0
    final: float = 0.0


class ChatServer:
    """Serves while it is entered.

    Args:
        faults: of `FAULTS`, drawn from at random.
        rate: share of requests that fail.
        latency_s: of every answer.
        answer: of a request, as `captions`.
        takes_schema: whether it knows `response_format`.
        seed: of the faults.
        slots: requests that it works on at once; others wait.
        raw: status, headers and body instead of all this, by request; None: as ever.
    """

    def __init__(
        self,
        faults: Sequence[str] = (),
        rate: float = 0.0,
        latency_s: float = 0.0,
        answer: Callable[[Body], Any] = captions,
        takes_schema: bool = True,
        seed: int = 0,
        slots: int = 1 << 20,
        raw: Callable[[Body], tuple[int, list[str], bytes] | None] = lambda body: None,
    ) -> None:
        self.raw = raw
        self.slots = asyncio.Semaphore(slots)
        self.faults, self.rate, self.latency_s, self.answer = faults, rate, latency_s, answer
        self.takes_schema, self._random = takes_schema, random.Random(seed)
        self.counts = Counts()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> "ChatServer":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._handle, "127.0.0.1", 0, limit=1 << 24))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                size = next(
                    int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-l")
                )
                body = json.loads(await reader.readexactly(size))
                self.counts.headers, self.counts.last = head, body
                self.counts.busy += 1
                self.counts.slots = max(self.counts.slots, self.counts.busy)
                try:
                    if not await self._reply(body, writer):
                        break
                finally:
                    self.counts.busy -= 1
        writer.close()

    async def _reply(self, body: Body, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False closes the line."""
        kind = "ok"
        if self.faults and self._random.random() < self.rate:
            kind = self._random.choice(self.faults)
        if "response_format" in body and not self.takes_schema:
            kind = "unknown-field"
        self.counts.asked[kind] += 1
        async with self.slots:
            await asyncio.sleep(self.latency_s)
        if kind == "reset":
            transport: Any = writer.transport
            transport.abort()
            return False
        if kind == "hang":
            await asyncio.sleep(3600)
        if kind == "half":
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"choices"')
            await writer.drain()
            return False
        given = self.raw(body)
        kind = "raw" if given else kind
        status, headers, payload = given or self._content(kind, body)
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(payload)}", "Content-Type: application/json", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + payload)
        self.counts.final = time.monotonic()
        self.counts.first = self.counts.first or self.counts.final
        if kind in CHARGED:
            tokens = tokens_of(body)
            self.counts.tokens_in += tokens[0]
            self.counts.tokens_out += tokens[1]
            question = question_of(body)
            self.counts.answered[question] += 1
            self.counts.prices[question] = tokens
        await writer.drain()
        return True

    def _content(self, kind: str, body: Body) -> tuple[int, list[str], bytes]:
        said = {"401": "Incorrect API key provided: " + _key(self.counts.headers), "404": "no such model",
                "429": "slow down", "429-after": "slow down", "500": "oops",
                "unknown-field": "Unexpected keys in the request: response_format"}  # fmt: skip
        if kind in said:
            status = 422 if kind == "unknown-field" else int(kind[:3])
            headers = ["Retry-After: 0.2"] if kind == "429-after" else []
            return status, headers, json.dumps({"error": {"message": said[kind]}}).encode()
        if kind == "garbage":
            return 200, [], bytes(self._random.randrange(256) for _ in range(200))
        text = {
            "not-json": "A field.", "schema": json.dumps({"scene": "a", "ir_aware": [1]}), "empty": "",
            "refusal": "I'm sorry, but I can't help with that.", "long": "x" * 10_000_000,
            "other": json.dumps({"scene": ["Twelve ships lie in the harbour beside an airport."] * 2, "ir_aware":
                                 ["The red ships are warmer than the sea in this view."] * 2, "unsupported": []}),
        }.get(kind)  # fmt: skip
        if text is None:
            found = self.answer(body)
            text = found if isinstance(found, str) else json.dumps(found)
        tokens = tokens_of(body)
        usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = {"id": "x", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
        return 200, [], json.dumps({**whole, "usage": usage}).encode()


def _key(head: str) -> str:
    return next((line.split()[-1] for line in head.split("\r\n") if line.lower().startswith("authorization")), "")
