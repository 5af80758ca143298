"""Web-map tiles named by zoom, x and y, with a GeoJSON of outlines each (OpenAerialMap with OpenStreetMap buildings).

data/1/OAM-1546788-881058-21.png    labels/1/OAM-1546788-881058-21.geojson
"""

import math
import re
from collections.abc import Iterator, Sequence

from fusionrs_builder.corpora import geojson
from fusionrs_builder.corpora.reader import Item, Reader, Refused, Sample, stem

NAME = re.compile(r"(\d+)-(\d+)-(\d+)$")
"""x, y and zoom at the end of the name."""

TILE = 256
"""Pixels a side of a web-map tile."""

EQUATOR_M = 2 * math.pi * 6_378_137.0


class Tiles(Reader):
    """Images `NAME-x-y-z`; `annotations` says where the GeoJSON is. A tile without one has no objects."""

    def items(self) -> Iterator[Item]:
        for path in self.images():
            folder, name = path.rpartition("/")[0], stem(path.rpartition("/")[2])
            pattern = self.settings.annotations or "{stem}.geojson"
            beside = pattern.format(stem=name, folder=folder.rpartition("/")[2])
            annotation = (self.root / folder / beside).resolve()
            found: tuple[str, ...] = ()
            if annotation.is_file() and annotation.is_relative_to(self.root.resolve()):
                found = (annotation.relative_to(self.root.resolve()).as_posix(),)
            fault = None if NAME.search(name) else ("bad_name", f"{path}: the name must end in x-y-zoom")
            yield Item(stem(path), (path,), found, self.size_of(path), fault=fault)

    def read(self, item: Item) -> Sample:
        match = NAME.search(item.key)
        assert match
        x, y, zoom = (int(part) for part in match.groups())
        if zoom > 30 or max(x, y) >= 2**zoom:
            raise Refused("bad_name", f"{item.files[0]}: there is no tile {x},{y} at zoom {zoom}")
        west, north = _degrees(x, y, zoom)
        east, south = _degrees(x + 1, y + 1, zoom)

        def to_pixels(points: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
            return [_pixels(point[0], point[1], x, y, zoom) for point in points]

        boxes = [
            found
            for path in item.annotations
            for found in geojson.objects(self.bytes_of(path), path, to_pixels, self.settings.object_label)
        ]
        return Sample(
            rgb=self.bytes_of(item.files[0]),
            boxes=boxes,
            size=(TILE, TILE),
            crs="EPSG:3857",
            bbox=[round(value, 7) for value in (west, south, east, north)],
            gsd_m=round(EQUATOR_M * math.cos(math.radians((south + north) / 2)) / 2**zoom / TILE, 6),
        )


def _degrees(x: float, y: float, zoom: int) -> tuple[float, float]:
    """Longitude and latitude of the upper left corner of a tile."""
    latitude = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / 2**zoom))))
    return x / 2**zoom * 360 - 180, latitude


def _pixels(longitude: float, latitude: float, x: int, y: int, zoom: int) -> tuple[float, float]:
    """Pixels within a tile (x to the right, y down) of a place in degrees."""
    across = (longitude + 180) / 360 * 2**zoom
    down = (1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2 * 2**zoom
    return (across - x) * TILE, (down - y) * TILE


READER = Tiles
