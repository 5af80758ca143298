"""Files that belong to an image by a template, such as `../masks/{stem}.png`, and those that belong to none."""

import fnmatch
import re
from collections.abc import Iterator

from fusionrs_builder.corpora.reader import Item, Reader, Refused, stem, walk
from fusionrs_builder.corpora.split_lists import left_out
from fusionrs_builder.corpora.spool import Spool


class Companions(Spool):
    """The masks or annotations of a corpus. A reader asks for that of each image, and gives out `alone` at the end.

    Args:
        reader: of the corpus.
        template: as `Reader.beside` fills it in; without one no image has a companion.
        what: how errors call such a file.
    """

    def __init__(self, reader: Reader, template: str, what: str) -> None:
        super().__init__()
        self._reader, self._template, self._what = reader, template, what

    def of(self, image: str) -> tuple[str, ...]:
        """The companion of an image; none without a template.

        Raises:
            Refused: there is no such file.
        """
        path = self._reader.beside(image, self._template)
        if not path:
            return ()
        if not (self._reader.root / path).is_file():
            raise Refused("missing_annotation", f"no {self._what} {path} for {image}")
        self.add(path, 0)
        return (path,)

    def alone(self) -> Iterator[Item]:
        """A fault for each file named as the template says that no image asked for; images left out may have some."""
        if not self._template:
            return
        for image in left_out(self._reader):
            if (path := self._reader.beside(image, self._template)) != image:  # it may be a companion itself
                self.add(path, 0)
        named = _pattern(self._template)
        suffixes, include = self._reader.suffixes, self._reader.settings.include or "*"
        for path in walk(self._reader.root):
            is_image = path.lower().endswith(suffixes) and fnmatch.fnmatch(path, include)
            if named.fullmatch(path) and not is_image and self.first(path) is None:
                yield Item(stem(path), (), (path,), fault=("missing_image", f"no image for the {self._what} {path}"))


def _pattern(template: str) -> re.Pattern[str]:
    """The paths that a template may give: `../masks/{stem}.png` those that end in `masks/*.png`."""
    fixed = template.rpartition("../")[2]
    return re.compile("(?:.*/)?" + re.sub(r"\\\{\w+\\\}", ".*", re.escape(fixed)))
