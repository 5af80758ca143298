from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from fusionrs_builder.benchmark.models.model import Answer, Question, TextModel
from fusionrs_builder.benchmark.records import INPUTS, Record, Records
from fusionrs_builder.benchmark.tasks.vqa import controls, vqa
from fusionrs_builder.benchmark.vqa.questions import by_type, questions
from tests.benchmark.conftest import records, row
from tests.benchmark.vqa.scenes import towns, truth

ROWS = towns(60, 5)


def model(say: Callable[[Question], Answer], looks: bool = True) -> tuple[TextModel, list[Question]]:
    """A model that says so, and what it was asked."""
    asked: list[Question] = []

    def answer(questions: Iterable[Question], device: str) -> dict[str, Answer]:
        assert device == "cpu"
        asked.extend(questions)
        return {question.key: say(question) for question in asked}

    return TextModel("said", "said", "-", "said", answer, looks=looks), asked


def knowing(rows: list[dict]) -> Callable[[Question], Answer]:
    """Right answers, found in the boxes of the rows."""
    known = {one["id"]: one for one in rows}

    def say(question: Question) -> Answer:
        id, _, _ = question.key.partition("#")
        return Answer(f"The answer is {truth(known[id], question.prompt.partition(' Answer with')[0])}.")

    return say


@pytest.fixture(scope="module")
def found() -> Records:
    return records(ROWS)


def test_a_model_that_knows_is_always_right(found: Records) -> None:
    asked = questions(found)
    (result,) = vqa(found, model(knowing(ROWS))[0], ["infrared"], "cpu")
    types = by_type(asked)
    assert {name: score.value for name, score in result.estimates.items()} == dict.fromkeys(
        ["accuracy", "micro accuracy", *(f"{type} accuracy" for type in types)], 1.0
    )
    assert result.counts == {
        "questions": len(asked), "images": len({one.place for one in asked}),
        **{f"questions {type}": count for type, count in types.items()}, "failed": 0, "unreadable": 0,
    }  # fmt: skip
    assert (result.task, result.protocol, result.headline) == ("vqa", "box-vqa@1", "accuracy")
    assert (result.dataset, result.inputs, result.origin, result.band) == (
        "fusionrs/towns",
        "infrared",
        "measured",
        "lwir",
    )
    assert (result.model, result.pretrained) == ("said", "-")
    assert result.as_dict({})["metrics"]["accuracy"] == 1


def test_the_headline_is_the_mean_over_types_with_intervals_by_image(found: Records) -> None:
    knows = knowing(ROWS)
    (result,) = vqa(found, model(lambda q: knows(q) if "#count" in q.key else Answer("dunno"))[0], ["infrared"], "cpu")
    types = by_type(questions(found))
    assert result.estimates["accuracy"].value == pytest.approx(1 / len(types))
    assert result.estimates["micro accuracy"].value == pytest.approx(types["count"] / sum(types.values()))
    assert {name: found.value for name, found in result.estimates.items() if " " in name} == {
        "micro accuracy": result.estimates["micro accuracy"].value,
        **{f"{type} accuracy": float(type == "count") for type in types},
    }
    assert result.counts["unreadable"] == sum(types.values()) - types["count"]
    assert {score.n for score in result.estimates.values()} == {result.counts["images"]}
    assert result.detail["answers"]["presence"] == {"unreadable": types["presence"]}


def test_questions_about_one_image_are_drawn_together(found: Records) -> None:
    asked = questions(found)
    right = {one.place for one in asked if one.place % 2}
    knows, places = knowing(ROWS), {one.key: one.place for one in asked}
    (result,) = vqa(found, model(lambda q: knows(q) if places[q.key] % 2 else Answer("?"))[0], ["infrared"], "cpu")
    sizes = Counter(one.place for one in asked)
    images = np.array(sorted(sizes))
    drawn = np.random.default_rng(0).integers(0, len(images), (2000, len(images)))
    weights = np.array([sizes[place] for place in images])
    marks = weights * np.isin(images, list(right))
    expected = marks[drawn].sum(axis=1) / weights[drawn].sum(axis=1)
    assert result.estimates["micro accuracy"].resampled == pytest.approx(expected)


def test_what_failed_is_wrong_and_counted_apart_from_what_cannot_be_read(found: Records) -> None:
    answers = {"#presence": Answer(None, "no answer in 60 s"), "#count": Answer("some of them")}

    def say(question: Question) -> Answer:
        return next((said for type, said in answers.items() if type in question.key), knowing(ROWS)(question))

    (result,) = vqa(found, model(say)[0], ["infrared"], "cpu")
    types = by_type(questions(found))
    assert result.counts["failed"] == types["presence"]
    assert result.counts["unreadable"] == types["count"]
    assert result.detail["errors"] == {"no answer in 60 s": types["presence"]}
    assert result.estimates["presence accuracy"].value == result.estimates["count accuracy"].value == 0
    assert result.estimates["accuracy"].value == pytest.approx((len(types) - 2) / len(types))


def test_a_question_carries_the_picture_that_it_is_about(found: Records) -> None:
    taken, asked = model(knowing(ROWS))
    vqa(found, taken, ["infrared"], "cpu")
    assert [one.key for one in asked] == [one.key for one in questions(found)]
    assert all(one.prompt.endswith(".") and "Answer with one of: " in one.prompt for one in asked)
    place = questions(found)[-1].place
    (picture,) = asked[-1].pictures()
    assert (np.asarray(picture) == np.asarray(found.picture(place, "infrared"))).all()
    assert asked[-1].pictures_key == found[place].key("infrared")
    assert {one.most_tokens for one in asked} == {16}


def seen_in_both(count: int, seed: int) -> list[dict]:
    """Rows with visible images too."""
    rows = towns(count, seed)
    return [
        row(
            one["corpus_key"], n, corpus="towns",
            **{name: one[name] for name in ("boxes", "labels", "width", "height", "ir_band")},
        )
        for n, one in enumerate(rows)
    ]  # fmt: skip


def test_controls_are_shown_where_there_is_a_visible_image_and_have_rows_of_their_own() -> None:
    rows = seen_in_both(60, 6)
    rows[3] |= {"rgb": None}
    of = records(rows)
    taken, asked = model(knowing(rows))
    results = vqa(of, taken, INPUTS, "cpu")
    assert [one.inputs for one in results] == ["infrared", *INPUTS]
    assert [one.dataset.endswith(", with rgb") for one in results] == [False, True, True, True, True]
    assert results[0].counts["images"] == results[1].counts["images"] + 1
    assert len({one.counts["questions"] for one in results[1:]}) == 1
    assert {one.origin for one in results} == {"measured"}
    keys = [one.key for one in questions(of)]
    assert {one.key for one in asked if "@" not in one.key} == set(keys)
    assert {one.key for one in asked if one.key.endswith("@gray")} == {
        f"{key}@gray" for key in keys if not key.startswith(rows[3]["id"] + "#")
    }
    gray = next(one for one in asked if one.key.endswith("@gray"))
    place = of.place(gray.key.partition("#")[0])
    assert (np.asarray(gray.pictures()[0]) == np.asarray(of.picture(place, "gray"))).all()
    assert len({one.pictures_key for one in asked if one.key.startswith(of[place].id + "#")}) == len(INPUTS)


def test_without_visible_images_and_for_a_model_that_does_not_look_there_is_the_infrared_view_alone(
    found: Records,
) -> None:
    assert [one.inputs for one in vqa(found, model(knowing(ROWS))[0], INPUTS, "cpu")] == ["infrared"]
    rows = seen_in_both(60, 6)
    taken, asked = model(knowing(rows), looks=False)
    assert [one.inputs for one in vqa(records(rows), taken, INPUTS, "cpu")] == ["infrared"]
    assert not any("@" in one.key for one in asked)


def test_measured_and_translated_views_and_corpora_are_results_of_their_own() -> None:
    drawn = [{**one, "id": f"towns/t{n}", "ir_origin": "translated"} for n, one in enumerate(towns(60, 7))]
    villages = towns(60, 8, corpus="villages", ir_band=None)
    rows = ROWS + drawn + villages
    results = vqa(records(rows), model(knowing(rows))[0], ["infrared"], "cpu")
    assert [(one.dataset, one.origin, one.band) for one in results] == [
        ("fusionrs/towns", "measured", "lwir"),
        ("fusionrs/towns", "translated", "lwir"),
        ("fusionrs/villages", "measured", "none"),
    ]
    assert results[0].counts == vqa(records(ROWS), model(knowing(ROWS))[0], ["infrared"], "cpu")[0].counts


def test_a_split_without_boxes_has_no_result() -> None:
    assert vqa(records([row("a", 1)]), model(knowing([]))[0], INPUTS, "cpu") == []
    assert controls(records([row("a", 1)]), "majority") == []


def test_random_is_drawn_by_the_seed_and_right_as_often_as_chance(found: Records) -> None:
    many = records(towns(300, 9))
    (first,), (again,), (other,) = controls(many, "random", 0), controls(many, "random", 0), controls(many, "random", 1)
    assert first.detail == again.detail != other.detail
    assert (first.model, first.pretrained, first.inputs) == ("random", "control", "infrared")
    for type, chance in (("presence", 1 / 2), ("comparison", 1 / 2), ("position", 1 / 4), ("count", 1 / 11)):
        count = first.counts[f"questions {type}"]
        off = abs(first.estimates[f"{type} accuracy"].value - chance)
        assert off < 4 * np.sqrt(chance * (1 - chance) / count), (type, off)
    assert first.counts["failed"] == first.counts["unreadable"] == 0


def test_the_majority_answers_every_wording_by_its_most_frequent_answer(found: Records) -> None:
    (result,) = controls(found, "majority")
    asked = questions(found)
    for type, count in by_type(asked).items():
        right = 0
        of = [one for one in asked if one.type == type]
        for wording in {"" if type == "position" else one.question for one in of}:
            right += max(Counter(one.answer for one in of if wording in ("", one.question)).values())
        assert result.estimates[f"{type} accuracy"].value == pytest.approx(right / count)
    assert result.estimates["presence accuracy"].value == 0.5
    assert result.estimates["count accuracy"].value <= 1 / 3


def test_copying_from_the_record_itself_is_right_and_from_nobody_is_the_majority(found: Records) -> None:
    def itself(place: int) -> Record:
        return found[place]

    (own,) = controls(found, "copy-nearest", 0, itself)
    assert own.model == "copy-nearest" and own.estimates["accuracy"].value == 1
    (majority,), (nobody,) = controls(found, "majority"), controls(found, "copy-nearest", 0, lambda place: None)
    questions_asked = majority.counts["questions"]
    assert nobody.detail == {**majority.detail, "copied": 0, "majority": questions_asked}
    assert own.detail["copied"] == questions_asked
    empty = records(towns(1, 1, corpus="elsewhere"))
    (stranger,) = controls(found, "copy-nearest", 0, lambda place: empty[0])
    assert stranger.detail == nobody.detail


def test_copying_gives_the_answer_of_the_other_record(found: Records) -> None:
    asked = questions(found)
    other = next(n for n, one in enumerate(ROWS) if {"Car", "Person"} == set(one["labels"]) and len(one["boxes"]) > 3)
    assert all(one["label"] in ROWS[other]["labels"] for one in ROWS[other]["boxes"])
    (result,) = controls(found, "copy-nearest", 0, lambda place: found[other])
    presence = [one for one in asked if one.type == "presence"]
    right = sum(one.answer == truth(ROWS[other], one.question) for one in presence)
    assert result.estimates["presence accuracy"].value == pytest.approx(right / len(presence))
