"""A user's copies of the corpora that an index of records points into: how each is read, and which item is meant.

A locator is text, and is never opened: it is compared with the names of what the copy holds. The authors of FusionRS
kept each corpus below a folder of their own, so the folders before an image may differ from those of another copy. In
order of trust: the path agrees; the name and the folders just above it; the name, suffix and all; the name without its
suffix. Of several items the closest is meant. Where two are equally close none is taken: a guess would give a record
the image and the text of another.
"""

import fnmatch
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionrs_builder.corpora import formats, registry
from fusionrs_builder.corpora.reader import IMAGE_SUFFIXES, Item, Reader, Refused, stem, walk
from fusionrs_builder.corpora.spool import Spool
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.settings import CorpusSettings

Closeness = tuple[int, int, int]
"""1 if the paths agree, 1 if the names do with their suffixes, and how many folders just above the name agree."""

OUTCOMES = ("found", "not_in_copy", "ambiguous_locator", "refused", "not_given")
"""What becomes of a record; refused is one whose image the source's own reader refuses."""


@dataclass(frozen=True)
class Layout:
    """A form in which a corpus is had.

    Attributes:
        corpus: its entry in the registry.
        sign: pattern of a file that tells the form.
        over: settings over those of the entry.
    """

    corpus: str
    sign: str = "*"
    over: Mapping[str, Any] = field(default_factory=dict)


LAYOUTS = {
    "NWPU": (Layout("nwpu-captions"),),
    "RS5M": (
        Layout("rs5m", "*.tar*"),
        Layout("rs5m", "*.csv", {"format": "caption-csv", "columns": {"image": "0", "caption": "1"}}),
    ),
    "RSICD": (
        Layout("rsicd", "*dataset_rsicd.json"),
        Layout("rsicd-parquet", "*.parquet", {"columns": {"image": "image", "caption": "captions", "id": "filename"}}),
    ),
    "RSITMD": (Layout("rsitmd"),),
    "SkyScript": (Layout("skyscript"),),
}
"""Sources by the names the index gives them; of several forms, the first whose sign is there."""

ALIASES = {"nwpu-captions": "NWPU", **{name.casefold(): name for name in LAYOUTS}}


class Copy:
    """A user's copy of one source.

    Args:
        source: its name in the index.
        folder: where it lies.
        form: number of its layout; None looks for it.

    Attributes:
        settings: how it is read, and its rights.
    """

    def __init__(self, source: str, folder: Path, form: int | None = None) -> None:
        self.source, self.folder = source, folder
        self.form = _form(LAYOUTS[source], folder) if form is None else form
        layout = LAYOUTS[source][self.form]
        self.settings = registry.resolve(layout.corpus, CorpusSettings.model_validate(dict(layout.over)))
        self.reader: Reader = formats.reader(folder, self.settings, layout.corpus)


class CopyIndex(Spool):
    """What a copy holds, by name and on disk, so that memory does not grow with it.

    Args:
        copy: is listed in full.

    Raises:
        UsageError: it holds nothing, or not what its format needs.
        FusionError: a file of it is damaged.
    """

    def __init__(self, copy: Copy) -> None:
        super().__init__()
        self._copy = copy
        try:
            count = sum(1 for item in copy.reader.items() if self._take(item))
            if not count:
                raise UsageError(f"nothing found in {copy.folder} as {copy.settings.format}")
        except FusionError as error:
            self.close()
            raise type(error)(f"sources: {copy.source}: {error}") from None
        except BaseException:
            self.close()
            raise

    def _take(self, item: Item) -> bool:
        """Keep an item; one of no use only where it has an image of its own, to say why a record cannot be had."""
        path = _path(item)
        if not item.fault or path != item.key:
            self.add(_bare(path).rpartition("/")[2], item.to_json())
        return not item.fault

    def find(self, locator: str) -> tuple[Item, Closeness]:
        """The item that a locator means, and how close its name is.

        Raises:
            Refused: there is none, or several are as close.
        """
        wanted = locator.replace("\\", "/").rpartition("://")[2]
        found = [Item.from_json(values) for values in self.get(_bare(wanted).rpartition("/")[2])]
        found = [item for item in found if not item.fault] or found
        near = [(_closeness(_path(item), wanted), item) for item in found]
        ranked = sorted(near, key=lambda pair: ([-part for part in pair[0]], _path(pair[1])))
        if not ranked:
            raise Refused("not_in_copy", f"{self._copy.source} has no image {locator} in {self._copy.folder}")
        if len(ranked) > 1 and ranked[0][0] == ranked[1][0]:
            one, other = (_path(item) for _, item in ranked[:2])
            raise Refused("ambiguous_locator", f"{self._copy.source} {locator} may be {one} or {other}")
        closeness, item = ranked[0]
        return item, closeness


class Coverage:
    """How much of an index the copies hold.

    Args:
        given: the sources of which there is a copy.

    Attributes:
        lines: records of the index, and those of no use by reason.
    """

    def __init__(self, given: Iterable[str]) -> None:
        self.given = frozenset(given)
        self.lines: Counter[str] = Counter()
        self._outcomes: Counter[tuple[str, str, str]] = Counter()
        self._found_by: Counter[tuple[str, str]] = Counter()

    def add(self, source: str, split: str, outcome: str, closeness: Closeness | None = None) -> None:
        """Count a record: one of `OUTCOMES`, and for one that is found how close the names are."""
        self._outcomes[source, split, outcome] += 1
        if closeness:
            exact, same, folders = closeness
            word = "path" if exact else "stem" if not same else "folder" if folders else "name"
            self._found_by[source, word] += 1

    def report(self) -> dict[str, Any]:
        """Records by source, by outcome and split, and by what the names had in common."""
        return {
            **{name: self.lines[name] for name in ("records", "malformed_record", "duplicate_key")},
            "sources": {source: self._of(source) for source in LAYOUTS},
        }

    def _of(self, source: str) -> dict[str, Any]:
        splits = ("train", "validation", "test")
        return {
            "given": source in self.given,
            **self._counted(source, splits),
            "splits": {split: self._counted(source, (split,)) for split in splits},
            "found_by": {word: self._found_by[source, word] for word in ("path", "folder", "name", "stem")},
        }

    def _counted(self, source: str, splits: Sequence[str]) -> dict[str, int]:
        counts = {outcome: sum(self._outcomes[source, split, outcome] for split in splits) for outcome in OUTCOMES}
        return {"records": sum(counts.values()), **counts}

    def summary(self) -> list[str]:
        """A line for each source."""
        lines = []
        for source in LAYOUTS:
            counts = self._counted(source, ("train", "validation", "test"))
            if source in self.given:
                others = [f", {counts[outcome]:,} {outcome}" for outcome in OUTCOMES[1:] if counts[outcome]]
                lines.append(f"{source}: {counts['found']:,} of {counts['records']:,} records found{''.join(others)}")
            else:
                lines.append(f"{source}: {counts['records']:,} records left out; add --sources {source}=FOLDER")
        return lines


def expanded(path: str) -> Path:
    """A path as a person writes it, with ~ and $VARIABLES, made absolute."""
    return Path(os.path.expandvars(path)).expanduser().absolute()


def folders_of(sources: dict[str, str]) -> dict[str, Path]:
    """The folder of each copy that is given.

    Raises:
        UsageError: none is given, one is named twice, has an unknown name, or is no folder.
    """
    folders: dict[str, Path] = {}
    for given, path in sources.items():
        source, folder = named(given), expanded(path)
        if source in folders:
            raise UsageError(f"sources: {source} is given twice, as {folders[source]} and {folder}")
        if not folder.is_dir():
            raise UsageError(f"sources: {given}: {folder} is not a folder; correct --sources {given}=FOLDER")
        folders[source] = folder
    if not folders:
        raise UsageError(
            f"sources: where are your copies of {', '.join(LAYOUTS)}? Give those you have, "
            "e.g. --sources RSICD=/data/rsicd,NWPU=/data/nwpu"
        )
    return folders


def named(source: str) -> str:
    """The name that the index gives a source, of whatever case.

    Raises:
        UsageError: there is no such source.
    """
    name = ALIASES.get(source.strip().casefold())
    if name is None:
        raise UsageError(f"sources: FusionRS has no source {source!r}; it has {', '.join(LAYOUTS)}")
    return name


def _form(layouts: Sequence[Layout], folder: Path) -> int:
    """Number of the layout of a copy; the usual one where no sign is found: its reader says what is missing."""
    if len(layouts) == 1:
        return 0
    signs = [layout.sign for layout in layouts]
    there = {number for path in walk(folder) for number, sign in enumerate(signs) if fnmatch.fnmatch(path, sign)}
    return min(there, default=0)


def _path(item: Item) -> str:
    """Path of an image in its copy; for one within a larger file its key, which has no suffix."""
    file = item.files[0] if item.files else ""
    return file if file.lower().endswith(IMAGE_SUFFIXES) else item.key


def _bare(path: str) -> str:
    """A path without the suffix of an image; one of another kind is part of the name."""
    return stem(path) if path.lower().endswith(IMAGE_SUFFIXES) else path


def _closeness(path: str, wanted: str) -> Closeness:
    if not path.lower().endswith(IMAGE_SUFFIXES):  # within a larger file, where no suffix is known
        wanted = _bare(wanted)
    mine, theirs = path.split("/")[::-1], wanted.split("/")[::-1]
    folders = 1
    while folders < min(len(mine), len(theirs)) and mine[folders] == theirs[folders]:
        folders += 1
    return int(path == wanted), int(mine[0] == theirs[0]), folders - 1
