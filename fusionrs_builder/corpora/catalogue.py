"""Searching a STAC catalogue: which scenes of a place and year there are, and what is known of their bands."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import rasterio.features
import rasterio.transform
from pystac.errors import STACError
from pystac_client import Client
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError

from fusionrs_builder.corpora import raster
from fusionrs_builder.corpora.cog import Asset
from fusionrs_builder.corpora.registry import Stac
from fusionrs_builder.corpora.signing import api, explain, plain
from fusionrs_builder.errors import FusionError
from fusionrs_builder.settings import CorpusSettings

PAGE = 100
"""Items a page of search results."""

CELLS = 64
"""A footprint is compared with the box on so many cells a side."""

SENTINEL2_OFFSET = -1000
"""Sentinel-2 numbers hold 1000 more since processing baseline 04.00, in every reprocessed scene too."""

SHIFTED_SINCE = 4.0


@dataclass(frozen=True)
class Scene:
    """One scene of the catalogue.

    Attributes:
        id: of the catalogue.
        acquired: ISO 8601 time, empty where unknown.
        assets: its bands.
        cloud: percent of cloud as the catalogue says, whole; 100 where it does not.
        share: of the box that its footprint covers, 0..1.
    """

    id: str
    acquired: str
    assets: tuple[Asset, ...]
    cloud: int
    share: float


def chosen(corpus: str, source: Stac, settings: CorpusSettings, url: str, notes: list[str]) -> list[Scene]:
    """The clearest scenes of a place and year, of equally clear ones those that cover more of the box.

    Args:
        corpus: its name, for errors.
        source: the catalogue.
        settings: `bbox`, `year` and `max_scenes`.
        url: address of the catalogue.
        notes: what was left out is added here.

    Raises:
        FusionError: the catalogue does not answer, or holds no such scene.
    """
    asked = f"collection {source.collection} in {plain(url)}, bbox {','.join(map(str, settings.bbox or ()))}" + (
        f", year {settings.year}" if settings.year else ""
    )
    counted = {"found": 0, "incomplete": 0, "malformed": 0}
    names: set[str] = set()

    def candidates() -> Iterator[Scene]:
        for item in _items(corpus, source, settings, url, notes):
            counted["found"] += 1
            try:
                if all(place.partition("#")[0] in item["assets"] for place in source.assets.values()):
                    scene = scene_of(item, source, settings.bbox or (0, 0, 0, 0))
                    if scene.share > 0:
                        yield scene
                else:
                    counted["incomplete"] += 1
                    names.update(item["assets"])
            except (LookupError, TypeError, ValueError, AttributeError):
                counted["malformed"] += 1

    ranked = heapq.nsmallest(settings.max_scenes, candidates(), lambda scene: (scene.cloud, -scene.share, scene.id))
    if not counted["found"]:
        raise FusionError(f"corpus {corpus}: nothing found ({asked}); widen --bbox, or take another --year")
    if counted["incomplete"]:
        wanted = ", ".join(sorted({place.partition("#")[0] for place in source.assets.values()}))
        notes.append(f"{counted['incomplete']} of {counted['found']} scenes lack one of the assets {wanted}")
    if counted["malformed"]:
        notes.append(f"{counted['malformed']} of {counted['found']} scenes are not described as STAC asks")
    if not ranked:
        why = "; ".join(notes) or "none covers the box"
        has = f"; their assets are {', '.join(sorted(names)[:40])}" if names else ""
        raise FusionError(f"corpus {corpus}: none of {counted['found']} scenes can be used ({asked}): {why}{has}")
    if (usable := counted["found"] - counted["incomplete"] - counted["malformed"]) > len(ranked):
        notes.append(f"{len(ranked)} of {usable} scenes taken, the clearest first; --max-scenes takes more")
    return list({scene.id: scene for scene in ranked}.values())


def _items(corpus: str, source: Stac, settings: CorpusSettings, url: str, notes: list[str]) -> Iterator[Any]:
    """All items of a catalogue at a place and in a year, page by page, as long as there are new ones."""
    seen: set[str] = set()
    try:
        client = Client.open(url, stac_io=api())
        found = client.search(
            collections=[source.collection],
            bbox=settings.bbox,
            datetime=str(settings.year) if settings.year else None,
            query=source.query or None,
            limit=PAGE,
        )
        for page in found.pages_as_dicts():
            items = [item for item in page["features"] if _id(item) not in seen]
            if not items:
                notes.append(f"the catalogue gives a page again after {len(seen)} scenes: no more were looked for")
                break
            yield from items
            seen.update(filter(None, map(_id, items)))
    except (APIError, ClientTypeError, STACError, NotImplementedError, KeyError, TypeError, ValueError) as error:
        raise FusionError(
            f"corpus {corpus}: the catalogue {plain(url)} does not answer as a STAC API: {explain(error)}; "
            "try again later, or take another one with --stac-url"
        ) from None


def _id(item: Any) -> str:
    """The name of an item; empty where it is none."""
    return str(item.get("id") or "") if isinstance(item, dict) else ""


def scene_of(item: dict[str, Any], source: Stac, bbox: tuple[float, float, float, float]) -> Scene:
    """What is to be known of an item of the catalogue."""
    properties = item["properties"]
    cloud = properties.get("eo:cloud_cover")
    return Scene(
        id=str(item["id"]),
        acquired=properties.get("datetime") or properties.get("start_datetime") or "",
        assets=tuple(_asset(item, band, place, source) for band, place in source.assets.items()),
        cloud=100 if cloud is None else round(float(cloud)),
        share=share_of(item.get("geometry"), item.get("bbox"), bbox),
    )


def _asset(item: dict[str, Any], band: str, place: str, source: Stac) -> Asset:
    """One band: its address, and scale and offset as the item states them, else as the registry does."""
    name, _, number = place.partition("#")
    asset = item["assets"][name]
    stated = _stated(asset, int(number or 1))
    scale, offset = source.scale.get(band, raster.UNSCALED)
    scale = float(stated.get("scale", scale))
    properties = item["properties"]
    if properties.get("earthsearch:boa_offset_applied"):
        offset = 0.0  # the numbers were shifted back already, whatever `raster:bands` says
    elif "offset" in stated:
        offset = float(stated["offset"])
    elif band in source.scale and float(properties.get("s2:processing_baseline") or 0) >= SHIFTED_SINCE:
        offset += SENTINEL2_OFFSET * scale
    return Asset(band, asset["href"], int(number or 1), scale, offset, stated.get("nodata"))


def _stated(asset: dict[str, Any], number: int) -> dict[str, Any]:
    """What an asset says of a band: `raster:bands`, or `bands` since STAC 1.1, whose common part stands beside them."""
    listed: Sequence[dict[str, Any]] = asset.get("raster:bands") or asset.get("bands") or []
    own = listed[number - 1] if number <= len(listed) else {}
    found = {}
    for key in ("scale", "offset", "nodata"):
        for place, name in ((own, key), (own, f"raster:{key}"), (asset, f"raster:{key}"), (asset, key)):
            if isinstance(place.get(name), int | float):
                found[key] = place[name]
                break
    return found


def share_of(geometry: dict[str, Any] | None, bounds: Any, bbox: tuple[float, float, float, float]) -> float:
    """Share of a box that a footprint covers, 0..1."""
    if geometry is None and not bounds:
        return 1.0
    west, south, *_, east, north = bounds or rasterio.features.bounds(geometry)
    if bounds and len(bounds) == 6:  # with heights
        east, north = bounds[3:5]
    overlap = max(west, bbox[0]), max(south, bbox[1]), min(east, bbox[2]), min(north, bbox[3])
    if overlap[0] >= overlap[2] or overlap[1] >= overlap[3]:
        return 0.0
    inside = 1.0
    if geometry is not None:
        grid = rasterio.transform.from_bounds(*overlap, CELLS, CELLS)
        inside = float(rasterio.features.geometry_mask([geometry], (CELLS, CELLS), grid, invert=True).mean())
    area = (overlap[2] - overlap[0]) * (overlap[3] - overlap[1])
    return float(inside * area / ((bbox[2] - bbox[0]) * (bbox[3] - bbox[1])))
