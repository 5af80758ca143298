"""A look at a folder that stays short however large it is: some files of some folders, and what they are called."""

import os
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from fusionrs_builder.corpora.reader import IMAGE_SUFFIXES
from fusionrs_builder.errors import UsageError

FILES_A_FOLDER = 200
FOLDERS = 2000
"""Bounds of the look. A folder of a million images is told by 200 of them."""

IMAGES_OPENED = 8


@dataclass(frozen=True)
class Layout:
    """A layout that was recognised.

    Attributes:
        format: the reader's name.
        saw: what told it, for people.
        keys: settings that the reader needs.
        hints: what a person may want to add.
    """

    format: str
    saw: str
    keys: dict[str, Any] = field(default_factory=dict)
    hints: tuple[str, ...] = ()


class Glimpse:
    """Some files below a folder.

    Args:
        root: the folder.

    Attributes:
        files: relative paths, `/` between parts, in order; hidden ones left out.
        cut: there are more files than were looked at.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[str] = []
        self.cut = False
        waiting, seen = [""], 0
        while waiting:
            folder = waiting.pop()
            seen += 1
            if seen > FOLDERS:
                self.cut = True
                break
            waiting += self._look(folder)
        self.files.sort()

    def _look(self, folder: str) -> list[str]:
        """Note some files of a folder; give its folders."""
        files: list[str] = []
        folders: list[str] = []
        try:
            with os.scandir(self.root / folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(path)
                    elif len(files) < FILES_A_FOLDER:
                        files.append(path)
                    else:
                        self.cut = True
        except OSError as error:
            raise UsageError(f"cannot list {error.filename}: {error.strerror}; change its rights") from None
        self.files += files
        return sorted(folders, reverse=True)

    def having(self, *suffixes: str) -> list[str]:
        """Files with one of the suffixes, whatever their case."""
        return [path for path in self.files if path.lower().endswith(suffixes)]

    @cached_property
    def images(self) -> list[str]:
        return self.having(*IMAGE_SUFFIXES)

    def exists(self, path: str) -> bool:
        return bool(path) and (self.root / path).is_file()

    def all_grey(self) -> bool:
        """Whether the images opened hold no colour: thermal and near infrared ones do not."""
        opened = 0
        step = max(1, len(self.images) // IMAGES_OPENED)
        for path in self.images[::step][:IMAGES_OPENED]:
            try:
                with Image.open(self.root / path) as image:
                    small = image.copy() if image.mode in ("L", "I;16") else image.convert("RGB").resize((32, 32))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                continue
            opened += 1
            if small.mode == "RGB" and any(high - low > 8 for low, high in _spread(small)):
                return False
        return opened > 0

    def described(self) -> str:
        """What there is, for an error: kinds of files, and the topmost folders."""
        kinds = Counter(os.path.splitext(path)[1].lower() or "no suffix" for path in self.files)
        tops = sorted({path.split("/")[0] for path in self.files if "/" in path})
        counted = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(6))
        return f"{counted or 'no file'}{' and more' if self.cut else ''}; folders {', '.join(tops[:6]) or 'none'}"


def _spread(image: Image.Image) -> list[tuple[int, int]]:
    """For each channel pair, how far they differ: least and most."""
    red, green, blue = image.split()
    differences = (ImageChops.difference(red, green), ImageChops.difference(green, blue))
    return [(0, int(difference.getextrema()[1])) for difference in differences]  # type: ignore[arg-type]
