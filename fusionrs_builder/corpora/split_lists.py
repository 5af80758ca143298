"""The split of an image by its publisher's lists of names, `splits = { train = "train.txt", test = "test.txt" }`.

A line is a name or path, and what may follow it: `beach00.tif`, `Images/beach/beach00.tif`, `000123 -1`, `a.jpg,3`. It
lists an image of the same name, whatever the suffix (EuroSAT's lists say .jpg of .tif), if the folders of the one are
the last of the other's. A reader asks once an item, and gives out `missing()` at the end:

    with SplitLists(self) as lists:
        for path in self.images():
            yield Item(stem(path), (path,), split=lists.split_of(path))
        yield from lists.missing()
"""

import codecs
import itertools
import re
from array import array
from collections.abc import Iterator
from typing import NamedTuple

from fusionrs_builder.corpora.captions import strictest
from fusionrs_builder.corpora.reader import IMAGE_SUFFIXES, Item, Reader, split_name, stem
from fusionrs_builder.corpora.spool import Spool
from fusionrs_builder.errors import FusionError

NAME = re.compile(rf".+?(?:{'|'.join(map(re.escape, IMAGE_SUFFIXES))})(?=[\s,;]|$)|[^\s,;]+", re.IGNORECASE)
"""The name at the start of a line: to the end of a suffix, else to a blank or comma: names hold both."""


class Listed(NamedTuple):
    """One line of a list; `number` counts the lines of all lists, `place` is its file and line, from 0."""

    number: int
    name: str
    split: str
    place: str


class SplitLists(Spool):
    """The lists of a corpus, on disk but for eight bytes a line. Without lists, `split_pattern` alone tells the split.

    Args:
        reader: of the corpus.

    Raises:
        FusionError: a list is not there, cannot be read, or is no text.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self._reader = reader
        self._asked = array("q")  # for each line the hash of the path that it was found for
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        """Keep the lines of all lists."""
        for split, file in self._reader.settings.splits.items():
            for line, name in self._names(file):
                self.add(_key(name), [len(self._asked), name, split_name(split), f"{file}#{line}"])
                self._asked.append(0)

    def split_of(self, path: str) -> str:
        """The split of an image: as listed (of several lists, that which is furthest from training), else by the path.

        Args:
            path: relative to the corpus folder.

        Raises:
            FusionError: a line fits two images, or two lines that differ fit the image.
        """
        found = self._lines(path)
        if not found:
            return self._reader.split_of(path)
        for line in found:
            if self._asked[line.number] not in (0, hash(path)):
                raise self._unclear(f"{line.name} of {line.place} may be {path} or another image")
            self._asked[line.number] = hash(path)
        if len({line.split for line in found}) > 1 and len({line.name for line in found}) > 1:
            raise self._unclear(" and ".join(f"{line.name} of {line.place}" for line in found[:2]) + f" may be {path}")
        return strictest(line.split for line in found)

    def missing(self) -> Iterator[Item]:
        """A fault for each line that no image was found for; images that `include` leaves out are none."""
        for path in left_out(self._reader) if self._asked else ():
            for line in self._lines(path):
                self._asked[line.number] = self._asked[line.number] or hash(path)
        for _, values in self.sorted():
            line = Listed(*values)
            if not self._asked[line.number]:
                fault = ("missing_image", f"{line.place} lists {line.name}, of which there is no image")
                yield Item(line.place, (), (line.place.rpartition("#")[0],), fault=fault)

    def _lines(self, path: str) -> list[Listed]:
        """The lines that fit an image best: with most folders, then with its suffix."""
        if not self._asked:
            return []
        ranked: dict[tuple[int, bool], list[Listed]] = {}
        for line in (Listed(*values) for values in self.get(_key(path))):
            folders, listed = path.split("/")[-2::-1], line.name.split("/")[-2::-1]
            shorter = min(len(folders), len(listed))
            if folders[:shorter] == listed[:shorter]:
                rank = shorter, line.name.rpartition("/")[2] == path.rpartition("/")[2]
                ranked.setdefault(rank, []).append(line)
        return ranked[max(ranked)] if ranked else []

    def _names(self, file: str) -> Iterator[tuple[int, str]]:
        """Number and name of each line of a list that is not blank."""
        try:
            with (self._reader.root / file).open(encoding="utf-8-sig", errors="surrogateescape") as handle:
                for number, line in enumerate(handle):
                    if not number and line.encode("utf-8", "surrogateescape").startswith(
                        (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
                    ):
                        raise FusionError(f"splits: {file} is UTF-16; convert it, e.g. iconv -f UTF-16 -t UTF-8")
                    if match := NAME.match(line.strip()):
                        parts = match[0].replace("\\", "/").split("/")
                        yield number, "/".join(part for part in parts if part not in ("", "."))
        except OSError as error:
            raise FusionError(
                f"splits: {self._reader.root / file} cannot be read ({error.strerror}), so images cannot be split as "
                "their publisher says; fetch the list, or correct --splits"
            ) from None

    def _unclear(self, what: str) -> FusionError:
        return FusionError(
            f"splits: {what}; leave images out with --include, or give the lists folders ({self._reader.root})"
        )


def left_out(reader: Reader) -> Iterator[str]:
    """The images of a corpus that `include` leaves out."""
    return itertools.filterfalse(reader.is_included, reader.all_images() if reader.settings.include else ())


def _key(path: str) -> str:
    """The name of an image without its suffix; what follows another dot belongs to the name."""
    name = path.rpartition("/")[2]
    return stem(name) if name.lower().endswith(IMAGE_SUFFIXES) else name
