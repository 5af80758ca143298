from collections.abc import Iterable

import numpy as np
import pytest

from fusionrs_builder.benchmark.metrics.bleu import bleu
from fusionrs_builder.benchmark.metrics.captions import Captions
from fusionrs_builder.benchmark.metrics.cider import cider_d
from fusionrs_builder.benchmark.metrics.tokens import tokenise
from fusionrs_builder.benchmark.models.model import Answer, Question, TextModel
from fusionrs_builder.benchmark.nearest import Nearest
from fusionrs_builder.benchmark.records import INPUTS
from fusionrs_builder.benchmark.tasks.captioning import captioning, controls
from tests.benchmark.conftest import Given, records, row


def thermal(n):
    captions = [f"A thermal view of {n} cars beside a road.", f"The {n} cars are bright in this view."]
    return row(str(n), n, rgb=False, corpus="hit-uav", ir_band="lwir", ir_captions=captions)


def silent(record, picture, caption, of_infrared):
    return []


class Says:
    """A model that says what is given by key, and remembers what it was asked."""

    def __init__(self, said):
        self.said, self.asked = said, {}

    def model(self, looks=True):
        def answer(questions: Iterable[Question], device: str):
            for one in questions:
                self.asked[one.key] = (one.prompt, [np.asarray(picture).shape for picture in one.pictures()])
            return {key: self.said.get(key, Answer(None, "no prediction")) for key in self.asked}

        return TextModel("says", "says", "none", "says", answer, looks=looks)


def by(results):
    return {(one.protocol, one.dataset, one.inputs): one for one in results}


def test_scores_are_those_of_the_metrics_and_a_failure_is_an_empty_caption():
    of = records([thermal(n) for n in range(5)])
    said = {f"hit-uav/{n}": Answer(f"A thermal view of {n} trucks.") for n in range(4)}
    (result,) = captioning(of, Says(said).model(), INPUTS, "cpu", silent, None)
    texts = {f"hit-uav/{n}": tokenise(f"A thermal view of {n} trucks.") if n < 4 else "" for n in range(5)}
    captions = Captions(texts, {one.id: [tokenise(text) for text in one.ir_captions] for one in of})
    assert result.estimates["CIDEr-D"].value == pytest.approx(cider_d(captions).corpus)
    assert result.estimates["BLEU-4"].value == pytest.approx(bleu(captions)[3].corpus)
    assert result.counts == {"images": 5, "failed": 1, "empty": 1}
    assert result.detail["errors"] == {"no prediction": 1}
    assert result.estimates["faultless"].value == 0.8
    assert (result.origin, result.band, result.headline) == ("measured", "lwir", "CIDEr-D")


def test_each_input_is_asked_of_its_own_picture_and_a_pair_of_both():
    of = records([row("a", 1), row("b", 2)])
    says = Says({})
    results = by(captioning(of, says.model(), INPUTS, "cpu", silent, None))
    assert {key[2] for key in results if key[0] == "ir-captioning@1"} == {*INPUTS, "pair"}
    assert {key[2] for key in results if key[0] == "scene-captioning@1"} == {"rgb"}
    assert len(says.asked) == 2 * 6
    assert [len(says.asked[f"eurosat/a{end}"][1]) for end in ("", "@gray", "@pair", "@rgb")] == [1, 1, 2, 1]
    assert "infrared" in says.asked["eurosat/a"][0] and "infrared" not in says.asked["eurosat/a@rgb"][0]


def test_all_corpora_are_asked_in_one_go_so_that_predictions_of_a_file_fit():
    of = records([thermal(1), row("a", 2)])
    says = Says({"hit-uav/1": Answer("one"), "eurosat/a": Answer("two")})
    results = by(captioning(of, says.model(looks=False), INPUTS, "cpu", silent, None))
    assert set(says.asked) == {"hit-uav/1", "eurosat/a"}
    assert {key[1] for key in results} == {"fusionrs/hit-uav", "fusionrs/eurosat"}
    assert all(one.counts["failed"] == 0 for one in results.values())


def test_false_claims_and_physics_are_shares_of_all_captions():
    of = records([thermal(n) for n in range(4)])
    said = {f"hit-uav/{n}": Answer(["hot metal", "a red car", "a fine view", "another view"][n]) for n in range(4)}

    def check(record, picture, caption, of_infrared):
        assert picture("rgb") is None and picture("infrared") is not None and of_infrared
        return ["forbidden_words", "objects"] if "hot" in caption else ["no_colour_in_ir"] if "red" in caption else []

    (result,) = captioning(of, Says(said).model(), INPUTS, "cpu", check, None)
    assert result.estimates["faultless"].value == 0.5
    assert result.estimates["forbidden physics"].value == 0.25
    assert result.detail["faults"] == {"forbidden_words": 1, "objects": 1, "no_colour_in_ir": 1}


def test_clip_score_is_of_the_named_model_and_0_for_what_failed():
    of = records([thermal(n) for n in range(3)])
    said = {f"hit-uav/{n}": Answer(f"caption {n}") for n in range(2)}
    clip = Given(of)
    (result,) = captioning(of, Says(said).model(), INPUTS, "cpu", silent, clip)
    expected = []
    for n in range(2):
        a, b = clip.vector(f"hit-uav/{n} infrared"), clip.vector(f"caption {n}")
        expected.append(2.5 * max(0.0, float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))))
    assert result.estimates["CLIPScore"].value == pytest.approx(sum(expected) / 3, abs=1e-6)
    assert result.detail["clip_score"] == "given none"


def test_controls_never_copy_a_record_to_itself():
    of = records([thermal(n) for n in range(6)])
    for name in ("random", "majority", "copy-nearest"):
        (result,) = controls(of, name, of, Nearest(of, of), silent, None)
        assert (result.model, result.pretrained, result.counts["failed"]) == (name, "control", 0)
        assert result.detail["different"] == (1 if name == "majority" else result.detail["different"])
        if name != "majority":
            assert result.estimates["BLEU-4"].value < 1


def test_copy_nearest_copies_the_caption_of_the_same_picture():
    of, pool = records([thermal(3)]), records([thermal(n) for n in range(6)], "train")
    (result,) = controls(of, "copy-nearest", pool, Nearest(of, pool), silent, None)
    assert result.estimates["BLEU-4"].value == pytest.approx(1)


def test_with_nothing_to_copy_controls_fail_and_are_counted():
    of = records([thermal(1)])
    for name in ("random", "copy-nearest"):
        (result,) = controls(of, name, of, Nearest(of, of), silent, None)
        assert result.counts["failed"] == 1


def test_a_caption_of_a_damaged_picture_is_scored_and_told_as_unchecked():
    rows = [thermal(n) for n in range(3)]
    rows[1]["ir"] = {"bytes": b"no image", "path": None}
    of = records(rows)

    def check(record, picture, caption, of_infrared):
        picture("infrared")
        return []

    said = {f"hit-uav/{n}": Answer(f"A thermal view of {n} cars.") for n in range(3)}
    blind = TextModel("blind", "blind", "none", "blind", lambda questions, device: said, looks=False)
    (result,) = captioning(of, blind, INPUTS, "cpu", check, None)
    assert result.detail["faults"] == {"unchecked": 1}
    assert result.estimates["faultless"].value == pytest.approx(2 / 3) and result.counts["failed"] == 0


def test_pairs_and_controls_are_of_the_records_with_a_visible_image_too():
    of = records([row("a", 1), row("b", 2), row("c", 3, rgb=False)])
    results = by(captioning(of, Says({}).model(), ("infrared",), "cpu", silent, None))
    counts = {key[1:]: one.counts["images"] for key, one in results.items() if key[0] == "ir-captioning@1"}
    assert counts == {("fusionrs/eurosat", "infrared"): 3, ("fusionrs/eurosat, with rgb", "pair"): 2}
    found = by(controls(of, "majority", of, lambda place: None, silent, None))
    assert {key[1:] for key in found if key[0] == "ir-captioning@1"} == {
        ("fusionrs/eurosat", "infrared"), ("fusionrs/eurosat, with rgb", "infrared")
    }  # fmt: skip
