import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import from_origin

from fusionrs_builder.corpora import raster
from fusionrs_builder.corpora.clouds import clouded
from fusionrs_builder.corpora.reader import Refused, Sample, Window

REFLECTANCE = (0.0000275, -0.2)
KELVIN = (0.00341802, 149.0)

pytestmark = pytest.mark.filterwarnings(
    "ignore::rasterio.errors.NotGeoreferencedWarning", "ignore::rasterio.errors.NodataShadowWarning"
)


def write(
    path: Path, values: np.ndarray, pixel: float = 10.0, crs: str | None = "EPSG:32614",
    scale: tuple[float, float] = (1.0, 0.0), origin: tuple[float, float] = (500_000, 4_000_000), **keys: Any,
) -> Path:  # fmt: skip
    """A raster of bands [N, H, W], or of one band [H, W]."""
    values = values if values.ndim == 3 else values[None]
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=count, dtype=values.dtype, crs=crs,
        transform=from_origin(*origin, pixel, pixel) if crs else rasterio.Affine.identity(), **keys,
    ) as sink:  # fmt: skip
        sink.write(values)
        sink.scales, sink.offsets = [scale[0]] * count, [scale[1]] * count
    return path


def steps(side: int, dtype: str = "uint16") -> np.ndarray:
    """A ramp of 100 a pixel of the finest grid of 24, whatever the side: bilinear resampling restores it."""
    ramp = (np.arange(side) + 0.5) * (24 / side) * 100 + 1000
    return np.broadcast_to(ramp, (side, side)).astype(dtype)


def scene(root: Path, nir: int = 24, **keys: Any) -> raster.Bands:
    """Four files of 24 px of 10 m but the infrared, which covers the same ground with another number of pixels."""
    names = {"red": 24, "green": 24, "blue": 24, "nir": nir}
    return {
        name: (write(root / f"{name}.tif", steps(side), pixel=240 / side, **keys), 1) for name, side in names.items()
    }


def sampled(bands: raster.Bands, window: Window | None = None, infrared: str = "nir", mask: str = "") -> Sample:
    return raster.sample(bands, window, infrared, "S", mask)


def refused(bands: raster.Bands, window: Window | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        sampled(bands, window)
    return caught.value


def test_landsat_level_2_becomes_reflectance_and_kelvin(tmp_path: Path) -> None:
    dn = np.full((20, 20), 20_000, "uint16")
    bands = {
        name: (write(tmp_path / f"{name}.tif", dn, scale=REFLECTANCE, nodata=0), 1) for name in ("red", "green", "blue")
    }
    thermal = np.full((20, 20), 44_177, "uint16")
    thermal[:4] = 0
    bands["lwir"] = (write(tmp_path / "st.tif", thermal, scale=KELVIN, nodata=0), 1)
    sample = sampled(bands, infrared="lwir")
    assert sample.rgb.dtype == sample.ir.dtype == np.float32
    assert sample.rgb[5, 5] == pytest.approx([0.35, 0.35, 0.35])
    assert sample.ir[5, 5] == pytest.approx(44_177 * 0.00341802 + 149.0, abs=1e-3)  # 300.0 K
    assert sample.ir_raw.dtype == np.uint16 and (sample.ir_raw == thermal).all()
    assert sample.scale == {"visible": pytest.approx(REFLECTANCE), "lwir": pytest.approx(KELVIN)}
    assert sample.valid is not None and not sample.valid[:4].any() and sample.valid[4:].all()
    thin = raster.thumbnail(bands)
    assert thin["lwir"].min() == pytest.approx(300.0, abs=0.01), "the stretch is found on kelvin"
    assert thin["red"].max() == pytest.approx(0.35)


def test_raw_numbers_without_a_scale_stay_as_they_are(tmp_path: Path) -> None:
    sample = sampled(scene(tmp_path))
    assert (sample.rgb.dtype, sample.ir.dtype, sample.ir_raw, sample.scale) == (np.uint16, np.uint16, None, {})


def test_scales_that_differ_among_the_visible_bands(tmp_path: Path) -> None:
    bands = dict(scene(tmp_path))
    bands["red"] = (write(tmp_path / "other.tif", steps(24), scale=(0.5, 0.0)), 1)
    sample = sampled(bands)
    assert "visible" not in sample.scale
    assert np.allclose(sample.rgb[..., 0] * 2, sample.rgb[..., 1])


@pytest.mark.parametrize("side", [12, 4, 48])
def test_coarser_and_finer_bands_come_to_the_grid_of_the_visible(tmp_path: Path, side: int) -> None:
    bands = scene(tmp_path, nir=side)
    assert raster.size(bands) == (24, 24)
    sample = sampled(bands)
    assert sample.ir.shape == (24, 24)
    inner = slice(24 // side + 1, -(24 // side) - 1)
    assert np.allclose(sample.ir[:, inner], steps(24)[:, inner], atol=60), "bilinear: a ramp stays a ramp"
    assert sample.gsd_m == 10.0
    tile = sampled(bands, (6, 12, 8, 8))
    assert np.allclose(tile.ir[:, 2:-2], steps(24)[12:20, 8:12], atol=101), "and lies where it lay"


def test_a_finer_infrared_alone_keeps_its_own_grid(tmp_path: Path) -> None:
    bands = {"nir": (write(tmp_path / "n.tif", steps(24)), 1)}
    assert sampled(bands).ir.shape == (24, 24)


def test_other_footprints_are_refused(tmp_path: Path) -> None:
    for name, keys in {"shifted": {"origin": (500_020, 4_000_000)}, "zone": {"crs": "EPSG:32615"}}.items():
        bands = dict(scene(tmp_path))
        bands["nir"] = (write(tmp_path / f"{name}.tif", steps(24), **keys), 1)
        assert refused(bands).reason == "unequal_bands", name
    assert "2.0 pixels apart" in str(refused({**bands, "nir": (tmp_path / "shifted.tif", 1)}))
    bands["nir"] = (write(tmp_path / "half.tif", steps(24), origin=(500_005, 4_000_005)), 1)
    assert sampled(bands).ir is not None, "half a pixel is Landsat's own grid"


def test_without_georeference_bands_must_be_of_one_size(tmp_path: Path) -> None:
    sample = sampled(scene(tmp_path, crs=None))
    assert (sample.crs, sample.bbox, sample.gsd_m) == (None, None, None)
    assert refused(scene(tmp_path, nir=12, crs=None)).reason == "unequal_bands"


def test_a_crs_that_is_known_to_no_one_is_refused(tmp_path: Path) -> None:
    local = 'LOCAL_CS["site grid",UNIT["metre",1]]'
    error = refused({name: (path, 1) for name, (path, _) in scene(tmp_path, crs=local).items()})
    assert error.reason == "unknown_crs"
    assert "site grid" in str(error) and "EPSG:CODE" in str(error)


def test_an_epsg_code_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    bands = {name: (write(tmp_path / f"{name}.tif", steps(24)), 1) for name in ("red", "green", "blue", "nir")}
    for path, _ in bands.values():
        data = path.read_bytes()
        key = struct.pack("<HHHH", 3072, 0, 1, 32614)
        assert key in data
        path.write_bytes(data.replace(key, struct.pack("<HHHH", 3072, 0, 1, 29_999)))
    assert refused(bands).reason == "unknown_crs"


def test_an_8_bit_shadow_is_not_without_data(tmp_path: Path) -> None:
    values = np.full((4, 20, 20), 90, "uint8")
    values[2:, 3] = 0  # blue and infrared of a shadow
    values[:, 5] = 0
    for keys in ({"nodata": 0}, {"alpha": "unspecified"}, {"alpha": "yes"}):
        path = write(tmp_path / "a.tif", values, **keys)
        sample = sampled({name: (path, n) for n, name in enumerate(("red", "green", "blue", "nir"), 1)})
        assert sample.valid is not None
        assert sample.valid[3].all() and not sample.valid[5].any(), keys


def test_an_infrared_band_that_is_called_alpha_masks_nothing(tmp_path: Path) -> None:
    values = np.full((4, 20, 20), 900, "uint16")
    values[3, 3] = 0
    path = write(tmp_path / "a.tif", values, alpha="yes", photometric="rgb")
    bands = {name: (path, n) for n, name in enumerate(("red", "green", "blue", "nir"), 1)}
    assert sampled(bands).valid is None


def test_a_deep_band_without_data_makes_the_pixel_so(tmp_path: Path) -> None:
    values = np.full((4, 20, 20), 900, "uint16")
    values[3, 3] = 0
    path = write(tmp_path / "a.tif", values, nodata=0)
    sample = sampled({name: (path, n) for n, name in enumerate(("red", "green", "blue", "nir"), 1)})
    assert sample.valid is not None and not sample.valid[3].any() and sample.valid.mean() == 0.95


@pytest.mark.parametrize(
    ("mask", "clear", "cloudy"),
    [
        ("landsat-qa", (21_824 & ~1, 0b10000000, 1 << 5, 1 << 6), (1, 2, 4, 8, 16, 22_280)),
        ("sentinel2-scl", (0, 1, 2, 4, 5, 6, 7, 11), (3, 8, 9, 10)),
    ],
)
def test_what_counts_as_cloud(mask: str, clear: tuple[int, ...], cloudy: tuple[int, ...]) -> None:
    assert not clouded(np.array([clear], "uint16"), mask).any()
    assert clouded(np.array([cloudy], "uint16"), mask).all()


def test_a_coarser_cloud_mask_is_not_blended(tmp_path: Path) -> None:
    bands = dict(scene(tmp_path))
    classes = np.array([[4, 9], [3, 11]], "uint8")
    bands["cloud"] = (write(tmp_path / "scl.tif", classes, pixel=120.0), 1)
    sample = sampled(bands, mask="sentinel2-scl")
    expected = np.kron([[0, 1], [1, 0]], np.ones((12, 12))).astype(bool)
    assert (sample.cloud == expected).all(), "no class between 3 and 11 was made"
    assert sample.valid is None
    assert sampled(bands).cloud is None, "without cloud_mask nobody looks"
    assert "cloud" not in raster.thumbnail(bands)


def test_the_file_says_when(tmp_path: Path) -> None:
    bands = scene(tmp_path)
    with rasterio.open(bands["red"][0], "r+") as sink:
        sink.update_tags(ACQUIRED="2021-06-01T10:00:00Z")
    assert sampled(bands).acquired == "2021-06-01T10:00:00Z"


@given(st.integers(0, 65_535), st.sampled_from([REFLECTANCE, KELVIN, (0.0001, -0.1), (1.0, 0.0)]))
def test_physical_values_lead_back_to_the_sensors_integers(dn: int, scale: tuple[float, float]) -> None:
    value = raster.to_physical(np.array([dn], "uint16"), scale)
    assert round((float(value[0]) - scale[1]) / scale[0]) == dn


def test_complex_numbers_have_no_stretch(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.ones((8, 8), np.complex64))
    assert raster.thumbnail({"nir": (path, 1)}) == {}
