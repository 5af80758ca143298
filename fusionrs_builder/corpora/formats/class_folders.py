"""A folder a class: `Forest/Forest_1.jpg` (EuroSAT-RGB, UC Merced, RESISC45, AID, PatternNet, WHU-RS19)."""

from collections.abc import Iterator

from fusionrs_builder.corpora.reader import Item, Reader, Sample, stem


class ClassFolders(Reader):
    """The folder just above an image names its class; an image outside any folder is refused."""

    def items(self) -> Iterator[Item]:
        for path in self.images():
            parts = path.split("/")
            fault = None if len(parts) > 1 else ("missing_label", f"{path} lies in no class folder")
            size = self.size_of(path)
            yield from self.tiled(Item(stem(path), (path,), bytes=size, labels=tuple(parts[-2:-1]), fault=fault))

    def read(self, item: Item) -> Sample:
        return self.picture(self.bytes_of(item.files[0]), item.files[0])


READER = ClassFolders
