"""The layout of a procedural scene: which material lies where, and where the buildings, vehicles and people are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionrs_builder.corpora.procedural_physics import MATERIALS, SUN, Floats, Mask, noise

MIN_OBJECT_PIXELS = 4
"""Objects with fewer visible pixels are not drawn."""

PERSON_GSD_M = 0.3
"""People are drawn where pixels are at most this large, metres."""

ENGINE_K = np.float32(12)
"""Kelvin by which a running engine warms the bonnet above the paint."""


@dataclass(frozen=True)
class Theme:
    """What a kind of landscape is made of.

    Attributes:
        trees: share of the ground under trees, 0..1.
        tree_patch_m: size of a clump of trees, metres.
        parcels: shares of crop, grass and bare soil among the parcels; they sum to 1.
        river: chance of a river.
        river_share: its width as a share of the scene's longer side.
        streets: chance that a boundary between rows of parcels is a road.
        houses: chance that a building stands on a plot along a road.
        town: city blocks instead of fields.
    """

    trees: float
    tree_patch_m: float
    parcels: tuple[float, float, float]
    river: float
    river_share: float
    streets: float
    houses: float
    town: bool = False


THEMES = {
    "AnnualCrop": Theme(0.08, 60, (0.72, 0.12, 0.16), 0.15, 0.05, 0.4, 0.10),
    "Forest": Theme(0.78, 60, (0.30, 0.65, 0.05), 0.20, 0.05, 0.35, 0.04),
    "Pasture": Theme(0.12, 40, (0.06, 0.90, 0.04), 0.20, 0.05, 0.4, 0.10),
    "Residential": Theme(0.20, 12, (0.00, 0.95, 0.05), 0.10, 0.07, 1.0, 0.9, town=True),
    "River": Theme(0.25, 50, (0.40, 0.50, 0.10), 1.00, 0.25, 0.3, 0.08),
}
"""Landscapes, by their EuroSAT class name."""


@dataclass(frozen=True)
class SceneObject:
    """One building, vehicle or person.

    Attributes:
        label: `building`, `vehicle` or `person`.
        box: x0, y0, x1, y1 in pixels; tight around the object's pixels, x1 and y1 exclusive.
        polygon: corners (x, y) of the outline in pixels, cut at the scene's edge.
    """

    label: str
    box: tuple[int, int, int, int]
    polygon: tuple[tuple[float, float], ...]


class Ground:
    """Lays out a scene: material, bareness, light and heat of each pixel, and the objects.

    u and v are metres along and across the rows of parcels, from the scene's centre.
    """

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int], gsd_m: float, theme: Theme) -> None:
        self.rng, self.shape, self.gsd, self.theme = rng, shape, gsd_m, theme
        self.extent = max(shape) * gsd_m
        self.reach = 0.75 * self.extent  # more than half the diagonal
        self.angle = float(rng.uniform(0, np.pi))
        self.material = np.zeros(shape, np.uint8)
        self.bare = np.zeros(shape, np.float32)
        self.light = np.ones(shape, np.float32)
        self.heat = np.zeros(shape, np.float32)
        self.instances = np.zeros(shape, np.uint16)
        self.objects: list[SceneObject] = []
        self._land()
        self._build()
        self._drive()
        if gsd_m <= PERSON_GSD_M:
            self._walk()

    def _axes(self, angle: float) -> tuple[Floats, Floats]:
        """Metres along and across a direction, from the centre: two of float32 [H, W]."""
        y, x = ((np.arange(n) + (0.5 - n / 2)).astype(np.float32) * np.float32(self.gsd) for n in self.shape)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return x * cos + y[:, None] * sin, y[:, None] * cos - x * sin

    def _land(self) -> None:
        """Parcels, woods, a river, roads."""
        rng, theme = self.rng, self.theme
        u, v = self._axes(self.angle)
        field = float(np.clip(self.extent, 120, 500))
        low, high = (56.0, 70.0) if theme.town else (0.2 * field, 0.5 * field)
        depths = rng.uniform(low, high, int(2 * self.reach / low) + 3)
        edges = (np.cumsum(depths) - self.reach - depths[0] * (1 + rng.random())).astype(np.float32)
        rows = len(edges) - 1
        steps = np.arange(-self.reach, self.reach, self.gsd / 4)
        row = (np.searchsorted(edges, steps) - 1)[((v + self.reach) * (4 / self.gsd)).astype(np.int32)]
        pitch = rng.uniform(110, 200, rows) if theme.town else rng.uniform(0.2 * field, 0.6 * field, rows)
        pitch = pitch.astype(np.float32)
        along = u / pitch[row] + (rng.random(rows) + 100).astype(np.float32)[row]
        to_side = np.abs(along - np.rint(along)) * pitch[row]
        below, above = v - edges[row], edges[row + 1] - v

        parcel = (row * 37 + along.astype(np.int32)) % 97
        kinds = np.array([MATERIALS["crop"], MATERIALS["grass"], MATERIALS["soil"]])
        self.material = kinds[rng.choice(3, 97, p=theme.parcels)][parcel]
        self.bare = rng.uniform(0, 0.3, 97).astype(np.float32)[parcel]
        furrows = np.where((rng.random(97) < 0.5)[parcel], u, v) * np.float32(2 * np.pi / max(3, 4 * self.gsd))
        self.light += np.float32(0.07) * np.sin(furrows) * (self.material == MATERIALS["crop"])
        if not theme.town:
            self.material[(below < 1.5) | (to_side < 1)] = MATERIALS["grass"]

        wood = noise(rng, self.shape, min(theme.tree_patch_m, self.extent / 4) / self.gsd)
        wood += np.float32(0.2) * noise(rng, self.shape, 6 / self.gsd)
        self.material[wood > np.quantile(wood[::4, ::4], 1 - theme.trees)] = MATERIALS["forest"]
        if rng.random() < theme.river:
            self._river()

        paved = rng.random(len(edges)) < theme.streets
        half = np.where(paved, rng.uniform(3.0, 4.5, len(edges)), -1).astype(np.float32)
        road = (below < half[row]) | (above < half[row + 1])
        if theme.town:
            road |= to_side < 3
        self.material[road] = MATERIALS["asphalt"]
        self.light[road] = 1
        self.roads = [(float(at), float(width)) for at, width in zip(edges, half, strict=True) if width > 0]

    def _river(self) -> None:
        """Water along a sum of two sine waves, with banks of soil and grass."""
        s, t = self._axes(float(self.rng.uniform(0, np.pi)))
        half = self.theme.river_share * self.extent / 2 * self.rng.uniform(0.85, 1.25)
        course: Any = np.float32(self.rng.uniform(-0.12, 0.12) * self.extent)
        slope: Any = np.float32(0)
        for wave in self.extent * self.rng.uniform((0.9, 0.4), (1.6, 0.6)):
            phase = s * np.float32(2 * np.pi / wave) + np.float32(self.rng.uniform(0, 2 * np.pi))
            course = course + np.float32(0.05 * wave) * np.sin(phase)
            slope = slope + np.float32(0.1 * np.pi) * np.cos(phase)
        bank = np.float32(0.1 * half) * noise(self.rng, self.shape, max(6, half / self.gsd))
        inside = np.float32(half) + bank - np.abs(t - course) / np.sqrt(1 + slope**2)
        for margin, name in ((0.12 * half + 2, "grass"), (0.03 * half + 0.5, "soil"), (0, "water")):
            here = inside > -margin
            self.material[here] = MATERIALS[name]
            self.light[here] = 1

    def _build(self) -> None:
        """Buildings in plots on both sides of each road."""
        roofs = ("tile", "shingle", "concrete")
        for v, half in self.roads:
            for side in (-1, 1):
                plots = np.arange(-self.reach, self.reach, 18)
                for u, draw in zip(plots, self.rng.random((len(plots), 6)), strict=True):
                    if draw[0] > self.theme.houses:
                        continue
                    barn = draw[1] < 0.05
                    length = 26 + 8 * draw[2] if barn else 9 + 4 * draw[2]
                    width = 11 if barn else 7.5 + 2 * draw[3]
                    at = v + side * (half + 4 + width / 2 + 4 * draw[4])
                    turn = 0.15 * (draw[5] - 0.5) + (np.pi / 2 if draw[5] < 0.2 and not barn else 0)
                    self._place("building", (u + 3 * draw[4], at), (length, width), turn, roofs[int(3 * draw[5])])

    def _drive(self) -> None:
        """Vehicles in both lanes of each road."""
        paints = ("car-white", "car-dark", "car-red", "car-silver")
        for v, half in self.roads:
            for lane in (-1, 1):
                slots = np.arange(-self.reach, self.reach, 12)
                for u, draw in zip(slots, self.rng.random((len(slots), 4)), strict=True):
                    if draw[0] < 0.22:
                        size = (9.0, 2.5) if draw[1] < 0.1 else (4.3 + 0.5 * draw[1], 1.9)
                        turn = np.pi if lane < 0 else 0
                        self._place(
                            "vehicle", (u + 2 * draw[2], v + lane * half / 2), size, turn, paints[int(4 * draw[3])]
                        )

    def _walk(self) -> None:
        """People on open ground and roads."""
        for u, v, turn in self.rng.uniform(-0.5, 0.5, (int(self.rng.integers(3, 12)), 3)):
            self._place("person", (u * self.extent, v * self.extent), (0.7, 0.55), 6 * turn, "person")

    def _place(
        self, label: str, centre: tuple[float, float], size: tuple[float, float], turn: float, material: str
    ) -> None:
        """Draw one object where enough of it is in sight and it stands on its own kind of ground only.

        Args:
            label: of the object; decides the ground it may stand on.
            centre: u and v, metres.
            size: length and width, metres.
            turn: of the length from the u axis, radians.
            material: of its surface.
        """
        rows, columns = self.shape
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        x = (centre[0] * cos - centre[1] * sin) / self.gsd + columns / 2
        y = (centre[0] * sin + centre[1] * cos) / self.gsd + rows / 2
        half_l, half_w = size[0] / 2 / self.gsd, size[1] / 2 / self.gsd
        if abs(x - columns / 2) > columns / 2 + half_l + half_w or abs(y - rows / 2) > rows / 2 + half_l + half_w:
            return
        cos, sin = math.cos(self.angle + turn), math.sin(self.angle + turn)
        corners = [
            (x + a * half_l * cos - b * half_w * sin, y + a * half_l * sin + b * half_w * cos)
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
        outline = clip(corners, (0, 0, columns, rows))
        if not outline:
            return
        x0, y0 = (math.floor(min(at)) for at in zip(*outline, strict=True))
        x1, y1 = (math.ceil(max(at)) for at in zip(*outline, strict=True))
        dx, dy = np.arange(x0, x1) + (0.5 - x), (np.arange(y0, y1) + (0.5 - y))[:, None]
        along, across = dx * (cos / half_l) + dy * (sin / half_l), dy * (cos / half_w) - dx * (sin / half_w)
        inside = np.nonzero((np.abs(along) < 1) & (np.abs(across) < 1))
        ys, xs = inside[0] + y0, inside[1] + x0
        if len(ys) < MIN_OBJECT_PIXELS or not _STANDS_ON[label][self.material[ys, xs]].all():
            return
        self.material[ys, xs] = MATERIALS[material]
        self.instances[ys, xs] = len(self.objects) + 1
        light: Any = 1.0
        if label == "building" and material != "concrete":
            # A gable roof along its length: the side that faces the sun is the brighter one.
            light = 1 + 0.3 * (SUN[1] * cos - SUN[0] * sin) * np.sign(across[inside])
        elif label == "vehicle":
            place = along[inside]
            light = np.where(np.abs(place - 0.2) < 0.15, 0.5, 1)  # the windscreen
            self.heat[ys, xs] = np.where(place > 0.3, ENGINE_K * (self.rng.random() < 0.7), 0)
        self.light[ys, xs] = light
        box = (int(xs.min()), int(ys[0]), int(xs.max()) + 1, int(ys[-1]) + 1)
        self.objects.append(SceneObject(label, box, outline))


def _grounds(*names: str) -> Mask:
    return np.array([name in names for name in MATERIALS])


_STANDS_ON = {
    "building": _grounds("grass", "soil", "crop", "forest"),
    "vehicle": _grounds("asphalt"),
    "person": _grounds("grass", "soil", "asphalt"),
}


def clip(
    polygon: Sequence[tuple[float, float]], box: tuple[float, float, float, float]
) -> tuple[tuple[float, float], ...]:
    """The part of a convex polygon inside x0, y0, x1, y1 (Sutherland-Hodgman); empty when it lies outside."""
    points = list(polygon)
    if all(box[0] <= x <= box[2] and box[1] <= y <= box[3] for x, y in points):
        return tuple(points)
    for axis, bound, sign in ((0, box[0], 1), (0, box[2], -1), (1, box[1], 1), (1, box[3], -1)):
        kept: list[tuple[float, float]] = []
        for before, point in zip(points[-1:] + points[:-1], points, strict=True):
            was_in, is_in = (sign * (p[axis] - bound) >= 0 for p in (before, point))
            if was_in != is_in:
                share = (bound - before[axis]) / (point[axis] - before[axis])
                across = before[1 - axis] + share * (point[1 - axis] - before[1 - axis])
                kept.append((across, bound) if axis else (bound, across))
            if is_in:
                kept.append(point)
        points = kept
    return tuple(dict.fromkeys(points))
