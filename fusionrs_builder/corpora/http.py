"""Published files on the web: ranged requests, a few at a time of one host, with patience where it asks for some."""

import email.utils
import logging
import re
import socket
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2

from fusionrs_builder.corpora import hub
from fusionrs_builder.corpora.remote import Interrupted, Stream, Unavailable, Wrong, words

CONNECT_S, SILENT_S = 15.0, 60.0
"""To connect, and between two parts of an answer."""

SLOWEST_BYTES_S, JUDGED_S = 1024, 60.0
"""A host that gives less over so long is left and asked again: otherwise a byte a minute would go on for ever."""

MAX_REDIRECTS = 10

MAX_WAIT_S = 600.0
"""A host that asks for more patience counts as one that does not have the file."""

BUSY = {408, 425, 429, 500, 502, 503, 504}

LOGIN = "Log in where the publisher presents it, accept its terms and fetch it there"

# It logs whole addresses, with the tokens some of them carry.
logging.getLogger("httpx2").setLevel(logging.WARNING)


class _Host:
    """How many may ask at once, and before when nobody may."""

    def __init__(self, at_once: int) -> None:
        self.slots = threading.Semaphore(at_once)
        self.not_before = 0.0


class Web:
    """Asks hosts for files, no more than `per_host` at a time of one.

    Args:
        per_host: requests at a time.
        stop: set when nobody waits for an answer any more.
    """

    def __init__(self, per_host: int, stop: threading.Event) -> None:
        self.stop = stop
        # `identity`: a compressed answer cannot be resumed, and its length is not the file's.
        self.client = httpx2.Client(
            timeout=httpx2.Timeout(SILENT_S, connect=CONNECT_S, pool=None), follow_redirects=True,
            max_redirects=MAX_REDIRECTS, limits=httpx2.Limits(max_connections=None),
            headers={"Accept-Encoding": "identity", "User-Agent": "fusionrs-builder"},
        )  # fmt: skip
        self._hosts: dict[str, _Host] = defaultdict(lambda: _Host(per_host))
        self._lines: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()

    def close(self) -> None:
        self.client.close()

    def give_up(self) -> None:
        """Nobody waits for an answer any more: cut all lines, on which silence could else last for a minute."""
        self.stop.set()
        with self._lock:
            for line in self._lines:
                _cut(line)

    def _connected(self, event: str, details: dict[str, Any]) -> None:
        """Take note of a line; called by the client at each step."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            line = details["return_value"].get_extra_info("socket")
            with self._lock:
                self._lines.add(line)
                if self.stop.is_set():
                    _cut(line)

    @contextmanager
    def open(self, url: str, start: int, validator: str) -> Iterator[Stream]:
        """A file from a place on. The published address is asked each time: what it leads to may be short-lived.

        Args:
            url: http:// or https://
            start: bytes that are there already.
            validator: that came with them; empty where something else will tell whether they belong together.

        Raises:
            Interrupted, Unavailable: as their names say.
        """
        headers = hub.headers(url)
        if start:
            headers["Range"] = f"bytes={start}-"
            if validator:
                headers["If-Range"] = validator
        with self._slot(url) as host:
            if self.stop.is_set():
                raise Interrupted("nobody waits for it")
            try:
                with self.client.stream("GET", url, headers=headers, extensions={"trace": self._connected}) as response:
                    yield self._stream(response, start, host)
            except httpx2.TooManyRedirects:
                raise Interrupted(f"more than {MAX_REDIRECTS} redirects") from None
            except httpx2.TimeoutException as error:
                raise Interrupted(f"no answer in time ({type(error).__name__})") from None
            except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
                raise Unavailable(words(error)) from None
            except httpx2.HTTPError as error:
                raise Interrupted(words(error)) from None

    def _stream(self, response: httpx2.Response, start: int, host: _Host) -> Stream:
        status = response.status_code
        if status == httpx2.codes.RANGE_NOT_SATISFIABLE and start:
            # Nothing follows what is there: it is whole, or of another file; its size tells.
            total = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("content-range", "").strip())
            if total and int(total[1]) == start:
                return Stream(start, start, "", iter(()))
            raise Wrong(f"it has changed: it no longer has the {start:,} bytes that came of it")
        _refuse(response, host)
        begin, size = _extent(response)
        if begin not in (0, start):
            raise Unavailable(f"it answers with byte {begin} where byte {start} was asked for")
        return Stream(
            begin, size, _validator(response), self._chunks(response), hub.sha256_in(response.history),
            response.headers.get("content-type", ""),
        )  # fmt: skip

    def _chunks(self, response: httpx2.Response) -> Iterator[bytes]:
        since, count = time.monotonic(), 0
        for chunk in response.iter_raw():
            yield chunk
            count += len(chunk)
            seconds = time.monotonic() - since
            if seconds > JUDGED_S:
                if count < SLOWEST_BYTES_S * seconds:
                    raise Interrupted(f"only {count} bytes in {seconds:.0f} s")
                since, count = time.monotonic(), 0

    @contextmanager
    def _slot(self, url: str) -> Iterator[_Host]:
        with self._lock:
            host = self._hosts[urlsplit(url).netloc.rpartition("@")[2].lower()]
        with host.slots:
            while (pause := host.not_before - time.monotonic()) > 0 and not self.stop.wait(pause):
                pass
            yield host


def _cut(line: socket.socket) -> None:
    """End a line from another thread, which reads its end; TLS is not asked."""
    with suppress(OSError):
        socket.socket.shutdown(line, socket.SHUT_RDWR)


def _refuse(response: httpx2.Response, host: _Host) -> None:
    """Fail where the answer is not the file."""
    status = response.status_code
    if status in (httpx2.codes.OK, httpx2.codes.PARTIAL_CONTENT):
        encoding = response.headers.get("content-encoding", "identity").lower()
        # Some hosts name the compression of the file itself.
        if encoding != "identity" and not response.url.path.lower().endswith((".gz", ".tgz", ".bz2", ".xz", ".zst")):
            raise Unavailable(f"it sends the file compressed ({encoding}), though it was asked not to")
        return
    if status not in BUSY:
        login = status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN)
        raise Unavailable(f"status {status}", (hub.login(str(response.url)) or LOGIN) if login else "")
    after = _retry_after(response.headers.get("retry-after", ""))
    if after is not None:
        if after > MAX_WAIT_S:
            raise Unavailable(f"status {status}: it asks to be left alone for {after:,.0f} s", "Try again after that")
        host.not_before = max(host.not_before, time.monotonic() + after)
    raise Interrupted(f"status {status}", after)


def _extent(response: httpx2.Response) -> tuple[int, int | None]:
    """Where the bytes of an answer begin, and the size of the whole file."""
    if response.status_code == httpx2.codes.PARTIAL_CONTENT:
        given = response.headers.get("content-range", "")
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", given.strip())
        if not found:
            raise Unavailable(f"it answers with a range it does not name ({given!r})")
        return int(found[1]), int(found[2]) if found[2] != "*" else None
    length = response.headers.get("content-length", "")
    return 0, int(length) if length.isdigit() else None


def _validator(response: httpx2.Response) -> str:
    """What If-Range takes: a strong ETag, else the time of the last change."""
    etag: str = response.headers.get("etag", "")
    return etag if etag.startswith('"') else str(response.headers.get("last-modified", ""))


def _retry_after(value: str) -> float | None:
    """Seconds of a Retry-After, which may be a date; None where there is none that can be read."""
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return None
