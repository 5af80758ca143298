from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fusionrs_builder.caption import facts
from fusionrs_builder.caption.evidence import measure
from fusionrs_builder.caption.facts import Record
from fusionrs_builder.caption.geometry import locate
from fusionrs_builder.caption.grounded import Phrases

from .scenes import SIDE, box, flat, square

TABLES = Phrases.load().tables


def first(name: str, options: Sequence[str]) -> str:
    return options[0]


def said(record: Record, infrared: bool = False) -> facts.Spoken:
    allowed = facts.allowed_in_infrared(record) if infrared else lambda noun: True
    return facts.spoken(record, locate(record.boxes, SIDE, SIDE), TABLES["classes"], allowed)


def row(label: str, count: int, start: int = 0) -> list[dict[str, Any]]:
    return [box(label, 12 * i, start, 12 * i + 6, start + 6) for i in range(count)]


def test_only_labels_may_be_spoken_of() -> None:
    boxes = row("Car", 2) + row("DontCare", 3, 20) + row("Person", 3, 40) + row("OtherVehicle", 4, 60)
    record = Record("r", labels=["Car", "Forest", "OtherVehicle", "Person"], boxes=boxes)
    assert said(record).counts() == "three people, two cars and four other vehicles"
    assert said(record).scene() == "forest"


def test_objects_out_of_the_frame_are_neither_counted_nor_a_class() -> None:
    spoken = said(Record("r", labels=["Car", "Bus"], boxes=[box("Car", 500, 0, 510, 9), *row("Bus", 1)]))
    assert spoken.counts() == "a bus"
    assert spoken.classes == ()


def test_labels_that_read_alike_are_one_kind_and_a_lone_other_is_plain() -> None:
    record = Record("r", labels=["car", "Car"], boxes=row("car", 2) + row("Car", 1, 30))
    assert said(record).counts() == "three cars"
    assert said(Record("r", labels=["OtherVehicle"], boxes=row("OtherVehicle", 2))).counts() == "two vehicles"


def test_classes_become_noun_phrases() -> None:
    labels = ["SeaLake", "OldTown", "hedgerows", "industrial_area"]
    assert said(Record("r", labels=labels)).scene() == "open water, an old town scene, hedgerows and an industrial area"


def test_infrared_captions_do_not_speak_of_labels_with_forbidden_words() -> None:
    record = Record("r", labels=["HotSpring", "White Car", "Bus"], boxes=row("White Car", 2) + row("Bus", 1, 30))
    assert said(record).counts() == "two white cars and a bus"
    assert said(record, infrared=True).counts() == "a bus"
    assert said(record, infrared=True).classes == ()
    power = Record("r", labels=["thermal_power_station"], origin="measured", band="lwir")
    assert said(power, infrared=True).classes == ("thermal power station",)
    assert said(Record("r", labels=["thermal_power_station"], origin="translated", band="lwir"), True).classes == ()


@pytest.mark.parametrize("level", range(256))
def test_tones_mirror(level: int) -> None:
    step = facts.tone_step(level)
    assert facts.tone_step(255 - level) == 4 - step
    assert step == (0 if level < 50 else 1 if level < 95 else 2 if level <= 160 else 3 if level <= 205 else 4)


@pytest.mark.parametrize(
    ("count", "box_label", "where", "are"),
    [(1, "Car", " in the upper left", "is"), (2, "Car", ", both in the upper left", "are")],
)
def test_where(count: int, box_label: str, where: str, are: str) -> None:
    slots = facts.content_slots(said(Record("r", labels=[box_label], boxes=row(box_label, count))))
    assert (slots["where"], slots["are"]) == (where, are)


def objects(ir: Any, record: Record) -> facts.Slots:
    seen = measure(ir, None, record.boxes)
    spoken = facts.spoken(record, [t.placed for t in seen.things], {}, facts.allowed_in_infrared(record))
    return facts.object_slots(spoken, seen.things, record, first)


def test_objects_are_counted_by_tone() -> None:
    ir = square(square(square(flat(120), 0, 0, 6, 6, 200), 12, 0, 18, 6, 200), 24, 0, 30, 6, 60)
    record = Record("r", labels=["Car"], boxes=row("Car", 4), origin="translated", band="lwir")
    slots = objects(ir, record)
    assert slots["subject"] == "two of the four cars"
    assert (slots["brighter"], slots["how_brighter"], slots["darker_around"]) == ("brighter", "much brighter", "darker")
    assert (slots["other"], slots["darker"], slots["its"], slots["s"]) == ("one", "is darker", "their", "")
    assert slots["similar_subject"] == "one of the four cars"
    assert "warmer" not in slots
    assert objects(255 - ir, record)["brighter"] == "darker"


@pytest.mark.parametrize(
    ("white_hot", "level", "warmth"),
    [(True, 200, "warmer"), (True, 60, "cooler"), (False, 200, "cooler"), (False, 60, "warmer")],
)
def test_warmth_follows_the_polarity_of_measured_long_wave(white_hot: bool, level: int, warmth: str) -> None:
    record = Record(
        "r", labels=["Person"], boxes=row("Person", 1), origin="measured", band="lwir", white_hot=white_hot
    )  # fmt: skip
    slots = objects(square(flat(120), 0, 0, 6, 6, level), record)
    assert slots["warmer"] == warmth
    assert slots["subject"] == "the person in the upper left"
    assert (slots["its"], slots["s"]) == ("their", "s")


@pytest.mark.parametrize(("origin", "band"), [("measured", "nir"), ("translated", "lwir"), ("measured", "mwir")])
def test_no_other_view_is_warm(origin: str, band: str) -> None:
    record = Record("r", labels=["Car"], boxes=row("Car", 1), origin=origin, band=band)
    assert "warmer" not in objects(square(flat(120), 0, 0, 6, 6, 250), record)


def test_slightly() -> None:
    record = Record("r", labels=["Car"], boxes=row("Car", 1))
    assert objects(square(flat(120), 0, 0, 6, 6, 135), record)["how_brighter"] == "slightly brighter"
    assert objects(square(flat(120), 0, 0, 6, 6, 145), record)["how_brighter"] == "brighter"


@pytest.mark.parametrize(
    ("labels", "level", "origin", "band", "tone"),
    [(["Forest"], 190, "measured", "nir", "bright"), (["SeaLake"], 30, "measured", "nir", "dark"),
     (["Forest"], 120, "measured", "nir", None), (["SeaLake"], 120, "measured", "nir", None),
     (["Forest"], 30, "measured", "nir", None), (["Highway"], 190, "measured", "nir", None),
     (["Forest"], 190, "translated", "nir", None), (["Forest"], 190, "measured", "lwir", None),
     (["Forest", "Highway"], 190, "measured", "nir", None)],
)  # fmt: skip
def test_plants_and_water_in_near_infrared(
    labels: list[str], level: int, origin: str, band: str, tone: str | None
) -> None:
    record = Record("r", labels=labels, origin=origin, band=band)
    slots = facts.near_infrared_slots(said(record), record, measure(flat(level), None, []), TABLES["near_infrared"])
    assert slots.get("agreed_tone") == tone


@pytest.mark.parametrize(
    ("correlation", "step"), [(-0.9, 0), (-0.3, None), (0.0, 2), (0.3, None), (0.6, 3), (0.9, 4)]
)  # fmt: skip
def test_relation_is_said_with_a_margin(correlation: float, step: int | None) -> None:
    seen = measure(flat(9), None, [])
    related = type(seen)(**{**vars(seen), "correlation": correlation})
    scale = [f"step {i}" for i in range(5)]
    words = {**TABLES["words"], "relation": [[scale[0]], [], [scale[2]], [], [scale[3]], [scale[4]]]}
    assert facts.infrared_slots(related, words, first).get("relation") == (None if step is None else scale[step])
    assert [bool(each) for each in TABLES["words"]["relation"]] == [True, False, True, False, True, True]


def test_cover_and_the_largest() -> None:
    outlines = [(0, 0, 40, 40), (60, 60, 70, 70)]
    boxes = [box("Building", *o, polygon=[o[0], o[1], o[2], o[1], o[2], o[3], o[0], o[3]]) for o in outlines]
    record = Record("r", labels=["Building"], boxes=boxes)
    seen = measure(flat(9), None, boxes)
    spoken = facts.spoken(record, [t.placed for t in seen.things], {}, lambda noun: True)
    slots = facts.layout_slots(spoken, seen.things, first)
    assert slots["cover"] == "about 20 percent"  # 1,700 of 9,216 pixels
    assert (slots["largest"], slots["largest_where"]) == ("the larger of the two buildings", "in the upper left")
    assert (slots["group"], slots["is"], slots["covers"]) == ("the two buildings", "are", "cover")
    twice = [boxes[0], boxes[0]]
    overlaid = measure(flat(9), None, twice)
    spoken = facts.spoken(replace(record, boxes=twice), [t.placed for t in overlaid.things], {}, lambda noun: True)
    again = facts.layout_slots(spoken, overlaid.things, first)
    assert again["cover"] == "about 15 percent"  # 1,600 of 9,216 pixels, once
    assert "largest" not in again
    boxed = measure(flat(9), None, [{**each, "polygon": []} for each in boxes])
    spoken = facts.spoken(record, [t.placed for t in boxed.things], {}, lambda noun: True)
    assert "cover" not in facts.layout_slots(spoken, boxed.things, first)


def test_extent() -> None:
    assert facts.extent_slots(10.0, 64, 64) == {"gsd": "10 m", "extent": "640 m"}
    assert facts.extent_slots(0.3, 640, 512) == {"gsd": "0.3 m", "extent": "190 m by 150 m"}
    assert facts.extent_slots(None, 64, 64) == facts.extent_slots(float("nan"), 64, 64) == {}
