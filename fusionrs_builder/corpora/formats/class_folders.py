"""A folder a class: `Forest/Forest_1.jpg` (EuroSAT-RGB, UC Merced, RESISC45, AID, PatternNet, RSSCN7).

Folders may lie within folders: the one just above the image is its class (Million-AID,
`train/agriculture_land/arable_land/dry_field/1.jpg`). Lists of names (`splits`) or the path (`split_pattern`) tell the
split. Where the class is not the folder, `label_pattern` finds it in the path.
"""

from collections.abc import Iterator

from fusionrs_builder.corpora.reader import Item, Reader, Sample, stem
from fusionrs_builder.corpora.split_lists import SplitLists


class ClassFolders(Reader):
    """The folder just above an image names its class; an image without a class is refused."""

    def items(self) -> Iterator[Item]:
        with SplitLists(self) as lists:
            for path in self.images():
                labels = self.label_of(path) if self.settings.label_pattern else tuple(path.split("/")[-2:-1])
                fault = None if labels else ("missing_label", self._no_label(path))
                split, size = lists.split_of(path), self.size_of(path)
                yield from self.tiled(Item(stem(path), (path,), bytes=size, split=split, labels=labels, fault=fault))
            yield from lists.missing()

    def read(self, item: Item) -> Sample:
        return self.picture(self.bytes_of(item.files[0]), item.files[0])

    def _no_label(self, path: str) -> str:
        if self.settings.label_pattern:
            return f"label_pattern finds no label in {path}"
        return f"{path} lies in no class folder"


READER = ClassFolders
