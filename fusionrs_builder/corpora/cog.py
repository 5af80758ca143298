"""Windows of cloud-optimised GeoTIFFs over HTTP: only the blocks under the window are asked for.

One scene becomes one GeoTIFF of the sensor's own numbers, with scales and offsets, on the grid of its finest band.
"""

import math
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.warp
import rasterio.windows
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioError

from fusionrs_builder.corpora import raster
from fusionrs_builder.corpora.reader import Refused, Window
from fusionrs_builder.corpora.remote import scrubbed
from fusionrs_builder.corpora.signing import Signer, plain
from fusionrs_builder.errors import FusionError

CHUNK = 2048
"""Pixels a side that are held at a time; a multiple of the usual block sizes, so that none is fetched twice."""

HTTP = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no probing for side files
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/",  # a failure, or a file that changed, is not remembered
    "GDAL_HTTP_MULTIRANGE": "PARALLEL",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "1",  # seconds, doubled each time
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",  # a server that stalls so long is given up
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
}
"""How GDAL asks for ranges."""


TRIES, PAUSE_S = 5, 1.0
"""A scene is begun anew so often: GDAL asks again after a status, but not where the line is cut in an answer."""


class UnreadError(FusionError):
    """A file could not be read, though no status said why."""


class ForbiddenError(FusionError):
    """The server wants another token."""


@dataclass(frozen=True)
class Asset:
    """One band of a scene.

    Attributes:
        band: red, ..., cloud.
        href: where its file is, unsigned.
        number: 1-based band of the file.
        scale, offset: physical value = scale * number + offset.
        nodata: where the item states it.
    """

    band: str
    href: str
    number: int
    scale: float
    offset: float
    nodata: float | None


@dataclass(frozen=True)
class Cut:
    """What was cut from a scene: the window in pixels of the finest band, and whether any pixel of it has data."""

    window: Window
    crs: str
    has_data: bool


def cut(
    assets: Sequence[Asset],
    bbox: tuple[float, float, float, float],
    path: Path,
    tags: dict[str, str],
    signer: Signer,
    progress: Callable[[int], None],
) -> Cut:
    """Write the part of a scene that covers a box, synced to disk.

    Args:
        assets: its bands, in the order of the file to be.
        bbox: west, south, east, north in degrees.
        path: the GeoTIFF to write.
        tags: of the file.
        signer: signs addresses.
        progress: called with the bytes of pixels that came since the last call.

    Raises:
        Refused: the box lies outside, or the bands do not fit together.
        FusionError: a file cannot be had; the message names it and the server's answer.
    """
    for tries_left in reversed(range(TRIES)):
        try:
            return _cut(assets, bbox, path, tags, signer, progress)
        except ForbiddenError:
            if not signer.address or not tries_left:
                raise
            signer.renew()  # the token may have expired on the way
        except UnreadError:
            if not tries_left:
                raise
        except Refused as refused:  # a head that was cut off may lack, for GDAL, only what it says of the place
            if refused.reason != "not_georeferenced" or not tries_left:
                raise
        time.sleep(PAUSE_S)
    raise AssertionError("each try returns or raises")


def _cut(
    assets: Sequence[Asset],
    bbox: tuple[float, float, float, float],
    path: Path,
    tags: dict[str, str],
    signer: Signer,
    progress: Callable[[int], None],
) -> Cut:
    with _written(path), rasterio.Env(**HTTP), ExitStack() as stack:
        sources: dict[str, Any] = {}
        for asset in assets:
            if not asset.href.startswith(("http://", "https://")):
                raise Refused("not_http", f"{plain(asset.href)} is no http address: take another catalogue")
            if asset.href not in sources:
                with _named(asset.href):
                    sources[asset.href] = stack.enter_context(rasterio.open(f"/vsicurl/{signer.sign(asset.href)}"))
            if asset.number > sources[asset.href].count:
                raise Refused("missing_band", f"{plain(asset.href)} has no band {asset.number}")
        sensed = [asset for asset in assets if asset.band != raster.CLOUD]
        grid = max((sources[asset.href] for asset in sensed or assets), key=lambda source: source.width)
        window = window_of(grid, bbox)
        column, row, width, height = window
        nodata = next((value for asset in sensed if (value := _nodata(asset, sources)) is not None), None)
        sink = stack.enter_context(
            rasterio.open(
                path, "w", driver="GTiff", width=width, height=height, count=len(assets),
                dtype=np.result_type(*(source.dtypes[0] for source in sources.values())), crs=grid.crs,
                transform=grid.window_transform(rasterio.windows.Window(*window)), nodata=nodata, tiled=True,
                blockxsize=256, blockysize=256, compress="deflate", bigtiff="if_safer", photometric="minisblack",
                alpha="no",
            )
        )  # fmt: skip
        sink.descriptions = [asset.band for asset in assets]
        sink.scales, sink.offsets = [asset.scale for asset in assets], [asset.offset for asset in assets]
        sink.update_tags(**tags)
        has_data = False
        for part in _chunks(window):
            block = np.stack([_values(asset, sources, grid, part, nodata) for asset in assets])
            of_image = block[[asset.band != raster.CLOUD for asset in assets]]
            has_data |= bool((of_image != (0 if nodata is None else nodata)).any(axis=0).any())
            progress(block.nbytes)
            sink.write(block, window=rasterio.windows.Window(part[0] - column, part[1] - row, part[2], part[3]))
    with path.open("rb") as written:
        os.fsync(written.fileno())
    return Cut(window, grid.crs.to_string(), has_data)


def window_of(grid: Any, bbox: tuple[float, float, float, float]) -> Window:
    """The pixels of a raster that cover a box in degrees, whole ones.

    Raises:
        Refused: none does, or the raster is not georeferenced.
    """
    name = plain(grid.name)
    if grid.crs is None:
        raise Refused("not_georeferenced", f"{name} states no CRS")
    try:
        left, bottom, right, top = rasterio.warp.transform_bounds("EPSG:4326", grid.crs, *bbox)
    except (RasterioError, CRSError, CPLE_BaseError) as error:
        raise Refused("unknown_crs", f"{name}: {str(error)[:200]}") from None
    corners = [~grid.transform @ corner for corner in ((left, top), (right, bottom))]
    (x0, y0), (x1, y1) = corners
    # A millionth of a pixel is rounding of the projection, not ground.
    first = max(math.floor(x0 + 1e-6), 0), max(math.floor(y0 + 1e-6), 0)
    last = min(math.ceil(x1 - 1e-6), grid.width), min(math.ceil(y1 - 1e-6), grid.height)
    if last[0] <= first[0] or last[1] <= first[1]:
        raise Refused("outside", f"{name} does not reach into the box")
    return first[0], first[1], last[0] - first[0], last[1] - first[1]


def _chunks(window: Window) -> Iterator[Window]:
    """A window in parts, cut where the blocks of the file are."""
    column, row, width, height = window
    for top in range(row // CHUNK * CHUNK, row + height, CHUNK):
        for left in range(column // CHUNK * CHUNK, column + width, CHUNK):
            x0, y0 = max(left, column), max(top, row)
            yield x0, y0, min(left + CHUNK, column + width) - x0, min(top + CHUNK, row + height) - y0


def _values(asset: Asset, sources: dict[str, Any], grid: Any, part: Window, nodata: float | None) -> NDArray[Any]:
    """A band on the grid, [H, W]; pixels without data have the value that stands for it in the whole file."""
    source = sources[asset.href]
    how = Resampling.nearest if asset.band == raster.CLOUD else Resampling.bilinear
    with _named(asset.href):
        values: NDArray[Any] = source.read(
            asset.number, window=raster.place(source, grid, part), out_shape=(part[3], part[2]), resampling=how
        )
    own = _nodata(asset, sources)
    if nodata is not None and own is not None and own != nodata and asset.band != raster.CLOUD:
        values[values == own] = nodata
    return values


def _nodata(asset: Asset, sources: dict[str, Any]) -> float | None:
    stated = sources[asset.href].nodata
    return asset.nodata if stated is None else float(stated)


@contextmanager
def _named(href: str) -> Iterator[None]:
    """Turn a failure of GDAL into an error that names the file, and holds no token."""
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        reason = scrubbed(str(error.__cause__ or error))
        status = re.search(r"response code: ([45]\d\d)", reason)
        kind = UnreadError if not status else ForbiddenError if status[1] in ("401", "403") else FusionError
        raise kind(
            f"{plain(href)}: {reason}; run the same command again later (finished scenes are kept), "
            "or take another catalogue with --stac-url"
        ) from None


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Turn a failure to write the file into an error that says what to do; those of reading are named before."""
    try:
        yield
    except RasterioError as error:
        raise FusionError(
            f"could not write into {path.parent} ({error}): free some space, then run the same command again "
            "(finished scenes are kept)"
        ) from None
