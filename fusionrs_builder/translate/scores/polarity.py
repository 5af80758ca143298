"""Whether what is known to be dark or bright in a band was drawn so.

    nir  dark    water, which absorbs near infrared: it reflects a few per cent
         bright  fields and woods in leaf, which reflect 30 to 60 per cent

    lwir nothing: what is warm and what is cool depends on the hour, the season, the sky and the wind, and no class of
         overhead corpora is certain at all of them.

A tree among grass, a crop that may be harvested, a ship in harbour and roofs of unknown covering are not in the table.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.intervals import summarise, table
from fusionrs_builder.translate.scores.objects import contrast, masks
from fusionrs_builder.translate.scores.records import Entry, Record
from fusionrs_builder.translate.translator import Translator

DARK, BRIGHT = -1, 1

WATER = ("water", "waterbody", "sealake", "sea", "lake", "river", "pond", "reservoir", "ocean", "swimmingpool")
LEAVES = ("forest", "pasture", "meadow", "grassland", "herbaceousvegetation", "vegetation")
KNOWN: Mapping[str, Mapping[str, int]] = {"nir": {**dict.fromkeys(WATER, DARK), **dict.fromkeys(LEAVES, BRIGHT)}}


def known_side(label: str | None, band: str | None) -> int | None:
    """`DARK` or `BRIGHT`; None where the class is not certain. Case, blanks and a plural s do not count."""
    name = re.sub(r"[^a-z]", "", (label or "").lower())
    sides = KNOWN.get(band or "", {})
    return sides.get(name, sides.get(name.removesuffix("s")))


def tells(entry: Entry, band: str | None) -> bool:
    """Whether the record is needed: it has a visible image, and objects or a class, known or to be compared with."""
    if not entry.rgb or band not in KNOWN:
        return False
    return len(entry.labels) == 1 if not entry.boxes else any(known_side(label, band) for label in entry.labels)


def polarity(
    contestants: Mapping[str, Translator], records: Iterable[Record], band: str, seed: int = 0
) -> dict[str, Any] | str:
    """The share of objects and scenes that are on the right side.

    An object is compared with the ring around it. A scene that is of one class as a whole is compared with the median
    of the scenes of its corpus, where at most half of these are of its side.

    Args:
        contestants: the first is the one that is scored.
        records: those that `tells`; one in memory at a time.
        band: whose table holds.
        seed: of the bootstrap.

    Returns:
        `n` (of `objects` and `scenes`); `classes` (how often each was compared, and the share that is right);
        `scores` and `differences` of `objects` and `scenes` (shares, 0..1), and of `as_measured`, the share whose side
        is the one that a sensor saw, of those where one did; `measured`, the shares of the measured views. In
        words why there is none.
    """
    if band not in KNOWN:
        return f"no class is certain in {band}"
    names = [*contestants, "measured"]
    objects: dict[str, list[float | None]] = {name: [] for name in names}
    scenes: dict[str, list[float | None]] = {name: [] for name in names}
    sides: list[int] = []
    labels: list[str] = []
    found: list[tuple[str, str]] = []
    for record in records:
        if record.rgb is None:
            continue
        views = _views(contestants, record, band)
        if not record.boxes:
            found.append((record.entry.corpus, record.entry.labels[0]))
            for name in names:
                scenes[name].append(None if (view := views[name]) is None else float(view.mean()))
            continue
        known = [box for box in record.boxes if known_side(box["label"], band)]
        for label in sorted({box["label"] for box in known}):
            for mask, ring in masks([box for box in known if box["label"] == label], record.rgb.shape[:2]):
                labels.append(label)
                sides.append(known_side(label, band) or 0)
                for name in names:
                    objects[name].append(None if (view := views[name]) is None else contrast(view, mask, ring))
    kept, scene_sides = _scenes(found, band)
    for name in names:
        scenes[name] = [_above(scenes[name], found, n) for n in kept]
    labels += [found[n][1] for n in kept]
    parts = {"objects": (objects, sides), "scenes": (scenes, scene_sides)}
    return _result(parts, labels, seed) if labels else f"no object or scene of a class that is certain in {band}"


def _views(contestants: Mapping[str, Translator], record: Record, band: str) -> dict[str, NDArray[np.uint8] | None]:
    assert record.rgb is not None
    rgb = np.ascontiguousarray(record.rgb.transpose(2, 0, 1)[None])
    return {
        **{name: each.translate(rgb)[0, 0] for name, each in contestants.items()},
        "measured": record.measured(band),
    }


def _scenes(found: Sequence[tuple[str, str]], band: str) -> tuple[list[int], list[int]]:
    """Which scenes are compared, and the side of each."""
    sides = [known_side(label, band) for _, label in found]
    kept = []
    for n, ((corpus, _), side) in enumerate(zip(found, sides, strict=True)):
        same = [other for (c, _), other in zip(found, sides, strict=True) if c == corpus]
        if side and 2 * same.count(side) <= len(same):
            kept.append(n)
    return kept, [sides[n] or 0 for n in kept]


def _above(levels: Sequence[float | None], found: Sequence[tuple[str, str]], n: int) -> float | None:
    """The mean level of a scene less the median of those of its corpus."""
    level = levels[n]
    others = [x for x, (corpus, _) in zip(levels, found, strict=True) if corpus == found[n][0] and x is not None]
    return None if level is None else level - float(np.median(others))


def _result(
    parts: Mapping[str, tuple[Mapping[str, Sequence[float | None]], Sequence[int]]], labels: Sequence[str], seed: int
) -> dict[str, Any]:
    values: dict[str, dict[str, list[float]]] = {}
    measured: dict[str, Any] = {"n": {}}
    rights: dict[str, list[float]] = {}
    for kind, (contrasts, sides) in parts.items():
        truth = contrasts["measured"]
        seen = [n for n, value in enumerate(truth) if value is not None]
        measured["n"][kind] = len(seen)
        if seen:
            measured[kind] = asdict(summarise(_right([truth[n] for n in seen], [sides[n] for n in seen]), seed))
        for name, found in contrasts.items():
            if name != "measured" and sides:
                values.setdefault(name, {})[kind] = _right(found, sides)
                agree = [float((found[n] or 0) * (truth[n] or 0) > 0) for n in seen]
                values[name].setdefault("as_measured", []).extend(agree)
                rights.setdefault(name, []).extend(values[name][kind])
    for of in values.values():
        if not of["as_measured"]:
            del of["as_measured"]
    both = [side for _, sides in parts.values() for side in sides]
    classes = {label: _of_class(label, labels, both, rights) for label in sorted(set(labels))}
    counts = {kind: len(sides) for kind, (_, sides) in parts.items()}
    return {"n": counts, "classes": classes, **table(values, seed), "measured": measured}


def _of_class(
    label: str, labels: Sequence[str], sides: Sequence[int], rights: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    of = [n for n, other in enumerate(labels) if other == label]
    shares = {name: float(np.mean([found[n] for n in of])) for name, found in rights.items()}
    return {"n": len(of), "side": "dark" if sides[of[0]] == DARK else "bright", "shares": shares}


def _right(contrasts: Sequence[float | None], sides: Sequence[int]) -> list[float]:
    return [float((contrast or 0) * side > 0) for contrast, side in zip(contrasts, sides, strict=True)]
