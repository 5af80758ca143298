"""SHA256SUMS of a release: what `sha256sum -c` reads. It names every file but itself and the card, which comes last."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fusionrs_builder.errors import FusionError
from fusionrs_builder.files import Files
from fusionrs_builder.release.layout import OURS

NAME = "SHA256SUMS"
CARD = "README.md"

LINE = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<path>\S.*)")

CHUNK = 1 << 20
"""Bytes hashed at once."""


@dataclass(frozen=True, order=True)
class Hashed:
    """One file: its path in the release, its bytes, and the sha256 of its content."""

    path: str
    size: int
    sha256: str


def paths(files: Files, folder: str) -> list[str]:
    """The files of a release that stand in a folder, sorted."""
    root = files.path(folder) if folder else files.root
    found = files.fs.find(root) if files.fs.isdir(root) else ()
    inside = (str(path).lstrip("/").removeprefix(root.lstrip("/")).lstrip("/") for path in found)
    return sorted(path for path in inside if OURS.fullmatch(path))


def hashed(files: Files, folder: str, path: str) -> Hashed:
    """Read one file of a release folder to its end."""
    place, sha256, size = files.path(*filter(None, (folder, path))), hashlib.sha256(), 0
    with files.fs.open(place, "rb") as handle:
        while chunk := handle.read(CHUNK):
            sha256.update(chunk)
            size += len(chunk)
    return Hashed(path, size, sha256.hexdigest())


def said(files: Files, folder: str, path: str) -> str | None:
    """The sha256 that the Hub keeps of a file in LFS; None of other files, and elsewhere."""
    lfs = files.fs.info(files.path(*filter(None, (folder, path)))).get("lfs")
    return str(lfs["sha256"]) if lfs else None


def write(files: Files, folder: str, known: Sequence[Hashed]) -> None:
    """Write the sums of all that stands; `known` ones are not read again."""
    found = {each.path: each for each in known}
    wanted = [path for path in paths(files, folder) if path not in (NAME, CARD)]
    sums = [found.get(path) or hashed(files, folder, path) for path in wanted]
    files.write_bytes(_name(folder), "".join(f"{each.sha256}  {each.path}\n" for each in sums).encode())


def differing(files: Files, folder: str) -> list[str]:
    """Files that are missing, changed, or not named by the sums: every file but the card is read to its end.

    Raises:
        FusionError: as `read`.
    """
    told = read(files, folder)
    standing = set(paths(files, folder)) - {NAME, CARD}
    if not told:
        return [NAME, *sorted(standing)]
    wrong = set(told) ^ standing
    return sorted(wrong | {path for path in standing & set(told) if hashed(files, folder, path).sha256 != told[path]})


def read(files: Files, folder: str = "") -> dict[str, str]:
    """The sums by path; none where the file is not there.

    Raises:
        FusionError: it is not what `write` wrote.
    """
    name = _name(folder)
    if not files.exists(name):
        return {}
    found = {}
    for line in files.read_bytes(name).decode(errors="replace").splitlines():
        told = LINE.fullmatch(line)
        if told is None or told["path"] in found:
            raise FusionError(f"{files.path(name)} is damaged at {line[:80]!r}: fetch the release again, or push anew")
        found[told["path"]] = told["sha256"]
    if not found:
        raise FusionError(f"{files.path(name)} is empty: fetch the release again, or push anew")
    return found


def _name(folder: str) -> str:
    return f"{folder}/{NAME}" if folder else NAME
