import numpy as np
import pytest

from fusionrs_builder.benchmark.prompts import INFRARED, VISIBLE, words
from fusionrs_builder.benchmark.records import INPUTS
from fusionrs_builder.benchmark.tasks.classification import class_vectors, classification, majority
from tests.benchmark.conftest import Given, records, row

CLASSES = {"eurosat": ["AnnualCrop", "Forest", "River"]}
AXES = dict(zip(CLASSES["eurosat"], np.eye(3, dtype=np.float32), strict=True))


def given(truth, guesses, **more):
    """A source whose pictures point where `guesses` says, and whose prompts point to their class."""
    of = records([row(str(n), n, labels=[label], **more) for n, label in enumerate(truth)])
    texts = {prompt.format(words(name)): axis for name, axis in AXES.items() for prompt in (*VISIBLE, *INFRARED)}
    views = {
        (f"eurosat/{n}", view): AXES[guess] + np.float32(0.01)
        for n, guess in enumerate(guesses)
        for view in ("rgb", "infrared")
    }
    return of, Given(of, views, texts, width=3)


def test_accuracies_are_those_of_a_plain_count():
    truth = ["Forest"] * 6 + ["River"] * 2
    guesses = ["Forest"] * 5 + ["River"] + ["AnnualCrop", "River"]
    of, source = given(truth, guesses)
    results = {one.inputs: one for one in classification(of, source, ("infrared",), CLASSES)}
    assert set(results) == {"rgb", "infrared"}
    for one in results.values():
        assert one.estimates["acc1"].value == 6 / 8
        assert one.estimates["mean_per_class_recall"].value == pytest.approx((5 / 6 + 1 / 2) / 2)
        recall = {"Forest": pytest.approx(5 / 6), "River": 0.5}
        assert one.detail == {"chance": pytest.approx(1 / 3), "recall": recall, "absent": ["AnnualCrop"]}
        assert np.isfinite(one.estimates["mean_per_class_recall"].resampled).all()
    assert (results["rgb"].band, results["rgb"].origin) == ("rgb", "-")
    assert (results["infrared"].band, results["infrared"].origin) == ("nir", "measured")


def test_failures_are_wrong():
    of, source = given(["Forest", "River"], ["Forest", "River"])
    source.failing = {("eurosat/0", "rgb")}
    result = next(iter(classification(of, source, ("infrared",), CLASSES)))
    assert (result.estimates["acc1"].value, result.counts["failed"]) == (0.5, 1)


def test_equal_scores_take_the_first_class():
    of, source = given(["AnnualCrop", "River"], ["Forest", "Forest"])
    for key in source.known:
        source.known[key] = np.ones(3, np.float32)
    result = next(iter(classification(of, source, ("infrared",), CLASSES)))
    assert result.estimates["acc1"].value == 0.5


def test_bands_and_origins_are_apart_and_objects_are_no_scenes():
    rows = [row(str(n), n, labels=["Forest"], ir_band="nir" if n % 2 else "swir") for n in range(4)]
    box = {"label": "ship", "x0": 0.0, "y0": 0.0, "x1": 5.0, "y1": 5.0}
    rows += [row("t", 9, labels=["River"], ir_origin="translated"), row("b", 10, labels=["ship"], boxes=[box])]
    of = records(rows)
    found = [
        (one.inputs, one.origin, one.band, one.counts["images"])
        for one in classification(of, Given(of), INPUTS, CLASSES)
    ]
    assert found[0] == ("rgb", "-", "rgb", 5)
    assert [one for one in found if one[0] == "gray"] == [
        ("gray", "measured", "nir", 2), ("gray", "measured", "swir", 2), ("gray", "translated", "nir", 1)
    ]  # fmt: skip


def test_a_view_that_the_source_lacks_stops_no_other():
    of, source = given(["Forest", "River"], ["Forest", "River"])
    views = source.views
    source.views = lambda view, places: None if view == "rgb" else views(view, places)
    assert [one.inputs for one in classification(of, source, ("infrared",), CLASSES)] == ["infrared"]


def test_a_class_is_the_mean_direction_of_its_prompts():
    of, _ = given(["Forest"], ["Forest"])
    source = Given(of)
    found = class_vectors(source, ["AnnualCrop"], VISIBLE)
    each = [source.vector(prompt.format("annual crop")) for prompt in VISIBLE]
    assert found[0] == pytest.approx(np.mean([one / np.linalg.norm(one) for one in each], axis=0), abs=1e-6)
    source.failing = {("", VISIBLE[0].format("annual crop"))}
    less = class_vectors(source, ["AnnualCrop"], VISIBLE)[0]
    left = np.sum([one / np.linalg.norm(one) for one in each[1:]], axis=0)
    assert less / np.linalg.norm(less) == pytest.approx(left / np.linalg.norm(left), abs=1e-6)


def test_majority_is_the_best_constant():
    of, _ = given(["Forest"] * 3 + ["River"], ["Forest"] * 4)
    results = list(majority(of, CLASSES))
    assert {(one.model, one.estimates["acc1"].value) for one in results} == {("majority", 0.75)}


def test_without_text_or_classes_there_is_nothing():
    of, _ = given(["Forest"], ["Forest"])
    assert not list(classification(of, Given(of, has_text=False), ("infrared",), CLASSES))
    assert not list(classification(of, Given(of), ("infrared",), {"eurosat": ["Forest"]}))


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("AnnualCrop", "annual crop"),
        ("storage_tank", "storage tank"),
        ("HTTPServer", "http server"),
        ("SeaLake", "sea lake"),
    ],
)
def test_class_names_become_words(label, said):
    assert words(label) == said
