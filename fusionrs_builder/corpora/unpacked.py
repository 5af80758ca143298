"""What comes out of an archive: a folder that nothing leaves, within limits."""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

CHUNK_BYTES = 1024 * 1024


class Refusal(Exception):  # noqa: N818 - becomes an error where the archive is known
    """The archive is not unpacked: it would do harm, or cannot be read here."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold.

    Attributes:
        entries: how many of them, or one for so many bytes of the archive as `bytes_per_entry` says.
        bytes_per_entry: the emptiest corpora known need thousands; an empty file in a tar takes 512.
        bytes: all together.
        ratio: times its own size, beyond a megabyte.
    """

    entries: int = 500_000
    bytes_per_entry: int = 1024
    bytes: int = 4 * 1024**4
    ratio: int = 1000


class Tree:
    """A folder to unpack into.

    Args:
        root: the folder.
        limits: of what it may come to hold.
        packed: size of the archive in bytes.

    Attributes:
        files, bytes, skipped: files and bytes so far; links left out.
        consumed: bytes of the archive that what came out was made of; or `position`, which tells them.
    """

    def __init__(self, root: Path, limits: Limits, packed: int) -> None:
        self.root, self.limits, self.packed = root, limits, packed
        self.files = self.bytes = self.skipped = self.consumed = self._entries = 0
        self.position: Callable[[], int] = lambda: self.consumed
        self._links: list[tuple[str, str]] = []
        self._parent: Path | None = None

    def expect(self, entries: int) -> None:
        """Refuse where there would be too many of them."""
        most = max(self.limits.entries, self.packed // self.limits.bytes_per_entry)
        if entries > most:
            raise Refusal(f"it holds more than {most:,} entries")

    def place(self, name: str) -> Path:
        """Where an entry goes.

        Raises:
            Refusal: outside, or it is one too many.
        """
        self._entries += 1
        self.expect(self._entries)
        return self.root / inside(name)

    def folder(self, name: str) -> None:
        with _as_refusal(name):
            self.place(name).mkdir(parents=True, exist_ok=True)

    def opened(self, name: str) -> BinaryIO:
        """A new file; its entry was counted by `place`.

        Raises:
            Refusal: it is there already.
        """
        path = self.root / inside(name)
        with _as_refusal(name):
            if path.parent != self._parent:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._parent = path.parent
            self.files += 1
            return path.open("xb")

    def file(self, name: str, content: Any, size: int | None = None) -> None:
        """Write a file, as long as the limits allow.

        Args:
            name: of the entry.
            content: file of its bytes.
            size: bytes it must have, where they are not checked on reading.

        Raises:
            Refusal: of its name, or because of the limits.
            EOFError: it is shorter.
        """
        self.place(name)
        before = self.bytes
        with self.opened(name) as handle:
            while chunk := content.read(CHUNK_BYTES):
                self.count(len(chunk))
                handle.write(chunk)
        if size is not None and self.bytes - before != size:
            raise EOFError(f"{name!r} is cut off")

    def count(self, size: int) -> None:
        """Count bytes before they are written."""
        self.bytes += size
        if self.bytes > self.limits.bytes:
            raise Refusal(f"it holds more than {self.limits.bytes:,} bytes")
        self.check()

    def check(self, more: int = 0) -> None:
        """Refuse what is, with so many bytes more, a great deal larger than the part of the archive it comes from."""
        packed = min(self.position(), self.packed)
        if self.bytes + more > self.limits.ratio * packed + CHUNK_BYTES:
            raise Refusal(f"what comes out is more than {self.limits.ratio:,} times its size, as of a bomb")

    def link(self, name: str, target: str, hard: bool = False) -> None:
        """Keep a link for the end.

        Args:
            name: of the entry.
            target: beside it, or below the root where it is hard.
            hard: so it is.

        Raises:
            Refusal: it leads outside.
        """
        self.place(name)
        source = inside(name)
        beside = "" if hard or target.startswith("/") else os.path.dirname(source)
        try:
            self._links.append((source, inside(os.path.join(beside, target), up=True)))
        except Refusal:
            raise Refusal(f"{name!r} is a link that leads outside, to {target!r}") from None

    def finish(self) -> None:
        """Give each linked file its other names. No link is ever followed: there is none in the folder."""
        waiting = self._links
        while waiting:
            left = [(name, target) for name, target in waiting if not self._linked(name, target)]
            if len(left) == len(waiting):
                break
            waiting = left
        self.skipped = len(waiting)

    def _linked(self, name: str, target: str) -> bool:
        place, source = self.root / name, self.root / target
        if not source.is_file():
            return False
        with _as_refusal(name):
            place.parent.mkdir(parents=True, exist_ok=True)
            hard_link(source, place)
        self.files += 1
        return True


def hard_link(source: Path, place: Path) -> None:
    """Give a file a second name; a copy, where the file system has no hard links.

    Raises:
        FileExistsError: the name is taken.
    """
    try:
        os.link(source, place)
    except FileExistsError:
        raise
    except OSError:
        with source.open("rb") as content, place.open("xb") as copy:
            shutil.copyfileobj(content, copy, CHUNK_BYTES)


def inside(name: str, up: bool = False) -> str:
    """A name in an archive as a path below the folder it is unpacked into.

    Args:
        name: with `/` or the other system's separator.
        up: `..` is followed as long as it stays below.

    Raises:
        Refusal: it is none.
    """
    plain = name.replace("\\", "/")
    parts: list[str] = []
    for part in plain.split("/"):
        if part == ".." and up and parts:
            parts.pop()
        elif part == "..":
            raise Refusal(f"{name!r} would be written outside the folder")
        elif part not in ("", "."):
            parts.append(part)
    if plain.startswith("/") or re.match("[A-Za-z]:", "/".join(parts)) or "\0" in name:
        raise Refusal(f"{name!r} would be written outside the folder")
    return "/".join(parts)


@contextmanager
def _as_refusal(name: str) -> Iterator[None]:
    """An entry whose place is taken, or whose name this system does not take."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise Refusal(f"{name!r} is there twice") from None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
            raise Refusal(f"{name!r} cannot be the name of a file here: {error.strerror}") from None
        raise
