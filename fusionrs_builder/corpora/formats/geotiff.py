"""Multi-band GeoTIFFs with a band map (NAIP: red=1,green=2,blue=3,nir=4; Sentinel-2 stacks: red=4,...,nir=8).

`band_order` names a published map instead. Where `annotations` names a GeoJSON beside the image
({stem}_labels.geojson), its polygons become boxes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fusionrs_builder.corpora import geojson, raster
from fusionrs_builder.corpora.band_orders import numbers_of
from fusionrs_builder.corpora.reader import RASTER_SUFFIXES, Item, Reader, Refused, Sample, stem
from fusionrs_builder.corpora.split_lists import SplitLists


class GeoTiff(Reader):
    """Windows of multi-band rasters; `bands` or `band_order` says which band is which."""

    suffixes = RASTER_SUFFIXES

    def __init__(self, root: Path, settings: Any) -> None:
        super().__init__(root, settings)
        self.numbers = numbers_of(settings)
        self.infrared = next((band for band in settings.prefer if band in self.numbers), None)

    def items(self) -> Iterator[Item]:
        with SplitLists(self) as lists:
            for path in self.images():
                annotation = self.beside(path, self.settings.annotations)
                annotations = (annotation,) if annotation and (self.root / annotation).is_file() else ()
                item = Item(
                    stem(path), (path,), annotations, self.size_of(path), split=lists.split_of(path),
                    labels=self.label_of(path),
                )  # fmt: skip
                try:
                    yield from self.tiled(item, raster.size(self._bands(item)) if self.settings.tile else None)
                except Refused as refused:
                    yield Item(item.key, item.files, bytes=item.bytes, fault=(refused.reason, refused.message))
            yield from lists.missing()

    def _bands(self, item: Item) -> dict[str, tuple[Path, int]]:
        return {name: (self.root / item.files[0], number) for name, number in self.numbers.items()}

    def values(self, item: Item) -> Mapping[str, NDArray[Any]]:
        return raster.thumbnail(self._bands(item))

    def read(self, item: Item) -> Sample:
        settings = self.settings
        sample = raster.sample(self._bands(item), item.window, self.infrared, settings.sensor, settings.cloud_mask)
        for path in item.annotations:
            if sample.crs is None:
                raise Refused("not_georeferenced", f"{item.files[0]} has no CRS, so {path} cannot be placed")
            sample.boxes += geojson.objects(
                self.bytes_of(path),
                path,
                lambda points: raster.to_pixels(self.root / item.files[0], item.window, points),
                settings.object_label,
            )
        return sample


READER = GeoTiff
