"""Procedural scenes: their physics, their truth, and the files they are written to."""

import hashlib
import json
import math
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from fusionrs_builder.corpora import formats, procedural_files
from fusionrs_builder.corpora.harmonise import harmonise
from fusionrs_builder.corpora.procedural import dominant, render, shares
from fusionrs_builder.corpora.procedural_files import FLIGHT_EDGE, records, settings, write
from fusionrs_builder.corpora.procedural_ground import THEMES, clip
from fusionrs_builder.corpora.procedural_physics import (
    MATERIALS,
    Cover,
    brightness_temperature,
    from_white_hot,
    noise,
    planck,
    sense,
    to_reflectance,
    tone,
    white_hot,
)
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings

SCALE = 0.02
VEGETATION = (Cover.GRASS, Cover.CROP, Cover.FOREST)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("procedural") / "set"
    return folder, write(folder, seed=3, scale=SCALE)


def interior(cover, cls):
    """Pixels of a class whose eight neighbours are of the same class: no mixed pixels."""
    same = np.pad(cover == cls, 1)
    rows, columns = cover.shape
    return np.logical_and.reduce([same[y : y + rows, x : x + columns] for y in range(3) for x in range(3)])


def inside(polygon, rows, columns):
    """Bool [rows, columns]: pixel centres within a convex polygon, by the sign of cross products."""
    x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
    ends = [*polygon[1:], polygon[0]]
    crosses = [(bx - ax) * (y - ay) - (by - ay) * (x - ax) for (ax, ay), (bx, by) in zip(polygon, ends, strict=True)]
    return np.logical_or(np.all(np.array(crosses) > 0, 0), np.all(np.array(crosses) < 0, 0))


def digest(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# Scenes.


def test_the_seed_decides_every_pixel():
    one, again, other = render(5, 96), render(5, 96), render(6, 96)
    for name in ("cover", "instances", "rgb", "nir", "kelvin"):
        assert np.array_equal(getattr(one, name), getattr(again, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name)) or name == "instances"
    assert one.objects == again.objects


def test_shapes_and_types():
    scene = render(1, (64, 80), 0.5)
    assert scene.rgb.shape == (64, 80, 3)
    for name, dtype in (("cover", "uint8"), ("instances", "uint16"), ("nir", "uint8"), ("kelvin", "float32")):
        assert getattr(scene, name).shape == (64, 80)
        assert getattr(scene, name).dtype == dtype
    assert scene.lwir.dtype == scene.rgb.dtype == np.uint8


def test_night_changes_the_thermal_band_only():
    day, night = (render(2, 128, night=night, theme="River") for night in (False, True))
    assert np.array_equal(day.rgb, night.rgb)
    assert np.array_equal(day.nir, night.nir)
    assert np.array_equal(day.instances, night.instances)
    assert day.kelvin.mean() - night.kelvin.mean() > 5


@pytest.mark.parametrize("theme", THEMES)
def test_vegetation_is_bright_and_water_dark_in_nir(theme):
    seen = set()
    for seed in range(4):
        scene = render(seed, theme=theme)
        red, nir = to_reflectance(scene.rgb[..., 0]), to_reflectance(scene.nir)
        ndvi = (nir - red) / (nir + red)
        for cls in Cover:
            values = ndvi[interior(scene.cover, cls)]
            if len(values) > 50:
                seen.add(cls)
                if cls in VEGETATION:
                    assert (values > 0.4).mean() > 0.999
                elif cls is Cover.WATER:
                    assert (values < 0).mean() > 0.999
                else:
                    assert abs(values.mean()) < 0.4
    assert seen.intersection(VEGETATION)
    assert Cover.WATER in seen or theme != "River"


def mean_kelvin(night):
    """Mean brightness temperature by class over scenes of all themes, people included."""
    scenes = [render(seed, 256, gsd, night, theme) for theme in THEMES for seed, gsd in ((0, 0.5), (1, 0.2))]
    return {cls: np.concatenate([s.kelvin[s.cover == cls] for s in scenes]).mean() for cls in Cover}


def test_by_day_roofs_roads_and_vehicles_are_warm_and_water_is_cool():
    kelvin = mean_kelvin(night=False)
    cool = max(kelvin[cls] for cls in (*VEGETATION, Cover.WATER))
    assert min(kelvin[cls] for cls in (Cover.ROOF, Cover.ROAD, Cover.VEHICLE, Cover.SOIL)) > cool + 3
    assert min(kelvin, key=kelvin.get) is Cover.WATER


def test_by_night_water_is_warmer_than_land_and_people_are_warmest():
    kelvin = mean_kelvin(night=True)
    land = [cls for cls in Cover if cls not in (Cover.WATER, Cover.PERSON)]
    assert kelvin[Cover.WATER] > max(kelvin[cls] for cls in land) + 1
    assert kelvin[Cover.PERSON] > kelvin[Cover.WATER]
    assert min(kelvin, key=kelvin.get) is Cover.ROOF


def test_a_house_shades_the_ground_beyond_it_from_the_sun():
    material = np.full((40, 40), MATERIALS["grass"])
    material[15:20, 15:20] = MATERIALS["tile"]
    plain = np.zeros((40, 40), np.float32)
    bands, kelvin = sense(material, plain, plain + 1, plain, 1.0, False, np.random.default_rng(0))
    _, by_night = sense(material, plain, plain + 1, plain, 1.0, True, np.random.default_rng(0))
    shade, sun = (slice(21, 23), slice(19, 21)), (slice(10, 12), slice(10, 14))
    assert (bands[:, *shade].mean((1, 2)) < 0.75 * bands[:, *sun].mean((1, 2))).all()
    assert kelvin[sun].mean() - kelvin[shade].mean() > 3
    assert abs(by_night[sun].mean() - by_night[shade].mean()) < 1.5
    # Six metres high and a sun of 45 degrees: nothing is shaded nine metres away.
    assert bands[:, 28:32, 24:30].mean() > 0.9 * bands[:, *sun].mean()


@pytest.mark.parametrize("length", [1, 4, 20, 90])
def test_noise_is_normal_and_as_smooth_as_asked(length):
    field = noise(np.random.default_rng(0), (300, 200), length)
    assert (field.shape, field.dtype) == ((300, 200), np.float32)
    assert field.std() == pytest.approx(1, abs=0.5)
    neighbours = (field[1:] * field[:-1]).mean() / (field**2).mean()
    # Autocorrelation of white noise under a Gaussian of length / 4 pixels: exp(-1 / (2 length / 4)^2).
    assert neighbours == pytest.approx(math.exp(-4 / length**2) if length > 1 else 0, abs=0.05)


def test_planck_and_its_inverse():
    kelvin = np.array([250, 300, 350], np.float32)
    assert brightness_temperature(planck(kelvin)) == pytest.approx(kelvin, abs=1e-2)
    # c2 / wavelength = 1332.2 K, so 300 K gives 1 / (exp(4.4406) - 1).
    assert planck(np.float32([300]))[0] == pytest.approx(0.011932, rel=1e-3)


def test_eight_bit_scales_are_fixed_and_invertible():
    assert white_hot(np.float32([200, 268, 300, 331.75, 400])).tolist() == [0, 0, 128, 255, 255]
    kelvin = np.linspace(268, 331.75, 1001, dtype=np.float32)
    assert np.abs(from_white_hot(white_hot(kelvin)) - kelvin).max() <= 0.1251
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(np.rint(tone(to_reflectance(values))), values)
    assert to_reflectance(np.uint8([0, 255])) == pytest.approx([0, 0.6])
    scene = render(4, 64)
    assert np.abs(from_white_hot(scene.lwir) - scene.kelvin).max() <= 0.1251


@pytest.mark.parametrize(("size", "gsd"), [(256, 1.0), ((160, 240), 0.2), (128, 2.5)])
def test_objects_are_exactly_the_pixels_of_their_class(size, gsd):
    scene = render(8, size, gsd, theme="Residential")
    labels = {"building": Cover.ROOF, "vehicle": Cover.VEHICLE, "person": Cover.PERSON}
    assert {item.label for item in scene.objects} >= {"building", "vehicle"}
    assert any(item.label == "person" for item in scene.objects) == (gsd <= 0.3)
    painted = np.zeros_like(scene.instances)
    for number, item in enumerate(scene.objects, 1):
        mask = inside(item.polygon, *scene.cover.shape)
        assert not painted[mask].any()
        painted[mask] = number
        assert (scene.cover[mask] == labels[item.label]).all()
        ys, xs = np.nonzero(mask)
        assert item.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert np.array_equal(painted, scene.instances)
    assert np.array_equal(painted > 0, np.isin(scene.cover, list(labels.values())))


def test_vehicles_stand_on_roads():
    scene = render(9, 256, 0.5, theme="Residential")
    vehicles = [item for item in scene.objects if item.label == "vehicle"]
    assert len(vehicles) > 5
    for x0, y0, x1, y1 in (item.box for item in vehicles):
        around = scene.cover[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2]
        assert (around == Cover.ROAD).mean() > 0.2


@pytest.mark.parametrize("theme", THEMES)
def test_themes_give_their_label(theme):
    labels = [render(seed, 128, 2.5, theme=theme).label for seed in range(5)]
    assert labels.count(theme) >= 4


def test_label_follows_the_cover():
    cover = np.full((10, 10), Cover.GRASS, np.uint8)
    assert dominant(cover) == "Pasture"
    cover[:4] = Cover.CROP
    cover[4:6] = Cover.SOIL
    assert dominant(cover) == "AnnualCrop"
    cover[0, :14] = Cover.WATER
    cover[1, :5] = Cover.WATER
    assert dominant(cover) == "River"
    cover[9, :7] = Cover.ROOF
    assert dominant(cover) == "River"
    cover[8, 0] = Cover.ROOF
    assert dominant(cover) == "Residential"
    assert shares(cover)["water"] == 0.15
    assert dominant(np.full((4, 4), Cover.FOREST, np.uint8)) == "Forest"


def test_clip():
    square = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)]
    assert clip(square, (-1, -1, 9, 9)) == tuple(square)
    assert sorted(clip(square, (1, 2, 9, 9))) == [(1, 2), (1, 4), (4, 2), (4, 4)]
    assert clip(square, (5, 0, 9, 9)) == ()
    diamond = [(2.0, 0.0), (4.0, 2.0), (2.0, 4.0), (0.0, 2.0)]
    assert sorted(clip(diamond, (0, 0, 2, 2))) == [(0, 2), (2, 0), (2, 2)]


# Files.


def test_scale_one_is_enough_for_the_demo():
    assert sum(records(1.0).values()) >= 1500
    assert len(records(1.0)) == 4
    assert min(records(1.0).values()) >= 200


def test_settings_are_those_of_a_corpus(corpora):
    folder, tables = corpora
    assert tables == settings(folder)
    assert set(tables) == set(records())
    for name, table in tables.items():
        checked = CorpusSettings.model_validate(table)
        assert Path(checked.source) == folder / name
        assert Path(checked.source).is_dir()
        assert checked.license == "CC0-1.0"
        assert checked.redistributable


def test_files_are_as_many_as_promised(corpora):
    folder, _ = corpora
    found = {
        "procedural-nir": 16 * len(list(folder.glob("procedural-nir/*.tif"))),
        "procedural-lwir": len(list(folder.glob("procedural-lwir/JPEGImages/*.jpg"))),
        "procedural-tiles": len(list(folder.glob("procedural-tiles/data/*/*.png"))),
        "procedural-scenes": len(list(folder.glob("procedural-scenes/*/*.jpg"))),
    }
    assert found == records(SCALE)


def test_download_reads_every_file(corpora):
    _, tables = corpora
    for name, table in tables.items():
        checked = CorpusSettings.model_validate(table)
        reader = formats.reader(Path(checked.source), checked, name)
        items = list(reader.items())
        rows = [harmonise(item, reader.read(item), name, checked, {}) for item in items]
        assert len({row["id"] for row in rows}) == len(rows) == records(SCALE)[name]
        assert {row["ir_band"] for row in rows} == {{"procedural-nir": "nir", "procedural-lwir": "lwir"}.get(name)}
        assert {(row["width"], row["height"]) for row in rows} == {
            {"procedural-lwir": (640, 512), "procedural-scenes": (64, 64)}.get(name, (256, 256))
        }
        objects = {box["label"] for row in rows for box in row["boxes"] or []}
        assert objects == {"procedural-lwir": {"Vehicle", "Person"}, "procedural-tiles": {"building"}}.get(name, set())
        labels = {label for row in rows for label in row["labels"] or []}
        assert labels >= (set(THEMES) if name == "procedural-scenes" else objects)
        assert (rows[0]["crs"] or "").removeprefix("EPSG:") == {
            "procedural-nir": "32614",
            "procedural-tiles": "3857",
        }.get(name, "")


def truth_of(folder, name):
    return json.loads((folder / f"{name}.truth.json").read_text())


def test_geotiffs_hold_the_scene(corpora):
    folder, tables = corpora
    for name, truth in truth_of(folder, "procedural-nir").items():
        scene = render(truth["seed"], 1024)
        with rasterio.open(folder / "procedural-nir" / name) as file:
            assert file.crs.to_epsg() == 32614
            assert file.res == (1, 1)
            assert file.count == 4
            assert "alpha" not in [item.name for item in file.colorinterp]
            assert (file.dataset_mask() == 255).all()
            bands = tables["procedural-nir"]["bands"]
            assert [file.descriptions[int(bands[band]) - 1] for band in bands] == list(bands)
            read = {band: file.read(int(number)) for band, number in bands.items()}
        for index, band in enumerate(("red", "green", "blue")):
            assert np.array_equal(read[band], scene.rgb[..., index])
        assert np.array_equal(read["nir"], scene.nir)
        assert truth["label"] == scene.label
        assert truth["shares"] == pytest.approx(shares(scene.cover), abs=1e-5)


def test_voc_boxes_are_those_of_the_scene(corpora):
    folder, _ = corpora
    root = folder / "procedural-lwir"
    truths = truth_of(folder, "procedural-lwir")
    listed = [
        n for split in ("train", "val", "test") for n in (root / f"ImageSets/Main/{split}.txt").read_text().split()
    ]
    assert sorted(listed) == sorted(path.stem for path in root.glob("JPEGImages/*.jpg"))
    assert len(listed) == len(set(listed)) == len(truths)
    found = set()
    for name, truth in truths.items():
        scene = next(
            scene
            for theme in (None, "Residential")
            if dict_of(scene := render(truth["seed"], (512, 640), truth["gsd_m"], truth["night"], theme))
            == truth["shares"]
        )
        xml = ET.parse((root / "Annotations" / Path(name).name).with_suffix(".xml")).getroot()
        boxes = [
            (node.findtext("name"), *(int(node.findtext(f"bndbox/{tag}")) for tag in ("xmin", "ymin", "xmax", "ymax")))
            for node in xml.iter("object")
        ]
        assert boxes == [(o.label.title(), *o.box) for o in scene.objects if o.label != "building"]
        assert (xml.findtext("size/width"), xml.findtext("size/height")) == ("640", "512")
        found |= {box[0] for box in boxes}
        assert Path(name).name.startswith("night" if truth["night"] else "day")
        with Image.open(root / name) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "L", (640, 512))
            assert xml.findtext("filename") == Path(name).name
            assert np.abs(np.asarray(image).astype(int) - scene.lwir).mean() < 1.5
    assert found == {"Vehicle", "Person"}


def dict_of(scene):
    return {name: round(share, 5) for name, share in shares(scene.cover).items()}


def pixel_of(lon, lat, x, y, z):
    """Pixels from the upper left corner of a 256-pixel web-mercator tile, by the textbook formula."""
    phi = math.radians(lat)
    column = (lon + 180) / 360 * 2**z
    row = (1 - math.log(math.tan(phi) + 1 / math.cos(phi)) / math.pi) / 2 * 2**z
    return (column - x) * 256, (row - y) * 256


def test_tile_outlines_lie_on_their_buildings(corpora):
    folder, _ = corpora
    root, truths = folder / "procedural-tiles", truth_of(folder, "procedural-tiles")
    tiles = {tuple(map(int, Path(name).stem.split("-")[1:])): name for name in truths}
    west, north = min(x for x, _, _ in tiles), min(y for _, y, _ in tiles)
    latitude = procedural_files.lon_lat(west, north)[1]
    gsd = 40_075_016.686 * math.cos(math.radians(latitude)) / 2**26
    scene = render(next(iter(truths.values()))["seed"], 1024, gsd)
    total, modes = 0, []
    for (x, y, z), name in tiles.items():
        at = slice((y - north) * 256, (y - north + 1) * 256), slice((x - west) * 256, (x - west + 1) * 256)
        numbers = scene.instances[at].copy()
        with Image.open(root / name) as image:
            modes.append((image.format, image.mode))
            assert image.size == (256, 256)
            pixels = np.asarray(image).astype(int)
        if pixels.shape[2] == 4:
            assert x == west
            assert (pixels[:, :FLIGHT_EDGE] == 0).all()
            assert (pixels[:, FLIGHT_EDGE:, 3] == 255).all()
            numbers[:, :FLIGHT_EDGE] = 0
        visible = slice(FLIGHT_EDGE if pixels.shape[2] == 4 else 0, 256)
        assert np.abs(pixels[:, visible, :3] - scene.rgb[at][:, visible]).mean() < 8
        collection = json.loads((root / name.replace("data", "labels")).with_suffix(".geojson").read_text())
        assert collection["crs"]["properties"]["name"] == "urn:ogc:def:crs:OGC:1.3:CRS84"
        rings = [feature["geometry"]["coordinates"][0] for feature in collection["features"]]
        buildings = [n for n in np.unique(numbers).tolist() if n and scene.objects[n - 1].label == "building"]
        assert len(rings) == len(buildings) == truths[name]["objects"].get("building", 0)
        for ring, number in zip(rings, buildings, strict=True):
            assert ring[0] == ring[-1]
            corners = np.array([pixel_of(lon, lat, x, y, z) for lon, lat in ring])
            assert corners.min() > -0.01
            assert corners.max() < 256.01
            assert np.array_equal(inside(corners[:-1].tolist(), 256, 256), numbers == number)
        total += len(rings)
    assert total > 0
    assert modes.count(("PNG", "RGBA")) == 4
    assert modes.count(("JPEG", "RGB")) == 12


def test_class_folders_hold_scenes_of_their_class(corpora):
    folder, _ = corpora
    truths = truth_of(folder, "procedural-scenes")
    assert {name.split("/")[0] for name in truths} == set(THEMES)
    for name, truth in truths.items():
        theme = name.split("/")[0]
        scene = render(truth["seed"], 128, 2.5, theme=theme)
        assert scene.label == theme
        assert dict_of(scene) == truth["shares"]
        with Image.open(folder / "procedural-scenes" / name) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 64))
            mean = scene.rgb.reshape(64, 2, 64, 2, 3).mean((1, 3))
            assert np.abs(np.asarray(image) - mean).mean() < 8


def test_the_same_seed_writes_the_same_bytes_and_another_replaces_them(corpora, tmp_path):
    folder, _ = corpora
    write(tmp_path / "set", seed=4, scale=0.001)
    other = digest(tmp_path / "set")
    write(tmp_path / "set", seed=3, scale=SCALE)
    assert digest(tmp_path / "set") == digest(folder)
    assert not set(other.values()) & {v for k, v in digest(folder).items() if k.endswith((".jpg", ".png", ".tif"))}
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_finished_set_is_not_written_again(corpora, monkeypatch):
    folder, tables = corpora
    monkeypatch.setattr(procedural_files, "render", lambda *_, **__: pytest.fail("rendered again"))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert write(folder, seed=3, scale=SCALE) == tables
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_killed_run_leaves_nothing_and_the_next_one_finishes(corpora, tmp_path):
    folder, _ = corpora
    target = tmp_path / "set"
    code = "import pathlib, sys; from fusionrs_builder.corpora import procedural_files as files; "
    code += "files.write(pathlib.Path(sys.argv[1]))"
    process = subprocess.Popen([sys.executable, "-c", code, target])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".set.partial/procedural-nir/*.tif")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [".set.partial"]
    write(target, seed=3, scale=SCALE)
    assert digest(target) == digest(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_files_of_others_are_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="holds other files"):
        write(tmp_path, scale=SCALE)
    assert (tmp_path / "mine.txt").read_text() == "keep"
    with pytest.raises(UsageError, match="holds other files"):
        write(tmp_path / "mine.txt", scale=SCALE)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
