"""Published orders of bands in stacked rasters: which number of a file holds red, green, blue and the infrared.

The orders differ where one would not look: Sentinel-2's B8A is the last of EuroSAT's 13 bands, follows B8 in SEN12MS
and stands before it in MMEarth; TreeSatAI's aerial images begin with the infrared.
"""

from typing import NamedTuple

from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings

SENTINEL2 = {"blue": "B2", "green": "B3", "red": "B4", "nir": "B8", "swir": "B11"}
LANDSAT8 = {"blue": "B2", "green": "B3", "red": "B4", "nir": "B5", "swir": "B6", "lwir": "B10"}
"""The sensor's own names of the bands that are read: B8 at 10 m rather than B8A, B10 rather than the noisier B11."""


class BandOrder(NamedTuple):
    """One published order.

    Attributes:
        bands: what the publisher calls the bands, in the order of the file.
        colours: which of them is red, green, ...; empty where they are called so already.
        source: who says so.
    """

    bands: str
    colours: dict[str, str]
    source: str


ORDERS = {
    "eurosat": BandOrder("B1 B2 B3 B4 B5 B6 B7 B8 B9 B10 B11 B12 B8A", SENTINEL2, "torchgeo, EuroSAT: B8A is the last"),
    "sen12ms": BandOrder("B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B10 B11 B12", SENTINEL2, "torchgeo, SEN12MS: B8A after B8"),
    "mmearth": BandOrder("B1 B2 B3 B4 B5 B6 B7 B8A B8 B9 B10 B11 B12", SENTINEL2, "torchgeo, MMEarth: B8A before B8"),
    "so2sat": BandOrder("B2 B3 B4 B5 B6 B7 B8 B8A B11 B12", SENTINEL2, "torchgeo, So2Sat: no B1, B9, B10"),
    "sentinel2-l1c": BandOrder("B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B10 B11 B12", SENTINEL2, "bands by wavelength, 13"),
    "sentinel2-l2a": BandOrder(
        "B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B11 B12", SENTINEL2, "as L1C without the cirrus band B10, 12"
    ),
    "landsat8-toa": BandOrder("B1 B2 B3 B4 B5 B6 B7 B8 B9 B10 B11", LANDSAT8, "USGS; B8 is panchromatic"),
    "ssl4eo-l": BandOrder(
        "B1 B2 B3 B4 B5 B6 B7 B8 B9 B10 B11", LANDSAT8, "torchgeo, SSL4EO-L, oli_tirs_toa: 11 bands with B10 and B11"
    ),
    "naip": BandOrder("red green blue nir", {}, "USDA: R, G, B, NIR"),
    "usavars": BandOrder("red green blue nir", {}, "torchgeo, USAVars: NAIP"),
    "flair": BandOrder("red green blue nir elevation", {}, "IGN, README of FLAIR: R, G, B, NIR, elevation"),
    "treesatai": BandOrder("nir green blue red", {}, "torchgeo, TreeSatAI: IR, G, B, R"),
    "cir": BandOrder("nir red green", {}, "colour-infrared film and ISPRS Vaihingen: there is no blue"),
}


def bands_of(name: str) -> dict[str, int]:
    """1-based numbers of the bands of a published order, e.g. red=4,green=3,blue=2,nir=8,swir=11 for `eurosat`.

    Raises:
        UsageError: no such order is known; the message names those that are.
    """
    if name not in ORDERS:
        raise UsageError(
            f"band_order: no order {name!r} is known, but {', '.join(sorted(ORDERS))}; or set bands instead"
        )
    order = ORDERS[name]
    numbers = {band: number for number, band in enumerate(order.bands.split(), 1)}
    return {colour: numbers[band] for colour, band in order.colours.items()} or numbers


def numbers_of(settings: CorpusSettings) -> dict[str, int]:
    """Band numbers of a corpus: those of `band_order`, with `bands` over them.

    Raises:
        UsageError: neither is given, the order is unknown, or a number is none.
    """
    numbers = bands_of(settings.band_order) if settings.band_order else {}
    try:
        numbers |= {name: int(number) for name, number in settings.bands.items()}
    except ValueError:
        raise UsageError("bands: give numbers for geotiff, e.g. red=1,green=2,blue=3,nir=4") from None
    if not numbers:
        raise UsageError(
            "bands: geotiff needs a band map, e.g. --bands red=1,green=2,blue=3,nir=4, "
            "or the name of a published order, e.g. --band-order eurosat"
        )
    if min(numbers.values()) < 1:
        raise UsageError("bands: the first band is 1, e.g. red=1,green=2,blue=3,nir=4")
    return numbers
