"""A repository of the loopback Hub: immutable commits over blobs that are known by their hash."""

import base64
import fnmatch
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

ATTRIBUTES = ".gitattributes"

LFS = ("arrow", "bin", "bmp", "gif", "gz", "jpeg", "jpg", "mp4", "npy", "parquet", "png", "tar", "tiff", "webp", "zip")
"""Suffixes that the Hub keeps in LFS from the first commit of a data set on."""

LARGE = 10 * 1024 * 1024
"""Bytes from which a file is in LFS whatever its suffix."""

DATE = "2026-01-02T03:04:05.000Z"

Line = dict[str, Any]


class RefusedError(Exception):
    """An answer that is an error.

    Args:
        status: of HTTP.
        message: for people.
        code: the Hub's name for it, which clients go by.
    """

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


def git_oid(data: bytes, kind: str = "blob") -> str:
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data).hexdigest()


@dataclass(frozen=True)
class File:
    """A file of a commit.

    Attributes:
        sha256: of its content.
        size: of its content, bytes.
        oid: of the git blob, which is a pointer where the file is in LFS.
        lfs: whether it is.
    """

    sha256: str
    size: int
    oid: str
    lfs: bool

    @classmethod
    def regular(cls, data: bytes) -> "File":
        return cls(hashlib.sha256(data).hexdigest(), len(data), git_oid(data), False)

    @classmethod
    def pointer(cls, sha256: str, size: int) -> "File":
        return cls(sha256, size, git_oid(pointer(sha256, size)), True)

    def told(self, path: str) -> Line:
        """As the tree and paths-info tell it."""
        line = {"type": "file", "oid": self.oid, "size": self.size, "path": path}
        if self.lfs:
            line["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": len(pointer(self.sha256, self.size))}
        return line


def pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


@dataclass(frozen=True)
class Commit:
    """A commit, never changed once it is made."""

    oid: str
    parent: str | None
    title: str
    files: Mapping[str, File]

    def entries(self, folder: str = "", recursive: bool = False) -> list[Line]:
        """Files and folders below a folder, as the Hub's tree tells them, by path.

        Raises:
            RefusedError: 404, there is no such folder.
        """
        prefix = f"{folder}/" if folder else ""
        inside = [path for path in self.files if path.startswith(prefix)]
        if folder and not inside:
            raise RefusedError(404, f"{folder} does not exist on revision", "EntryNotFound")
        found: dict[str, Line] = {}
        for path in inside:
            parts = path.removeprefix(prefix).split("/")
            for depth in range(1, len(parts) if recursive else min(2, len(parts))):
                above = prefix + "/".join(parts[:depth])
                found[above] = {"type": "directory", "oid": git_oid(above.encode(), "tree"), "size": 0, "path": above}
            if recursive or len(parts) == 1:
                found[path] = self.files[path].told(path)
        return [found[path] for path in sorted(found)]

    def contents(self) -> dict[str, str]:
        """sha256 by path, of all but what the Hub itself keeps."""
        return {path: file.sha256 for path, file in self.files.items() if path != ATTRIBUTES}


@dataclass
class Repository:
    """A data set.

    Attributes:
        name: `org/name`.
        private, gated: who may read it.
        blobs: contents by sha256, of all repositories.
        objects: sha256 of what is in LFS of this one.
        commits: by oid.
        branches, tags: oid by name.
        shown: oids that main has pointed to, in order.
    """

    name: str
    private: bool
    blobs: dict[str, bytes]
    gated: bool = False
    objects: set[str] = field(default_factory=set)
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        attributes = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS)
        self._point("main", self._add(None, "initial commit", {ATTRIBUTES: self.keep(attributes.encode())}))

    def resolve(self, revision: str) -> Commit:
        """The commit that a branch, tag or oid names.

        Raises:
            RefusedError: 404, none.
        """
        name = revision.removeprefix("refs/heads/")
        oid = self.branches.get(name) or self.tags.get(name) or name
        if oid not in self.commits:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def main(self) -> dict[str, str]:
        """sha256 by path, as main shows it now."""
        return self.resolve("main").contents()

    def history(self) -> list[dict[str, str]]:
        """What main showed, from the first commit to now."""
        return [self.commits[oid].contents() for oid in self.shown]

    def keep(self, data: bytes) -> File:
        file = File.regular(data)
        self.blobs[file.sha256] = data
        return file

    def data(self, file: File) -> bytes:
        return self.blobs[file.sha256]

    def in_lfs(self, commit: Commit, path: str, size: int) -> bool:
        return size > LARGE or self._attributed(commit.files.get(ATTRIBUTES), path)

    def branch(self, name: str, start: str | None) -> None:
        """Create a branch; `start` is a revision, main when not given.

        Raises:
            RefusedError: 409, it stands; 404, the start does not.
        """
        if name in self.branches:
            raise RefusedError(409, f"Reference already exists: refs/heads/{name}")
        self._point(name, self.resolve(start or "main"))

    def commit(self, branch: str, lines: Iterable[Line]) -> Commit:
        """Add a commit to a branch: a header, then operations, as the client sends them.

        Raises:
            RefusedError: 404, no such branch, or no file to delete; 412, the branch is not at `parentCommit`; 400, an
                object that was never uploaded.
        """
        if branch not in self.branches:
            raise RefusedError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        head, title = self.commits[self.branches[branch]], ""
        files = dict(head.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                title = value["summary"]
                if value.get("parentCommit", head.oid) != head.oid:
                    raise RefusedError(412, "A commit has happened since. Please refresh and try again.")
            else:
                self._apply(files, line["key"], value)
        made = self._add(head.oid, title, files)
        self._point(branch, made)
        return made

    def squash(self, branch: str, title: str) -> None:
        if branch not in self.branches:
            raise RefusedError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        self._point(branch, self._add(None, title, self.resolve(branch).files))

    def _apply(self, files: dict[str, File], key: str, value: Line) -> None:
        path = value["path"]
        if key == "file":
            files[path] = self.keep(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            if value["oid"] not in self.objects:
                raise RefusedError(400, f"LFS pointer pointed to a file that does not exist: {path}")
            files[path] = File.pointer(value["oid"], len(self.blobs[value["oid"]]))
            if not self._attributed(files.get(ATTRIBUTES), path):
                before = self.data(files[ATTRIBUTES]) if ATTRIBUTES in files else b""
                files[ATTRIBUTES] = self.keep(before + f"{path} filter=lfs diff=lfs merge=lfs -text\n".encode())
        elif key == "deletedFile":
            if path not in files:
                raise RefusedError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            del files[path]
        elif key == "deletedFolder":
            for name in [name for name in files if name.startswith(path.rstrip("/") + "/")]:
                del files[name]
        else:
            raise RefusedError(400, f"unknown operation: {key}")

    def _attributed(self, attributes: File | None, path: str) -> bool:
        lines = self.data(attributes).decode().splitlines() if attributes else []
        patterns = [line.split()[0] for line in lines if "filter=lfs" in line]
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)

    def _add(self, parent: str | None, title: str, files: Mapping[str, File]) -> Commit:
        listing = "".join(f"{path} {file.oid}\n" for path, file in sorted(files.items()))
        oid = git_oid(f"{len(self.commits)} {parent} {title}\n{listing}".encode(), "commit")
        self.commits[oid] = Commit(oid, parent, title, MappingProxyType(dict(files)))
        return self.commits[oid]

    def _point(self, branch: str, commit: Commit) -> None:
        self.branches[branch] = commit.oid
        if branch == "main":
            self.shown.append(commit.oid)
