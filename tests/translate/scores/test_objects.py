import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.translate.scores.objects import LEAST, contrast, masks


def box(x0, y0, x1, y1, polygon=(), label="lake"):
    return {"label": label, "x0": x0, "y0": y0, "x1": x1, "y1": y1, "polygon": list(polygon)}


def test_a_box_and_the_ring_around_it():
    ((mask, ring),) = masks([box(10, 20, 20, 26)], (40, 50))
    assert mask.sum() == 60
    assert mask[20:26, 10:20].all()
    assert ring.sum() == 14 * 18 - 60  # 4 px: half the side of a square of 60 px
    assert not (mask & ring).any()


def test_an_outline_is_taken_where_there_is_one():
    ((mask, _),) = masks([box(0, 0, 20, 20, (0, 0, 19, 0, 0, 19))], (40, 40))
    assert 200 <= mask.sum() <= 210
    assert not mask[15, 15]


def test_another_object_is_not_surroundings():
    found = masks([box(0, 0, 10, 10), box(10, 0, 20, 10)], (30, 30))
    assert len(found) == 2
    for _, ring in found:
        assert not ring[:10, :20].any()


def test_the_contrast_is_object_less_ring():
    view = np.full((30, 30), 100, np.uint8)
    view[10:20, 10:20] = 40
    ((mask, ring),) = masks([box(10, 10, 20, 20)], view.shape)
    assert contrast(view, mask, ring) == -60


corner = st.floats(-20, 60)


@given(st.lists(st.tuples(corner, corner, corner, corner), max_size=4))
def test_any_boxes_give_disjoint_masks_within_the_view(corners):
    for mask, ring in masks([box(*each) for each in corners], (32, 40)):
        assert mask.shape == ring.shape == (32, 40)
        assert min(mask.sum(), ring.sum()) >= LEAST
        assert not (mask & ring).any()
