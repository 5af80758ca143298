"""The members of a plain tar by their heads alone: where the content of each lies, so that it can be read later."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fusionrs_builder.corpora.reader import Refused

BLOCK = tarfile.BLOCKSIZE

COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
"""How compressed files start, and what unpacks them."""


@dataclass(frozen=True)
class Member:
    """A file in a tar: its name, and the place and length of its content in bytes."""

    name: str
    offset: int
    size: int


def unpacker(path: Path) -> str:
    """The command that unpacks a compressed file; nothing for a plain one."""
    with path.open("rb") as handle:
        start = handle.read(8)
    return next((command for magic, command in COMPRESSED.items() if start.startswith(magic)), "")


def members(path: Path, where: str) -> Iterator[Member]:
    """The ordinary files of a tar, in order; links, devices and sparse files are left out.

    Raises:
        Refused: it is damaged or cut off; the members before that have been given out.
    """
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:", errors="surrogateescape") as tar:
            while (info := tar.next()) is not None:
                vars(tar)["members"] = []  # otherwise it keeps every member it has seen
                if info.offset_data + info.size > size:
                    raise tarfile.ReadError(f"{info.name} is cut off")
                if info.isreg() and not info.issparse():
                    yield Member(info.name, info.offset_data, info.size)
            end = tar.offset
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise Refused("damaged_tar", f"{where}: {error}; fetch it again") from None
    # tarfile takes a head that is damaged, or missing, for the end; a whole tar ends with blocks of zeros.
    with path.open("rb") as handle:
        handle.seek(end)
        if handle.read(BLOCK) != bytes(BLOCK):
            raise Refused("damaged_tar", f"{where}: no end mark at byte {end}; fetch it again")
