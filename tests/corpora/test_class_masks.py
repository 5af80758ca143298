from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fusionrs_builder.corpora.class_masks import COLOUR_TOLERANCE, UNLABELLED, ClassMasks
from tests.corpora.reading import reader

COLOURS = {"#00ffff": "urban", "#ffff00": "agriculture", "#ff00ff": "range", "#0000ff": "water", "#ffffff": "barren"}
PALETTE = np.array([[0, 255, 255], [255, 255, 0], [255, 0, 255], [0, 0, 255], [255, 255, 255]], np.int64)


def masks(classes: dict[str, str], **keys: Any) -> ClassMasks:
    return ClassMasks(reader(Path(), "karpathy", classes=classes, **keys))


@given(
    arrays(np.int64, (5, 7), elements=st.integers(0, 4)), st.integers(0, COLOUR_TOLERANCE), st.integers(0, 2**32 - 1)
)
def test_colours_are_found_also_with_noise(drawn: np.ndarray, noise: int, seed: int) -> None:
    off = np.random.default_rng(seed).integers(-noise, noise + 1, (*drawn.shape, 3))
    colours = np.clip(PALETTE[drawn] + off, 0, 255).astype(np.uint8)
    found = masks(COLOURS)
    order = [sorted(COLOURS).index("#" + "".join(f"{level:02x}" for level in colour)) for colour in PALETTE]
    assert (found.of(colours) == np.array(order)[drawn]).all()


@pytest.mark.parametrize("colour", [(0, 0, 0), (128, 128, 128), (255, 0, 0), (255, 190, 255), (0, 60, 255)])
def test_a_colour_far_from_all_is_no_class(colour: tuple[int, int, int]) -> None:
    assert (masks(COLOURS).of(np.full((2, 2, 3), colour, np.uint8)) == UNLABELLED).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
@given(data=st.data())
def test_numbers_that_have_no_name_are_no_class(dtype: type, data: st.DataObject) -> None:
    values = data.draw(arrays(np.int64, (4, 6), elements=st.integers(0, 255))).astype(dtype)
    found = masks({"2": "road", "7": "water", "41": "road"}).of(values)
    assert (found == np.select([np.isin(values, (2, 41)), values == 7], [0, 1], UNLABELLED)).all()


def test_what_is_not_a_number_is_no_class() -> None:
    assert masks({"1": "road"}).of(np.array([[np.nan, 1.0, 1.5]], np.float32)).tolist() == [[UNLABELLED, 0, UNLABELLED]]


def test_ignored_classes_are_known_but_come_after_those_that_are_named() -> None:
    found = masks({"0": "background", "1": "road"}, ignore_labels=["background"])
    assert found.of(np.array([[0, 1, 9]], np.uint8)).tolist() == [[1, 0, UNLABELLED]]
