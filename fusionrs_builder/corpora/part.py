"""The bytes of a file that have come, kept so that the next try, or the next run, goes on from there.

`parts/<name>.part` holds the bytes, `parts/<name>.json` what their host called the file. The hash of what an earlier
run left is taken from disk again.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fusionrs_builder.corpora.address import Address
from fusionrs_builder.corpora.check import SNIFFED, unlike
from fusionrs_builder.corpora.journal import Verified
from fusionrs_builder.corpora.remote import Interrupted, Stream, Wrong
from fusionrs_builder.corpora.sources import Sources, Stopped

CHUNK_BYTES = 1024 * 1024

Progress = Callable[[int, int | None], None]


class Meter:
    """Adds up what came of many files for one who watches.

    Args:
        addresses: of the files.
        progress: called with the bytes that came since the last call, and with all that are expected.
    """

    def __init__(self, addresses: Sequence[Address], progress: Progress | None) -> None:
        self._progress, self._lock = progress, threading.Lock()
        self._sizes = {address.name: address.bytes for address in addresses}
        self._unknown = sum(address.bytes is None for address in addresses)
        self._total = sum(address.bytes or 0 for address in addresses)

    def expect(self, name: str, size: int | None) -> None:
        """Take note of what a host says of the size of a file."""
        with self._lock:
            before = self._sizes[name]
            self._unknown += (size is None) - (before is None)
            self._total += (size or 0) - (before or 0)
            self._sizes[name] = size

    def arrived(self, count: int) -> None:
        """Count bytes that came, or, below zero, that were thrown away."""
        if self._progress is not None:
            with self._lock:
                self._progress(count, None if self._unknown else self._total)


@dataclass
class _Note:
    """What the host of a part said.

    Attributes:
        url: hash of the address: it may hold a secret.
        validator: as of the stream.
        size: of the whole file, None where it did not say.
        sha256: of the whole file, empty where it did not say.
    """

    url: str = ""
    validator: str = ""
    size: int | None = None
    sha256: str = ""


class Part:
    """The bytes of a file that have come.

    Args:
        folder: of the parts.
        address: of the file.
        meter: counts them.
    """

    def __init__(self, folder: Path, address: Address, meter: Meter) -> None:
        self.address, self.meter = address, meter
        self.path, self.note_path = folder / f"{address.name}.part", folder / f"{address.name}.json"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._begin()
        try:
            self.note = _Note(**json.loads(self.note_path.read_bytes()))
        except (OSError, ValueError, TypeError):
            self.note = _Note()
            self.path.unlink(missing_ok=True)
        self.path.touch()
        with self.path.open("rb") as handle:
            while chunk := handle.read(CHUNK_BYTES):
                self._count(chunk)

    def take(self, sources: Sources, url: str) -> None:
        """Ask an address for what is missing, and keep it.

        Raises:
            Interrupted, Unavailable, Stopped: as their names say.
        """
        if self.size and self.size == self.note.size:
            return
        name = hashlib.sha256(url.encode()).hexdigest()
        validator = self.note.validator if self.note.url == name else ""
        start = self.size if validator or self._will_tell else 0
        with sources.open(url, start, validator) as stream:
            if stream.start != self.size:  # only now: an address that answers nothing costs nothing that came
                self.discard()
            self._expect(name, stream)
            # Buffered: a bare write may take only a part of a chunk, on a disk that is nearly full, and say nothing.
            with self.path.open("ab") as handle:
                for chunk in stream.chunks:
                    if sources.stop.is_set():
                        raise Stopped
                    self._write(handle, chunk, stream)
            if self.note.size not in (None, self.size):
                raise Interrupted(f"cut off after {self.size:,} of {self.note.size:,} bytes")
            self._sniff(stream.kind)

    def finished(self) -> Verified:
        """The hashes of the whole file, which is on disk from then on.

        Raises:
            Wrong: it is not the published one.
        """
        sha256 = self._hashes[0].hexdigest()
        md5 = self._hashes[1].hexdigest() if self.address.md5 else ""
        for what, found, published in (
            ("bytes", self.size, self.address.bytes),
            ("md5", md5, self.address.md5),
            ("sha256", sha256, self.address.sha256 or self.note.sha256),
        ):
            if published not in (None, "", found):
                raise Wrong(f"it is another file: {what} {found} instead of {published}")
        with self.path.open("rb") as handle:
            os.fsync(handle.fileno())
        return Verified(self.size, self.path.stat().st_mtime_ns, sha256, md5)

    def discard(self) -> None:
        """Throw away what came."""
        self.path.write_bytes(b"")
        self.note_path.unlink(missing_ok=True)
        self.meter.arrived(-self.size)
        self.note = _Note()
        self._begin()

    def _begin(self) -> None:
        self.size, self.head = 0, b""
        self._hashes = [hashlib.sha256()]
        if self.address.md5:  # it takes as long as all the rest
            self._hashes.append(hashlib.md5(usedforsecurity=False))

    @property
    def _will_tell(self) -> bool:
        """Whether a hash will tell when bytes of two files were put together."""
        return bool(self.address.md5 or self.address.sha256 or self.note.sha256)

    def _expect(self, name: str, stream: Stream) -> None:
        """Keep what a host says of the file, unless it contradicts what is known.

        Raises:
            Wrong: it does.
        """
        before = self.note if self.size else _Note()
        if before.url == name and _differ(before.validator, stream.validator):
            raise Wrong(f"it has changed since {self.size:,} bytes of it came")
        # That nothing follows corrects what was said of the size before.
        said = stream.size if self.size == stream.size else before.size
        published = said if self.address.bytes is None else self.address.bytes
        if published is not None and stream.size not in (None, published):
            raise Wrong(f"it is another file: {stream.size:,} bytes instead of {published:,}")
        size = before.size if stream.size is None else stream.size
        note = _Note(name, stream.validator or before.validator, size, stream.sha256 or before.sha256)
        if note != self.note:
            self.note = note
            self.meter.expect(self.address.name, size)
            temporary = self.note_path.with_name(self.note_path.name + ".new")
            temporary.write_text(json.dumps(vars(note)))
            os.replace(temporary, self.note_path)

    def _write(self, handle: BinaryIO, chunk: bytes, stream: Stream) -> None:
        handle.write(chunk)
        self._count(chunk)
        if len(self.head) >= SNIFFED > self.size - len(chunk):
            self._sniff(stream.kind)
        most = self.address.bytes
        if most is not None and self.size > most:
            raise Wrong(f"it is another file: more than {most:,} bytes")

    def _count(self, chunk: bytes) -> None:
        for each in self._hashes:
            each.update(chunk)
        self.size += len(chunk)
        if len(self.head) < SNIFFED:
            self.head += chunk[: SNIFFED - len(self.head)]
        self.meter.arrived(len(chunk))

    def _sniff(self, kind: str) -> None:
        """Look whether the first bytes are those of such a file.

        Raises:
            Wrong: they are not.
        """
        is_markup = self.head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
        found = unlike(self.address, self.head, kind if is_markup else "")
        if found:
            raise Wrong(f"{found[0]}: {found[1]}")


def _differ(before: str, now: str) -> bool:
    """Whether two validators are of two files: some hosts do not look at If-Range, and give the rest of another."""
    is_same_kind = before.startswith('"') == now.startswith('"')
    return bool(before and now and is_same_kind and before != now)


def digests(path: Path) -> tuple[str, str]:
    """sha256 and md5 of a file."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK_BYTES):
            sha256.update(chunk)
            md5.update(chunk)
    return sha256.hexdigest(), md5.hexdigest()
