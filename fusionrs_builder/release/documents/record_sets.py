"""The record sets of croissant.json: the splits, and for each configuration a field for every column of `schema.py`."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from fusionrs_builder import schema
from fusionrs_builder.release.documents.facts import Facts
from fusionrs_builder.release.layout import FOLDERS, Config

SPLITS = {"train": "cr:TrainingSplit", "validation": "cr:ValidationSplit", "test": "cr:TestSplit"}

SPLIT_REGEX = "^(?:{folder}/)?(train|validation|test)(?:[.-].+parquet)?$"
"""The split in the path of a file, and in itself: after its join mlcroissant applies it a second time."""

ATOMIC = {
    pa.string(): "sc:Text",
    pa.bool_(): "sc:Boolean",
    pa.int32(): "sc:Integer",
    pa.uint64(): "sc:Integer",
    pa.float32(): "sc:Float",
    pa.float64(): "sc:Float",
}

MEANING: Mapping[str, Mapping[str, Any]] = {
    "labels": {"dataType": ["sc:Text", "cr:Label"]},
    "boxes": {"dataType": "cr:Label"},
    "source_url": {"dataType": "sc:URL"},
    "license_url": {"dataType": "sc:URL"},
    "crs": {"equivalentProperty": "geocr:coordinateReferenceSystem"},
    "bbox": {"arrayShape": "4", "equivalentProperty": "sc:spatialCoverage"},
    "gsd_m": {"equivalentProperty": "geocr:spatialResolution"},
    "acquired": {"equivalentProperty": "sc:temporalCoverage"},
}
"""What a column means beyond its Arrow type."""


def splits(counted: Facts) -> dict[str, Any]:
    """The splits that have records; all of them where there are none, for a record set must not be empty."""
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The splits. A group of records (`group_id`) lives in one only.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/url", "name": "url", "dataType": ["sc:URL", "cr:Split"]},
        ],
        "data": [
            {"splits/name": name, "splits/url": url}
            for name, url in SPLITS.items()
            if counted.splits[name] or not counted.records
        ],
    }


def record_set(config: Config, counted: Facts) -> dict[str, Any]:
    """The record set of a configuration: a field for every column."""
    bands = {band for _, band, _ in counted.origins}
    infrared = bands.pop() if len(bands) == 1 else ""
    return {
        "@type": "cr:RecordSet",
        "@id": config,
        "name": config,
        "description": "All columns." if config == "default" else "The same records without their pictures.",
        "key": {"@id": f"{config}/id"},
        "field": [
            _column(config, column, infrared or "infrared")
            for column in schema.COLUMNS
            if column.release and (config == "default" or column.type != schema.IMAGE)
        ],
    }


def _column(config: Config, column: schema.Column, infrared: str) -> dict[str, Any]:
    """The field of one column; `infrared` names the band of `ir`."""
    place = f"{config}/{column.name}"
    found: dict[str, Any] = {"@type": "cr:Field", "@id": place, "name": column.name, "description": column.doc}
    source = {"fileSet": {"@id": f"{config}-files"}, "extract": {"column": column.name}}
    if column.name == "split":
        source["extract"] = {"fileProperty": "fullpath"}
        source["transform"] = {"regex": SPLIT_REGEX.format(folder=FOLDERS[config])}
        found["references"] = {"field": {"@id": "splits/name"}}
    if column.type == schema.IMAGE:
        names = ["red", "green", "blue"] if column.name == "rgb" else [infrared]
        found["geocr:bandConfiguration"] = {
            "@type": "geocr:BandConfiguration",
            "geocr:totalBands": len(names),
            "geocr:bandNameList": names,
        }
    return {**found, **_typed(place, column.type, source), **MEANING.get(column.name, {})}


def _typed(place: str, kind: pa.DataType, source: Mapping[str, Any]) -> dict[str, Any]:
    """What a field says of its values: type, array or not, and where they are read from.

    Args:
        place: `@id` of the field.
        kind: Arrow type of its values.
        source: of the values.
    """
    if kind == schema.IMAGE:
        return {"dataType": "sc:ImageObject", "source": {**source, "transform": {"jsonPath": "bytes"}}}
    if pa.types.is_list(kind):
        return {**_typed(place, kind.value_type, source), "isArray": True}
    if pa.types.is_struct(kind):
        members = [(member, f"{place}/{member.name}") for member in kind]
        return {
            "subField": [
                {
                    "@type": "cr:Field",
                    "@id": inner,
                    "name": member.name,
                    **_typed(inner, member.type, {**source, "transform": {"jsonPath": member.name}}),
                }
                for member, inner in members
            ]
        }
    return {"dataType": ATOMIC[kind], "source": dict(source)}
