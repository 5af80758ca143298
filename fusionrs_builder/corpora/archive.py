"""Unpacking archives of strangers: zip, tar (plain, gz, bz2, xz, zst) and 7z, whole or in parts, into a new folder.

Nothing is written outside that folder, and it appears whole or not at all. Limits are kept by what comes out, not by
what the archive says of itself. A link becomes a second name of the file it leads to; one that leads to a folder, or
to nothing, is left out and counted; one that leads outside is refused, and with it the archive, as are devices, pipes
and names outside. Modes, owners and times are not taken over.
"""

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from fusionrs_builder.corpora.joined import joined
from fusionrs_builder.corpora.unpacked import CHUNK_BYTES, Limits, Refusal, Tree
from fusionrs_builder.errors import FusionError, UsageError

MAX_HEAD_BYTES = 1024 * 1024
"""A long name in a tar, which is read at once, is no longer."""

ZIP_END_BYTES = 65_535 + 22 + 20 + 56
"""The last of a zip: its longest comment, and three heads of their usual size."""

KINDS = {
    ".zip": "zip",
    ".7z": "7z",
    ".rar": "rar",
    ".tar": "tar",
    **dict.fromkeys((".tar.gz", ".tgz"), "gz"),
    **dict.fromkeys((".tar.bz2", ".tbz2", ".tbz"), "bz2"),
    **dict.fromkeys((".tar.xz", ".txz"), "xz"),
    **dict.fromkeys((".tar.zst", ".tzst"), "zst"),
}
"""Of an archive, by the end of its name."""

DECOMPRESSORS: dict[str, Callable[[BinaryIO], Any]] = {
    "tar": lambda packed: packed,
    "gz": lambda packed: gzip.GzipFile(fileobj=packed),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zst": lambda packed: zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True),
}

DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, zstandard.ZstdError, struct.error, EOFError,
    OSError, ValueError, LookupError, OverflowError,
)  # fmt: skip
"""What the libraries raise for archives that are cut off or damaged; OSError only where it carries no number."""


@dataclass(frozen=True)
class Unpacked:
    """What came out.

    Attributes:
        files: how many.
        bytes: their size together.
        links: how many were left out.
    """

    files: int
    bytes: int
    links: int


def kind_of(name: str) -> str:
    """Kind of an archive by its name; empty for any other file."""
    return next((kind for end, kind in KINDS.items() if name.lower().endswith(end)), "")


def unpack(parts: Sequence[Path], into: Path, name: str, limits: Limits | None = None) -> Unpacked:
    """Unpack an archive into a folder that is not there yet.

    Args:
        parts: its files, in order; several are read as one.
        into: the folder.
        name: of the archive, by which its kind is known.
        limits: of what it may hold.

    Raises:
        UsageError: what unpacks it is not installed, or it must be done by hand.
        FusionError: it is damaged, encrypted, or tries to harm; nothing of it remains.
    """
    kind = kind_of(name)
    if kind == "rar":
        raise UsageError(f"{name}: rar archives are not unpacked here: {_by_hand(parts)}")
    temporary = into.with_name(f".{into.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        with joined(parts) as packed:
            tree = Tree(temporary, limits or Limits(), sum(part.stat().st_size for part in parts))
            {"zip": _zip, "7z": _7z}.get(kind, _tar)(packed, tree, kind)
        tree.finish()
        os.sync()  # one for all files: each would take milliseconds
        os.replace(temporary, into)
        return Unpacked(tree.files, tree.bytes, tree.skipped)
    except Refusal as refusal:
        raise FusionError(f"{name}: {refusal}: nothing was unpacked; if you trust it, {_by_hand(parts)}") from None
    except NotImplementedError as error:
        raise FusionError(f"{name} is packed in a way not known here ({error}): {_by_hand(parts)}") from None
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FusionError(
            f"{name} is damaged or cut off ({type(error).__name__}: {error}); "
            f"delete {', '.join(map(str, parts))} and run again, which fetches it anew"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _by_hand(parts: Sequence[Path]) -> str:
    return f"unpack {parts[0]} by hand into a folder of your own, and pass that with --from PATH"


def _zip(packed: io.BufferedReader, tree: Tree, kind: str) -> None:
    if packed.read(4) == b"PK\x07\x08":  # how the first of several volumes begins
        raise Refusal("it is a zip of several volumes; `zip -s 0 LAST.zip --out whole.zip` makes one of them")
    tree.expect(_promised(packed))
    with zipfile.ZipFile(packed) as archive:
        tree.expect(len(archive.infolist()))
        for entry in archive.infolist():
            mode = entry.external_attr >> 16
            if entry.is_dir():
                tree.folder(entry.filename)
                continue
            if entry.flag_bits & 1:
                raise Refusal(f"{entry.filename!r} is encrypted")
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFLNK):
                raise Refusal(f"{entry.filename!r} is neither file, folder nor link")
            with archive.open(entry) as content:
                if stat.S_ISLNK(mode):
                    tree.link(entry.filename, content.read(4096).decode("utf-8", "surrogateescape"))
                else:
                    tree.consumed += entry.compress_size
                    tree.file(entry.filename, content)


def _promised(packed: io.BufferedReader) -> int:
    """Entries that the end of a zip promises: to look at a million of them takes a gigabyte of memory."""
    packed.seek(max(0, packed.seek(0, os.SEEK_END) - ZIP_END_BYTES))
    tail = packed.read()
    end = tail.rfind(b"PK\x05\x06")
    count = int.from_bytes(tail[end + 10 : end + 12], "little") if end >= 0 else 0
    if count == 0xFFFF and (large := tail.rfind(b"PK\x06\x06", 0, end)) >= 0:
        count = int.from_bytes(tail[large + 32 : large + 40], "little")
    return count


class _Head(tarfile.TarInfo):
    """A head that is damaged or missing is not taken for the end of the archive, and none is read without bound."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Head":
        if len(buf) == tarfile.BLOCKSIZE and not any(buf):
            return super().frombuf(buf, encoding, errors)  # the end mark, which it raises
        try:
            found = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} where a file or the end should be") from None
        if found.type in b"LKxgX" and found.size > MAX_HEAD_BYTES:
            raise Refusal(f"a name or head of {found.size:,} bytes")
        return found


def _tar(packed: io.BufferedReader, tree: Tree, kind: str) -> None:
    stream = DECOMPRESSORS[kind](packed)
    tree.position = packed.tell
    with tarfile.open(
        fileobj=stream, mode="r|", bufsize=CHUNK_BYTES, tarinfo=_Head, errors="surrogateescape"
    ) as archive:
        while (entry := archive.next()) is not None:
            vars(archive)["members"] = []  # otherwise it keeps every member it has seen
            if entry.isdir():
                tree.folder(entry.name)
            elif entry.issym():
                tree.link(entry.name, entry.linkname)
            elif entry.islnk():
                tree.link(entry.name, entry.linkname, hard=True)
            elif entry.isreg():
                content: Any = archive.extractfile(entry)
                tree.file(entry.name, content, entry.size)
            else:
                raise Refusal(f"{entry.name!r} is a device or a pipe")
    padding = 0
    while chunk := stream.read(CHUNK_BYTES):  # to the checksum at its end
        padding += len(chunk)
        tree.check(padding)


def _7z(packed: io.BufferedReader, tree: Tree, kind: str) -> None:
    try:
        import py7zr
        from py7zr.exceptions import ArchiveError
    except ImportError:
        raise UsageError("a .7z archive: pip install 'fusionrs-builder[7z]'") from None

    class Sink(py7zr.io.Py7zIO):
        """Receives one file."""

        def __init__(self, handle: BinaryIO) -> None:
            self.handle = handle

        def write(self, data: bytes | bytearray) -> int:
            tree.count(len(data))
            return self.handle.write(data)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return offset

        def flush(self) -> None:
            self.handle.flush()

        def size(self) -> int:
            return self.handle.tell()

        def close(self) -> None:
            self.handle.close()

    class Sinks(py7zr.io.WriterFactory):
        def create(self, filename: str) -> Sink:
            return Sink(tree.opened(str(Path(filename).relative_to(tree.root.resolve()))))

    tree.position = packed.tell
    try:
        with py7zr.SevenZipFile(packed) as archive:
            if archive.needs_password():
                raise Refusal("it is encrypted")
            entries = archive.list()
            tree.expect(len(entries))
            for entry in entries:
                if entry.is_symlink or not (entry.is_file or entry.is_directory):
                    raise Refusal(f"{entry.filename!r} is a link or a device")
                tree.folder(entry.filename) if entry.is_directory else tree.place(entry.filename)
            archive.extractall(tree.root.resolve(), factory=Sinks())
    except ArchiveError as error:
        raise EOFError(f"{type(error).__name__}: {error}") from None
