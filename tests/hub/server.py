"""The Hub on loopback: a web server, and what may befall its answers."""

import contextlib
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from .api import Hub
from .messages import Account, Answer, Request

KINDS = ("429", "500", "503", "drop-before", "drop-after", "truncated")

LIMITED = {"RateLimit": '"api";r=0;t=0', "RateLimit-Policy": '"fixed window";"api";q=1000;w=300', "Retry-After": "0"}


class Faults:
    """What befalls requests. A fault is one of

    429, 500, 503   that answer; nothing is done
    drop-before     the line is cut; nothing is done
    drop-after      the line is cut after all was done: the client does not know
    truncated       all is done, and half of the answer's body is sent
    mute            nothing is done, and nothing is answered for a second

    Args:
        rate: share of requests that are hit, by chance.
        kinds: drawn from.
        seed: of the chance.

    Attributes:
        dealt: how often each befell.
    """

    def __init__(self, rate: float = 0, kinds: Sequence[str] = KINDS, seed: int = 0) -> None:
        self.rate, self.kinds = rate, kinds
        self.chance = random.Random(seed)
        self.planned: list[tuple[re.Pattern[str], list[str]]] = []
        self.dealt: Counter[str] = Counter()
        self.lock = threading.Lock()

    def plan(self, pattern: str, *kinds: str, times: int = 1) -> None:
        """What befalls the next requests whose `METHOD path` has the pattern in it, one after another."""
        self.planned.append((re.compile(pattern), list(kinds) * times))

    def draw(self, line: str) -> str:
        """What befalls this request; empty for nothing."""
        with self.lock:
            for pattern, kinds in self.planned:
                if kinds and pattern.search(line):
                    fault = kinds.pop(0)
                    break
            else:
                fault = self.chance.choice(self.kinds) if self.chance.random() < self.rate else ""
            if fault:
                self.dealt[fault] += 1
        return fault


class Handler(BaseHTTPRequestHandler):
    """Reads a request, has it answered, and sends the answer, or what a fault leaves of it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "HubServer"

    def _serve(self) -> None:
        body = self._body()
        path, _, query = self.path.partition("?")
        line = f"{self.command} {path}"
        self.server.requests.append(line)
        fault = self.server.faults.draw(line)
        if fault == "mute":
            time.sleep(1)
        if fault in ("mute", "drop-before"):
            return self._drop()
        if fault.isdigit():
            return self._send(
                Answer.of({"error": "a fault"}, int(fault), self.server.limited if fault == "429" else {})
            )
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.hub.answer(Request(self.command, path, dict(parse_qsl(query)), headers, body))
        if fault == "drop-after":
            return self._drop()
        self._send(answer, len(answer.body) // 2 if fault == "truncated" else None)
        return None

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _send(self, answer: Answer, sent: int | None = None) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[:sent])
        if sent is not None:
            self.close_connection = True

    def _drop(self) -> None:
        """Reset the connection: with no time to linger, closing it does not wait for what is not sent yet."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *_: Any) -> None:
        pass


class HubServer(ThreadingHTTPServer):
    """A Hub on loopback. Its storage answers at another name of the same machine, and takes no token.

    Args:
        page: entries a page of a tree.
        part: bytes a part of an upload.
        faults: what befalls requests.

    Attributes:
        hub: what it holds.
        url: its address.
        requests: `METHOD path` of each request.
        limited: headers of a 429.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, page: int = 1000, part: int | None = None, faults: Faults | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.hub = Hub(self.url, f"http://localhost:{self.server_port}", page, part)
        self.faults = faults or Faults()
        self.requests: list[str] = []
        self.limited = dict(LIMITED)

    def account(self, name: str, role: str = "write", orgs: Sequence[str] = ()) -> str:
        """Make a user known; returns a token."""
        token = f"hf_{role}{name}token"
        self.hub.accounts[token] = Account(name, role, tuple(orgs))
        return token

    def asked(self, pattern: str) -> int:
        """How many requests had the pattern in their `METHOD path`."""
        return sum(re.search(pattern, line) is not None for line in self.requests)

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is no error."""


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[HubServer]:
    server = HubServer(**options)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
