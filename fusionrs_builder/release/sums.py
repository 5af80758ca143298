"""SHA256SUMS of a release: what `sha256sum -c` reads. It names every file but itself and the card, which comes last."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from fusionrs_builder.errors import FusionError
from fusionrs_builder.files import Files
from fusionrs_builder.release.layout import OURS

NAME = "SHA256SUMS"
CARD = "README.md"

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
    found = (str(path).removeprefix(root).lstrip("/") for path in files.fs.find(root)) if files.fs.isdir(root) else ()
    return sorted(path for path in found if OURS.fullmatch(path))


def hashed(files: Files, folder: str, path: str) -> Hashed:
    """Read one file of a release folder to its end."""
    place, sha256, size = files.path(*filter(None, (folder, path))), hashlib.sha256(), 0
    with files.fs.open(place, "rb") as handle:
        while chunk := handle.read(CHUNK):
            sha256.update(chunk)
            size += len(chunk)
    return Hashed(path, size, sha256.hexdigest())


def write(files: Files, folder: str, known: Sequence[Hashed]) -> None:
    """Write the sums of all that stands; `known` ones are not read again."""
    found = {each.path: each for each in known}
    wanted = [path for path in paths(files, folder) if path not in (NAME, CARD)]
    sums = [found.get(path) or hashed(files, folder, path) for path in wanted]
    files.write_bytes(f"{folder}/{NAME}", "".join(f"{each.sha256}  {each.path}\n" for each in sums).encode())


def read(files: Files, folder: str = "") -> dict[str, str]:
    """The sums by path; none where the file is not there.

    Raises:
        FusionError: it is not what `write` wrote.
    """
    name = f"{folder}/{NAME}" if folder else NAME
    if not files.exists(name):
        return {}
    found = {}
    for line in files.read_bytes(name).decode(errors="replace").splitlines():
        sha256, _, path = line.partition("  ")
        if len(sha256) != hashlib.sha256().digest_size * 2 or not path:
            raise FusionError(f"{files.path(name)} is damaged at {line[:80]!r}: fetch the release again, or push anew")
        found[path] = sha256
    return found
