import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fusionrs_builder.benchmark.models import random_vectors
from fusionrs_builder.errors import UsageError
from tests.conftest import picture


def test_equal_pixels_have_equal_vectors_and_others_have_not():
    images = random_vectors.model("").open("cpu").images
    a, b, c = images([Image.fromarray(picture(seed)) for seed in (1, 1, 2)])
    assert (a == b).all() and abs(np.corrcoef(a, c)[0, 1]) < 0.5 and a.shape == (64,) and a.dtype == np.float32
    flat = [Image.new("RGB", size) for size in ((4, 2), (2, 4))]
    assert (np.diff(images(flat), axis=0) != 0).any()


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_texts_stay_between_minus_one_and_one_and_apart(texts: list[str]):
    encode = random_vectors.model("").open("cpu").texts
    assert encode is not None
    rows = encode(texts)
    assert (np.abs(rows) <= 1).all() and len(np.unique(rows, axis=0)) == len(set(texts))
    assert (encode(texts[::-1]) == rows[::-1]).all()


def test_they_are_the_same_in_every_version():
    encode = random_vectors.model("").open("cpu").texts
    assert encode is not None
    rows = encode([f"text {n}" for n in range(2000)])
    assert abs(rows.mean()) < 0.01 and abs(rows.std() - 3**-0.5) < 0.01
    assert rows[0, :3].tolist() == pytest.approx([0.0263909, -0.8546749, -0.6777604], abs=1e-6)


def test_it_is_not_kept_and_takes_nothing():
    found = random_vectors.model("")
    assert (found.spec, found.name, found.cached) == ("random", "random", False)
    with pytest.raises(UsageError, match="random:3"):
        random_vectors.model("3")
