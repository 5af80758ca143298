"""What is found wrong with captions in free style, with the grounded ones, and with any text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionrs_builder.caption import checks, claims
from fusionrs_builder.caption.appearance import look
from fusionrs_builder.caption.claims import Finding, findings
from fusionrs_builder.caption.evidence import measure
from fusionrs_builder.caption.facts import Record
from fusionrs_builder.caption.grounded import Writer

from ..scenes import Gray, box, boxes, colour, flat, grays, labels, square
from . import lot_captions, model_captions
from .free_captions import STREET_FALSE, STREET_TRUE, THERMAL_FALSE, THERMAL_TRUE
from .scene_captions import CLASSES, HARBOUR_FALSE, HARBOUR_TRUE

CARS = [(4, 4), (16, 4), (28, 4), (4, 80), (16, 80)]
TRUCKS = [(36, 46), (50, 46)]


def street() -> tuple[Record, Gray]:
    """Three bright cars in the upper left, two dark ones in the lower left, two bright trucks in the centre and a
    bright building below them; the right third is dark: mean 106, contrast 110.
    """
    ir = square(flat(120), 64, 0, 96, 96, 60)
    found = []
    for number, (x, y) in enumerate(CARS):
        ir = square(ir, x, y, x + 7, y + 7, 200 if number < 3 else 40)
        found.append(box("Car", x, y, x + 7, y + 7))
    for x, y in TRUCKS:
        ir = square(ir, x, y, x + 8, y + 8, 170)
        found.append(box("Truck", x, y, x + 8, y + 8))
    ir = square(ir, 38, 70, 58, 90, 190)
    found.append(box("Building", 38, 70, 58, 90))
    return Record("c/street", ["Building", "Car", "Truck"], found, origin="translated", band="nir"), ir


def wrong(caption: str, view: str = "ir") -> set[str]:
    record, ir = street()
    rgb = np.repeat(ir[..., None], 3, 2)
    scene, infrared = ([caption], []) if view == "scene" else ([], [caption])
    return {found.check for found in findings(scene, infrared, record, measure(ir, rgb, record.boxes), look(rgb))}


@pytest.mark.parametrize("caption", STREET_TRUE)
def test_what_is_true_or_undecided_is_left_alone(caption: str) -> None:
    assert wrong(caption) == set()


@pytest.mark.parametrize(("caption", "check"), STREET_FALSE)
def test_what_is_false_is_found_by_its_check(caption: str, check: str) -> None:
    assert check in wrong(caption)


def thermal(caption: str, white_hot: bool = True) -> set[str]:
    """Of a record that was seen in infrared alone: two bright people at the top, a dark car below."""
    ir = square(square(flat(90), 10, 10, 16, 22, 220), 70, 12, 76, 24, 215)
    ir = square(ir, 40, 60, 60, 72, 30)
    found = [box("Person", 10, 10, 16, 22), box("Person", 70, 12, 76, 24), box("Car", 40, 60, 60, 72)]
    record = Record("c/t", ["Person", "Car"], found, origin="measured", band="lwir", white_hot=white_hot)
    return {one.check for one in findings([caption], [], record, measure(ir, None, found), None)}


@pytest.mark.parametrize("caption", THERMAL_TRUE)
def test_true_captions_of_thermal_frames(caption: str) -> None:
    assert thermal(caption) == set()


@pytest.mark.parametrize(("caption", "check"), THERMAL_FALSE)
def test_false_captions_of_thermal_frames(caption: str, check: str) -> None:
    assert check in thermal(caption)


def test_where_black_is_hot_dark_is_warm() -> None:
    said = "The car is {} than the ground around it in this thermal image."
    assert thermal(said.format("warmer"), white_hot=False) == set()
    assert thermal(said.format("cooler"), white_hot=False) == {"polarity"}
    assert thermal(said.format("darker"), white_hot=False) == set()


def harbour(caption: str) -> set[str]:
    """Bright land above, dark water below: four bright ships, three dark tanks, the brightest building; the visible
    image is its negative.
    """
    ir = square(square(flat(60), 0, 0, 96, 36, 150), 4, 6, 24, 22, 235)
    found = [box("building", 4, 6, 24, 22)]
    for x in (6, 26, 46, 70):
        ir = square(ir, x, 70, x + 12, 76, 190)
        found.append(box("ship", x, 70, x + 12, 76))
    for x in (66, 76, 86):
        ir = square(ir, x, 6, x + 7, 13, 60)
        found.append(box("storage_tank", x, 6, x + 7, 13))
    record = Record("c/harbour", ["building", "ship", "storage_tank"], found, origin="translated", band="nir")
    rgb = 255 - np.repeat(ir[..., None], 3, 2)
    return {one.check for one in findings([], [caption], record, measure(ir, rgb, found), look(rgb))}


@pytest.mark.parametrize("caption", HARBOUR_TRUE)
def test_true_captions_of_a_harbour(caption: str) -> None:
    assert harbour(caption) == set()


@pytest.mark.parametrize(("caption", "check"), HARBOUR_FALSE)
def test_false_captions_of_a_harbour(caption: str, check: str) -> None:
    assert check in harbour(caption)


MADE = {"street": wrong, "thermal": thermal, "harbour": harbour}
WORDED = [
    (kind, caption, truth)
    for kind in MADE
    for truth, name in ((True, "TRUE"), (False, "FALSE"))
    for caption in getattr(model_captions, f"{kind.upper()}_{name}")
]


@pytest.mark.parametrize(("kind", "caption", "truth"), WORDED)
def test_what_models_say_of_responses_and_denials(kind: str, caption: str, truth: bool) -> None:
    assert (MADE[kind](caption) == set()) == truth


def lot(caption: str) -> set[str]:
    record, ir = lot_captions.lot()
    rgb = np.repeat(ir[..., None], 3, 2)
    return {one.check for one in findings([], [caption], record, measure(ir, rgb, record.boxes), look(rgb))}


def thermal_street(caption: str) -> set[str]:
    record, ir = lot_captions.thermal_street()
    return {one.check for one in findings([caption], [], record, measure(ir, None, record.boxes), None)}


@pytest.mark.parametrize("caption", [*lot_captions.LOT_TRUE, *lot_captions.LOT_TRUE_LATER, *lot_captions.UNDECIDED])
def test_true_captions_of_a_lot(caption: str) -> None:
    assert lot(caption) == set()


@pytest.mark.parametrize(("caption", "check"), lot_captions.LOT_FALSE)
def test_false_captions_of_a_lot(caption: str, check: str) -> None:
    assert check in lot(caption)


@pytest.mark.parametrize("caption", [*lot_captions.STREET_TRUE, *lot_captions.STREET_TRUE_LATER])
def test_true_captions_of_a_thermal_street(caption: str) -> None:
    assert thermal_street(caption) == set()


@pytest.mark.parametrize(("caption", "check"), lot_captions.STREET_FALSE)
def test_false_captions_of_a_thermal_street(caption: str, check: str) -> None:
    assert check in thermal_street(caption)


def test_false_captions_that_were_written_later() -> None:
    assert [caption for caption in lot_captions.LOT_FALSE_LATER if not lot(caption)] == []
    assert [caption for caption in lot_captions.STREET_FALSE_LATER if not thermal_street(caption)] == []


def test_a_strong_response_is_left_alone_where_dark_is_warm() -> None:
    for level in ("strong", "weak"):
        assert thermal(f"The car shows a {level} response in this thermal image.", white_hot=False) == set()


@pytest.mark.parametrize(
    "text",
    ["Buy our fine product at best shop dot com.", "Subscribe to our channel for more views like this.",
     "Click here for the full picture of the town.", "As requested, a picture of a quiet town.",
     "A quiet town by a wide road. I hope this helps."],
)  # fmt: skip
def test_advertising_and_chat_need_nothing_to_be_held_against(text: str) -> None:
    assert {one.check for one in findings([text], [], Record("c/n"), None, None)} == {"refusal"}


def test_no_image_tells_temperatures() -> None:
    rgb = colour(60, 110, 50)
    for said in ("The roof of the house is at 35 °C on this day.", "A field at 300 K seen from high above."):
        assert {one.check for one in findings([said], [], Record("c/n"), None, look(rgb))} == {"forbidden_words"}


@pytest.mark.parametrize("label", CLASSES)
def test_scenes_that_have_a_class_and_no_boxes(label: str) -> None:
    record = Record(f"c/{label}", [label], origin="translated", band="nir")
    seen, visible = measure(flat(100), None, []), look(colour(60, 110, 50))
    true, false = CLASSES[label]
    assert [found for caption in true for found in findings([caption], [], record, seen, visible)] == []
    for caption in false:
        assert {found.check for found in findings([caption], [], record, seen, visible)} == {"objects"}


def test_where_nothing_is_known_nothing_is_unsupported() -> None:
    said = ["An airport with planes by the terminal and a harbour."]
    assert findings(said, [], Record("c/none", origin="translated"), measure(flat(100), None, []), None) == []


def test_published_captions_support_what_they_name() -> None:
    said = ["An airport with planes by the terminal and a large stadium."]
    for field in ("publisher", "model", "template"):
        known = Record("c/p", ["forest"], origin="translated", **{field: ["Aircraft at an airport near a stadium"]})
        assert findings(said, [], known, None, None) == []
    assert findings(said, [], Record("c/p", ["forest"], origin="translated"), None, None) != []


def test_a_caption_given_twice() -> None:
    record, ir = street()
    said = "Five cars and two trucks are parked beside a building."
    found = findings([said], [said.replace("Five", "five").rstrip(".") + " ."], record, measure(ir, None, []), None)
    assert [(one.check, one.caption) for one in found] == [("unique", said.replace("Five", "five").rstrip(".") + " .")]


def test_every_message_says_what_is_true_in_one_sentence() -> None:
    record, ir = street()
    for caption, _ in STREET_FALSE:
        for found in findings([], [caption], record, measure(ir, None, record.boxes), None):
            assert found.check in claims.CHECKS and found.caption == caption
            assert found.message.endswith(".") and "\n" not in found.message and len(found.message) < 250


WORDS = """
the a two of five no cars car, building dark brighter brightest than left right upper in side view area and while are is
12 surroundings . percent pixels visible image it they across much all mostly spread over both as lower half neither
"""
any_text = st.one_of(
    st.text(max_size=200), st.lists(st.sampled_from(WORDS.split()), max_size=40).map(" ".join)
)  # fmt: skip


@given(
    st.lists(any_text, max_size=3),
    st.lists(any_text, max_size=3),
    grays,
    boxes(),
    st.lists(labels, max_size=4),
    st.sampled_from([("measured", "lwir"), ("translated", "nir"), (None, None)]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_text_about_any_record_is_read(
    scene: list[str], ir: list[str], gray: Gray, found: list[dict[str, object]], names: list[str],
    kind: tuple[str | None, str | None], visible: bool, infrared: bool,
) -> None:  # fmt: skip
    record = Record("c/x", names, found, origin=kind[0], band=kind[1], publisher=scene[:1])
    seen = measure(gray, None, found) if infrared else None
    told = findings(scene, ir, record, seen, look(np.repeat(gray[..., None], 3, 2)) if visible else None)
    assert {one.check for one in told} >= checks.faults(scene, ir, *kind, scene_is_ir=not visible).keys()
    assert all(isinstance(one, Finding) and one.check in claims.CHECKS for one in told)
    assert len(set(told)) == len(told)


plain = st.sampled_from(
    ["Car", "Person", "OtherVehicle", "Bus", "grass", "buildings", "storage_tank", "SeaLake", "People", "CoolingTower",
     "water", "Aircraft", "university", "ship", "Tree", "large-vehicle", "small-vehicle", "baseball_diamond"]
)  # fmt: skip


@given(grays, st.data(), st.sampled_from([("measured", "lwir"), ("measured", "nir"), ("translated", "lwir")]))
@settings(max_examples=150, deadline=None)
def test_grounded_captions_are_true(gray: Gray, data: st.DataObject, kind: tuple[str, str]) -> None:
    found = data.draw(boxes(plain))
    names = sorted({each["label"] for each in found} | set(data.draw(st.lists(plain, max_size=0 if found else 2))))
    record = Record(f"c/{gray.sum()}", names, found, origin=kind[0], band=kind[1])
    rgb = None if kind[1] == "lwir" and kind[0] == "measured" else np.repeat(gray[..., None], 3, 2)
    written = Writer(0).write(record, rgb, gray)
    seen, visible = measure(gray, rgb, found), None if rgb is None else look(rgb)
    assert findings(written.scene, written.ir, record, seen, visible) == []


def test_a_long_text_takes_no_longer_than_a_caption_of_its_words() -> None:
    record, ir = street()
    seen = measure(ir, None, record.boxes)
    for text in (
        "a, " * 20_000,
        "<a" * 20_000,
        "a" * 60_000,
        "the cars are dark and " * 3000,
        "( " * 30_000,
        "signal of the " * 9000,
    ):
        assert findings([text], [], record, seen, None)
