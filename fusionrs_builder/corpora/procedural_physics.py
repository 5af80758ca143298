"""What the ground of a procedural scene is made of, and how sensors see it.

Reflectances are rounded band means of like materials in the ECOSTRESS spectral library (Meerdink et al. 2019, Remote
Sensing of Environment 230) at 0.66, 0.56, 0.48 and 0.84 um; emissivities are its 10-12 um means, vegetation and water
as in Snyder et al. 1998 (International Journal of Remote Sensing 19). Temperatures are of a clear mid-latitude summer
day at noon and two hours before sunrise, after the diurnal curves in Oke 1987 (Boundary Layer Climates): ground that
stores little heat (roofs, grass) is warmest by day and coolest by night, water the other way round.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Cover(IntEnum):
    """Classes of a cover map."""

    WATER = 0
    GRASS = 1
    CROP = 2
    FOREST = 3
    SOIL = 4
    ROAD = 5
    ROOF = 6
    VEHICLE = 7
    PERSON = 8


# material: class, reflectance (red, green, blue, NIR; 0..1), emissivity, kinetic temperature by day and by night (K),
# roughness (relative deviation of reflectance, 0..1), height (m)
_TABLE = {
    "water": (Cover.WATER, 0.030, 0.045, 0.050, 0.020, 0.985, 293.0, 291.0, 0.02, 0.0),
    "grass": (Cover.GRASS, 0.070, 0.110, 0.050, 0.420, 0.975, 303.0, 280.0, 0.10, 0.0),
    "crop": (Cover.CROP, 0.045, 0.085, 0.035, 0.500, 0.975, 300.0, 281.0, 0.06, 0.0),
    "forest": (Cover.FOREST, 0.028, 0.052, 0.024, 0.400, 0.980, 298.0, 284.0, 0.10, 6.0),
    "soil": (Cover.SOIL, 0.230, 0.170, 0.120, 0.300, 0.950, 313.0, 282.0, 0.08, 0.0),
    "asphalt": (Cover.ROAD, 0.130, 0.125, 0.120, 0.150, 0.950, 317.0, 286.0, 0.04, 0.0),
    "tile": (Cover.ROOF, 0.300, 0.150, 0.100, 0.360, 0.930, 322.0, 279.0, 0.04, 6.0),
    "shingle": (Cover.ROOF, 0.090, 0.090, 0.095, 0.120, 0.930, 324.0, 279.0, 0.04, 6.0),
    "concrete": (Cover.ROOF, 0.380, 0.360, 0.330, 0.420, 0.940, 320.0, 280.0, 0.03, 6.0),
    "car-white": (Cover.VEHICLE, 0.550, 0.550, 0.550, 0.520, 0.900, 320.0, 282.0, 0.01, 1.5),
    "car-dark": (Cover.VEHICLE, 0.030, 0.030, 0.035, 0.040, 0.900, 326.0, 282.0, 0.01, 1.5),
    "car-red": (Cover.VEHICLE, 0.280, 0.040, 0.035, 0.330, 0.900, 324.0, 282.0, 0.01, 1.5),
    "car-silver": (Cover.VEHICLE, 0.300, 0.310, 0.320, 0.300, 0.900, 322.0, 282.0, 0.01, 1.5),
    "person": (Cover.PERSON, 0.180, 0.140, 0.140, 0.350, 0.980, 306.0, 303.0, 0.01, 1.5),
}

MATERIALS = {name: np.uint8(index) for index, name in enumerate(_TABLE)}
"""Index of each material in the arrays below and in a material map."""

CLASS_OF: Bytes = np.array([row[0] for row in _TABLE.values()], np.uint8)
SPECTRA: Floats = np.array([row[1:5] for row in _TABLE.values()], np.float32).T.copy()
EMISSIVITY, DAY_K, NIGHT_K, ROUGHNESS, HEIGHT_M = np.array([row[5:] for row in _TABLE.values()], np.float32).T.copy()

BANDS = ("red", "green", "blue", "nir")
"""Order of the spectra and of the bands of an image."""

DIFFUSE: Floats = np.array([0.16, 0.19, 0.26, 0.09], np.float32)
"""Share of skylight in daylight by band: what still reaches a shadow. Rayleigh scattering makes it blue."""

SUN = (-0.6, -0.8)
"""Direction towards the sun in the image, unit vector (x, y), y down; 45 degrees high: shadows are as long as high."""

SKY_K: Floats = np.array([255, 240], np.float32)
"""Temperature of a clear sky at 10.8 um by day and by night, kelvin."""

SUN_SHARE = np.float32(0.3)
"""Share of a material's day-night difference that vanishes in the shade at noon."""

NETD_K = np.float32(0.05)
"""Noise of an uncooled thermal camera, kelvin; 8-bit bands have noise of `NOISE` steps."""
NOISE = np.float32(0.8)

C2_OVER_WAVELENGTH = np.float32(14387.77 / 10.8)
"""Second radiation constant (um K) over the wavelength of the thermal band (um): kelvin."""

FULL_REFLECTANCE = np.float32(0.6)
"""Reflectance at which an 8-bit value is 255."""

LOW_K, STEP_K = np.float32(268), np.float32(0.25)
"""The fixed white-hot stretch, kelvin: brightness temperature at 8-bit 0, and per step (255 is 331.75 K)."""


def planck(kelvin: Floats) -> Floats:
    """Spectral radiance of a black body at 10.8 um, in units of 2hc^2/wavelength^5."""
    return np.asarray(1 / np.expm1(C2_OVER_WAVELENGTH / kelvin), np.float32)


def brightness_temperature(radiance: Floats) -> Floats:
    """Temperature (kelvin) of the black body of this radiance; the inverse of `planck`."""
    return np.asarray(C2_OVER_WAVELENGTH / np.log1p(1 / radiance), np.float32)


def tone(reflectance: Floats) -> Floats:
    """Unrounded 8-bit value of a reflectance: 255 * sqrt(reflectance / 0.6), the same curve in all four bands."""
    return np.asarray(np.sqrt(reflectance / FULL_REFLECTANCE) * 255, np.float32)


def to_reflectance(values: Bytes) -> Floats:
    """The inverse of `tone`: float32, 0..0.6."""
    return np.asarray((values.astype(np.float32) / 255) ** 2 * FULL_REFLECTANCE, np.float32)


def white_hot(kelvin: Floats) -> Bytes:
    """8-bit value of a brightness temperature: (kelvin - 268) / 0.25, rounded and clipped to 0..255."""
    return _rounded((kelvin - LOW_K) / STEP_K)


def from_white_hot(values: Bytes) -> Floats:
    """The inverse of `white_hot`: float32 kelvin, 268..331.75."""
    return values.astype(np.float32) * STEP_K + LOW_K


def _rounded(values: Floats) -> Bytes:
    return np.asarray(np.clip(values + np.float32(0.5), 0, 255), np.uint8)


def sense(
    material: Bytes, bare: Floats, light: Floats, heat: Floats, gsd_m: float, night: bool, rng: np.random.Generator
) -> tuple[Bytes, Floats]:
    """What the cameras record.

    Args:
        material: uint8 [H, W], indices of `MATERIALS`.
        bare: float32 [H, W], share of bare soil between grass and crop, 0..1; other materials have none.
        light: float32 [H, W], direct sunlight on the surface, 1 on flat ground; cast shadows are added here.
        heat: float32 [H, W], kelvin above the material's temperature, by day and night.
        gsd_m: metres per pixel.
        night: whether the thermal camera looks by night.
        rng: of texture and noise.

    Returns:
        uint8 [4, H, W] (red, green, blue, NIR by daylight) and float32 [H, W] (brightness temperature, kelvin).
    """
    mottle = noise(rng, material.shape, 12 / gsd_m)
    grain = noise(rng, material.shape, 1 / gsd_m)
    forest = material == MATERIALS["forest"]
    crowns = noise(rng, material.shape, 6 / gsd_m)
    slope_y, slope_x = np.gradient(crowns)
    relief = np.float32(-2 / gsd_m) * (np.float32(SUN[0]) * slope_x + np.float32(SUN[1]) * slope_y)
    light = np.where(forest, np.clip(1 + np.float32(0.5) * relief, 0.3, 1.4), light)
    light[_shadows(material, gsd_m)] *= np.float32(0.15)
    texture = ROUGHNESS[material] * (np.float32(0.7) * mottle + np.float32(0.7) * grain)
    soil = MATERIALS["soil"]
    bare = np.where((material == MATERIALS["grass"]) | (material == MATERIALS["crop"]), bare, np.float32(0))

    bands = np.empty((4, *material.shape), np.uint8)
    for band, (spectrum, diffuse) in enumerate(zip(SPECTRA, DIFFUSE, strict=True)):
        albedo = spectrum[material]
        albedo += bare * (spectrum[soil] - albedo)
        seen = _blurred(albedo * np.maximum(1 + texture, np.float32(0.3)) * (diffuse + (1 - diffuse) * light))
        bands[band] = _rounded(tone(seen) + NOISE * rng.standard_normal(material.shape, np.float32))

    usual = NIGHT_K if night else DAY_K
    kelvin = usual[material]
    kelvin += bare * (usual[soil] - kelvin) + heat + 8 * texture
    if not night:
        kelvin += (light - 1) * (SUN_SHARE * (DAY_K - NIGHT_K))[material]
    emissivity = EMISSIVITY[material]
    radiance = emissivity * planck(kelvin) + (1 - emissivity) * planck(SKY_K[int(night)])
    seen = brightness_temperature(_blurred(radiance))
    return bands, seen + NETD_K * rng.standard_normal(material.shape, np.float32)


def _blurred(field: Floats) -> Floats:
    """The optics: a 3x3 binomial blur of a field [H, W]; the outermost pixels blur along the edge only."""
    quarter, half = np.float32(0.25), np.float32(0.5)
    tall = field.copy()
    tall[1:-1] = quarter * (field[:-2] + field[2:]) + half * field[1:-1]
    wide = tall.copy()
    wide[:, 1:-1] = quarter * (tall[:, :-2] + tall[:, 2:]) + half * tall[:, 1:-1]
    return wide


def _shadows(material: Bytes, gsd_m: float) -> Mask:
    """Bool [H, W]: in the shadow of something taller than what stands there."""
    rows, columns = material.shape
    shadow = np.zeros(material.shape, bool)
    for height in np.unique(HEIGHT_M[HEIGHT_M > 0]):
        tall = (height == HEIGHT_M)[material]
        lower = (height > HEIGHT_M)[material]
        cast = np.zeros_like(tall)
        for step in range(1, round(float(height) / gsd_m) + 1):
            right, down = round(-SUN[0] * step), round(-SUN[1] * step)
            cast[down:, right:] |= tall[: max(0, rows - down), : max(0, columns - right)]
        shadow |= cast & lower
    return shadow


def noise(rng: np.random.Generator, shape: tuple[int, ...], length_px: float) -> Floats:
    """Smooth Gaussian noise of zero mean and unit deviation.

    White noise under a Gaussian filter in the frequency domain, on a grid as coarse as the features allow, with a
    margin that hides that it is periodic.

    Args:
        rng: of the white noise.
        shape: height and width, pixels.
        length_px: width of the features, pixels.

    Returns:
        float32 [H, W].
    """
    step = max(1, int(length_px / 6))
    sigma = length_px / 4 / step
    if sigma < 0.4:
        return rng.standard_normal(shape, np.float32)
    rows, columns = ((-(-side // step) + int(4 * sigma) + 16) // 16 * 16 for side in shape)
    fy, fx = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)
    spectrum = rng.standard_normal((rows, 2 * len(fx)), np.float32).view(np.complex64)
    low_pass_y, low_pass_x = (np.exp(-2 * (np.pi * sigma * f) ** 2).astype(np.float32) for f in (fy, fx))
    spectrum *= low_pass_y * low_pass_x
    spectrum[0, 0] = 0
    field: Floats = np.fft.irfft2(spectrum, (rows, columns)).astype(np.float32)
    field /= field.std()
    if step == 1:
        return field[: shape[0], : shape[1]]
    box = (0.5, 0.5, 0.5 + shape[1] / step, 0.5 + shape[0] / step)
    return np.array(Image.fromarray(field).resize((shape[1], shape[0]), Image.Resampling.BICUBIC, box))
