import json

import numpy as np
import pytest

from fusionrs_builder.translate.scores.polarity import BRIGHT, DARK, known_side, polarity, tells
from fusionrs_builder.translate.scores.records import Entry, Record
from fusionrs_builder.translate.translator import CONTROLS
from tests.translate.scores.test_objects import box

BOTH = {name: CONTROLS[name] for name in ("gray", "gray-inverted")}


def entry(labels, boxes=0, corpus="toy", band=None):
    return Entry("s", 0, f"{corpus}/a", "g", 40, tuple(labels), boxes, True, band)


def lake(level, around=100, measured=None, label="lake"):
    """A picture of a lake, and what a sensor saw of it."""
    rgb = np.full((40, 40, 3), around, np.uint8)
    rgb[10:30, 10:30] = level
    ir = None
    if measured is not None:
        ir = np.full((40, 40), 100, np.uint8)
        ir[10:30, 10:30] = measured
    return Record(
        entry([label], 1, band="nir" if measured is not None else None), rgb, ir, [box(10, 10, 30, 30, label=label)]
    )


def whole(label, level, corpus="toy"):
    return Record(entry([label], corpus=corpus), np.full((16, 16, 3), level, np.uint8), None, ())


@pytest.mark.parametrize(
    ("label", "side"),
    [("SeaLake", DARK), ("Rivers", DARK), ("swimming pool", DARK), ("Forest", BRIGHT), ("ship", None), (None, None)],
)
def test_spelling_does_not_count(label, side):
    assert known_side(label, "nir") == side
    assert known_side(label, "lwir") is None
    assert known_side(label, None) is None


def test_objects_are_compared_with_their_surroundings():
    found = polarity(BOTH, [lake(50, measured=20), lake(150, measured=20), lake(60), lake(70)], "nir")
    assert found["n"] == {"objects": 4, "scenes": 0}
    assert found["scores"]["gray"]["objects"]["mean"] == 0.75
    assert found["scores"]["gray-inverted"]["objects"]["mean"] == 0.25
    assert found["measured"]["n"] == {"objects": 2, "scenes": 0}
    assert found["measured"]["objects"]["mean"] == 1
    assert found["scores"]["gray"]["as_measured"]["mean"] == 0.5
    assert found["differences"]["gray-inverted"]["objects"]["mean"] == 0.5
    lakes = found["classes"]["lake"]
    assert (lakes["n"], lakes["side"], lakes["shares"]) == (4, "dark", {"gray": 0.75, "gray-inverted": 0.25})
    assert json.loads(json.dumps(found)) == found


def test_scenes_are_compared_with_the_median_of_their_corpus():
    dark, bright = [whole("SeaLake", 20), whole("SeaLake", 30)], [whole("Forest", 200), whole("Forest", 90)]
    rest = [whole("Highway", level) for level in (100, 110, 120)]
    found = polarity(BOTH, [*dark, *bright, *rest, whole("SeaLake", 250, "other")], "nir")
    assert found["n"] == {"objects": 0, "scenes": 4}  # a corpus of one lake has nothing to compare it with
    assert found["scores"]["gray"]["scenes"]["mean"] == 0.75
    assert {label: of["n"] for label, of in found["classes"].items()} == {"SeaLake": 2, "Forest": 2}
    assert "as_measured" not in found["scores"]["gray"]


def test_what_tells_nothing():
    assert "no class is certain in lwir" in polarity(BOTH, [lake(50)], "lwir")
    assert "no object or scene" in polarity(BOTH, [lake(50, label="car")], "nir")
    assert not tells(entry(["car"], 1), "nir")
    assert tells(entry(["car", "lake"], 1), "nir")
    assert tells(entry(["Highway"]), "nir")  # the median is of all scenes
    assert not tells(entry(["Highway", "SeaLake"]), "nir")
    assert not tells(entry(["SeaLake"]), "lwir")
