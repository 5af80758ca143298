import numpy as np
import pytest

from fusionrs_builder.errors import FusionError
from fusionrs_builder.shards import Footer
from fusionrs_builder.translate.scores.records import entries, read, read_pairs, sample
from tests.translate.conftest import fill, record, scene


def lake():
    return {"label": "lake", "x0": 0.0, "y0": 0.0, "x1": 5.0, "y1": 5.0, "polygon": []}


@pytest.fixture
def filled(workspace):
    rgb = scene(20, 24)
    rows = [
        record("town_x00000_y00128", rgb, rgb[..., 0], labels=["lake"], boxes=[lake()]),
        record("field", rgb, corpus_group="flight 7"),
        record("night", None, rgb[..., 1], ir_band="lwir"),
    ]
    fill(workspace, rows)
    return workspace


def test_entries_say_what_is_there_without_pixels(filled):
    town, field, night = entries(filled, lambda entry: True)
    assert (town.key, town.group, town.side) == ("toy/town_x00000_y00128", "toy/town", 20)
    assert (town.labels, town.boxes, town.rgb, town.band, town.corpus) == (("lake",), 1, True, "nir", "toy")
    assert (field.group, field.rgb, field.band, field.boxes) == ("flight 7", True, None, 0)
    assert (night.rgb, night.band, night.side) == (False, "lwir", 20)
    assert entries(filled, lambda entry: entry.rgb) == [town, field]


def test_groups_are_those_of_curation_where_it_was_done(filled):
    with filled.writer("curation", "toy-00000") as writer:
        for key in ("town_x00000_y00128", "field", "night"):
            writer.write({"id": f"toy/{key}", "group_id": f"group of {key}"})
        writer.commit(Footer("curate", "made", items=3))
    assert [entry.group for entry in entries(filled, lambda entry: True)][1:] == ["group of field", "group of night"]


def test_pixels_are_of_the_entries_and_in_their_order(filled):
    chosen = entries(filled, lambda entry: entry.key != "toy/field")
    town, night = read(filled, chosen)
    assert np.array_equal(town.rgb, scene(20, 24))
    assert np.array_equal(town.measured("nir"), scene(20, 24)[..., 0])
    assert town.boxes == [lake()]
    assert town.measured("lwir") is None
    assert night.rgb is None
    assert night.measured("lwir") is None  # there is nothing beside it
    assert np.array_equal(night.ir, scene(20, 24)[..., 1])


def test_pairs_of_two_sizes_and_damaged_images_are_named(workspace):
    fill(workspace, [record("odd", scene(20, 24), scene(10, 24)[..., 0])])
    with pytest.raises(FusionError, match=r"record toy/odd: rgb has \(20, 24\) pixels and ir \(10, 24\)"):
        list(read_pairs(workspace, entries(workspace, lambda entry: True)))
    fill(workspace, [record("bad", scene(20, 24)) | {"rgb": {"bytes": b"x", "path": "a.png"}}], "toy-00001")
    with pytest.raises(FusionError, match="record toy/bad: .*delete its shard"):
        list(read(workspace, entries(workspace, lambda entry: entry.key == "toy/bad")))


def test_a_sample_keeps_order_and_follows_the_seed(filled):
    found = entries(filled, lambda entry: True) * 20
    some = sample(list(range(60)), 10, 0)
    assert some == sorted(some) == sample(list(range(60)), 10, 0) != sample(list(range(60)), 10, 1)
    assert sample(found, 100, 0) == found
