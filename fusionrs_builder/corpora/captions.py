"""What the formats share in which a file of text names the images it describes.

A format gives `Record`s; `CaptionReader` finds the image of each, and makes the items: one an image, and one for every
record that is of no use, keyed by its place (`dataset.json#17`, counted from 0), so that both are counted.

Such text describes a whole scene and need not hold for a part of it: with `tile` these formats are refused.
"""

import fnmatch
import json
import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from fusionrs_builder.corpora.image_index import ImageIndex
from fusionrs_builder.corpora.reader import SPLITS, Item, Reader, Refused, Sample, split_name, stem, walk
from fusionrs_builder.corpora.spool import Spool
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings

PROTECTED = {"": 0, "train": 1, "validation": 2, "test": 4}
"""Rank of a split, 3 for one of another name: an image that is in two splits goes to the higher, never into train."""


@dataclass(frozen=True)
class Record:
    """What an annotation file says of one image.

    Attributes:
        file: the annotation file.
        number: of the record in the file, from 0; None where the file is about one image.
        image: name or path of the image as the file gives it; empty when it does not.
        captions: what it says of the whole scene.
        split: the publisher's split.
        labels: class names.
        extra: what else `read` needs.
        fault: reason and message, when the record cannot be used.
    """

    file: str
    number: int | None
    image: str = ""
    captions: Sequence[str] = ()
    split: str = ""
    labels: Sequence[str] = ()
    extra: Any = None
    fault: Sequence[str] | None = None

    @property
    def place(self) -> str:
        return self.file if self.number is None else f"{self.file}#{self.number}"


class CaptionReader(Reader):
    """A reader of whole images and the text that names them. A subclass gives `records`."""

    merges: ClassVar[bool] = False
    """Several records of one image become one; otherwise the second and later are refused."""

    def __init__(self, root: Path, settings: CorpusSettings) -> None:
        super().__init__(root, settings)
        refuse_tiles(settings)

    @abstractmethod
    def records(self) -> Iterator[Record]:
        """Every record, in the order of the files."""

    def items(self) -> Iterator[Item]:
        with ImageIndex(self.all_images(), self.is_included) as index, Spool() as known:
            for record in self.records():
                try:
                    if path := index.find(record.image):
                        known.add(path, vars(record))
                except Refused as refused:
                    yield _unused(record, record.fault or (refused.reason, f"{record.place}: {refused.message}"))
            for path in self.images():
                yield from self._items_of(path, [Record(**values) for values in known.get(path)])

    def _items_of(self, path: str, records: list[Record]) -> Iterator[Item]:
        """The item of an image, and one for each of its records that is of no use."""
        yield from (_unused(record, record.fault, path) for record in records if record.fault)
        good = [record for record in records if not record.fault]
        split = self.split_of(path) or strictest(record.split for record in good)
        if not self.merges:
            said = f"{path} is described before, in {good[0].place}" if good else ""
            yield from (_unused(record, ("duplicate_filename", said), path) for record in good[1:])
            good = good[:1]
        key, size = stem(path), self.size_of(path)
        if not records:
            yield Item(key, (path,), bytes=size, fault=("missing_annotation", f"no record names {path}"))
        if not good:
            return
        captions = distinct(caption for record in good for caption in record.captions)
        if not captions:
            said = f"{good[0].place}: none of {len(good)} records of {path} describes the scene"
            yield Item(key, (path,), bytes=size, fault=("no_caption", said))
            return
        labels = tuple(dict.fromkeys(label for record in good for label in record.labels))
        data = {"captions": captions, "extra": [record.extra for record in good if record.extra is not None]}
        yield Item(key, (path,), bytes=size, split=split, labels=labels, data=json.dumps(data))

    def read(self, item: Item) -> Sample:
        sample = self.picture(self.bytes_of(item.files[0]), item.files[0])
        self.say(sample, item.found()["captions"])
        return sample

    def caption_files(self, suffixes: tuple[str, ...], fits: Callable[[str], bool], what: str) -> list[str]:
        """The files of text: those that `captions` names, else the only one of the right shape.

        Args:
            suffixes: of such files.
            fits: tells the shape of one.
            what: the shape in words, for errors.

        Raises:
            UsageError: there is none, there are several and none was named, or one that was named has another shape.
        """
        named = list(files_like(self.root, self.settings.captions, suffixes))
        found = [path for path in named if fits(path)]
        if self.settings.captions and (other := [path for path in named if path not in found]):
            raise UsageError(f"captions: {other[0]} is not {what}; correct the pattern {self.settings.captions!r}")
        if not found:
            there = named or list(files_like(self.root, "", suffixes))
            raise UsageError(f"captions: {self.root} holds no file that is {what}; looked at {_some(there)}")
        if len(found) > 1 and not self.settings.captions:
            raise UsageError(f"captions: which of {_some(found)}? Name it, e.g. --captions '{found[0]}'")
        return found


def files_like(root: Path, pattern: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Files below a folder with a suffix, whose path or name matches a pattern (all, if it is empty)."""
    for path in walk(root):
        if path.lower().endswith(suffixes) and (
            not pattern or fnmatch.fnmatch(path, pattern) or fnmatch.fnmatch(path.rpartition("/")[2], pattern)
        ):
            yield path


def refuse_tiles(settings: CorpusSettings) -> None:
    """Raise UsageError where tiles are asked for."""
    if settings.tile:
        raise UsageError(
            f"tile: captions describe a whole image, not its tiles, so {settings.format} cuts none; "
            "take --tile out, or make images smaller with --image-size"
        )


def fold(caption: str) -> str:
    """A caption without case, punctuation and white space, by which two are the same."""
    return " ".join(re.findall(r"\w+", caption.casefold()))


def distinct(captions: Iterable[str]) -> list[str]:
    """The captions without those that an earlier one equals but for case, punctuation and white space."""
    kept: dict[str, str] = {}
    for caption in captions:
        kept.setdefault(fold(caption), caption)
    return list(kept.values())


def checked(value: Any) -> list[str]:
    """The distinct captions in a published value: a text, or a list of texts.

    Raises:
        Refused: there is none, one is empty or no text, or one cannot be written as UTF-8.
    """
    captions = [value] if isinstance(value, str) else value
    if not isinstance(captions, list) or not captions:
        raise Refused("empty_caption", f"no caption, but {value!r}")
    for caption in captions:
        if not isinstance(caption, str) or not fold(caption):
            raise Refused("empty_caption", f"a caption is {caption!r}")
        if not caption.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in caption):
            raise Refused("bad_encoding", f"a caption is not UTF-8: {caption!r}")
    return distinct(captions)


def strictest(splits: Iterable[str]) -> str:
    """Of the splits that records of one image name, that which keeps it furthest from training."""
    return max(map(split_name, splits), key=lambda split: PROTECTED.get(split, 3), default="")


def split_in(path: str) -> str:
    """The split that a file's name, or else a folder, has as a word of its own: `x_train.json`, `val/0001.csv`."""
    for part in reversed(path.split("/")):
        named = {SPLITS[word] for word in re.split(r"[^a-z]+", part.lower()) if word in SPLITS}
        if named:
            return named.pop() if len(named) == 1 else ""
    return ""


def _unused(record: Record, fault: Sequence[str] | None, path: str = "") -> Item:
    reason, message = fault or ("", "")
    return Item(record.place, (path,) if path else (), (record.file,), fault=(reason, message))


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "") if paths else "nothing"
