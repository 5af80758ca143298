"""A web server on loopback that answers in every way a publisher's may, and keeps count of what it served."""

import contextlib
import hashlib
import random
import re
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHUNK = 16 * 1024

Pages = Callable[[str, dict[str, str]], tuple[int, dict[str, str], bytes] | None]
"""Status, headers and body for a path (with its query) and the headers of a request; None where a file will do."""

PAGE = b"<!DOCTYPE html><html><title>Sign in</title>" + b" " * 900


@dataclass
class Published:
    """A file of the server.

    Attributes:
        data: its bytes.
        faults: what goes wrong, a name for each request in turn; then nothing more.
        etag: as sent; None for the hash of the data, empty for none.
        modified: Last-Modified, empty for none.
        ranges: whether it can be begun in the middle.
        heeds: whether If-Range is looked at.
    """

    data: bytes
    faults: list[str] = field(default_factory=list)
    etag: str | None = None
    modified: str = ""
    ranges: bool = True
    heeds: bool = True

    @property
    def tag(self) -> str:
        return f'"{hashlib.sha256(self.data).hexdigest()[:20]}"' if self.etag is None else self.etag


class FaultyServer:
    """Serves `files` by path. A fault is one of

    drop           the line is cut in the middle
    drop:N         the line is cut after N bytes
    stall          silence in the middle
    mute           silence instead of an answer
    loop           a redirect to itself; a client that follows takes the next fault of the file
    long, short    Content-Length is not that of the body, which is whole, or is cut to it
    other          other bytes of the same length
    changed        from now on the file has other bytes, of another length
    page           a page for people
    slow           it takes its time
    404, 503, ...  a status; `429:2` with Retry-After in seconds, `503:date` with a date in a second
    gzip           Content-Encoding, though it was not asked for
    elsewhere:URL  a redirect
    unsized        neither Content-Length nor chunks: the end of the line is the end of the file

    Attributes:
        pages: answers that are no files, asked first.
        requests: path and headers of each request.
        served: bytes of bodies by path, counted as they are given to the socket.
        open_now, most_open: answers that are being given, and were at most.
    """

    def __init__(self, rate: float | None = None) -> None:
        self.files: dict[str, Published] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.served: dict[str, int] = defaultdict(int)
        self.open_now = self.most_open = 0
        self.rate = rate
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.pages: Callable[[str, dict[str, str]], tuple[int, dict[str, str], bytes] | None] = lambda path, headers: (
            None
        )
        faulty = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                # What the socket takes counts as served, so it may take little ahead of the client.
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
                super().setup()

            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    faulty._answer(self)

            def do_HEAD(self) -> None:
                raise AssertionError("nobody asks for heads: some publishers refuse that")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    def put(self, path: str, data: bytes, *faults: str, **options: Any) -> str:
        """Publish a file; returns its address."""
        self.files[path] = Published(data, list(faults), **options)
        return f"{self.url}/{path}"

    def asked(self, path: str) -> int:
        """How often a file was asked for."""
        return sum(asked == path for asked, _ in self.requests)

    def ranges(self, path: str) -> list[str]:
        """The ranges of a file that were asked for, in order."""
        return [headers.get("range", "") for asked, headers in self.requests if asked == path]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.lstrip("/").split("?")[0]
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self.lock:
            self.requests.append((path, headers))
            file = self.files.get(path)
            fault = file.faults.pop(0) if file and file.faults else ""
        if (page := self.pages(handler.path, headers)) is not None:
            status, extra, body = page
            self._head(handler, status, {"Content-Length": str(len(body)), **extra})
            handler.wfile.write(body)
            return
        if file is None:
            self._head(handler, 404, {"Content-Length": "0"})
            return
        with self.lock:
            self.open_now += 1
            self.most_open = max(self.most_open, self.open_now)
        try:
            self._file(handler, path, file, headers, *fault.partition(":")[::2])
        finally:
            with self.lock:
                self.open_now -= 1

    def _file(
        self, handler: BaseHTTPRequestHandler, path: str, file: Published, asked: dict[str, str], fault: str, more: str
    ) -> None:
        if fault.isdigit():
            after = {"": {}, "date": {"Retry-After": formatdate(time.time() + 1, usegmt=True)}}
            self._head(handler, int(fault), {"Content-Length": "0", **after.get(more, {"Retry-After": more})})
            return
        if fault in ("loop", "elsewhere"):
            self._head(handler, 302, {"Content-Length": "0", "Location": more or handler.path})
            return
        if fault == "mute":
            self.over.wait(30)
            return
        if fault == "page":
            self._head(handler, 200, {"Content-Type": "text/html", "Content-Length": str(len(PAGE))})
            self._send(handler, path, PAGE)
            return
        if fault == "changed":
            file.data = random.Random(path).randbytes(len(file.data) - 7)
        data = random.Random(f"other {path}").randbytes(len(file.data)) if fault == "other" else file.data
        start, status = 0, 200
        headers = {"ETag": file.tag, "Last-Modified": file.modified}
        wanted = re.fullmatch(r"bytes=(\d+)-", asked.get("range", ""))
        known = asked.get("if-range", file.tag or file.modified) if file.heeds else file.tag
        if wanted and file.ranges and known in (file.tag, file.modified):
            start, status = int(wanted[1]), 206
            if start >= len(data):
                self._head(handler, 416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = memoryview(data)[start:]
        length = len(body) + {"long": 1000, "short": -1000}.get(fault, 0)
        if fault != "unsized":
            headers["Content-Length"] = str(length)
        if fault == "gzip":
            headers["Content-Encoding"] = "gzip"
        self._head(handler, status, {name: value for name, value in headers.items() if value})
        end = min(len(body), length)
        if fault in ("drop", "stall"):
            end = min(int(more), end) if more else end // 2
        self._send(handler, path, body[:end], CHUNK if fault == "slow" else None)
        if fault == "stall":
            self.over.wait(30)
        if fault in ("drop", "stall", "long", "unsized"):
            handler.close_connection = True

    def _head(self, handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    def _send(
        self, handler: BaseHTTPRequestHandler, path: str, body: bytes | memoryview, slow: int | None = None
    ) -> None:
        for start in range(0, len(body), CHUNK):
            piece = body[start : start + CHUNK]
            handler.wfile.write(piece)
            with self.lock:
                self.served[path] += len(piece)
            if slow or self.rate:
                time.sleep(0.02 if slow else CHUNK / self.rate)  # type: ignore[operator]


@contextlib.contextmanager
def serving(rate: float | None = None) -> Iterator[FaultyServer]:
    """A server, for as long as it is needed.

    Args:
        rate: bytes a second it gives on each line at most.
    """
    server = FaultyServer(rate)
    try:
        yield server
    finally:
        server.close()
