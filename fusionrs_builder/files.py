"""A folder, local or behind an fsspec URL, in which files appear whole or not at all.

Every file is written beside its place, flushed to disk and renamed; on an object store, written here and put there.
"""

import contextlib
import errno
import io
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from fusionrs_builder.errors import FusionError

TEMPORARY = ".tmp-"


class Files:
    """The files below one folder.

    Attributes:
        url: as given.
        fs: the fsspec file system.
        root: its path within that file system.
        local: whether it is this machine's file system.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.fs, self.root = fsspec.core.url_to_fs(url)
        self.local = isinstance(self.fs, LocalFileSystem)

    def __getstate__(self) -> str:
        return self.url

    def __setstate__(self, url: str) -> None:
        self.__init__(url)  # type: ignore[misc]

    def path(self, *parts: str) -> str:
        return "/".join([self.root, *parts])

    def exists(self, path: str) -> bool:
        return bool(self.fs.exists(self.path(path)))

    def read_bytes(self, path: str) -> bytes:
        return bytes(self.fs.cat_file(self.path(path)))

    def read_json(self, path: str, default: Any) -> Any:
        """A JSON file of the workspace, or `default` when there is none.

        Raises:
            FusionError: the file is not JSON.
        """
        if not self.exists(path):
            return default
        try:
            return json.loads(self.read_bytes(path))
        except ValueError as error:
            raise FusionError(f"{self.path(path)} is not valid JSON ({error}): delete it and run again") from None

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a whole file, atomically."""
        self.write_from(path, io.BytesIO(data))

    def write_from(self, path: str, source: BinaryIO) -> None:
        """Write a whole file from an open one, atomically, without holding it in memory."""
        temporary = self.temporary(path)
        try:
            with self.explained(path):
                with temporary.open("wb") as handle:
                    shutil.copyfileobj(source, handle, 1 << 20)
                    handle.flush()
                    os.fsync(handle.fileno())
                self.publish(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def write_json(self, path: str, value: Any) -> None:
        self.write_bytes(path, (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())

    def temporary(self, path: str) -> Path:
        """A fresh place to write `path` before it is published: beside it when local, else in the system's folder."""
        name = TEMPORARY + uuid.uuid4().hex
        if not self.local:
            return Path(tempfile.gettempdir()) / name
        folder = Path(self.path(path)).parent
        with self.explained(path):
            folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def publish(self, temporary: Path, path: str) -> None:
        """Move a written and synced file to its place: the moment at which it exists."""
        if not self.local:
            self.fs.put_file(str(temporary), self.path(path))
            temporary.unlink()
            return
        target = Path(self.path(path))
        os.replace(temporary, target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def explained(self, path: str) -> Iterator[None]:
        """Turn a full disk or a missing right into an error that names the file and the fix."""
        try:
            yield
        except OSError as error:
            reasons = {
                errno.ENOSPC: "the disk is full: free some space",
                errno.EDQUOT: "the disk quota is used up: free some space",
                errno.EFBIG: "the file would be larger than allowed here: raise the limit or lower build.shard_mb",
                errno.EACCES: "no right to write there: change the folder's rights",
                errno.EROFS: "the file system is read-only: use another workspace",
            }
            if error.errno not in reasons:
                raise
            raise FusionError(
                f"could not write {self.path(path)}: {reasons[error.errno]}, then run the same command again "
                "(finished shards are kept)"
            ) from error

    def clean(self) -> None:
        """Remove the leavings of a killed run. Call under the lock only."""
        if self.local:
            for depth in range(4):  # release/<name>/data lies three folders down
                for leaving in Path(self.root).glob("*/" * depth + f"{TEMPORARY}*"):
                    leaving.unlink(missing_ok=True)
