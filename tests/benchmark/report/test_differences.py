import numpy as np
import pytest

from fusionrs_builder.benchmark.report.differences import MODELS, grids, markdown, of_inputs, of_models
from fusionrs_builder.benchmark.report.merge import merged
from fusionrs_builder.benchmark.report.tables import tables
from fusionrs_builder.intervals import resamples
from tests.benchmark.report.test_merge import put, result, values
from tests.benchmark.report.test_tables import exactly, saved


def test_differences_are_those_of_a_direct_paired_bootstrap(tmp_path):
    common = values(0, n=60)
    rows = {
        ("a", "infrared"): np.clip(common + 0.03, 0, 1),
        ("a", "gray"): common,
        ("b", "infrared"): values(1, 0.4, n=60),
        ("b", "gray"): values(2, n=60),
    }
    for (model, inputs), found in rows.items():
        put(tmp_path, result(model=model, inputs=inputs, metrics={"mAP": found}))
    (table,) = tables(merged([tmp_path]))
    drawn = resamples(60, 0)
    wanted = {
        (("a", "infrared"), ("a", "gray")),
        (("b", "infrared"), ("b", "gray")),
        (("a", "infrared"), ("b", "infrared")),
    }
    found = {
        tuple((one["model"], one["inputs"]) for one in (each.first, each.second)): each
        for each in (*of_inputs(table), *of_models(table))
    }
    assert found.keys() == wanted
    for (first, second), each in found.items():
        of_images = rows[first] - rows[second]
        low, high = np.percentile(of_images[drawn].mean(axis=1), [2.5, 97.5])
        assert each.score.mean == pytest.approx(of_images.mean(), abs=1e-12)
        assert (each.score.low, each.score.high) == pytest.approx((low, high), abs=3e-7)  # seven decimals are saved
        assert each.excludes_zero == (low > 0 or high < 0)
    paired = found[("a", "infrared"), ("a", "gray")]
    assert paired.excludes_zero  # though the intervals of both overlap widely
    assert saved(result(metrics={"mAP": common}))["intervals"]["mAP"][1] > rows["a", "infrared"].mean()


def row(model, inputs="infrared", level=0.5, n=40, pretrained="w", **named):
    found = values(hash_of(model, inputs), level, n)
    return saved(result(model=model, pretrained=pretrained, inputs=inputs, metrics={"mAP": found}, **named))


def hash_of(*words):
    return sum(map(ord, "".join(words)))


def pairs(found):
    return [(each.first["model"], each.second["model"], each.first["inputs"]) for each in found]


def test_origins_and_image_counts_are_never_mixed():
    found = [row("a", n=40), row("a", "gray", n=41), row("b", n=41), row("c", origin="translated")]
    assert [of_inputs(table) + of_models(table) for table in tables(found)] == [[], []]
    assert all(markdown(table) == "" for table in tables(found))


def test_up_to_twelve_models_are_compared_each_with_each_and_more_with_the_best():
    names = [f"m{n:02d}" for n in range(MODELS + 1)]
    levels = dict(zip(names, np.linspace(0.2, 0.8, len(names)), strict=True))
    few = [row(name, level=levels[name]) for name in names[1:]]
    control = row("random", pretrained="control", level=0.9), row("majority", pretrained="control", level=0.1)
    (table,) = tables([*few, *control])
    assert len(of_models(table)) == MODELS * (MODELS - 1) // 2 + 2 * MODELS
    assert not [each for each in of_models(table) if each.first["pretrained"] == "control"]
    (table,) = tables([row(name, level=levels[name]) for name in names] + list(control))
    assert pairs(of_models(table)) == [
        *((names[-1], name, "infrared") for name in names[-2::-1]),
        (names[-1], "random", "infrared"),
        (names[-1], "majority", "infrared"),
    ]


def test_models_are_compared_on_the_same_inputs_and_never_on_controls():
    found = [row(model, inputs) for model in "ab" for inputs in ("infrared", "gray", "duplicate", "pair")]
    (table,) = tables(found)
    assert sorted(inputs for *_, inputs in pairs(of_models(table))) == ["infrared", "pair"]
    assert [each.second["inputs"] for each in of_inputs(table)] == ["gray", "duplicate", "pair"] * 2
    assert all(each.first["model"] == each.second["model"] for each in of_inputs(table))
    (visible,) = tables([row(model, "rgb", origin="-", band="-") for model in "ab"])
    assert len(of_models(visible)) == 1


def test_weights_of_one_name_are_two_models():
    (table,) = tables([row("a"), row("a", pretrained="v"), row("a", "gray", pretrained="v")])
    assert [each.first["pretrained"] for each in of_inputs(table)] == ["v"]
    assert len(of_models(table)) == 1


def test_the_tables_tell_the_sign_and_whether_zero_is_excluded():
    found = [
        saved(result(model="a", metrics={"mAP": exactly(0.75, 40)})),
        saved(result(model="a", inputs="gray", metrics={"mAP": exactly(0.75, 40)})),
        saved(result(model="a", inputs="duplicate", metrics={"mAP": np.ones(40)})),
        saved(result(model="<b>", metrics={"mAP": exactly(0.25, 40)})),
    ]
    (table,) = tables(found)
    own, between = grids(table)
    assert own.rows[0] == ("a (openai)", "gray", "+0.0 (+0.0 to +0.0)", "no")
    assert own.rows[1][2].startswith("-25.0 (-") and own.rows[1][3] == "yes"
    assert between.rows[0][:3] == ("a (openai)", "<b> (openai)", "infrared")
    assert between.rows[0][3].startswith("+50.0 (+") and between.rows[0][4] == "yes"
    text = markdown(table)
    assert "&lt;b> (openai)" in text and "<b>" not in text
    assert text.count("#### ") == 2


def test_a_control_that_is_looked_for_by_what_it_was_made_of_is_compared_with_nothing():
    shown = [saved(result(inputs=inputs)) for inputs in ("infrared", "gray", "duplicate")]
    shown[1]["detail"] = shown[2]["detail"] = {"against_itself": True}
    (table,) = tables(shown)
    assert not of_inputs(table)
    assert "are no measure of the model" in " ".join(table.notes)
    shown[1]["detail"] = {}
    assert [one.second["inputs"] for one in of_inputs(tables(shown)[0])] == ["gray"]
