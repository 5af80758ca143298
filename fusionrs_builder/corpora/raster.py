"""Reading windows of georeferenced rasters: values, valid pixels, footprint, ground sampling distance."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.transform
import rasterio.warp
import rasterio.windows
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from fusionrs_builder.corpora.reader import Refused, Sample, Window

THUMBNAIL = 128
"""Pixels a side of the thinned view from which a stretch is found."""

METRES_PER_DEGREE = 111_320.0

Bands = Mapping[str, tuple[Path, int]]
"""File and 1-based band number of each band by name: red, green, blue, nir, ..."""


def size(path: Path) -> tuple[int, int]:
    """Width and height of a raster.

    Raises:
        Refused: it is not a raster that can be opened.
    """
    with opened(path) as source:
        return source.width, source.height


def opened(path: Path) -> Any:
    """Open a raster.

    Raises:
        Refused: it is damaged, or no raster.
    """
    try:
        return rasterio.open(path)
    except RasterioError as error:
        raise Refused("unreadable_image", f"{path.name}: {error}") from None


def read(bands: Bands, window: Window | None) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
    """Values of each band and the pixels that have data in all files.

    Returns:
        Arrays [H, W] in the file's dtype, and bool [H, W]. Without a nodata value, a pixel that is 0 in every band of
        a file counts as without data; so does NaN.

    Raises:
        Refused: a band is missing, the files do not match in size, or the pixels cannot be read.
    """
    values: dict[str, NDArray[Any]] = {}
    valid: NDArray[np.bool_] | None = None
    for path in dict.fromkeys(path for path, _ in bands.values()):
        names = [name for name, (file, _) in bands.items() if file == path]
        with opened(path) as source:
            numbers = [bands[name][1] for name in names]
            if max(numbers) > source.count:
                raise Refused(
                    "missing_band", f"{path.name} has {source.count} bands, band {max(numbers)} was asked for"
                )
            place = rasterio.windows.Window(*window) if window else None
            try:
                block = source.read(numbers, window=place)
                mask = source.dataset_mask(window=place) > 0
            except RasterioError as error:
                raise Refused("unreadable_image", f"{path.name}: {error}") from None
            if source.nodata is None:
                mask &= (block != 0).any(axis=0)
            if block.dtype.kind == "f":
                mask &= np.isfinite(block).all(axis=0)
        if valid is not None and valid.shape != mask.shape:
            raise Refused("unequal_bands", f"{path.name} is {mask.shape[1]}x{mask.shape[0]}, another band is not")
        valid = mask if valid is None else valid & mask
        values.update(zip(names, block, strict=True))
    assert valid is not None
    return values, valid


def thumbnail(bands: Bands) -> dict[str, NDArray[Any]]:
    """Valid values of the bands that are not 8-bit, thinned to about `THUMBNAIL` squared, one-dimensional."""
    found: dict[str, NDArray[Any]] = {}
    for name, (path, number) in bands.items():
        with opened(path) as source:
            if source.dtypes[0] == "uint8" or number > source.count:
                continue
            shape = (min(source.height, THUMBNAIL), min(source.width, THUMBNAIL))
            try:
                block = source.read(number, out_shape=shape)
                mask = source.dataset_mask(out_shape=shape) > 0
            except RasterioError:
                continue  # reading it in full will say so
        if block.dtype.kind == "f":
            mask &= np.isfinite(block)
        found[name] = block[mask & (block != 0)]
    return found


def georeference(path: Path, window: Window | None) -> dict[str, Any]:
    """`crs`, `bbox` (west, south, east, north in degrees) and `gsd_m` of a window; nothing when not georeferenced."""
    with opened(path) as source:
        if source.crs is None:
            return {}
        column, row, width, height = window or (0, 0, source.width, source.height)
        bounds = rasterio.windows.bounds(rasterio.windows.Window(column, row, width, height), source.transform)
        try:
            bbox = [round(v, 7) for v in rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *bounds)]
        except RasterioError as error:
            raise Refused("unknown_crs", f"{path.name}: {source.crs} cannot be brought to degrees: {error}") from None
        pixel = math.sqrt(abs(source.transform.determinant))
        if source.crs.is_geographic:
            pixel *= METRES_PER_DEGREE * math.sqrt(math.cos(math.radians((bbox[1] + bbox[3]) / 2)))
        else:
            pixel *= source.crs.linear_units_factor[1]
        epsg = source.crs.to_epsg()
        return {"crs": f"EPSG:{epsg}" if epsg else source.crs.to_wkt(), "bbox": bbox, "gsd_m": round(pixel, 6)}


def to_pixels(path: Path, window: Window | None, points: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Longitude, latitude (EPSG:4326) to x, y in pixels of the window."""
    with opened(path) as source:
        xs, ys = rasterio.warp.transform("EPSG:4326", source.crs, [p[0] for p in points], [p[1] for p in points])
        rows, columns = rasterio.transform.rowcol(source.transform, xs, ys, op=_exactly)
    column, row = (window or (0, 0))[:2]
    return [(float(x) - column, float(y) - row) for x, y in zip(columns, rows, strict=True)]


def _exactly(values: NDArray[Any]) -> NDArray[Any]:
    """Keeps rasterio from rounding to whole pixels."""
    return values


def sample(bands: Bands, window: Window | None, infrared: str | None, sensor: str) -> Sample:
    """The visible bands stacked, the chosen infrared band, and where on Earth they lie.

    Raises:
        Refused: as `read`; or there is neither a visible triple nor an infrared band.
    """
    visible = [name for name in ("red", "green", "blue") if name in bands]
    if len(visible) != 3 and infrared is None:
        raise Refused("missing_band", "red, green and blue, or an infrared band, are needed: set `bands`")
    wanted = (visible if len(visible) == 3 else []) + ([infrared] if infrared else [])
    values, valid = read({name: bands[name] for name in wanted}, window)
    first = bands[wanted[0]][0]
    return Sample(
        rgb=np.stack([values[name] for name in visible], axis=-1) if len(visible) == 3 else None,
        ir=values[infrared] if infrared else None,
        band=infrared,
        source=f"{sensor} {infrared}".strip() if infrared else None,
        valid=None if valid.all() else valid,
        **georeference(first, window),
    )
