import numpy as np
import pytest

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate.pairs import Source, read_pairs
from tests.translate.conftest import fill, record, scene


@pytest.fixture
def filled(workspace):
    rows = [record(f"d{n % 3}/{n}", scene(20, 24, n), scene(20, 24, n)[..., 0]) for n in range(6)]
    thermal = record("thermal", scene(20, 24), scene(20, 24)[..., 0], ir_band="lwir")
    fill(workspace, [*rows, thermal, record("plain", scene(20, 24)), record("only", None, scene(20, 24)[..., 0])])
    return workspace


def test_pairs_have_both_views_of_the_band(filled):
    kept, held = read_pairs(filled, "nir")
    assert (len(kept), len(held)) == (6, 0)
    assert [pair.key for pair in kept] == [f"toy/d{n % 3}/{n}" for n in range(6)]
    assert (kept[4].rgb == scene(20, 24, 4)).all()
    assert (kept[4].ir == scene(20, 24, 4)[..., 0]).all()
    assert [pair.key for pair in read_pairs(filled, "lwir")[0]] == ["toy/thermal"]
    assert kept.sources == {Source("toy", "CC0-1.0", "Nobody", "toy-sensor nir")}


def test_held_out_records_are_apart(filled):
    kept, held = read_pairs(filled, "nir", "/d[12]/")
    assert [pair.key for pair in held] == ["toy/d1/1", "toy/d2/2", "toy/d1/4", "toy/d2/5"]
    assert not {pair.key for pair in kept} & {pair.key for pair in held}
    assert [pair.key for pair in held[1:3]] == ["toy/d2/2", "toy/d1/4"]


def test_nothing_of_the_band_is_an_error_with_the_fix(filled):
    with pytest.raises(FusionError, match=r"no record with both rgb and measured swir.*--prefer"):
        read_pairs(filled, "swir")


def test_a_wrong_pattern(filled):
    with pytest.raises(UsageError, match="not a regular expression"):
        read_pairs(filled, "nir", "(")


def test_damage_and_unequal_sizes_name_the_record(workspace):
    odd = record("odd", scene(20, 24), scene(10, 12)[..., 0])
    bad = record("bad", scene(20, 24), np.zeros((20, 24), np.uint8)) | {"rgb": {"bytes": b"no", "path": ""}}
    fill(workspace, [odd, bad])
    kept, _ = read_pairs(workspace, "nir")
    with pytest.raises(FusionError, match="toy/odd"):
        kept[0]
    with pytest.raises(FusionError, match="toy/bad"):
        kept[1]
