"""Objects outlined in GeoJSON: polygons in degrees or pixels, with a label each."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fusionrs_builder.corpora.reader import Refused, box

LABEL_KEYS = ("labels", "label", "class", "class_name", "category", "name")
"""Properties that may hold the label, in this order."""

ToPixels = Callable[[Sequence[Sequence[float]]], list[tuple[float, float]]]


def objects(data: bytes, where: str, to_pixels: ToPixels, label: str) -> list[dict[str, Any]]:
    """The features of a GeoJSON file as boxes with outlines; of several parts, the outline of the largest.

    Args:
        data: the file.
        where: its name, for errors.
        to_pixels: maps the file's coordinates to pixels.
        label: of features that name none.

    Raises:
        Refused: not GeoJSON, or a feature has no label and `label` is empty.
    """
    try:
        document = json.loads(data)
        features = document["features"]
        found = []
        for feature in features:
            name = _label(feature.get("properties") or {}) or label
            parts = [to_pixels(ring) for ring in _outlines(feature["geometry"])]
            if not parts:
                continue
            if not name:
                raise Refused("missing_label", f"{where}: a feature names no class; set object_label")
            bounds = [_bounds(part) for part in parts]
            x0, y0, x1, y1 = (
                pick(side) for pick, side in zip((min, min, max, max), zip(*bounds, strict=True), strict=True)
            )
            largest = max(parts, key=lambda part: _area(_bounds(part)))
            found.append(box(name, x0, y0, x1, y1, [value for point in largest for value in point]))
        return found
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError) as error:
        raise Refused("malformed_annotation", f"{where} is not GeoJSON as expected: {error!r}") from None


def _label(properties: dict[str, Any]) -> str:
    for key in LABEL_KEYS:
        value = properties.get(key)
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, str) and value:
            return value
    return ""


def _outlines(geometry: dict[str, Any] | None) -> Iterator[list[list[float]]]:
    """Outer rings. Holes are left out: a box and an outline say where an object is, not its area."""
    if geometry is None:
        return
    kind, coordinates = geometry["type"], geometry["coordinates"]
    if kind == "Polygon" and coordinates:
        yield coordinates[0]
    elif kind == "MultiPolygon":
        for polygon in coordinates:
            yield polygon[0]
    elif kind == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from _outlines(part)


def _bounds(outline: list[tuple[float, float]]) -> tuple[float, float, float, float]:
    xs, ys = [x for x, _ in outline], [y for _, y in outline]
    return min(xs), min(ys), max(xs), max(ys)


def _area(bounds: tuple[float, float, float, float]) -> float:
    return (bounds[2] - bounds[0]) * (bounds[3] - bounds[1])
