import numpy as np
import pytest
from datasets import Dataset

from fusionrs_builder.benchmark.records import FEWEST, INPUTS, Records, parts
from fusionrs_builder.errors import FusionError

from .conftest import FEATURES, records, row


def test_pictures_are_what_was_written_and_controls_are_made_of_the_visible_image():
    found = records([row("a", 1)])
    rgb = np.asarray(found.picture(0, "rgb"))
    luma = np.asarray(found.picture(0, "gray"))
    assert (luma[..., 0] == luma[..., 1]).all() and (luma[..., 0] == luma[..., 2]).all()
    assert np.abs(luma[..., 0] - rgb @ [0.299, 0.587, 0.114]).max() < 1
    assert (np.asarray(found.picture(0, "gray-inverted")) == 255 - luma).all()
    infrared = np.asarray(found.picture(0, "infrared"))
    assert infrared.shape == rgb.shape and (infrared[..., 0] == infrared[..., 2]).all()
    assert (np.asarray(found.picture(0, "duplicate")) == rgb).all()


def test_a_record_without_a_visible_image_has_no_view_of_it():
    found = records([row("a", 1), row("b", 2, rgb=False)])
    assert found[1].key("rgb") is None and found[1].key("gray") is None and found[1].key("infrared")
    with pytest.raises(FusionError, match=r"eurosat/b has no rgb view in fusionrs"):
        found.picture(1, "rgb")


def test_equal_pixels_have_equal_keys_and_views_of_them_have_not():
    a, b = records([row("a", 1), row("b", 1)])
    assert a.key("rgb") == b.key("rgb")
    assert len({a.key(view) for view in ("rgb", "gray", "gray-inverted", "infrared")}) == 4


def test_controls_are_shown_of_records_that_have_a_visible_image():
    whole = records([row(str(n), n) for n in range(FEWEST + 5)])
    assert list(parts(whole, range(len(whole)), INPUTS)) == [("", list(range(FEWEST + 5)), INPUTS)]
    mixed = records([row(str(n), n, rgb=n % 2 == 0) for n in range(2 * FEWEST)])
    assert list(parts(mixed, range(len(mixed)), INPUTS)) == [
        ("", list(range(2 * FEWEST)), ("infrared",)),
        (", with rgb", list(range(0, 2 * FEWEST, 2)), INPUTS),
    ]
    assert list(parts(mixed, range(len(mixed)), ("infrared",))) == [("", list(range(2 * FEWEST)), ("infrared",))]
    assert not list(parts(mixed, range(FEWEST - 1), ("infrared",)))


def test_the_hash_of_a_split_changes_with_all_that_is_measured_on():
    first = records([row("a", 1), row("b", 2)]).sha256
    assert records([row("a", 1), row("b", 2)]).sha256 == first
    for other in (
        [row("b", 2), row("a", 1)],
        [row("a", 1), row("b", 3)],
        [row("a", 1), row("b", 2, ir_captions=["Another."])],
        [row("a", 1), row("b", 2, labels=["Forest"])],
        [row("a", 1), row("b", 2, ir_origin="translated")],
        [row("a", 1), row("b", 2, caption_source={"scene": ["model"], "ir": []})],
        [row("a", 1)],
    ):
        assert records(other).sha256 != first


def test_a_part_of_a_split_knows_which_views_its_records_have():
    whole = Dataset.from_list([row("a", 1), row("b", 2, rgb=False), row("c", 3)], features=FEATURES)
    found = Records(whole.select([1, 2]), "fusionrs", "test")
    assert [one.rgb_sha256 is None for one in found] == [True, False]
    assert np.asarray(found.picture(1, "rgb")).shape == (40, 48, 3)


def test_what_is_no_release_is_told():
    whole = Dataset.from_list([row("a", 1)], features=FEATURES)
    with pytest.raises(FusionError, match="no column ir_captions"):
        Records(whole.remove_columns(["ir_captions"]), "x", "test")
    with pytest.raises(FusionError, match="the split test is empty"):
        Records(whole.select([]), "x", "test")
    with pytest.raises(FusionError, match="an id stands twice"):
        records([row("a", 1), row("a", 2)])


def test_a_damaged_picture_is_named():
    found = records([row("a", 1, ir={"bytes": b"no image", "path": None})])
    with pytest.raises(FusionError, match="eurosat/a: its ir view cannot be read"):
        found.picture(0, "infrared")
