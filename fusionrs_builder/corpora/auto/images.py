"""Layouts told by the images themselves: folders of classes, pairs, masks, tiles of a web map, rasters."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError

from fusionrs_builder.corpora.auto.glimpse import Glimpse, Layout
from fusionrs_builder.corpora.formats.tiles import NAME
from fusionrs_builder.corpora.reader import RASTER_SUFFIXES, stem

TWINS = (
    ("visible", "infrared"), ("visible", "lwir"), ("visible", "thermal"), ("vis", "ir"), ("rgb", "tir"),
    ("rgb", "thermal"), ("rgb", "ir"), ("rgb", "nir"), ("rgb", "infrared"), ("color", "thermal"), ("img", "imgr"),
    ("trainA", "trainB"), ("testA", "testB"),
)  # fmt: skip
"""Folders that hold the two views of a scene under one name."""

SUFFIX_TWINS = (("_co", "_ir"), ("_rgb", "_ir"), ("_RGB", "_IR"), ("_rgb", "_nir"), ("_rgb", "_thermal"))
"""Ends of names by which two views lie side by side."""

THERMAL_WORDS = ("lwir", "thermal", "tir")

MASK_FOLDERS = (
    ("images", "masks"), ("images", "labels"), ("images_png", "masks_png"), ("image", "mask"), ("img", "msk"),
    ("imgs", "masks"), ("images", "annotations"), ("image", "label"),
)  # fmt: skip

BAND_FILE = re.compile(
    r"^(?P<scene>.*?)(?P<cut>[_.]?)(?P<letter>[Bb])(?P<number>\d{1,2}|8A)\.(?P<suffix>tiff?|jp2|TIF)$"
)

SENTINEL2 = {"red": "4", "green": "3", "blue": "2", "nir": "8", "swir": "11"}
LANDSAT8 = {"red": "4", "green": "3", "blue": "2", "nir": "5", "swir": "6", "lwir": "10"}

USUAL = {
    (3, True): {"red": 1, "green": 2, "blue": 3},
    (4, True): {"red": 1, "green": 2, "blue": 3, "nir": 4},
    (12, False): {"red": 4, "green": 3, "blue": 2, "nir": 8},
    (13, False): {"red": 4, "green": 3, "blue": 2, "nir": 8},
}
"""Bands by their number, and whether they are 8-bit: aerial images, NAIP, Sentinel-2 (B8A after B8, or at the end)."""

TAKEN = "{count} bands without names, taken in the usual order: if they are in another, give --bands or --band-order"
UNNAMED = "{count} bands ({names}): say which is which with --bands red=..,green=..,blue=..,nir=.. or --band-order"

TOLD = 0.8
"""Share of the images looked at that must follow a rule."""


def pairs(seen: Glimpse) -> Layout | None:
    """Visible and infrared views in two folders, or side by side."""
    for visible, infrared in TWINS:
        left = [path for path in seen.images if visible in path.split("/")[:-1]]
        met = [path for path in left if _has_twin(seen, path, f"{visible}/", f"{infrared}/")]
        if left and len(met) >= TOLD * len(left):
            keys = {
                "visible": f"*{visible}/*",
                "infrared": f"*{infrared}/*",
                "pair_key": rf"^(.*?)(?:{visible}|{infrared})/(.+)\.[^./]+$",
            }
            return _paired(keys, infrared, f"folders {visible} and {infrared} with images of equal names")
    for visible, infrared in SUFFIX_TWINS:
        left = [path for path in seen.images if stem(path).endswith(visible)]
        if left and sum(seen.exists(_swapped(path, visible, infrared)) for path in left) >= TOLD * len(left):
            keys = {
                "visible": f"*{visible}.*",
                "infrared": f"*{infrared}.*",
                "pair_key": rf"^(.+)(?:{visible}|{infrared})\.[^./]+$",
            }
            return _paired(keys, infrared, f"images of equal names but for {visible} and {infrared}")
    return None


def _paired(keys: dict[str, str], infrared: str, saw: str) -> Layout:
    word = infrared.lower().strip("_")
    band = "nir" if word == "nir" else "lwir" if word in THERMAL_WORDS else ""
    if band:
        return Layout("pairs", saw, {**keys, "band": band})
    return Layout("pairs", saw, keys, ("which infrared it is must be said: --band nir (or swir, mwir, lwir)",))


def masks(seen: Glimpse) -> Layout | None:
    """Images and masks of equal names in two folders."""
    for images, masked in MASK_FOLDERS:
        left = [path for path in seen.images if images in path.split("/")[:-1]]
        for suffix in (".png", ".tif", ".tiff"):
            met = [path for path in left if seen.exists(stem(path.replace(f"{images}/", f"{masked}/")) + suffix)]
            if left and len(met) >= TOLD * len(left):
                keys = {"include": f"*{images}/*", "masks": f"../{masked}/{{stem}}{suffix}"}
                hints = ("the numbers of a mask need names: --classes 1=building,2=water",)
                return Layout("masks", f"folders {images} and {masked} with files of equal names", keys, hints)
    return None


def tiles(seen: Glimpse) -> Layout | None:
    """Tiles of a web map, named by x, y and zoom, with outlines beside them or in a folder of labels."""
    named = [path for path in seen.images if NAME.search(stem(path))]
    if not named or not seen.having(".geojson"):
        return None
    for template in ("{stem}.geojson", "../labels/{stem}.geojson", "../../labels/{folder}/{stem}.geojson"):
        for path in named:
            if seen.exists(_placed(path, template)):
                inner = path.split("/")[-3] if "{folder}" in template and path.count("/") > 1 else ""
                include = f"{inner}/*" if path.startswith(f"{inner}/") else f"*/{inner}/*"
                keys = {"annotations": template, **({"include": include} if inner else {})}
                hints = ("outlines without a class need one: --object-label building",)
                return Layout("tiles", f"tiles named x-y-zoom with outlines, such as {path}", keys, hints)
    return None


def band_files(seen: Glimpse) -> Layout | None:
    """A file a band, numbered as Sentinel-2 or Landsat 8 number theirs."""
    names = [match for path in seen.images if (match := BAND_FILE.match(path.rpartition("/")[2]))]
    numbers = {match["number"].lstrip("0") for match in names}
    if len(names) < 3 or not {"2", "3", "4"} <= numbers:
        return None
    sentinel = bool(numbers & {"8A", "12"})
    order = SENTINEL2 if sentinel else LANDSAT8
    first = names[0]
    width = 2 if any(match["number"].startswith("0") for match in names) else 1
    keys = {
        band: f"*{first['cut']}{first['letter']}{number.zfill(width)}.{first['suffix']}"
        for band, number in order.items()
        if number in numbers
    }
    satellite = "Sentinel-2" if sentinel else "Landsat 8 or 9"
    hint = f"taken as {satellite} by their numbers: if they are of another satellite, give --bands"
    return Layout("bands", f"a file a band, such as {first[0]}", {"bands": keys}, (hint,))


def rasters(seen: Glimpse) -> Layout | None:
    """GeoTIFFs of several bands: as their names or colours say, else as their number is mostly used."""
    for path in seen.having(*RASTER_SUFFIXES):
        try:
            with rasterio.open(seen.root / path) as source:
                placed, count, depth = source.crs is not None, source.count, source.dtypes[0]
                told = dict(_told(source.descriptions, source.colorinterp))
        except RasterioError:
            continue
        if not placed and count <= 3:
            return None  # a plain image in a TIFF
        usual = USUAL.get((count, depth == "uint8"), {})
        bands = told
        hints: tuple[str, ...] = ()
        names = ", ".join(filter(None, source.descriptions)) or "without names"
        if not {"red", "green", "blue"} <= told.keys() or (usual and "nir" not in told):
            bands, hints = usual, (TAKEN.format(count=count) if usual else UNNAMED.format(count=count, names=names),)
        if others := [path for path in seen.images if not path.lower().endswith(RASTER_SUFFIXES)]:
            hints = (*hints, f"{len(others)} images that are no rasters are not read, such as {others[0]}")
        keys: dict[str, Any] = {"bands": {name: str(number) for name, number in bands.items()}} if bands else {}
        folder, _, name = path.rpartition("/")
        if name.startswith(f"{folder.rpartition('/')[2]}_"):
            keys["label_pattern"] = r"(?P<label>[^/]+)/[^/]+$"  # EuroSAT: Forest/Forest_1.tif
        saw = f"{path} with {count} bands"
        if seen.exists(f"{stem(path)}_labels.geojson"):
            return Layout("geotiff", f"{saw}, and outlines beside it", {**keys, "annotations": "{stem}_labels.geojson"},
                          hints)  # fmt: skip
        return Layout("geotiff", saw, keys, hints)
    return None


def class_folders(seen: Glimpse) -> Layout | None:
    """A folder a class."""
    folders = Counter(path.rpartition("/")[0] for path in seen.images)
    classes = {folder.rpartition("/")[2] for folder in folders if folder}
    if len(classes) < 2:
        return None
    said = ", ".join(sorted(classes)[:4])
    return Layout("class-folders", f"images in {len(classes)} folders, taken as classes: {said}, ...")


def _told(descriptions: tuple[str | None, ...], colours: tuple[ColorInterp, ...]) -> Iterator[tuple[str, int]]:
    """Bands whose name or colour is stated in the file."""
    named = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
    words = {"red": "red", "green": "green", "blue": "blue", "nir": "nir", "near infrared": "nir", "lwir": "lwir"}
    for number, (text, colour) in enumerate(zip(descriptions, colours, strict=True), 1):
        if name := words.get((text or "").strip().lower()) or named.get(colour):
            yield name, number


def _has_twin(seen: Glimpse, path: str, left: str, right: str) -> bool:
    twin = stem(path.replace(left, right))
    return any(seen.exists(twin + suffix) for suffix in (f".{path.rsplit('.', 1)[-1]}", ".jpg", ".png", ".tif"))


def _swapped(path: str, left: str, right: str) -> str:
    return f"{stem(path).removesuffix(left)}{right}.{path.rsplit('.', 1)[-1]}"


def _placed(path: str, template: str) -> str:
    folder, _, name = path.rpartition("/")
    filled = template.format(stem=stem(name), folder=folder.rpartition("/")[2])
    return posixpath.normpath(posixpath.join(folder, filled))
