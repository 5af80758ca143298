"""Reading windows of georeferenced rasters: values, valid pixels, clouds, footprint, ground sampling distance.

Where a file states a scale and an offset its values are physical (reflectance, kelvin), float32. Bands of another
resolution than the finest visible one are resampled to it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import rasterio.transform
import rasterio.warp
import rasterio.windows
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import CRSError, RasterioError

from fusionrs_builder.corpora.clouds import clouded
from fusionrs_builder.corpora.reader import Refused, Sample, Window

THUMBNAIL = 128
"""Pixels a side of the thinned view from which a stretch is found."""

METRES_PER_DEGREE = 111_320.0

VISIBLE = ("red", "green", "blue")
SENSED = (*VISIBLE, "nir", "swir", "mwir", "lwir")
"""Bands that become pixels of a record."""

CLOUD = "cloud"
"""Name of the band that holds the publisher's cloud mask."""

ACQUIRED = "ACQUIRED"
"""Tag of a file that holds its ISO 8601 date or time."""

UNSCALED = (1.0, 0.0)

Bands = Mapping[str, tuple[Path, int]]
"""File and 1-based band number of each band by name: red, green, blue, nir, ..."""


class Block(NamedTuple):
    """What a window holds.

    Attributes:
        values: raw numbers [H, W] of each band, in the file's dtype.
        valid: pixels with data in all bands, bool [H, W].
        scale: scale and offset of the bands that state them.
        place: `crs`, `bbox` and `gsd_m`; empty when not georeferenced.
        acquired: when, as the file says.
    """

    values: dict[str, NDArray[Any]]
    valid: NDArray[np.bool_]
    scale: dict[str, tuple[float, float]]
    place: dict[str, Any]
    acquired: str | None

    def physical(self, band: str) -> NDArray[Any]:
        """Reflectance or kelvin, float32 [H, W], where the file states a scale, else its own numbers."""
        return to_physical(self.values[band], self.scale.get(band, UNSCALED))


def to_physical(values: NDArray[Any], scale: tuple[float, float]) -> NDArray[Any]:
    """Scale * value + offset, float32; the values themselves where that changes nothing."""
    return values if scale == UNSCALED else values * np.float32(scale[0]) + np.float32(scale[1])


def size(bands: Bands) -> tuple[int, int]:
    """Width and height of the grid on which bands are read.

    Raises:
        Refused: a file is no raster that can be opened.
    """
    with _opened(bands) as files:
        grid = files[_finest(bands, files)]
        return grid.width, grid.height


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a raster.

    Raises:
        Refused: it is damaged, or no raster.
    """
    with _opened({"": (path, 1)}) as files:
        yield files[path]


@contextmanager
def _opened(bands: Bands) -> Iterator[dict[Path, Any]]:
    with ExitStack() as stack:
        files = {}
        for path, _ in bands.values():
            if path not in files:
                try:
                    files[path] = stack.enter_context(rasterio.open(path))
                except RasterioError as error:
                    raise Refused("unreadable_image", f"{path.name}: {error}") from None
        yield files


def _finest(bands: Bands, files: Mapping[Path, Any]) -> Path:
    """The file whose grid is read on: the finest of the visible ones, of all but the cloud mask where they lack."""
    visible = [name for name in VISIBLE if name in bands]
    names = visible if len(visible) == 3 else [name for name in bands if name != CLOUD] or list(bands)
    return max((bands[name][0] for name in names), key=lambda path: files[path].width)


def read(bands: Bands, window: Window | None) -> Block:
    """A window of each band, and the pixels that have data in all of them.

    A band deeper than 8 bits lacks data where it is the nodata value; an 8-bit image only where all of its bands are.
    Where a file states no nodata value, a pixel that is 0 in every band of it counts as without data; so does NaN.

    Raises:
        Refused: a band is missing, the footprints differ, the CRS is not known, or the pixels cannot be read.
    """
    with _opened(bands) as files:
        grid = files[_finest(bands, files)]
        window = window or (0, 0, grid.width, grid.height)
        values: dict[str, NDArray[Any]] = {}
        scale: dict[str, tuple[float, float]] = {}
        valid = np.ones((window[3], window[2]), bool)
        for path, source in files.items():
            where = place(source, grid, window)
            names = [name for name, (file, _) in bands.items() if file == path]
            if (most := max(bands[name][1] for name in names)) > source.count:
                raise Refused("missing_band", f"{path.name} has {source.count} bands, band {most} was asked for")
            sensed = [name for name in names if name != CLOUD]
            try:
                if sensed:
                    numbers = [bands[name][1] for name in sensed]
                    block, mask = _pixels(source, numbers, where, valid.shape)
                    values.update(zip(sensed, block, strict=True))
                    valid &= mask
                if CLOUD in names:
                    values[CLOUD] = source.read(bands[CLOUD][1], window=where, out_shape=valid.shape)
            except RasterioError as error:
                raise Refused("unreadable_image", f"{path.name}: {error}") from None
            scale.update((name, found) for name in sensed if (found := _scale(source, bands[name][1])) != UNSCALED)
        return Block(values, valid, scale, _georeference(grid, window), grid.tags().get(ACQUIRED))


def _pixels(
    source: Any, numbers: list[int], place: rasterio.windows.Window, shape: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values [N, H, W] of some bands of a file, and the pixels with data, bool [H, W]."""
    out = (len(numbers), *shape)
    block = source.read(numbers, window=place, out_shape=out, resampling=Resampling.bilinear)
    masks = _masks(source, numbers, window=place, out_shape=out)
    valid: NDArray[np.bool_] = np.any(masks, axis=0) if block.dtype == np.uint8 else np.all(masks, axis=0)
    if source.nodata is None:
        valid &= (block != 0).any(axis=0)
    if block.dtype.kind == "f":
        valid &= np.isfinite(block).all(axis=0)
    return block, valid


def _masks(source: Any, numbers: list[int], **where: Any) -> NDArray[np.bool_]:
    """Pixels with data of each band, bool [N, H, W]. An infrared band that the file calls alpha masks nothing."""
    masks: NDArray[np.bool_] = source.read_masks(numbers, **where) > 0
    wanted = [source.colorinterp[number - 1] for number in numbers]
    return masks | (source.nodata is None and ColorInterp.alpha in wanted)


def place(source: Any, grid: Any, window: Window) -> rasterio.windows.Window:
    """The window of the grid in the pixels of a file.

    Raises:
        Refused: the file has another footprint, or another size and no georeference by which to tell.
    """
    column, row, width, height = window
    alike = (source.width, source.height) == (grid.width, grid.height)
    if source is grid or (alike and None in (source.crs, grid.crs)):
        return rasterio.windows.Window(column, row, width, height)
    sizes = f"{_name(source)} is {source.width}x{source.height}, another band {grid.width}x{grid.height}"
    if source.crs is None or source.crs != grid.crs:
        raise Refused("unequal_bands", f"{sizes}, and they do not state the same CRS")
    # Half a pixel of the coarser: Landsat's panchromatic grid lies so far from the others'.
    slack = 0.5 * max(1.0, grid.width / source.width) + 1e-3
    corners = [~grid.transform @ (source.transform @ corner) for corner in ((0, 0), (source.width, source.height))]
    apart = np.abs(np.array(corners) - ((0, 0), (grid.width, grid.height)))
    if apart.max() > slack:
        raise Refused("unequal_bands", f"{sizes}, and their footprints are {apart.max():.1f} pixels apart")
    if alike:
        return rasterio.windows.Window(column, row, width, height)
    left, top = ~source.transform @ (grid.transform @ (column, row))
    right, bottom = ~source.transform @ (grid.transform @ (column + width, row + height))
    left, right = max(left, 0.0), min(right, float(source.width))
    top, bottom = max(top, 0.0), min(bottom, float(source.height))
    return rasterio.windows.Window(left, top, right - left, bottom - top)


def _name(source: Any) -> str:
    """The file's name, without the query of an address."""
    return Path(source.name.split("?", 1)[0]).name


def _scale(source: Any, number: int) -> tuple[float, float]:
    return float(source.scales[number - 1]), float(source.offsets[number - 1])


def thumbnail(bands: Bands) -> dict[str, NDArray[Any]]:
    """Valid values of the bands that are not plain 8-bit, thinned to about `THUMBNAIL` squared, one-dimensional."""
    found: dict[str, NDArray[Any]] = {}
    for name, (path, number) in bands.items():
        if name not in SENSED:
            continue
        with opened(path) as source:
            if number > source.count:
                continue
            scale = _scale(source, number)
            kind = source.dtypes[number - 1]
            if "complex" in kind or (kind == "uint8" and scale == UNSCALED):
                continue  # reading complex numbers in full will refuse them
            shape = (min(source.height, THUMBNAIL), min(source.width, THUMBNAIL))
            try:
                block = source.read(number, out_shape=shape)
                (mask,) = _masks(source, [number], out_shape=(1, *shape))
            except RasterioError:
                continue  # reading it in full will say so
        if block.dtype.kind == "f":
            mask &= np.isfinite(block)
        found[name] = to_physical(block[mask & (block != 0)], scale)
    return found


def _georeference(source: Any, window: Window) -> dict[str, Any]:
    """`crs`, `bbox` (west, south, east, north in degrees) and `gsd_m` of a window; nothing when not georeferenced.

    Raises:
        Refused: the CRS cannot be brought to degrees.
    """
    if source.crs is None:
        return {}
    bounds = rasterio.windows.bounds(rasterio.windows.Window(*window), source.transform)
    try:
        bbox = [round(v, 7) for v in rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *bounds)]
        metres = 1.0 if source.crs.is_geographic else source.crs.linear_units_factor[1]
        epsg = source.crs.to_epsg()
    except (RasterioError, CRSError, CPLE_BaseError) as error:
        raise _unknown_crs(source, str(error)) from None
    if not all(map(math.isfinite, bbox)):
        raise _unknown_crs(source, "the corners lie nowhere on Earth")
    pixel = math.sqrt(abs(source.transform.determinant)) * metres
    if source.crs.is_geographic:
        pixel *= METRES_PER_DEGREE * math.sqrt(math.cos(math.radians((bbox[1] + bbox[3]) / 2)))
    return {"crs": f"EPSG:{epsg}" if epsg else source.crs.to_wkt(), "bbox": bbox, "gsd_m": round(pixel, 6)}


def _unknown_crs(source: Any, why: str) -> Refused:
    crs = " ".join(source.crs.to_wkt().split())[:120]
    return Refused(
        "unknown_crs",
        f"{_name(source)}: {crs} cannot be brought to degrees: set the CRS with gdal_edit.py -a_srs EPSG:CODE "
        f"({why[:120]})",
    )


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


def sample(bands: Bands, window: Window | None, infrared: str | None, sensor: str, cloud_mask: str = "") -> Sample:
    """The visible bands stacked, the chosen infrared band, clouds, and where on Earth they lie.

    Args:
        bands: where each band is.
        window: the tile, in pixels of the grid of `size`.
        infrared: which band becomes `ir`, None for none.
        sensor: name of the instrument.
        cloud_mask: how the band named `cloud` is coded; empty where it is not to be looked at.

    Raises:
        Refused: as `read`; or there is neither a visible triple nor an infrared band.
    """
    visible = [name for name in VISIBLE if name in bands]
    if len(visible) != 3 and infrared is None:
        raise Refused("missing_band", "red, green and blue, or an infrared band, are needed: set `bands`")
    wanted = (visible if len(visible) == 3 else []) + ([infrared] if infrared else [])
    if cloud_mask and CLOUD in bands:
        wanted.append(CLOUD)
    block = read({name: bands[name] for name in wanted}, window)
    scale = {name: block.scale[name] for name in [infrared] if name in block.scale}
    common = {block.scale.get(name, UNSCALED) for name in visible}
    if len(visible) == 3 and len(common) == 1 and common != {UNSCALED}:
        scale["visible"] = common.pop()
    raw = block.values[infrared] if infrared in scale else None
    return Sample(
        rgb=np.stack([block.physical(name) for name in visible], axis=-1) if len(visible) == 3 else None,
        ir=block.physical(infrared) if infrared else None,
        ir_raw=raw if raw is not None and raw.dtype.kind in "iu" else None,
        band=infrared,
        source=f"{sensor} {infrared}".strip() if infrared else None,
        valid=None if block.valid.all() else block.valid,
        cloud=clouded(block.values[CLOUD], cloud_mask) if CLOUD in block.values else None,
        acquired=block.acquired,
        scale=scale,
        **block.place,
    )
