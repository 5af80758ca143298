import numpy as np

from fusionrs_builder.translate.scores.structure import structure
from fusionrs_builder.translate.translator import CONTROLS
from tests.translate.conftest import scene


def test_the_greys_keep_all_outlines_and_a_flat_view_none():
    rgb = scene(32, 32)
    for name in ("gray", "gray-inverted"):
        view = CONTROLS[name].translate(rgb.transpose(2, 0, 1)[None])[0, 0]
        assert structure(view, rgb) > 0.999
    assert structure(np.full((32, 32), 7, np.uint8), rgb) == 0
    assert abs(structure(np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8), rgb)) < 0.2
