import hashlib
import io

import imagehash
import numpy as np
import pytest
from PIL import Image

from fusionrs_builder import pixels
from tests.conftest import picture


@pytest.fixture
def scene():
    """64 x 48 colours with structure at all scales."""
    y, x = np.mgrid[0:64, 0:48]
    rng = np.random.default_rng(0)
    return np.stack([2 * y + x, 4 * x, (x // 8 + y // 8) % 2 * 90 + rng.integers(0, 40, x.shape)], -1).astype(np.uint8)


def _saved(image, format, **options):
    sink = io.BytesIO()
    image.save(sink, format, **options)
    return sink.getvalue()


def test_png_gives_the_same_pixels_back(scene):
    assert (pixels.rgb_array(pixels.encode_png(scene)) == scene).all()
    assert (pixels.gray_array(pixels.encode_png(scene[..., 0])) == scene[..., 0]).all()


def test_sixteen_bits_survive_png_and_are_refused_as_eight(scene):
    deep = scene[..., 0].astype(np.uint16) * 251
    data = pixels.encode_png(deep)
    assert (np.asarray(pixels.decode(data)) == deep).all()
    with pytest.raises(ValueError, match="stretch it to 8 bits"):
        pixels.rgb_array(data)


def test_jpeg_is_close_and_obeys_quality(scene):
    data = pixels.encode_jpeg(scene)
    assert data[:2] == b"\xff\xd8"
    assert np.abs(pixels.rgb_array(data).astype(int) - scene).mean() < 3
    assert len(pixels.encode_jpeg(scene, quality=30)) < len(data)
    assert Image.open(io.BytesIO(pixels.encode_jpeg(scene[..., 0]))).mode == "L"


def test_every_eight_bit_mode_becomes_rgb(scene):
    image = Image.fromarray(scene)
    alpha = Image.fromarray(np.dstack([scene, np.full(scene.shape[:2], 7, np.uint8)]))
    assert (pixels.rgb_array(_saved(alpha, "PNG")) == scene).all()
    for mode, format in [("P", "PNG"), ("CMYK", "TIFF"), ("L", "PNG"), ("1", "PNG")]:
        array = pixels.rgb_array(_saved(image.convert(mode), format))
        assert (array.shape, array.dtype) == (scene.shape, np.uint8)


def test_equal_channels_keep_their_value():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (pixels.gray_array(pixels.encode_png(np.repeat(ramp[..., None], 3, 2))) == ramp).all()


def test_exif_orientation_is_obeyed(scene):
    exif = Image.Exif()
    exif[0x0112] = 6  # held turned: rotate by 270 degrees to see it upright
    data = _saved(Image.fromarray(scene), "PNG", exif=exif)
    assert (pixels.rgb_array(data) == np.rot90(scene, 3)).all()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"", "empty"),
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda data: b"hello", "not an image"),
        (lambda data: data[:300] + b"\0" * 40 + data[340:], "damaged"),
    ],
)
def test_damage_is_a_value_error(scene, damage, words):
    with pytest.raises(ValueError, match=words):
        pixels.decode(damage(pixels.encode_png(scene)))


def test_a_size_meant_to_exhaust_memory_is_refused(monkeypatch, scene):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match="damaged"):
        pixels.decode(pixels.encode_png(scene))


def test_pixel_sha256_is_of_header_and_values(scene):
    assert pixels.pixel_sha256(scene) == hashlib.sha256(b"uint8:64x48x3\n" + scene.tobytes()).hexdigest()
    deep = scene[..., 0].astype(">u2")
    assert pixels.pixel_sha256(deep) == pixels.pixel_sha256(deep.astype("<u2"))
    assert pixels.pixel_sha256(deep) == hashlib.sha256(b"uint16:64x48\n" + deep.astype("<u2").tobytes()).hexdigest()


def test_pixel_sha256_sees_pixels_not_encodings_nor_layout(scene):
    one = pixels.pixel_sha256(scene)
    assert one == pixels.pixel_sha256(np.asfortranarray(scene))
    assert one == pixels.pixel_sha256(pixels.rgb_array(_saved(Image.fromarray(scene), "BMP")))
    assert one != pixels.pixel_sha256(scene.reshape(48, 64, 3))
    changed = scene.copy()
    changed[3, 4, 1] ^= 1
    assert one != pixels.pixel_sha256(changed)


def test_phash_is_imagehash_as_one_number(scene):
    expected = imagehash.phash(Image.fromarray(scene))
    assert pixels.phash64(scene) == int(str(expected), 16)
    assert 0 <= pixels.phash64(scene) < 2**64


def test_phash_is_imagehash_on_any_picture():
    for seed in range(50):
        array = picture(seed, 40 + seed, 90 - seed)
        assert pixels.phash64(array) == int(str(imagehash.phash(Image.fromarray(array))), 16)
        assert pixels.phash64(array[..., 0]) == int(str(imagehash.phash(Image.fromarray(array[..., 0]))), 16)


def test_an_even_picture_has_one_hash_whatever_its_shade():
    found = {pixels.phash64(np.full((37, 41, 3), shade, np.uint8)) for shade in range(1, 256)}
    assert found == {1 << 63}


def test_the_eight_hashes_are_those_of_the_turned_pictures():
    """Pillow resizes along one axis after the other, rounding between: a bit near the median may fall either way."""
    exact = 0
    for seed in range(20):
        array = picture(seed, 64, 64)[..., 0]
        hashes = pixels.phash64_dihedral(array)
        assert hashes[0] == pixels.phash64(array)
        for found, turned in zip(hashes, pixels.dihedral(array), strict=True):
            expected = pixels.phash64(np.ascontiguousarray(turned))
            assert (found ^ expected).bit_count() <= 4
            exact += found == expected
    assert exact >= 150


def test_the_eight_turns_are_all_there_and_closed():
    square = np.arange(9).reshape(3, 3)
    turns = {turn.tobytes() for turn in pixels.dihedral(square)}
    assert len(turns) == 8
    assert {again.tobytes() for turn in pixels.dihedral(square) for again in pixels.dihedral(turn)} == turns
    assert np.rot90(square).tobytes() in turns


def test_look_is_the_means_of_the_luma(scene):
    luma = np.asarray(Image.fromarray(scene).convert("L"), float)  # 64 x 48: cells of 4 x 3
    means = luma.reshape(16, 4, 16, 3).mean((1, 3))
    seen = np.frombuffer(pixels.look(scene), np.uint8).reshape(16, 16)
    assert np.abs(seen - means).max() <= 1
    assert len(pixels.look(scene[..., 0])) == 256


def test_quality_of_known_pictures():
    assert pixels.quality(np.zeros((8, 8, 3), np.uint8)) == {"saturation": 1.0, "entropy": 0.0}
    halves = np.repeat(np.array([[10, 20]], np.uint8), 8, 0).repeat(4, 1)
    assert pixels.quality(halves) == {"saturation": 0.0, "entropy": 1.0}
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200  # two channels at 0, one not
    assert pixels.quality(red)["saturation"] == 0
    red[:2, :, 0] = 255
    assert pixels.quality(red)["saturation"] == 0.5


def test_phash_is_near_for_a_recompressed_picture_and_far_for_another():
    coarse = np.random.default_rng(1).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    scene = np.asarray(Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC))

    def far(other):
        return (pixels.phash64(scene) ^ pixels.phash64(other)).bit_count()

    assert far(pixels.rgb_array(pixels.encode_jpeg(scene, quality=60))) <= 4
    assert far(np.rot90(scene)) > 10


def test_the_cropped_hashes_are_those_of_the_picture_within():
    array = picture(3, 200, 200)
    within = np.ascontiguousarray(array[3:-3, 3:-3])
    hashes = pixels.described(array)["phash16"]
    assert hashes[:8] == list(pixels.phash64_dihedral(array))
    for found, expected in zip(hashes[8:], pixels.phash64_dihedral(within), strict=True):
        assert (found ^ expected).bit_count() <= 2
