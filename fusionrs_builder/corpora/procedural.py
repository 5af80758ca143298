"""Overhead scenes drawn from physics: land cover, roads, buildings and vehicles with exactly known truth.

How it works: a layout in metres (rows of parcels or city blocks, smooth noise for woods, curves for rivers) becomes a
map of materials (`procedural_ground.py`). Each material has a spectrum and a temperature (`procedural_physics.py`), so
red, green, blue, near infrared and thermal infrared of a pixel follow from the same ground. `procedural_files.py`
writes scenes as corpora.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.corpora.procedural_ground import THEMES, Ground, SceneObject
from fusionrs_builder.corpora.procedural_physics import CLASS_OF, Bytes, Cover, Floats, sense, white_hot


@dataclass(frozen=True, eq=False)
class Scene:
    """A rendered scene and its truth.

    Attributes:
        seed: as given to `render`, like `gsd_m` and `night`.
        gsd_m: metres per pixel.
        night: whether `kelvin` is of the night.
        label: the dominant land cover, a key of `THEMES` (see `dominant`).
        cover: uint8 [H, W], values of `Cover`.
        instances: uint16 [H, W]; 0 on the ground, n on the pixels of `objects[n - 1]`.
        rgb: uint8 [H, W, 3] by daylight; values as `procedural_physics.tone`.
        nir: uint8 [H, W] by daylight at 0.84 um; the same scale.
        kelvin: float32 [H, W], brightness temperature at 10.8 um.
        objects: buildings first, then vehicles, then people.
    """

    seed: int
    gsd_m: float
    night: bool
    label: str
    cover: Bytes
    instances: NDArray[np.uint16]
    rgb: Bytes
    nir: Bytes
    kelvin: Floats
    objects: tuple[SceneObject, ...]

    @property
    def lwir(self) -> Bytes:
        """uint8 [H, W], white-hot view of `kelvin` in the fixed stretch of `procedural_physics.white_hot`."""
        return white_hot(self.kelvin)


def shares(cover: Bytes) -> dict[str, float]:
    """Share of the pixels of a cover map [H, W] under each class, 0..1."""
    counts = np.bincount(cover.ravel(), minlength=len(Cover))
    return {item.name.lower(): float(counts[item] / cover.size) for item in Cover}


def dominant(cover: Bytes) -> str:
    """Label of a cover map: Residential from 8 % roofs, else River from 15 % water, else the widest land cover."""
    share = shares(cover)
    if share["roof"] >= 0.08:
        return "Residential"
    if share["water"] >= 0.15:
        return "River"
    land = {"Forest": share["forest"], "Pasture": share["grass"], "AnnualCrop": share["crop"] + share["soil"]}
    return max(land, key=lambda name: land[name])


def render(
    seed: int,
    size: int | tuple[int, int] = 256,
    gsd_m: float = 1.0,
    night: bool = False,
    theme: str | None = None,
) -> Scene:
    """Draw a scene; the same arguments give the same pixels.

    Args:
        seed: of every random choice.
        size: pixels a side, or (height, width).
        gsd_m: metres per pixel, 0.1 to 3; beyond, houses and roads are smaller than a pixel.
        night: thermal infrared two hours before sunrise instead of at noon. RGB and NIR are by day always.
        theme: landscape to draw, a key of `THEMES`; None draws lots. The label follows the pixels, not the theme.
    """
    rng = np.random.default_rng(seed)
    shape = (size, size) if isinstance(size, int) else size
    ground = Ground(rng, shape, gsd_m, THEMES[theme or str(rng.choice(list(THEMES)))])
    bands, kelvin = sense(ground.material, ground.bare, ground.light, ground.heat, gsd_m, night, rng)
    cover = CLASS_OF[ground.material]
    return Scene(
        seed=seed,
        gsd_m=gsd_m,
        night=night,
        label=dominant(cover),
        cover=cover,
        instances=ground.instances,
        rgb=np.ascontiguousarray(bands[:3].transpose(1, 2, 0)),
        nir=bands[3],
        kelvin=kelvin,
        objects=tuple(ground.objects),
    )
