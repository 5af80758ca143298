"""WebDataset: tars whose files share a key up to the first dot (RS5M, ThermalGen).

rs3-train-0000.tar: 000001.img_content 000001.img_name 000001.caption
shard-00000.tar: 000001.jpg 000001.txt      or 000001.png 000001.json      or 000001.color.png 000001.thermal.png

`columns` names other kinds of files: image, ir, and caption, which may be a key within the .json too (unset: caption,
or text). With id=img_name the content of that file is the key of a record; unset, the tar's name and the key within. A
pair needs no caption. Files of other kinds, pickles
above all, are never opened. `include` says which tars are read. Tars must be plain: a place within a compressed one
cannot be gone to.
"""

import fnmatch
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from fusionrs_builder.corpora.captions import checked, refuse_tiles, split_in
from fusionrs_builder.corpora.reader import Item, Reader, Refused, Sample, stem, walk
from fusionrs_builder.corpora.tar_index import Member, members, unpacker
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.settings import CorpusSettings

IMAGES = (
    "img_content",
    "jpg",
    "jpeg",
    "png",
    "webp",
    "tif",
    "tiff",
    "bmp",
    "color.png",
    "color.jpg",
    "rgb.png",
    "rgb.jpg",
)
THERMAL = ("thermal.png", "thermal.jpg", "thermal.tif", "thermal.tiff", "ir.png", "ir.jpg", "ir.tif")
TEXTS = ("caption", "txt", "json")

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")

MAX_TEXT_BYTES = 1024 * 1024
"""A text is no longer."""


class WebDataset(Reader):
    """A key of a tar is an item."""

    def __init__(self, root: Path, settings: CorpusSettings) -> None:
        super().__init__(root, settings)
        refuse_tiles(settings)
        self._open: tuple[str, BinaryIO] | None = None

    def items(self) -> Iterator[Item]:
        for path in walk(self.root):
            if not path.lower().endswith(TARS) or not fnmatch.fnmatch(path, self.settings.include or "*"):
                continue
            try:
                if command := unpacker(self.root / path):
                    raise UsageError(f"{path} is a compressed tar; unpack it to a plain one first: {command} {path}")
                yield from self._items_of(path)
            except OSError as error:
                raise FusionError(f"{path} cannot be read: {error.strerror}") from None

    def _items_of(self, path: str) -> Iterator[Item]:
        try:
            for key, several in itertools.groupby(
                members(self.root / path, path), lambda member: _parts(member.name)[0]
            ):
                yield self._item(path, key, {_parts(member.name)[1]: member for member in several})
        except Refused as refused:
            yield Item(path, (path,), fault=(refused.reason, refused.message))

    def _item(self, path: str, key: str, there: dict[str, Member]) -> Item:
        """The files of one key, of which only a text that is asked to be the key is read."""
        place = f"{stem(path)}/{key}"
        size = sum(member.size for member in there.values())
        named = self.settings.columns
        kinds = {
            "rgb": (named["image"],) if "image" in named else IMAGES,
            "ir": (named["ir"],) if "ir" in named else THERMAL,
            "text": (named.get("caption", ""), *TEXTS),
        }
        used = {role: next((kind for kind in several if kind in there), "") for role, several in kinds.items()}
        data = {role: [kind, there[kind].offset, there[kind].size] for role, kind in used.items() if kind}
        fault: tuple[str, str] | None = None
        if "rgb" not in data:
            fault = ("missing_image", f"{place} of {path} has no image, but {', '.join(sorted(there))}")
        elif "text" not in data and "ir" not in data:
            fault = ("no_caption", f"{place} of {path} has no caption, but {', '.join(sorted(there))}")
        name = named.get("id")
        if name and not fault:
            try:
                if name not in there:
                    raise Refused("missing_key", f"{place} of {path} has no {name}")
                place = stem(self._text(path, there[name].offset, there[name].size).strip()) or place
            except Refused as refused:
                fault = (refused.reason, refused.message)
        split = self.split_of(path) or split_in(path)
        return Item(place, (path,), bytes=size, split=split, fault=fault, data="" if fault else json.dumps(data))

    def read(self, item: Item) -> Sample:
        path, found = item.files[0], item.found()
        sample = self.picture(self._content(path, *found["rgb"][1:]), path)
        if "ir" in found:
            sample.ir, sample.band = self._content(path, *found["ir"][1:]), self.settings.band
            sample.source = f"{self.settings.sensor} {self.settings.band or ''}".strip()
        if "text" in found:
            kind, offset, size = found["text"]
            self.say(sample, self._captions(kind, self._text(path, offset, size), item.key))
        return sample

    def _captions(self, kind: str, text: str, key: str) -> list[str]:
        if kind != "json":
            return checked(text)
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Refused("malformed_annotation", f"{key}.json: {error}") from None
        names = [self.settings.columns["caption"]] if "caption" in self.settings.columns else ["caption", "text"]
        said: Any = next((values[name] for name in names if name in values), None) if isinstance(values, dict) else None
        if said is None:
            raise Refused("missing_key", f"{key}.json has no {' or '.join(names)}")
        return checked(said)

    def _text(self, path: str, offset: int, size: int) -> str:
        if size > MAX_TEXT_BYTES:
            raise Refused("malformed_annotation", f"{path}: a text of {size} bytes at byte {offset}")
        try:
            return self._content(path, offset, size).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Refused("bad_encoding", f"{path}: the text at byte {offset} is not UTF-8: {error}") from None

    def _content(self, path: str, offset: int, size: int) -> bytes:
        """Bytes of a tar, which stays open for the next."""
        try:
            if self._open is None or self._open[0] != path:
                if self._open:
                    self._open[1].close()
                self._open = (path, (self.root / path).open("rb"))
            self._open[1].seek(offset)
            return self._open[1].read(size)
        except OSError as error:
            raise Refused("unreadable_file", f"{path}: {error.strerror}") from None


def _parts(name: str) -> tuple[str, str]:
    """Key and kind of a member: what stands before and after the first dot of its file name."""
    folder, slash, file = name.removeprefix("./").rpartition("/")
    key, _, kind = file.partition(".")
    return f"{folder}{slash}{key}", kind.lower()


READER = WebDataset
