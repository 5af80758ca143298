"""A published file as a stream of bytes, wherever it lies: what every kind of address gives, and how it fails.

Here buckets and local files, through fsspec; `http.py` has the web, `hub.py` the Hub.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import fsspec

from fusionrs_builder.errors import UsageError

BLOCK_BYTES = 4 * 1024 * 1024
"""Asked for at once of a bucket."""

EXTRAS = {"s3": "s3", "gs": "gcs"}
"""What brings the file system of a kind of address."""

ANONYMOUS: dict[str, dict[str, Any]] = {"s3": {"anon": True}, "gs": {"token": "anon"}}
"""Public buckets are read without an account; where that is refused, with the user's own."""


class Interrupted(Exception):  # noqa: N818 - not an error of the program: it is tried again
    """It did not work this time.

    Args:
        reason: what happened.
        after: seconds the host asks to be left alone.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Wrong(Interrupted):
    """What came is not the published file: what stands of it is thrown away."""


class Unavailable(Exception):  # noqa: N818 - the next address is tried
    """It cannot be had at this address, however often it is tried.

    Args:
        reason: what happened.
        fix: what a person could do.
    """

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.fix = fix


@dataclass
class Stream:
    """The bytes of a file from a place on.

    Attributes:
        start: where they begin; 0 where the file has changed, or its host cannot begin elsewhere.
        size: of the whole file, None where the host does not say.
        validator: by which the host knows whether the file is still the same; empty where it has none.
        chunks: the bytes.
        sha256: of the whole file, where the host says.
        kind: content type.
    """

    start: int
    size: int | None
    validator: str
    chunks: Iterator[bytes]
    sha256: str = ""
    kind: str = ""


def scrub(url: str) -> str:
    """An address as it may be shown: without name, password, query and fragment, where secrets are."""
    return re.sub(r"(?<=://)[^/]*@", "", re.split(r"[?#]", url, maxsplit=1)[0])


def scrubbed(text: str) -> str:
    """A text in one line, its addresses scrubbed, those without a host too."""
    text = re.sub(r"\w+://[^\s'\"`]+", lambda found: scrub(found[0]), " ".join(text.split()))
    return re.sub(r"\?[^\s'\"`]*=[^\s'\"`]*", "", text)


def words(error: BaseException) -> str:
    """An error in one line, its addresses scrubbed."""
    text = scrubbed(str(error))
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


@contextmanager
def open_store(url: str, start: int, validator: str) -> Iterator[Stream]:
    """A file in a bucket, or on this machine.

    Args:
        url: s3://, gs:// or file://
        start: bytes that are there already.
        validator: that came with them.

    Raises:
        UsageError: what reads such buckets is not installed.
        Interrupted, Unavailable: as their names say.
    """
    try:
        files, path = _found(url, **ANONYMOUS.get(urlsplit(url).scheme, {}))
        try:
            size, mark = _state(files, path)
        except PermissionError:
            files, path = _found(url)
            size, mark = _state(files, path)
        begin = start if mark == validator and start <= size else 0
        yield Stream(begin, size, mark, _blocks(files, path, begin, size))
        if _state(files, path) != (size, mark):
            raise Wrong("it was changed while it was read")
    except (FileNotFoundError, IsADirectoryError):
        raise Unavailable("no such file") from None
    except PermissionError:
        raise Unavailable("no right to read it", "Set the credentials of an account that may read it") from None


def _found(url: str, **options: Any) -> tuple[Any, str]:
    """The file system of an address, and the path within.

    Raises:
        UsageError: none can be had.
    """
    try:
        files, path = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        scheme = urlsplit(url).scheme
        fix = f"pip install 'fusionrs-builder[{EXTRAS[scheme]}]'" if scheme in EXTRAS else "correct the address"
        raise UsageError(f"{scheme}:// cannot be read here ({words(error)}): {fix}") from None
    return files, str(path)


def _state(files: Any, path: str) -> tuple[int, str]:
    """Size of a file, and what changes when it does."""
    with _explained():
        files.invalidate_cache(path)
        return int(files.info(path)["size"] or 0), str(files.ukey(path))


def _blocks(files: Any, path: str, start: int, size: int) -> Iterator[bytes]:
    for place in range(start, size, BLOCK_BYTES):
        with _explained():
            block = files.cat_file(path, start=place, end=min(place + BLOCK_BYTES, size))
        yield bytes(block)


@contextmanager
def _explained() -> Iterator[None]:
    """Each store has errors of its own; those of a missing file or right come as Python's."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:
        raise Interrupted(words(error)) from None
