"""One GeoTIFF a band: `l8_B4.tif`, `l8_B5.tif`, ... (Landsat, Sentinel-2 SAFE, BigEarthNet).

`bands` gives a pattern a band, whose `*` is the scene: red=*_B4.tif,green=*_B3.tif,blue=*_B2.tif,nir=*_B5.tif.
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fusionrs_builder.corpora import raster
from fusionrs_builder.corpora.reader import Item, Reader, Refused, Sample, walk
from fusionrs_builder.errors import UsageError


class Bands(Reader):
    """Scenes whose bands lie in files of their own."""

    def __init__(self, root: Path, settings: Any) -> None:
        super().__init__(root, settings)
        if not settings.bands or any(pattern.count("*") != 1 for pattern in settings.bands.values()):
            raise UsageError("bands: one pattern a band with one *, e.g. --bands red=*_B4.tif,green=*_B3.tif,...")
        self.patterns = {
            name: re.compile(re.escape(pattern).replace(r"\*", "(.+)") + "$")
            for name, pattern in settings.bands.items()
        }
        self.infrared = next((band for band in settings.prefer if band in self.patterns), None)

    def items(self) -> Iterator[Item]:
        scenes: dict[str, dict[str, str]] = {}
        for path in walk(self.root):
            if not fnmatch.fnmatch(path, self.settings.include or "*"):
                continue
            folder, _, name = path.rpartition("/")
            for band, pattern in self.patterns.items():
                if match := pattern.match(name):
                    scenes.setdefault("/".join(filter(None, [folder, match[1]])), {})[band] = path
        for key, found in scenes.items():
            missing = [band for band in self.patterns if band not in found]
            files = tuple(found[band] for band in self.patterns if band in found)
            size = self.size_of(*files)
            if missing:
                yield Item(key, files, bytes=size, fault=("missing_band", f"no file for {', '.join(missing)}"))
                continue
            item = Item(key, files, bytes=size)
            try:
                yield from self.tiled(item, raster.size(self.root / files[0]) if self.settings.tile else None)
            except Refused as refused:
                yield Item(key, files, bytes=size, fault=(refused.reason, refused.message))

    def _bands(self, item: Item) -> dict[str, tuple[Path, int]]:
        return {band: (self.root / path, 1) for band, path in zip(self.patterns, item.files, strict=True)}

    def values(self, item: Item) -> Mapping[str, NDArray[Any]]:
        return raster.thumbnail(self._bands(item))

    def read(self, item: Item) -> Sample:
        return raster.sample(self._bands(item), item.window, self.infrared, self.settings.sensor)


READER = Bands
