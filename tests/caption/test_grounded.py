import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionrs_builder.caption import grounded
from fusionrs_builder.caption.evidence import measure
from fusionrs_builder.caption.facts import Record
from fusionrs_builder.caption.grounded import Phrases, Writer, render
from fusionrs_builder.errors import FusionError

from .scenes import SIDE, Gray, box, boxes, colour, flat, grays, labels, square

SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
NUMBERS = {word: i for i, word in enumerate(SMALL)} | {"a": 1}
COLOURS = "red green blue yellow orange purple violet pink brown black white grey gray cyan magenta tan beige olive"
HEAT = (
    "hot heat warm warmer cold cool cooler temperature thermal degrees emissivity emission radiance reflectance "
    "reflective reflectivity material metal metallic conductive"
)
TRUCKS = re.compile(
    r"(?P<subject>one of the|\w+ of the|both|the) ?(?P<total>\w+)? ?trucks?(?: in the [a-z]+(?: [a-z]+)?)? "
    r"(?:appears?|looks?|shows? up|stands? out(?: as)?|is|are) (?:much |slightly )?"
    r"(?P<tone>brighter|darker|bright|dark)\b"
)


def number(word: str) -> int:
    return NUMBERS[word] if word in NUMBERS else int(word)


def words(texts: Any) -> set[str]:
    return {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}


def ids(count: int) -> list[str]:
    return [f"corpus/{i}" for i in range(count)]


def ir_captions(record: Record, ir: Gray, count: int = 30) -> list[str]:
    writer = Writer(0)
    return [text for name in ids(count) for text in writer.write(replace(record, id=name), None, ir).ir]


def assert_grammar(text: str) -> None:
    assert text[0] == text[0].upper()
    assert not text[0].isdigit()
    assert text.endswith(".")
    assert text == " ".join(text.split())
    assert 5 <= len(text.split()) <= 40
    assert not re.search(r"[{}<>\x00]| [,.]|,,|\.\.", text)


# Exact truth.


def test_a_bright_square_in_the_upper_left() -> None:
    texts = ir_captions(Record("", origin="translated"), square(flat(60), 4, 4, 24, 24, 230), 60)
    said = [text for text in texts if re.search(r"bright(est)? (spot|area|part|region)", text)]
    assert len(said) > 15
    assert all("in the upper left" in text for text in said)
    assert not any(re.search(r"dark(est)? (spot|area|part|region)", text) for text in texts)
    shares = [int(text) for text in re.findall(r"about (\d+) percent of the frame", " ".join(texts))]
    assert set(shares) == {4}  # 400 of 9,216 pixels


def test_the_brightest_is_said_of_one_region_only() -> None:
    one = square(flat(60), 4, 4, 24, 24, 230)
    record = Record("", origin="translated")
    assert any("the brightest" in text.lower() for text in ir_captions(record, one))
    two = ir_captions(record, square(one, 72, 72, 92, 92, 230))
    assert any("a bright " in text.lower() for text in two)
    assert not any("brightest" in text for text in two)


def test_no_sentence_starts_with_a_digit() -> None:
    around = [box("Bus", 6 * (i % 15), 8 * (i // 15), 6 * (i % 15) + 4, 8 * (i // 15) + 4) for i in range(40)]
    writer = Writer(0)
    texts = [writer.write(Record(name, ["Bus"], around), colour(9, 80, 9), None).scene[0] for name in ids(60)]
    assert all(" 40 buses" in text for text in texts)


def test_inverting_the_view_flips_what_is_said() -> None:
    ir = square(square(flat(128), 4, 4, 24, 24, 240), 72, 72, 92, 92, 20)
    record = Record("", labels=["truck"], boxes=[box("truck", 4, 4, 24, 24)], origin="translated")
    for view, bright, dark in ((ir, "upper left", "lower right"), (255 - ir, "lower right", "upper left")):
        texts = ir_captions(record, view, 60)
        for tone, place in (("bright", bright), ("dark", dark)):
            places = re.findall(
                rf"{tone}(?:est)? (?:spot|area|part|region)(?: of this [a-z -]+)?(?: lies)? in the (\w+ \w+)",
                " ".join(texts),
            )
            assert len(places) > 10
            assert set(places) == {place}
        found = {match["tone"] for text in texts if (match := TRUCKS.search(text.lower()))}
        assert found == ({"brighter", "bright"} if bright == "upper left" else {"darker", "dark"})


def test_a_box_darker_than_its_surroundings_is_said_to_be_dark() -> None:
    record = Record("", labels=["truck"], boxes=[box("truck", 40, 40, 52, 52)], origin="translated", band="nir")
    texts = ir_captions(record, square(flat(150), 40, 40, 52, 52, 90))
    told = [match for text in texts if (match := TRUCKS.search(text.lower()))]
    assert len(told) >= 30
    assert {match["tone"] for match in told} == {"darker", "dark"}
    assert all("truck in the centre" in match[0] for match in told)


def test_counts_are_right() -> None:
    boxes = [box("Bus", 12 * i, 10, 12 * i + 8, 18) for i in range(7)] + [box("Person", 50, 50, 53, 56)]
    boxes += [box("DontCare", 70, 70, 80, 80), box("Bus", 400, 400, 420, 420)]
    record = Record("", labels=["Bus", "Person"], boxes=boxes)
    writer = Writer(0)
    for name in ids(40):
        text = writer.write(replace(record, id=name), colour(90, 120, 60), None).scene[0]
        assert "seven buses and a person" in text.lower()
        assert "don" not in text.lower()


def test_frames_without_objects_are_not_said_to_lack_any() -> None:
    record = Record("", labels=[], boxes=[], origin="measured", band="lwir")
    for name in ids(40):
        captions = Writer(0).write(replace(record, id=name), None, flat(100))
        assert not words([*captions.scene, *captions.ir]) & {"none", "zero", "without", "empty", "nothing", "objects"}


def test_scene_captions_of_a_colour() -> None:
    writer = Writer(0)
    texts = [text for name in ids(40) for text in writer.write(Record(name), colour(40, 140, 50), None).scene]
    assert all("green tones" in text.lower() for text in texts)
    assert words(texts) & set(COLOURS.split()) == {"green"}


# Rules of honesty.


def test_measured_long_wave_may_be_warm_and_translated_never() -> None:
    ir = square(flat(120), 40, 40, 52, 52, 220)
    record = Record("", labels=["truck"], boxes=[box("truck", 40, 40, 52, 52)], origin="measured", band="lwir")
    seen = words(ir_captions(record, ir, 60))
    assert {"warmer", "thermal"} <= seen
    assert not seen & {"cooler", "hot", "temperature", "degrees"}
    assert not words(ir_captions(replace(record, white_hot=False), ir, 60)) & {"warmer"}
    assert not words(ir_captions(replace(record, origin="translated"), ir, 60)) & set(HEAT.split())


def test_a_grey_control_claims_no_band() -> None:
    texts = ir_captions(Record("", origin="translated", band=None), flat(90), 60)
    assert not any(re.search(r"near-infra|short-wave|mid-wave|long-wave|thermal", text.lower()) for text in texts)


@pytest.mark.parametrize("named", [["White Car"], ["Car"], ["Car", "Forest"], ["Forest"], []])
def test_a_scene_seen_in_infrared_alone_says_so_and_keeps_the_rules(named: list[str]) -> None:
    around = [box(named[0], 4, 4, 9, 9), box(named[0], 40, 44, 49, 49)] if "Car" in str(named) else []
    record = Record("", labels=named, boxes=around, gsd_m=0.1, origin="measured", band="lwir")
    writer = Writer(0, scene=4)
    for name in ids(30):
        for text in writer.write(replace(record, id=name), None, flat(90)).scene:
            assert re.search("thermal|infrared", text.lower()), text
            assert "white" not in text


@settings(max_examples=200, deadline=None)
@given(
    ir=grays,
    visible=st.sampled_from([None, "same", "noise"]),
    named=st.lists(labels, max_size=4),
    around=boxes(),
    origin=st.sampled_from(["measured", "translated", None]),
    band=st.sampled_from([None, "nir", "swir", "mwir", "lwir"]),
    gsd=st.sampled_from([None, 0.0, 0.3, 10.0, 30.0]),
    counts=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    seed=st.integers(0, 99),
)
def test_every_rule_holds_for_anything(
    ir: Gray, visible: str | None, named: list[str], around: list[dict[str, Any]], origin: str | None,
    band: str | None, gsd: float | None, counts: tuple[int, int], seed: int,
) -> None:  # fmt: skip
    rgb = None if visible is None else np.repeat(ir[..., None], 3, 2)
    if visible == "noise":
        rgb = np.random.default_rng(seed).integers(0, 256, (24, 31, 3), dtype=np.uint8)
    record = Record("c/1", [*named, *(each["label"] for each in around[:4])], around, (), gsd, origin, band)
    captions = Writer(seed, *counts).write(record, rgb, ir)
    assert (len(captions.scene), len(captions.ir)) == counts
    every = [*captions.scene, *captions.ir]
    assert len({text.casefold() for text in every}) == len(every)
    for text in every:
        assert_grammar(text)
    bound = words([*captions.ir, *(captions.scene if rgb is None else ())])
    assert not bound & set(COLOURS.split())
    warm = {"warm", "warmer", "cool", "cooler", "thermal"} if (origin, band) == ("measured", "lwir") else set()
    assert not bound & (set(HEAT.split()) - warm)
    assert captions.checks == ("forbidden_words", "no_colour_in_ir", "length", "unique")
    assert Writer(seed, *counts).write(record, rgb, ir) == captions


@settings(max_examples=150, deadline=None)
@given(ir=grays, around=boxes(st.just("truck")), seed=st.integers(0, 99))
def test_every_number_and_tone_is_the_measured_one(ir: Gray, around: list[dict[str, Any]], seed: int) -> None:
    tones = [thing.tone for thing in measure(ir, None, around).things]
    captions = Writer(seed, 3, 4).write(
        Record("c/1", ["truck"] if around else [], around, origin="translated"), None, ir
    )
    for text in (each.lower() for each in (*captions.scene, *captions.ir)):
        for found in re.findall(r"(\w+) trucks?\b", text):
            if found not in ("the", "both"):
                assert number(found) == len(tones)
        assert not re.search(r"\btruck (appear|look|show up|stand|differ|cover)\b|the truck are", text)
        plural = re.sub(r"one of the \w+ trucks", "", text)
        assert not re.search(
            r"\btrucks (appears|looks|shows up|stands|differs|covers)\b|(?<!of )the \w+ trucks is", plural
        )
        if match := TRUCKS.search(text):
            whole = match["subject"] in ("the", "both")
            amount = len(tones) if whole else number(match["subject"].split()[0])
            tone = {"bright": "brighter", "dark": "darker"}.get(match["tone"], match["tone"])
            assert tones.count(tone) == amount
            if other := re.search(r"and (\w+) (?:is|are) (brighter|darker)\.$", text):
                assert tones.count(other[2]) == number(other[1])  # type: ignore[arg-type]


# Words.


def test_the_seed_and_the_id_choose_the_words() -> None:
    record, ir = Record("c/1", labels=["Forest"], origin="translated", band="nir"), flat(70)
    rgb = colour(40, 140, 50)
    by_seed = {Writer(seed).write(record, rgb, ir).scene for seed in range(20)}
    by_id = {Writer(0).write(replace(record, id=name), rgb, ir).scene for name in ids(20)}
    assert min(len(by_seed), len(by_id)) > 12


def test_words_do_not_depend_on_the_process() -> None:
    code = (
        "import numpy as np; from fusionrs_builder.caption.grounded import Record, Writer;"
        "ir = np.arange(9216, dtype=np.uint8).reshape(96, 96);"
        "print(Writer(3, 5, 5).write(Record('c/1', ['Forest', 'Bus'], origin='translated', band='nir'), None, ir))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1


def test_strangers_labels_are_not_patterns() -> None:
    assert render("{a} {frame} of {scene}.", {"frame": "image", "scene": "{a} {frame} {0} %s"}) == (
        "An image of {a} {frame} {0} %s."
    )
    record = Record("c/1", labels=["{a} {tone} {0.__class__}"], origin="translated")
    for text in Writer(0, 5, 5).write(record, colour(9, 9, 9), flat(9)).scene:
        assert_grammar(text)


def test_every_sentence_can_be_said() -> None:
    """No sentence waits for a slot that never comes, or for slots that never come together."""
    outlines = [(4, 4, 40, 40), (60, 30, 70, 40), (80, 4, 90, 14)]
    around = [box("Bus", *o, polygon=[o[0], o[1], o[2], o[1], o[2], o[3], o[0], o[3]]) for o in outlines]
    ramp = np.tile(np.linspace(40, 255, SIDE).astype(np.uint8), (SIDE, 1))
    ir = square(square(square(ramp, 4, 4, 40, 40, 250), 60, 30, 70, 40, 20), 80, 4, 90, 14, 225)
    ir = square(ir, 40, 70, 60, 90, 0)
    lit = square(square(flat(90), 0, 0, 32, 32, 255), 64, 64, 96, 96, 0)
    rgb = np.repeat(lit[..., None], 3, 2)
    found: set[str] = set()

    class Recorder(Writer):
        def _compose(self, kind: Any, first: Any, slots_of: Any, *rest: Any) -> tuple[str, ...]:
            slots = slots_of(lambda name, options: options[0]).keys()
            found.update(text for text, needs in self.phrases.needs.items() if needs <= slots)
            return ()

    for record, visible, view in (
        (Record("", ["Bus", "Forest"], around, gsd_m=0.5, origin="measured", band="lwir"), rgb, ir),
        (Record("", ["Bus", "Forest"], around, gsd_m=0.5, origin="measured", band="lwir"), None, ir),
        (Record("", ["Forest"], (), gsd_m=0.5, origin="measured", band="nir"), rgb, flat(200)),
        (Record("", ["Bus"], around[2:], origin="translated"), rgb, square(flat(230), 80, 4, 90, 14, 226)),
        (Record("", ["Bus"], around[2:], origin="translated"), rgb, lit),
        (Record("", ["Bus"], origin="translated"), rgb, np.where(ramp > 140, 230, 20).astype(np.uint8)),
    ):
        Recorder(0).write(record, visible, view)
    assert sorted(Phrases.load().needs.keys() - found) == []


def test_publishers_captions_come_first() -> None:
    published = ["A river.", "  Many cars\non a road . ", "A river.", "", "\x07"]
    record = Record("c/1", publisher=published, origin="translated")
    captions = Writer(0, scene=3).write(record, colour(9, 80, 9), flat(9))
    assert captions.scene[:2] == ("A river.", "Many cars on a road .")
    assert captions.scene_writers == ("publisher", "publisher", "grounded@v1")
    assert captions.ir_writers == ("grounded@v1",) * 2
    assert "length" not in captions.checks  # "A river." is short, and the publisher's to say
    assert len(Writer(0, scene=1).write(record, colour(9, 80, 9), flat(9)).scene) == 2


def test_text_by_a_model_or_a_rule_is_never_called_a_publishers() -> None:
    said = {"publisher": ["A river."], "model": ["A wide river.", "A river."], "template": ["there is a river."]}
    captions = Writer(0, scene=2).write(Record("c/1", **said, origin="translated"), colour(9, 80, 9), flat(9))
    assert captions.scene == ("A river.", "A wide river.", "there is a river.")
    assert captions.scene_writers == ("publisher", "model", "template")


def test_a_caption_that_breaks_a_rule_stops_the_work() -> None:
    phrases = Phrases.load()
    tables = {**phrases.tables, "ir": {"objects": [], "tone": ["{a} {view} of a hot engine at night."] * 2}}
    with pytest.raises(FusionError, match=r"c/77: .*hot"):
        Writer(0, ir=1, phrases=Phrases("", tables)).write(Record("c/77"), None, flat(9))


def test_no_image_at_all() -> None:
    with pytest.raises(ValueError, match="needs a visible or an infrared image"):
        Writer(0).write(Record("c/1"), None, None)


def test_words_of_brightness_come_from_measurements() -> None:
    """A sentence that says one by itself also holds the slot of the measurement that it is about."""
    for kind in ("ir", "scene"):
        for text in (text for texts in Phrases.load().tables[kind].values() for text in texts):
            if re.search(r"bright|dark|warm|cool|light", re.sub(r"\{\w+\}", "", text)):
                assert re.search(r"\{(side|light_where|shade_where|\w+_pixels|similar_subject)\}", text), text


def test_a_drawn_view_is_never_called_like_a_measured_one() -> None:
    views = tomllib.loads((Path(grounded.__file__).parent / "prompts" / "grounded.toml").read_text())["views"]
    assert all("-style" in name for names in views["translated"].values() for name in names)
    assert not any("style" in name for names in views["measured"].values() for name in names)
