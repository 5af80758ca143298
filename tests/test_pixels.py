import hashlib
import io

import imagehash
import numpy as np
import pytest
from PIL import Image

from fusionrs_builder import pixels


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


def test_phash_is_near_for_a_recompressed_picture_and_far_for_another():
    coarse = np.random.default_rng(1).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    scene = np.asarray(Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC))

    def far(other):
        return (pixels.phash64(scene) ^ pixels.phash64(other)).bit_count()

    assert far(pixels.rgb_array(pixels.encode_jpeg(scene, quality=60))) <= 4
    assert far(np.rot90(scene)) > 10
