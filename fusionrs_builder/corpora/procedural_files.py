"""Procedural scenes as four corpora in the layouts that publishers use, for a demo without samples and for tests.

How it works: everything is written into a folder beside the wanted one, the marker file last, then the folder is
renamed. A killed run leaves nothing in the wanted place, and a finished set is not written again.
"""

import json
import math
import shutil
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import Affine

from fusionrs_builder.corpora.procedural import Scene, render, shares
from fusionrs_builder.corpora.procedural_ground import THEMES, SceneObject, clip
from fusionrs_builder.corpora.procedural_physics import BANDS, Bytes
from fusionrs_builder.errors import UsageError

VERSION = 1
"""Raised when the same seed and scale give other files."""

MARKER = "procedural.json"

NIR_SIDE, NIR_TILE = 1024, 256
"""Pixels a side of a GeoTIFF, and of the tiles that are cut from it."""

UTM_ORIGIN = (500_000, 5_200_000)
"""Easting and northing of the first GeoTIFF in EPSG:32614, metres."""

THERMAL_SHAPE = (512, 640)
THERMAL_IFOV = 17e-6 / 9e-3
"""Metres a pixel per metre of altitude: 17 um detector pitch behind a 9 mm lens."""

ZOOM, BLOCK, TILE = 18, 4, 256
"""An area of the tile corpus is one scene of BLOCK x BLOCK web-mercator tiles of TILE pixels."""

FIRST_TILE = (59_712, 92_160)
"""x and y of the first area's first tile: 98.0 W, 46.6 N."""

FLIGHT_EDGE = 24
"""Columns without imagery at the west side of every second area: transparent, and without labels."""

SCENE_SIDE, SCENE_GSD_M = 64, 5.0

_SCALE_1 = {"procedural-nir": 22, "procedural-lwir": 240, "procedural-tiles": 32, "procedural-scenes": 96}
"""Renderings at scale 1: GeoTIFFs, thermal images, areas of 16 tiles, scenes of each of the five classes."""

_RECORDS_EACH = {
    "procedural-nir": (NIR_SIDE // NIR_TILE) ** 2,
    "procedural-lwir": 1,
    "procedural-tiles": BLOCK**2,
    "procedural-scenes": len(THEMES),
}

Truth = dict[str, dict[str, Any]]


def records(scale: float = 1.0) -> dict[str, int]:
    """Records that each corpus gives when it is downloaded with its settings."""
    return {name: count * _RECORDS_EACH[name] for name, count in _counts(scale).items()}


def settings(folder: Path) -> dict[str, dict[str, Any]]:
    """The `[corpora.*]` tables of fusionrs.toml (keys of `settings.CorpusSettings`) for the corpora below `folder`."""
    layouts: dict[str, dict[str, Any]] = {
        "procedural-nir": {
            "format": "geotiff",
            "bands": {band: str(number) for number, band in enumerate(BANDS, 1)},
            "tile": NIR_TILE,
            "sensor": "procedural 0.84 um",
            "title": "Procedural scenes: red, green, blue and near infrared",
        },
        "procedural-lwir": {
            "format": "voc",
            "modality": "ir",
            "band": "lwir",
            "sensor": "procedural 10.8 um",
            "title": "Procedural scenes: thermal infrared with vehicles and people",
        },
        "procedural-tiles": {
            "format": "tiles",
            "annotations": "../../labels/{folder}/{stem}.geojson",
            "object_label": "building",
            "title": "Procedural scenes: web-mercator tiles with building outlines",
        },
        "procedural-scenes": {"format": "class-folders", "title": "Procedural scenes: land cover classes"},
    }
    rights = {
        "license": "CC0-1.0",
        "license_url": "https://creativecommons.org/publicdomain/zero/1.0/",
        "attribution": "FusionRS builder procedural scenes",
        "redistributable": True,
        "source_revision": f"procedural v{VERSION}",
    }
    return {name: {"from": str(folder / name), **layout, **rights} for name, layout in layouts.items()}


def write(folder: Path, seed: int = 0, scale: float = 1.0) -> dict[str, dict[str, Any]]:
    """Write the four corpora below `folder`, unless they stand there already.

    Beside each corpus lies `<corpus>.truth.json`: by file, its class shares, object counts, and how it was rendered.

    Args:
        folder: made whole or not at all. An older set of another seed or scale is replaced.
        seed: of every scene.
        scale: 1 gives `records()`; each corpus has at least one rendering (of each class).

    Returns:
        `settings` of the folder.

    Raises:
        UsageError: the folder holds files that this function did not write.
    """
    folder = folder.absolute()
    mark = json.dumps({"version": VERSION, "seed": seed, "scale": scale}) + "\n"
    partial, old = (folder.with_name(f".{folder.name}.{state}") for state in ("partial", "old"))
    for leaving in (partial, old):
        shutil.rmtree(leaving, ignore_errors=True)
    marker = folder / MARKER
    if marker.is_file() and marker.read_text() == mark:
        return settings(folder)
    if folder.exists() and not marker.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} holds other files: name an empty or new folder for the procedural scenes")

    for number, (name, count) in enumerate(_counts(scale).items()):
        (partial / name).mkdir(parents=True)
        truth = _WRITERS[name](partial / name, (4 * seed + number) * 1_000_000, count)
        (partial / f"{name}.truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    (partial / MARKER).write_text(mark)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return settings(folder)


def _counts(scale: float) -> dict[str, int]:
    return {name: max(1, round(count * scale)) for name, count in _SCALE_1.items()}


def _truth(scene: Scene, rows: slice = slice(None), columns: slice = slice(None)) -> dict[str, Any]:
    """What is known of a scene or of a part of it."""
    return {
        "seed": scene.seed,
        "shares": {name: round(share, 5) for name, share in shares(scene.cover[rows, columns]).items()},
        "objects": dict(Counter(item.label for item in _seen(scene, rows, columns))),
    }


def _seen(scene: Scene, rows: slice, columns: slice) -> list[SceneObject]:
    """The objects that have at least one pixel in a part of a scene."""
    return [scene.objects[n - 1] for n in np.unique(scene.instances[rows, columns]).tolist() if n]


def _write_nir(folder: Path, first_seed: int, count: int) -> Truth:
    """GeoTIFFs of red, green, blue and NIR, 1 m pixels in EPSG:32614, with gaps between."""
    truth: Truth = {}
    for index in range(count):
        scene = render(first_seed + index, NIR_SIDE)
        east = UTM_ORIGIN[0] + 2 * NIR_SIDE * (index % 8)
        north = UTM_ORIGIN[1] - 2 * NIR_SIDE * (index // 8)
        name = f"scene_{index + 1:03d}.tif"
        with rasterio.open(
            folder / name,
            "w",
            driver="GTiff",
            width=NIR_SIDE,
            height=NIR_SIDE,
            count=4,
            dtype="uint8",
            crs="EPSG:32614",
            transform=Affine(scene.gsd_m, 0, east, 0, -scene.gsd_m, north),
            tiled=True,
            compress="deflate",
            predictor=2,
            # Without these the fourth band would be declared as alpha.
            photometric="minisblack",
            alpha="unspecified",
        ) as file:
            file.write(np.concatenate([scene.rgb.transpose(2, 0, 1), scene.nir[None]]))
            for number, band in enumerate(BANDS, 1):
                file.set_band_description(number, band)
        truth[name] = _truth(scene) | {"label": scene.label}
    return truth


def _write_lwir(folder: Path, first_seed: int, count: int) -> Truth:
    """White-hot grey JPEGs with Pascal VOC boxes; names as `night_100m_00012`."""
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    truth: Truth = {}
    splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for index in range(count):
        rng = np.random.default_rng(first_seed + index)
        night, altitude = index % 2 == 1, int(rng.integers(6, 14)) * 10
        theme = "Residential" if rng.random() < 0.5 else None
        scene = render(first_seed + index, THERMAL_SHAPE, altitude * THERMAL_IFOV, night, theme)
        stem = f"{'night' if night else 'day'}_{altitude}m_{index + 1:05d}"
        Image.fromarray(scene.lwir).save(folder / "JPEGImages" / f"{stem}.jpg", quality=95)
        (folder / "Annotations" / f"{stem}.xml").write_text(_voc(scene, f"{stem}.jpg"))
        splits["val" if index % 10 == 8 else "test" if index % 10 == 9 else "train"].append(stem)
        truth[f"JPEGImages/{stem}.jpg"] = _truth(scene) | {"night": night, "gsd_m": scene.gsd_m}
    for split, stems in splits.items():
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems))
    return truth


def _voc(scene: Scene, name: str) -> str:
    """Annotation of the vehicles and people: pixels from 0, xmax and ymax exclusive, as HIT-UAV writes them."""
    height, width = scene.cover.shape
    root = ET.Element("annotation")
    _add(root, folder="./JPEGImages", filename=name)
    _add(ET.SubElement(root, "source"), database="FusionRS builder procedural scenes")
    _add(ET.SubElement(root, "size"), width=width, height=height, depth=1)
    _add(root, segmented=0)
    for item in scene.objects:
        if item.label != "building":
            x0, y0, x1, y1 = item.box
            cut = x0 == 0 or y0 == 0 or x1 == width or y1 == height
            node = ET.SubElement(root, "object")
            _add(node, name=item.label.title(), pose="Unspecified", truncated=int(cut), difficult=0)
            _add(ET.SubElement(node, "bndbox"), xmin=x0, ymin=y0, xmax=x1, ymax=y1)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _add(parent: ET.Element, **texts: str | int) -> None:
    for tag, text in texts.items():
        ET.SubElement(parent, tag).text = str(text)


def _write_tiles(folder: Path, first_seed: int, count: int) -> Truth:
    """Web-mercator tiles named .png, most of them JPEG inside, with the building outlines of each in lon/lat."""
    truth: Truth = {}
    for index in range(count):
        west, north = FIRST_TILE[0] + 8 * (index % 8), FIRST_TILE[1] + 8 * (index // 8)
        latitude = math.radians(lon_lat(west, north)[1])
        gsd_m = 2 * math.pi * 6_378_137 * math.cos(latitude) / TILE / 2**ZOOM
        theme = "Residential" if index % 3 else None
        scene = render(first_seed + index, BLOCK * TILE, gsd_m, theme=theme)
        images, labels = folder / "data" / str(index + 1), folder / "labels" / str(index + 1)
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for row, column in np.ndindex(BLOCK, BLOCK):
            stem = f"TILE-{west + column}-{north + row}-{ZOOM}"
            at_edge = column == 0 and index % 2 == 0
            left = column * TILE + (FLIGHT_EDGE if at_edge else 0)
            rows, columns = slice(row * TILE, (row + 1) * TILE), slice(left, (column + 1) * TILE)
            _save_tile(images / f"{stem}.png", scene.rgb[rows, columns], at_edge)
            outlines = _outlines(scene, rows, columns, (west, north))
            (labels / f"{stem}.geojson").write_text(_geojson(outlines))
            truth[f"data/{index + 1}/{stem}.png"] = _truth(scene, rows, columns)
    return truth


def _save_tile(path: Path, rgb: Bytes, at_edge: bool) -> None:
    if not at_edge:
        Image.fromarray(rgb).save(path, "JPEG", quality=90)
        return
    rgba = np.zeros((TILE, TILE, 4), np.uint8)
    rgba[:, FLIGHT_EDGE:] = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    Image.fromarray(rgba).save(path, "PNG")


def _outlines(scene: Scene, rows: slice, columns: slice, origin: tuple[int, int]) -> list[list[tuple[float, float]]]:
    """Closed lon/lat rings, counter-clockwise, of the buildings seen in a part of a scene, cut at its edge."""
    rings = []
    for item in _seen(scene, rows, columns):
        if item.label == "building":
            inside = clip(item.polygon, (columns.start, rows.start, columns.stop, rows.stop))
            ring = [lon_lat(origin[0] + x / TILE, origin[1] + y / TILE) for x, y in reversed(inside)]
            rings.append([*ring, ring[0]])
    return rings


def lon_lat(x: float, y: float) -> tuple[float, float]:
    """Degrees (CRS84) of a place in web-mercator tile coordinates at `ZOOM`: tile number plus share of the tile."""
    return x / 2**ZOOM * 360 - 180, math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / 2**ZOOM))))


def _geojson(rings: list[list[tuple[float, float]]]) -> str:
    features = [
        {"type": "Feature", "properties": {"id": n}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for n, ring in enumerate(rings, 1)
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    return json.dumps({"type": "FeatureCollection", "name": "labels", "crs": crs, "features": features}) + "\n"


def _write_scenes(folder: Path, first_seed: int, count: int) -> Truth:
    """Small JPEGs in one folder a class, `Forest/Forest_1.jpg`; drawn at twice the resolution and averaged."""
    truth: Truth = {}
    for theme_number, theme in enumerate(THEMES):
        (folder / theme).mkdir()
        seed, made = first_seed + theme_number * 100_000, 0
        while made < count:
            scene = render(seed, 2 * SCENE_SIDE, SCENE_GSD_M / 2, theme=theme)
            seed += 1
            if scene.label != theme:
                continue
            made += 1
            name = f"{theme}/{theme}_{made}.jpg"
            mean = scene.rgb.reshape(SCENE_SIDE, 2, SCENE_SIDE, 2, 3).mean((1, 3))
            Image.fromarray(np.rint(mean).astype(np.uint8)).save(folder / name, quality=90)
            truth[name] = _truth(scene)
    return truth


_WRITERS: dict[str, Callable[[Path, int, int], Truth]] = {
    "procedural-nir": _write_nir,
    "procedural-lwir": _write_lwir,
    "procedural-tiles": _write_tiles,
    "procedural-scenes": _write_scenes,
}
