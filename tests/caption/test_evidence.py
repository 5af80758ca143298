from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionrs_builder.caption.evidence import Evidence, edge_density, measure

from .scenes import SIDE, Gray, box, boxes, colour, flat, grays, square

FLIP = {"brighter": "darker", "darker": "brighter", "similar": "similar", "unclear": "unclear"}
OPPOSITE = {"left": "right", "right": "left", "upper": "lower", "lower": "upper", None: None}


def tones(seen: Evidence) -> list[str]:
    return [thing.tone for thing in seen.things]


def test_a_uniform_view_has_nothing_to_point_at() -> None:
    seen = measure(flat(77), None, [])
    assert (seen.brightness, seen.contrast, seen.entropy, seen.edges) == (77, 0, 0, 0)
    assert (seen.brightest, seen.darkest, seen.side, seen.things) == (None, None, None, ())


def test_histogram_measures_against_numpy() -> None:
    ir = np.random.default_rng(0).integers(0, 256, (70, 50)).astype(np.uint8)
    seen = measure(ir, None, [])
    low, high = np.percentile(ir, [5, 95])
    assert seen.brightness == pytest.approx(ir.mean())
    assert seen.contrast == pytest.approx(high - low, abs=1)
    assert (seen.dark_share, seen.bright_share) == ((ir <= 63).mean(), (ir >= 192).mean())
    halves = np.repeat(np.array([[0, 255]], np.uint8), 8, axis=0)
    assert measure(halves, None, []).entropy == 1.0


def test_objects_against_their_surroundings() -> None:
    ir = square(square(square(flat(120), 10, 10, 20, 20, 180), 50, 50, 60, 60, 80), 70, 10, 80, 20, 123)
    ir = square(ir, 10, 70, 20, 80, 129)
    seen = measure(ir, None, [box(n, x, y, x + 10, y + 10) for n, x, y in
                              (("up", 10, 10), ("down", 50, 50), ("same", 70, 10), ("between", 10, 70))])  # fmt: skip
    assert tones(seen) == ["brighter", "darker", "similar", "unclear"]
    assert [thing.difference for thing in seen.things] == [60, -40, 3, 9]
    assert seen.things[0].share == pytest.approx(100 / SIDE**2)


def test_a_difference_within_the_spread_of_the_surroundings_is_not_said() -> None:
    ir = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
    assert measure(square(ir, 40, 40, 52, 52, 148), None, [box("a", 40, 40, 52, 52)]).things[0].tone == "unclear"


def test_neighbouring_objects_are_no_surroundings() -> None:
    ir = square(flat(100), 20, 20, 60, 30, 220)
    one, other = box("a", 20, 20, 40, 30), box("a", 40, 20, 60, 30)
    assert [thing.difference for thing in measure(ir, None, [one, other]).things] == [120, 120]
    assert measure(ir, None, [one]).things[0].difference < 120  # type: ignore[operator]


def test_an_outline_is_measured_inside_itself_only() -> None:
    ir = flat(100)
    rows, columns = np.indices(ir.shape)
    ir[(rows >= 20) & (rows < 60) & (columns >= 20) & (columns - 20 < rows - 20)] = 200
    triangle = [20.0, 20.0, 60.0, 60.0, 20.0, 60.0]
    outlined, boxed = (measure(ir, None, [box("a", 20, 20, 60, 60, p)]).things[0] for p in (triangle, []))
    assert outlined.difference == pytest.approx(100, abs=3)
    assert outlined.share == pytest.approx(800 / SIDE**2, rel=0.05)
    assert boxed.difference == pytest.approx(50, abs=3)


def test_a_box_over_the_whole_frame_is_not_compared() -> None:
    (thing,) = measure(flat(10), None, [box("a", -5, -5, 200, 200)]).things
    assert (thing.difference, thing.tone, thing.share) == (None, "unclear", 1.0)


def test_boxes_are_in_pixels_of_the_visible_image() -> None:
    ir = square(flat(100), 10, 10, 20, 20, 200)
    (thing,) = measure(ir, colour(90, 90, 90, 2 * SIDE), [box("a", 20, 20, 40, 40)]).things
    assert thing.difference == 100


def test_edges() -> None:
    assert edge_density(flat(9)) == 0
    assert edge_density(np.indices((8, 8)).sum(0).astype(np.uint8) % 2 * 255) == 1
    assert edge_density(np.repeat(np.arange(0, 150, 15, dtype=np.uint8)[None], 8, 0)) == 0
    assert edge_density(np.repeat(np.arange(0, 160, 16, dtype=np.uint8)[None], 8, 0)) == 1
    assert edge_density(np.repeat(np.arange(0, 160, 16, dtype=np.uint8)[:, None], 8, 1)) == 1
    assert edge_density(flat(9, width=1)) == 0


def test_relation_to_the_visible_image() -> None:
    visible = np.random.default_rng(2).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    rgb = np.repeat(visible[..., None], 3, 2)
    same, inverse = measure(visible, rgb, []), measure(255 - visible, rgb, [])
    assert (same.correlation, inverse.correlation) == (pytest.approx(1), pytest.approx(-1))
    assert (same.edge_agreement, inverse.edge_agreement) == (pytest.approx(1), pytest.approx(1))
    other = np.random.default_rng(5).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    assert measure(other, rgb, []).correlation == pytest.approx(0, abs=0.05)
    assert measure(flat(5), rgb, []).correlation is None
    assert measure(visible, None, []).correlation is None
    larger = np.kron(rgb, np.ones((2, 2, 1), np.uint8))
    assert measure(visible, larger, []).correlation == pytest.approx(1)


def test_what_is_no_image_is_refused() -> None:
    for wrong in (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8)):
        with pytest.raises(ValueError, match="ir must be"):
            measure(wrong, None, [])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rgb must be"):
        measure(flat(1), flat(1), [])


@settings(max_examples=150, deadline=None)
@given(grays, boxes(st.just("a")))
def test_inverting_the_view_inverts_what_is_said(ir: Gray, around: list[dict[str, Any]]) -> None:
    seen, inverse = measure(ir, None, around), measure(255 - ir, None, around)
    assert inverse.brightness == pytest.approx(255 - seen.brightness)
    assert (inverse.contrast, inverse.edges) == (seen.contrast, seen.edges)
    assert inverse.entropy == pytest.approx(seen.entropy)
    assert (inverse.dark_share, inverse.bright_share) == (seen.bright_share, seen.dark_share)
    assert (inverse.brightest, inverse.darkest) == (seen.darkest, seen.brightest)
    assert inverse.side == OPPOSITE[seen.side]
    assert tones(inverse) == [FLIP[tone] for tone in tones(seen)]


@settings(max_examples=100, deadline=None)
@given(grays, boxes())
def test_measures_stay_in_their_ranges(ir: Gray, around: list[dict[str, Any]]) -> None:
    seen = measure(ir, np.repeat(ir[..., None], 3, 2), around)
    assert 0 <= seen.brightness <= 255
    assert 0 <= seen.contrast <= 255
    assert 0 <= seen.entropy <= 8.0001
    assert all(0 <= share <= 1 for share in (seen.edges, seen.dark_share, seen.bright_share))
    assert sum(thing.alone for thing in seen.things) <= 1.0001
    assert all(thing.alone <= thing.share <= 1 for thing in seen.things)
    assert seen.correlation is None or seen.correlation == pytest.approx(1, abs=1e-3)
