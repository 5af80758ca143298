"""One GeoTIFF a band: `l8_B4.tif`, `l8_B5.tif`, ... (Landsat, Sentinel-2 SAFE, BigEarthNet, SSL4EO-S12).

`bands` gives a pattern a band, whose `*` is the scene: red=*_B4.tif,green=*_B3.tif,blue=*_B2.tif,nir=*_B5.tif. Where it
matches nothing (`B4.tif`) the scene is the folder. Bands may differ in resolution, not in footprint.
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fusionrs_builder.corpora import raster
from fusionrs_builder.corpora.reader import Item, Reader, Refused, Sample, walk
from fusionrs_builder.corpora.split_lists import SplitLists
from fusionrs_builder.errors import UsageError


class Bands(Reader):
    """Scenes whose bands lie in files of their own."""

    def __init__(self, root: Path, settings: Any) -> None:
        super().__init__(root, settings)
        if not settings.bands or any(pattern.count("*") != 1 for pattern in settings.bands.values()):
            raise UsageError("bands: one pattern a band with one *, e.g. --bands red=*_B4.tif,green=*_B3.tif,...")
        self.patterns = {
            name: re.compile(re.escape(pattern).replace(r"\*", "(.*)") + "$")
            for name, pattern in settings.bands.items()
        }
        self.infrared = next((band for band in settings.prefer if band in self.patterns), None)

    def items(self) -> Iterator[Item]:
        with SplitLists(self) as lists:
            for folder, paths in groupby(walk(self.root), lambda path: path.rpartition("/")[0]):
                scenes: dict[str, dict[str, str]] = {}
                for path in paths:
                    if not fnmatch.fnmatch(path, self.settings.include or "*"):
                        continue
                    for band, pattern in self.patterns.items():
                        if match := pattern.match(path.rpartition("/")[2]):
                            scenes.setdefault("/".join(filter(None, [folder, match[1]])), {})[band] = path
                for key, found in scenes.items():
                    yield from self._scene(key, found, lists.split_of(key))
            yield from lists.missing()

    def _scene(self, key: str, found: Mapping[str, str], split: str) -> Iterator[Item]:
        """A scene, or its tiles, by the files of its bands."""
        missing = [band for band in self.patterns if band not in found]
        files = tuple(found[band] for band in self.patterns if band in found)
        size = self.size_of(*files)
        if missing:
            yield Item(key, files, bytes=size, fault=("missing_band", f"no file for {', '.join(missing)}"))
            return
        item = Item(key, files, bytes=size, split=split, labels=self.label_of(files[0]))
        try:
            yield from self.tiled(item, raster.size(self._bands(item)) if self.settings.tile else None)
        except Refused as refused:
            yield Item(key, files, bytes=size, fault=(refused.reason, refused.message))

    def _bands(self, item: Item) -> dict[str, tuple[Path, int]]:
        return {band: (self.root / path, 1) for band, path in zip(self.patterns, item.files, strict=True)}

    def values(self, item: Item) -> Mapping[str, NDArray[Any]]:
        return raster.thumbnail(self._bands(item))

    def read(self, item: Item) -> Sample:
        settings = self.settings
        return raster.sample(self._bands(item), item.window, self.infrared, settings.sensor, settings.cloud_mask)


READER = Bands
