"""What a check found, and what the checks of layers and of releases share."""

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from fusionrs_builder import pixels
from fusionrs_builder.errors import FusionError
from fusionrs_builder.files import Files
from fusionrs_builder.shards import Row

SAID = 5
"""Examples named of one kind of problem."""

SAMPLE = 200
"""Rows whose pictures are decoded at most, spread evenly, where not all are wanted."""

LONGEST = 300
"""Characters of a stranger's error that are shown."""

SECRET = re.compile(r"\bhf_\w{4,}|(?<=Bearer )[^'\"]+|(?<=://)[^/@\s]+(?=@)|(?<=\?)[^\s'\"]+")
"""Tokens, passwords, and what signs an address."""


def told(error: BaseException) -> str:
    """What went wrong, in one line without secrets."""
    text = redacted(" ".join(str(error).split()))
    if isinstance(error, FusionError):
        return text
    if status := getattr(getattr(error, "response", None), "status_code", None):
        return f"the server answers {status}"
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def redacted(text: str) -> str:
    return SECRET.sub("…", text)


@dataclass
class Checked:
    """What was looked at, and what is off.

    Attributes:
        rows: looked at.
        pictures: decoded.
        problems: what is off, a line each, the first `SAID` of a kind; empty where all is as it should be.
    """

    rows: int = 0
    pictures: int = 0
    problems: list[str] = field(default_factory=list)
    _kinds: Counter[str] = field(default_factory=Counter)

    def off(self, kind: str, what: str) -> None:
        """Note a problem."""
        if what in self.problems:
            return
        self._kinds[kind] += 1
        if self._kinds[kind] <= SAID:
            self.problems.append(what)

    def unnamed(self, kind: str, count: int) -> None:
        """Note problems of a kind by their number; `SAID` of it were named."""
        self._kinds[kind] += count

    @contextmanager
    def reading(self, what: str, kind: str = "unreadable") -> Iterator[None]:
        """Note whatever is raised: pyarrow, Pillow, file systems and networks fail in many ways on what is damaged."""
        try:
            yield
        except FusionError as error:
            self.off(kind, told(error))
        except Exception as error:
            self.off(kind, f"{what} cannot be read: {told(error)}")

    def decode(self, row: Row, column: str, sha256: str | None, where: str) -> None:
        """Decode a picture, and compare its pixels with their sha256 where one is told."""
        if row[column] is None:
            return
        self.pictures += 1
        what = f"{where}: {column} of {row['id']}"
        with self.reading(what, "picture"):
            data = row[column]["bytes"] or b""
            if sha256 is None:
                pixels.decode(data)
                return
            array = pixels.rgb_array(data) if column == "rgb" else pixels.gray_array(data)
            if pixels.pixel_sha256(array) != sha256:
                self.off("hash", f"{what} has other pixels than its sha256 says")

    def finish(self) -> "Checked":
        """Say how many problems of a kind were not named."""
        more = {kind: count - SAID for kind, count in self._kinds.items() if count > SAID}
        self.problems += [f"{kind}: {count:,} more" for kind, count in more.items()]
        self._kinds.clear()
        return self

    def add(self, other: "Checked", where: str) -> None:
        """Take in another, finished, its problems headed by where they are."""
        self.rows += other.rows
        self.pictures += other.pictures
        self.problems += [f"{where}: {problem}" for problem in other.problems]


def step(rows: int, every: bool) -> int:
    """Every how manieth row has its pictures decoded."""
    return 1 if every else max(1, -(-rows // SAMPLE))


def sampled(files: Files, path: str, columns: Sequence[str], step: int, before: int) -> Iterator[Row]:
    """Rows of a Parquet file, one row group in memory at a time; a group of which none is wanted is not read.

    Args:
        files: where.
        path: of the file.
        columns: wanted.
        step: every how manieth row is wanted.
        before: rows of the files before this one.
    """
    with files.fs.open(files.path(path), "rb", cache_type="none") as handle:
        parquet = pq.ParquetFile(handle)
        for group in range(parquet.num_row_groups):
            count = parquet.metadata.row_group(group).num_rows
            if wanted := range(-before % step, count, step):
                table = parquet.read_row_group(group, columns=list(columns))
                for number in wanted:
                    yield table.slice(number, 1).to_pylist()[0]
            before += count


class Key(NamedTuple):
    """What must be unique of a row, and what must be in one split."""

    where: str
    id: str
    group: str | None
    split: str


class Keys:
    """Ids and groups of many rows, as numbers: 16 bytes a row. A row whose group does not matter has an id only."""

    def __init__(self) -> None:
        self._ids = array("q")
        self._groups: dict[str, array[int]] = {}

    def add(self, key: Key) -> None:
        self._ids.append(hash(key.id))
        if key.group is not None:
            self._groups.setdefault(key.split, array("q")).append(hash(key.group))

    def tell(self, found: Checked, again: Callable[[], Iterable[Key]]) -> None:
        """Note ids that stand twice and groups in two splits; `again` gives all rows once more, to name some."""
        ids = np.sort(np.asarray(self._ids))
        twice = np.unique(ids[1:][ids[1:] == ids[:-1]])
        del ids
        groups = [np.unique(np.asarray(each)) for each in self._groups.values()]
        torn = np.unique(np.concatenate([twice[:0], *(np.intersect1d(*two) for two in combinations(groups, 2))]))
        if not len(twice) and not len(torn):
            return
        of_ids, of_groups = set(twice[:SAID].tolist()), set(torn[:SAID].tolist())
        firsts: dict[str, str] = {}
        homes: dict[str, str] = {}
        for where, name, group, split in again():
            if hash(name) in of_ids and name in firsts:
                found.off("id", f"{where}: the id {name} is there twice, first in {firsts[name]}")
                of_ids.discard(hash(name))
            elif hash(name) in of_ids:
                firsts[name] = where
            if group is not None and hash(group) in of_groups and homes.setdefault(group, split) != split:
                found.off("group", f"{where}: the group of {name} lies in {homes[group]} and in {split}")
                of_groups.discard(hash(group))
        found.unnamed("id", len(twice[SAID:]))
        found.unnamed("group", len(torn[SAID:]))
