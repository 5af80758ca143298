"""What the formats share in which each image has an annotation file of its own: finding it, and counting what is alone.

An annotation lies where `annotations` says (`../labels/{stem}.txt`), else has the name of its image: of several of one
name, that which shares most folders with the image, if it shares no more with another image of that name.
"""

import math
from collections.abc import Iterator
from typing import ClassVar

from fusionrs_builder.corpora.image_index import ImageIndex
from fusionrs_builder.corpora.reader import Item, Reader, Refused, stem, walk
from fusionrs_builder.corpora.split_lists import SplitLists, left_out
from fusionrs_builder.corpora.spool import Spool


class AnnotatedImages(Reader):
    """A reader of images with a file of annotations each. A subclass gives `annotation_suffix` and `read`."""

    annotation_suffix: ClassVar[str]

    def items(self) -> Iterator[Item]:
        with ImageIndex(self.images()) as images, AnnotationFiles(self) as files, self.lists() as lists:
            for path in self.images():
                found, fault = "", None
                try:
                    found = files.of(path, images)
                except Refused as refused:
                    fault = refused.reason, refused.message
                item = Item(
                    self.key(path, images),
                    (path,),
                    (found,) if found else (),
                    self.size_of(path),
                    split=lists.split_of(path),
                    fault=fault,
                )
                yield from self.tiled(item)
            yield from lists.missing()
            for path in files.alone():
                yield Item(name_of(path), (), (path,), fault=("missing_image", f"no image for {path}"))

    def key(self, path: str, images: ImageIndex) -> str:
        """The key of an image."""
        return stem(path)

    def lists(self) -> SplitLists:
        """Where the splits come from."""
        return SplitLists(self)


class AnnotationFiles(Spool):
    """The files with a reader's suffix by name, on disk but for a byte each."""

    def __init__(self, reader: AnnotatedImages) -> None:
        super().__init__()
        self._reader = reader
        self._taken = bytearray()
        self._folders: set[str] = set()
        for path in walk(reader.root):
            if path.lower().endswith(reader.annotation_suffix):
                self.add(name_of(path), [len(self._taken), path])
                self._taken.append(0)

    def of(self, image: str, images: ImageIndex) -> str:
        """The annotation of an image.

        Raises:
            Refused: there is none, or several may be meant.
        """
        wanted = self._reader.beside(image, self._reader.settings.annotations)
        name = name_of(wanted or image)
        known: list[tuple[int, str]] = [(number, path) for number, path in self.get(name)]
        if wanted:
            self._folders.add(wanted.rpartition("/")[0])
            found = [(number, path) for number, path in known if path == wanted]
        else:
            most = max((_near(image, path) for _, path in known), default=(0, 0))
            found = [(number, path) for number, path in known if _near(image, path) == most]
            others = images.get(name) if found else []
            found = [one for one in found if not any(_near(other, one[1]) > most for other in others)]
        if not found:
            raise Refused("missing_annotation", f"no {wanted or name + self._reader.annotation_suffix} for {image}")
        for number, path in found:
            self._taken[number] = 1
            self._folders.add(path.rpartition("/")[0])
        if len(found) > 1:
            raise Refused(
                "ambiguous_annotation",
                f"{found[0][1]} or {found[1][1]} for {image}? Say where they lie, e.g. --annotations "
                "'../Annotations/{stem}" + self._reader.annotation_suffix + "'",
            )
        return found[0][1]

    def alone(self) -> Iterator[str]:
        """Annotations of no image. Of files that may be anything (.txt), those beside annotations only."""
        everywhere = self._reader.annotation_suffix == ".xml" and not self._reader.settings.annotations
        for image in left_out(self._reader):
            for number, _ in self.get(name_of(image)):
                self._taken[number] = 1
        for _, (number, path) in self.sorted():
            if not self._taken[number] and (everywhere or path.rpartition("/")[0] in self._folders):
                yield path


def name_of(path: str) -> str:
    """The name of a file without its suffix."""
    return stem(path.rpartition("/")[2])


def lines_of(data: bytes, where: str) -> Iterator[tuple[str, str]]:
    """Place (`labels/1.txt#0`, from 0) and text of each line of an annotation file that is not blank.

    Raises:
        Refused: it is not UTF-8.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused("malformed_annotation", f"{where} is no UTF-8 text: {error.reason}") from None
    for number, line in enumerate(text.splitlines()):
        if line.strip():
            yield f"{where}#{number}", line.strip()


def number(text: str, place: str) -> float:
    """A finite number in a file of text.

    Raises:
        Refused: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Refused("malformed_annotation", f"{place}: {text.strip()!r} is no number")
    return value


def _near(one: str, other: str) -> tuple[int, int]:
    """How near two files are, more is nearer: folders they share, and then fewer that they do not."""
    folders, others = {*one.split("/")[:-1]}, {*other.split("/")[:-1]}
    return len(folders & others), -len(folders ^ others)
