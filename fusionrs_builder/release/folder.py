"""Copy a finished release to a folder, local or behind an fsspec URL; a second run copies only what differs."""

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import TEMPORARY, Files
from fusionrs_builder.release import sums
from fusionrs_builder.release.documents import card
from fusionrs_builder.release.layout import OURS
from fusionrs_builder.workspace import Workspace

BEGUN = ".fusionrs-copy"
"""In a folder from the first file of a copy to its card: what stands beside it is ours to replace."""


class Pushed(NamedTuple):
    """Files by what was done with them, relative to the target."""

    copied: list[str]
    kept: list[str]
    removed: list[str]


def push_to_folder(workspace: Workspace, name: str, target: str) -> Pushed:
    """Copy `release/<name>` to a folder, file by file, the card last; files of an earlier release are removed.

    The card goes before anything changes, so that a folder which has one is whole. Files are compared by their hashes:
    those of the release are what its SHA256SUMS says (`ReleaseStage.verify` sees to that), those of a local folder are
    read, those on an object store are what the SHA256SUMS there says, and read where there is none.

    Args:
        workspace: where the release is.
        name: of the release.
        target: a new or empty folder, or one that holds an earlier copy; `s3://BUCKET/FOLDER` and the like.

    Raises:
        FusionError: the release is not finished, or the target cannot be written.
        UsageError: the target is a file, the release itself, or holds something else.
    """
    folder = f"release/{name}"
    if card.fingerprint_of(workspace, folder) is None:
        raise FusionError(f"{workspace.path(folder)} is not finished: run `fusionrs-build push` first")
    with _reaching(target):
        there = Files(os.path.expanduser(target))
        _check(workspace, there, target)
        files = sums.paths(workspace, folder)
        pushed = Pushed([], [], [])
        ours, known = sums.read(workspace, folder), {} if there.local else _known(there)
        differ = {f for f in files if not _is_same(workspace, folder, there, f, ours.get(f), known.get(f))}
        pushed.kept.extend(file for file in files if file not in differ)
        if differ:
            there.write_bytes(BEGUN, b"")
        for name in (card.NAME, sums.NAME) if differ else ():  # neither may speak of what is about to change
            if there.exists(name):
                there.fs.rm_file(there.path(name))
            differ.add(name)
        for file in sorted(differ, key=lambda file: (file == card.NAME, file == sums.NAME, file)):
            if file == card.NAME:
                pushed.removed.extend(_clear(there, files))
            _copy(workspace, f"{folder}/{file}", there, file)
            pushed.copied.append(file)
        if not differ:
            pushed.removed.extend(_clear(there, files))
        if there.exists(BEGUN):
            there.fs.rm_file(there.path(BEGUN))
    return pushed


@contextlib.contextmanager
def _reaching(target: str) -> Iterator[None]:
    """Turn what a file system says into an error with a fix."""
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"--to {target} needs a package that is not installed ({error}): pip install fusionrs-builder[s3] for "
            "s3://, [gcs] for gs://"
        ) from None
    except FusionError:
        raise
    except Exception as error:  # those of object stores have no common ancestor
        said = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}".splitlines()[0]
        raise FusionError(
            f"could not write to {target} ({said}): mend that (rights, space, an object store's credentials), then run "
            "the same command again; what was copied is kept"
        ) from error


def _check(workspace: Workspace, there: Files, target: str) -> None:
    if there.fs.isfile(there.root):
        raise UsageError(f"--to {target} is a file: name a folder")
    if type(there.fs) is type(workspace.fs) and f"{there.root}/".startswith(f"{workspace.root}/"):
        raise UsageError(f"--to {target} lies in the workspace: name a folder elsewhere")
    if there.exists(card.NAME):
        other_format = card.COPY.encode() in there.read_bytes(card.NAME)
        strange = other_format or card.fingerprint_of(there, "") is None
    else:
        strange = not there.exists(BEGUN) and there.fs.isdir(there.root) and bool(there.fs.find(there.root))
    if strange:
        raise UsageError(f"--to {target} holds something that is not a release: name a new or empty folder")


def _known(there: Files) -> dict[str, str]:
    """The sums of an earlier copy; none where they are damaged: then all is read."""
    try:
        return sums.read(there)
    except FusionError:
        return {}


def _is_same(workspace: Workspace, folder: str, there: Files, file: str, ours: str | None, known: str | None) -> bool:
    if not there.exists(file) or there.fs.size(there.path(file)) != workspace.fs.size(workspace.path(folder, file)):
        return False
    ours = ours or sums.hashed(workspace, folder, file).sha256
    return ours == (known or sums.hashed(there, "", file).sha256)


def _clear(there: Files, files: list[str]) -> Iterator[str]:
    """Remove files of an earlier release, and what a copy that was cut short left behind."""
    root = there.root.rstrip("/")
    for path in sorted(str(each) for each in there.fs.find(root, withdirs=False)):
        file = path.removeprefix(f"{root}/")
        leaving = file.rsplit("/", 1)[-1].startswith(TEMPORARY)
        if (OURS.fullmatch(file) and file not in files) or leaving:
            there.fs.rm_file(path)
            yield file


def _copy(workspace: Workspace, source: str, there: Files, file: str) -> None:
    """Copy one file. It appears there whole or not at all."""
    with workspace.fs.open(workspace.path(source), "rb") as ours:
        there.write_from(file, ours)
