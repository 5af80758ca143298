import numpy as np
import pytest
from scipy import ndimage

from fusionrs_builder.schema import IR_QUALITY
from fusionrs_builder.translate.quality import edge_agreement, gradient_magnitude, ir_quality
from tests.translate.conftest import scene


def test_fields_are_those_of_the_schema():
    rgb = scene(40, 50)
    assert set(ir_quality(rgb[..., 0], rgb)) == {field.name for field in IR_QUALITY}


def test_gradient_is_sobels():
    image = scene(30, 41)[..., 1]
    x, y = (ndimage.sobel(image.astype(float), axis) for axis in (1, 0))
    np.testing.assert_allclose(gradient_magnitude(image), np.hypot(x, y)[1:-1, 1:-1], rtol=1e-5)


def test_edges_agree_whatever_the_polarity_and_not_with_another_scene():
    gray = scene(64, 64)[..., 0]
    rgb = np.repeat(gray[..., None], 3, 2)
    assert edge_agreement(gray, rgb) == pytest.approx(1)
    assert edge_agreement(255 - gray, rgb) == pytest.approx(1)
    assert abs(edge_agreement(np.rot90(scene(64, 64, 5)[..., 0]).copy(), rgb)) < 0.3


def test_nothing_to_agree_with_is_none():
    rgb = scene(32, 32)
    assert ir_quality(np.full((32, 32), 9, np.uint8), rgb)["edge_agreement"] is None
    assert ir_quality(rgb[..., 0], None)["edge_agreement"] is None
    assert ir_quality(rgb[:1, :1, 0], rgb[:1, :1])["edge_agreement"] is None


def test_sizes_may_differ():
    y, x = np.mgrid[0:64, 0:64]
    rgb = np.repeat((((x - 30) ** 2 + (y - 30) ** 2 < 300) * 200)[..., None], 3, 2).astype(np.uint8)
    assert edge_agreement(np.ascontiguousarray(rgb[::2, ::2, 0]), rgb) > 0.8


def test_saturation_and_entropy():
    ir = np.array([[0, 255], [7, 7]], np.uint8)
    found = ir_quality(ir, None)
    assert found["saturation"] == 0.5
    assert found["entropy"] == pytest.approx(1.5)
    assert ir_quality(np.full((4, 4), 3, np.uint8), None) == {
        "edge_agreement": None,
        "saturation": 0,
        "entropy": 0,
        "polarity": None,
    }
    assert ir_quality(np.arange(256, dtype=np.uint8).reshape(16, 16), None)["entropy"] == pytest.approx(8)
