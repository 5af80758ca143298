"""The files of a finished release with their hashes, and how they compare with what a revision on the Hub holds."""

import fnmatch
import glob
import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import Files
from fusionrs_builder.release import sums
from fusionrs_builder.release.documents import card
from fusionrs_builder.release.layout import OURS

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

Tree = Mapping[str, "RepoFile"]
"""Files of a revision on the Hub, by path."""

PART = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<of>\d{5})\.parquet")

HIDDEN = (".*", "*/.*")
"""Patterns of files that are never of a release: temporary ones, and what other programs keep."""

CHUNK = 1 << 20
"""Bytes hashed at once."""


class LocalFile(NamedTuple):
    """A file, and what tells whether it is the same still.

    Attributes:
        size: bytes.
        stamp: size, time of its last change (ns) and inode, as the file system tells them.
        sha256: of its content, which is how the Hub knows a file in LFS.
        git: SHA-1 as a git blob, which is how the Hub knows any other.
    """

    size: int
    stamp: tuple[int, int, int]
    sha256: str
    git: str

    def is_same(self, remote: "RepoFile") -> bool:
        return self.sha256 == remote.lfs.sha256 if remote.lfs else self.git == remote.blob_id


class Inventory(NamedTuple):
    """A finished release.

    Attributes:
        folder: where it is.
        mark: of its card, 64 hex digits.
        files: by path.
        configs: path patterns of the Parquet files, by config and split, as the card has them.
        left_out: what else lies in the folder: not of a release, and not uploaded.
    """

    folder: Path
    mark: str
    files: Mapping[str, LocalFile]
    configs: Mapping[str, Mapping[str, Sequence[str]]]
    left_out: Sequence[str]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    @property
    def ignored(self) -> list[str]:
        """Patterns of all that is not uploaded."""
        return [*HIDDEN, *map(glob.escape, self.left_out)]

    def missing(self, tree: Tree) -> list[str]:
        """Files that a revision lacks, or holds with another content."""
        return [path for path, file in self.files.items() if path not in tree or not file.is_same(tree[path])]

    def stale(self, tree: Tree) -> list[str]:
        """Files of a revision that are of another release."""
        return [path for path in tree if path not in self.files and OURS.fullmatch(path)]

    def matches(self, tree: Tree) -> bool:
        return not self.missing(tree) and not self.stale(tree)

    def data_files(self, config: str, split: str) -> list[str]:
        """Parquet files of a split, in the order they are read."""
        return sorted({path for pattern in self.configs[config][split] for path in fnmatch.filter(self.files, pattern)})

    def check_unchanged(self) -> None:
        """Raises: FusionError, a file came, went or changed since the inventory was taken."""
        paths = set(filter(OURS.fullmatch, _paths(self.folder)))
        changed = sorted(paths ^ set(self.files))
        for path, file in self.files.items():
            if path in paths and _stamp(self.folder / path) != file.stamp:
                changed += [path] if _hashed(self.folder / path).sha256 != file.sha256 else []
        if changed:
            raise self._changed(changed)

    def read(self, path: str) -> bytes:
        """A small file, if it is the same still.

        Raises:
            FusionError: it is not.
        """
        data = (self.folder / path).read_bytes()
        if hashlib.sha256(data).hexdigest() != self.files[path].sha256:
            raise self._changed([path])
        return data

    def _changed(self, paths: Sequence[str]) -> FusionError:
        return FusionError(
            f"{self.folder}: {some(paths)} changed during the push, so nothing was published: wait until nothing "
            "writes there, then run the same command again"
        )


def take(folder: Path) -> Inventory:
    """Check that a folder is a finished release, and hash its files; each byte is read once.

    Raises:
        UsageError: the folder is not there, or is not a release of Parquet files.
        FusionError: a file that the card, croissant.json or SHA256SUMS names is not there, not as named, or unreadable.
    """
    readme = folder / card.NAME
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    mark = card.MARK.search(text)
    if mark is None:
        what = "holds no finished release" if folder.is_dir() else "is no folder"
        raise UsageError(f"{folder} {what}: name the folder that `fusionrs-build push` wrote")
    configs = _configs(folder, text)
    paths = {path: OURS.fullmatch(path) is not None for path in _paths(folder)}
    ours, left_out = ([path for path, is_ours in paths.items() if is_ours is wanted] for wanted in (True, False))
    _check_named(folder, text, set(ours), configs)
    try:
        inventory = Inventory(folder, mark[1], {path: _hashed(folder / path) for path in ours}, configs, left_out)
    except OSError as error:
        raise FusionError(f"{error.filename} cannot be read ({error.strerror}): mend that, then push again") from error
    _check_croissant(inventory)
    _check_sums(inventory, sums.read(Files(str(folder))), sums.NAME)
    return inventory


def _paths(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(fnmatch.fnmatchcase(name, pattern) for pattern in HIDDEN):
            yield name


def _stamp(path: Path) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ino


def _hashed(path: Path) -> LocalFile:
    stamp = _stamp(path)
    sha256, git = hashlib.sha256(), hashlib.sha1(f"blob {stamp[0]}\0".encode(), usedforsecurity=False)
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK):
            sha256.update(chunk)
            git.update(chunk)
    return LocalFile(stamp[0], stamp, sha256.hexdigest(), git.hexdigest())


def _configs(folder: Path, text: str) -> dict[str, dict[str, Sequence[str]]]:
    """Patterns by config and split, from the front matter of the card."""
    import yaml  # huggingface_hub lets its errors pass
    from huggingface_hub import DatasetCard

    try:
        told: list[dict[str, Any]] = getattr(DatasetCard(text).data, "configs", None) or []
        found = {
            config["config_name"]: {
                each["split"]: [each["path"]] if isinstance(each["path"], str) else each["path"]
                for each in config["data_files"]
            }
            for config in told
        }
    except (yaml.YAMLError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{folder / card.NAME} has a front matter that cannot be read: {error}") from error
    patterns = [pattern for splits in found.values() for each in splits.values() for pattern in each]
    if not patterns or not all(pattern.endswith(".parquet") for pattern in patterns):
        raise UsageError(
            f"{folder} is not a release of Parquet files: name the folder that `fusionrs-build push` wrote"
        )
    return found


def _check_named(folder: Path, text: str, paths: set[str], configs: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Whether all is there that the card names, and all parts that the name of one part tells of."""
    patterns = {pattern for splits in configs.values() for each in splits.values() for pattern in each}
    missing = {pattern for pattern in patterns if not fnmatch.filter(paths, pattern)}
    missing |= set(re.findall(r"!\[[^\]]*\]\(([^)\s:]+)\)", text)) - paths
    parts: dict[tuple[str, int], set[int]] = defaultdict(set)
    for part in filter(None, map(PART.fullmatch, paths)):
        parts[part["name"], int(part["of"])].add(int(part["number"]))
    for (name, of), numbers in parts.items():
        missing |= {f"{name}-{number:05d}-of-{of:05d}.parquet" for number in set(range(of)) - numbers}
    _refuse(folder, sorted(missing), "is not there")


def _check_croissant(inventory: Inventory) -> None:
    path = inventory.folder / "croissant.json"
    if not path.is_file():
        return
    try:
        told = json.loads(path.read_bytes())["distribution"]
        objects = {
            each["contentUrl"]: each.get("sha256") for each in told if "://" not in each.get("contentUrl", "://")
        }
        patterns = [each["includes"] for each in told if "includes" in each]
    except (ValueError, TypeError, KeyError) as error:
        raise FusionError(f"{path} cannot be read ({error}): delete it, then `fusionrs-build push`") from error
    missing = [pattern for pattern in patterns if not fnmatch.filter(inventory.files, pattern)]
    _refuse(inventory.folder, missing, f"is not there, though {path.name} names it")
    _check_sums(inventory, objects, path.name)


def _check_sums(inventory: Inventory, told: Mapping[str, str | None], by: str) -> None:
    """Whether the files are what another one says, by sha256."""
    _refuse(
        inventory.folder, [path for path in told if path not in inventory.files], f"is not there, though {by} names it"
    )
    other = [path for path, sha256 in told.items() if sha256 not in (None, inventory.files[path].sha256)]
    _refuse(inventory.folder, other, f"is not what {by} says (sha256)")


def _refuse(folder: Path, paths: Sequence[str], what: str) -> None:
    if paths:
        raise FusionError(f"{folder}: {some(paths)} {what}: run `fusionrs-build push` to write the release anew")


def some(paths: Sequence[str]) -> str:
    """The first paths, to be named in a message."""
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more
