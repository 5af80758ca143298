from fusionrs_builder.benchmark.vqa.asked import objects
from fusionrs_builder.benchmark.vqa.presence import presence
from tests.benchmark.conftest import records
from tests.benchmark.vqa.scenes import box, frame

CAR, PERSON, FREIGHT = box("Car", 1, 2, 9, 8), box("Person", 20, 20, 24, 28), box("freight car", 30, 30, 40, 40)


def asked(*rows):
    found = records(rows)
    return found, list(presence({n: (one, objects(one)) for n, one in enumerate(found)}))


def test_every_class_of_the_corpus_is_asked_about_in_every_record():
    _, found = asked(frame("a", [CAR, CAR]), frame("b", [PERSON]))
    assert [(one.key, one.question, one.answer) for one in found] == [
        ("towns/a#presence-Car", "Is there a car in this infrared image?", "yes"),
        ("towns/a#presence-Person", "Is there a person in this infrared image?", "no"),
        ("towns/b#presence-Car", "Is there a car in this infrared image?", "no"),
        ("towns/b#presence-Person", "Is there a person in this infrared image?", "yes"),
    ]
    assert {one.choices for one in found} == {("yes", "no")}


def test_a_car_is_not_asked_about_where_a_freight_car_may_pass_for_one():
    _, found = asked(frame("a", [CAR]), frame("b", [FREIGHT]), frame("c", [CAR, FREIGHT]))
    answers = {one.key.removeprefix("towns/"): one.answer for one in found}
    assert answers == {
        "a#presence-Car": "yes",
        "a#presence-freight car": "no",
        "b#presence-freight car": "yes",
        "c#presence-freight car": "yes",
    }


def test_the_same_question_has_an_answer_about_another_record_where_it_can_be_asked_there():
    _, (car, *_) = asked(frame("a", [CAR]), frame("b", [PERSON]))
    others = records(
        [
            frame("c", [PERSON]), frame("d", [CAR, PERSON]), frame("e", []), frame("f", [FREIGHT]),
            frame("g", [CAR, box("DontCare", 0, 0, 2, 2)], ["Car"]), frame("h", [CAR], corpus="others"),
        ]
    )  # fmt: skip
    assert [car.answer_of(other) for other in others] == ["no", "yes", None, None, None, None]


def test_an_before_a_vowel():
    _, found = asked(frame("a", [box("airplane", 1, 1, 5, 5)]))
    assert found[0].question == "Is there an airplane in this infrared image?"
