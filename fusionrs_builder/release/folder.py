"""Copy a finished release to a folder anywhere, so that a second run copies only what differs."""

import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import TEMPORARY
from fusionrs_builder.release import card
from fusionrs_builder.workspace import Workspace

OURS = re.compile(
    rf"data/(train|validation|test)-\d{{5}}-of-\d{{5}}\.parquet|examples/\d{{3}}-(rgb|ir)\.jpg|(.+/)?{re.escape(TEMPORARY)}\w+"
)
"""Files of a release that may be removed from the target. Whatever else lies there is not ours."""

CHUNK = 1 << 20
"""Bytes copied at once."""


class Pushed(NamedTuple):
    """Files by what was done with them, relative to the target."""

    copied: list[str]
    kept: list[str]
    removed: list[str]


def push_to_dir(workspace: Workspace, name: str, target: str | os.PathLike[str]) -> Pushed:
    """Copy `release/<name>` to a local folder, file by file, the card last; files of an earlier release are removed.

    Args:
        workspace: where the release is.
        name: of the release.
        target: a new or empty folder, or one that holds an earlier copy.

    Raises:
        FusionError: the release is not finished, or the target cannot be written.
        UsageError: the target is a file, the release itself, or holds something else.
    """
    folder, target = f"release/{name}", Path(target)
    if card.fingerprint_of(workspace, folder) is None:
        raise FusionError(f"{workspace.path(folder)} is not finished: run `fusionrs-build push` first")
    _check(workspace, folder, target)
    files = _files(workspace, folder)
    pushed = Pushed([], [], [])
    try:
        for file in sorted(files, key=lambda file: (file == card.NAME, file)):
            if file == card.NAME:
                pushed.removed.extend(_clear(target, files))
            done = pushed.copied if _copy(workspace, f"{folder}/{file}", target / file) else pushed.kept
            done.append(file)
    except OSError as error:
        raise FusionError(
            f"could not write to {target} ({error.strerror or error}): mend that, then run the same command again; "
            "what was copied is kept"
        ) from error
    return pushed


def _check(workspace: Workspace, folder: str, target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise UsageError(f"--to {target} is a file: name a folder")
    if workspace.local and target.resolve().is_relative_to(Path(workspace.root).resolve()):
        raise UsageError(f"--to {target} lies in the workspace: name a folder elsewhere")
    readme = target / card.NAME
    strange = readme.exists() and not card.MARK.search(readme.read_text(encoding="utf-8", errors="replace"))
    if strange or (not readme.exists() and (target / "data").exists() and not _is_unfinished(target)):
        raise UsageError(f"--to {target} holds something that is not a release: name a new or empty folder")


def _is_unfinished(target: Path) -> bool:
    """Whether all data there is what a copy that was cut short leaves."""
    return all(OURS.fullmatch(path.relative_to(target).as_posix()) for path in (target / "data").iterdir())


def _files(workspace: Workspace, folder: str) -> list[str]:
    root = workspace.path(folder)
    found = (str(path).removeprefix(root + "/") for path in workspace.fs.find(root))
    return sorted(file for file in found if not file.rsplit("/", 1)[-1].startswith("."))


def _clear(target: Path, files: list[str]) -> Iterator[str]:
    for folder in (target, target / "data", target / "examples"):
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            file = path.relative_to(target).as_posix()
            if file not in files and OURS.fullmatch(file):
                path.unlink()
                yield file


def _copy(workspace: Workspace, source: str, target: Path) -> bool:
    """Copy one file unless the target is the same already. It appears there whole or not at all."""
    place = workspace.path(source)
    if target.is_file() and target.stat().st_size == workspace.fs.size(place):
        with workspace.fs.open(place, "rb") as ours, target.open("rb") as theirs:
            if _sha256(ours) == _sha256(theirs):
                return False
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / (TEMPORARY + uuid.uuid4().hex)
    try:
        with workspace.fs.open(place, "rb") as ours, temporary.open("wb") as copy:
            while chunk := ours.read(CHUNK):
                copy.write(chunk)
            copy.flush()
            os.fsync(copy.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _sha256(handle: IO[bytes]) -> str:
    found = hashlib.sha256()
    while chunk := handle.read(CHUNK):
        found.update(chunk)
    return found.hexdigest()
