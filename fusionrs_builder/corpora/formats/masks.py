"""Images with a mask of classes each (LoveDA, OpenEarthMap, LandCover.ai, FLAIR, DeepGlobe, Potsdam, Chesapeake).

Train/Urban/images_png/1366.png    Train/Urban/masks_png/1366.png

`masks` says where the mask of an image lies, `classes` what its numbers or colours mean. The image is read as a raster
where `bands` or `band_order` says what its bands are, else as a picture. A mask is cut as its image. Publishers keep
back the masks of their test images (OpenEarthMap): where no image of a test split has one, these are records without.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fusionrs_builder.corpora import raster
from fusionrs_builder.corpora.band_orders import numbers_of
from fusionrs_builder.corpora.class_masks import ClassMasks
from fusionrs_builder.corpora.companions import Companions
from fusionrs_builder.corpora.reader import Item, Reader, Refused, Sample, stem
from fusionrs_builder.corpora.split_lists import SplitLists
from fusionrs_builder.corpora.spool import Spool
from fusionrs_builder.errors import UsageError


class Masks(Reader):
    """Images and masks meet by the template `masks`; either one without the other is refused."""

    def __init__(self, root: Path, settings: Any) -> None:
        super().__init__(root, settings)
        if not settings.masks:
            raise UsageError("masks: say where the mask of an image lies, e.g. --masks '../masks/{stem}.png'")
        self.classes = ClassMasks(self)
        self.numbers = numbers_of(settings) if settings.bands or settings.band_order else {}
        self.infrared = next((band for band in settings.prefer if band in self.numbers), None)

    def items(self) -> Iterator[Item]:
        with SplitLists(self) as lists, Companions(self, self.settings.masks, "mask") as masks, Spool() as held:
            tested = False
            for path in self.images():
                item = Item(
                    stem(path),
                    (path,),
                    bytes=self.size_of(path),
                    split=lists.split_of(path),
                    labels=self.label_of(path),
                )
                try:
                    found = masks.of(path)
                except Refused as refused:
                    item = replace(item, fault=(refused.reason, refused.message))
                    if item.split == "test":
                        held.add(item.key, item.to_json())
                    else:
                        yield item
                    continue
                tested |= item.split == "test"
                yield from self._tiles(replace(item, annotations=found, bytes=item.bytes + self.size_of(*found)))
            for _, values in held.sorted():
                item = Item.from_json(values)
                yield from [item] if tested else self._tiles(replace(item, fault=None))
            yield from lists.missing()
            yield from masks.alone()

    def _tiles(self, item: Item) -> Iterator[Item]:
        try:
            yield from self.tiled(item, self._image_size(item) if self.settings.tile else None)
        except Refused as refused:
            yield replace(item, fault=(refused.reason, refused.message))

    def _image_size(self, item: Item) -> tuple[int, int]:
        return raster.size(self._bands(item)) if self.numbers else self._size(item.files[0])

    def _bands(self, item: Item) -> dict[str, tuple[Path, int]]:
        return {name: (self.root / item.files[0], number) for name, number in self.numbers.items()}

    def values(self, item: Item) -> Mapping[str, NDArray[Any]]:
        return raster.thumbnail(self._bands(item))

    def read(self, item: Item) -> Sample:
        path = item.files[0]
        if self.numbers:
            sample = raster.sample(self._bands(item), item.window, self.infrared, self.settings.sensor)
        else:
            sample = self.picture(self.bytes_of(path), path)
        size = self._image_size(item)
        for mask in item.annotations if all(size) else ():  # no size: the image is damaged, which will be said
            self.classes.describe(sample, mask, size, item.window)
        return sample


READER = Masks
