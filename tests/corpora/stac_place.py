"""A box in the catalogue of `stac_server`, asked for as the registry's entries ask, and what is made of it."""

from pathlib import Path
from typing import Any

import numpy as np
from rasterio.transform import Affine

from fusionrs_builder.corpora import formats, registry
from fusionrs_builder.corpora.harmonise import harmonise
from fusionrs_builder.corpora.stac import Report, fetch_scenes
from fusionrs_builder.settings import CorpusSettings
from tests.corpora.stac_server import StacServer, box_of, write_cog

DAY = "2021-07-01T10:00:00Z"

UTM = Affine(10, 0, 600_000, 0, -10, 3_360_000)


class Place:
    """A box in the catalogue, asked for by an entry of the registry."""

    def __init__(
        self, server: StacServer, name: str, path: str, window: tuple[int, int, int, int], **keys: Any
    ) -> None:
        self.server, self.name, self.folder = server, name, server.folder.parent / name
        entry = registry.entry(name)
        assert entry and entry.stac
        self.source = entry.stac.model_copy(update={"url": server.url, "sign": ""})
        self.settings = entry.settings
        self.ask(**{"bbox": box_of(server.folder / path, window), **keys})

    def ask(self, **keys: Any) -> None:
        given = {**self.settings.model_dump(exclude_unset=True), **keys}
        self.settings = CorpusSettings.model_validate(given)

    def fetch(self) -> Report:
        self.server.served.clear()
        self.server.requests.clear()
        return fetch_scenes(self.name, self.source, self.settings, self.folder)

    def image(self) -> Path:
        (path,) = (self.folder / "files").glob("*.tif")
        return path

    def row(self) -> dict[str, Any]:
        """The only record that is made of it, through the reader."""
        reader = formats.reader(self.folder / "files", self.settings, self.name)
        (item,) = reader.items()
        assert item.fault is None
        return harmonise(item, reader.read(item), self.name, self.settings, dict(self.settings.stretch or {}))

    def data_served(self) -> int:
        return sum(count for path, count in self.server.served.items() if path.startswith("/data/"))


def scene(
    server: StacServer, id: str, when: str = "2021-07-01T10:00:00Z", values: int = 3000, **properties: Any
) -> None:
    """A Sentinel-2-like scene of 10 m and 20 m files."""
    assets = {}
    for band, pixel in {"B04": 10, "B03": 10, "B02": 10, "B08": 10, "B11": 20, "SCL": 20}.items():
        kind = "uint8" if band == "SCL" else "uint16"
        block = np.full((1, 2560 // pixel, 2560 // pixel), 4 if band == "SCL" else values, kind)
        write_cog(server.folder / f"{id}/{band}.tif", block, UTM @ Affine.scale(pixel / 10), nodata=0, blocksize=128)
        assets[band] = server.asset(f"{id}/{band}.tif")
    server.add(id, "sentinel-2-l2a", assets, when, **properties)


def sentinel(server: StacServer, **keys: Any) -> Place:
    window = (100, 100, 64, 64)
    return Place(server, "sentinel2-l2a", f"{server.items[0]['id']}/B04.tif", window, **{"year": 2021, **keys})
