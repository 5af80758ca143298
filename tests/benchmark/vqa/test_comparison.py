from fusionrs_builder.benchmark.vqa.asked import objects
from fusionrs_builder.benchmark.vqa.comparison import comparison
from tests.benchmark.conftest import records
from tests.benchmark.vqa.scenes import box, frame

CAR, PERSON, FREIGHT = box("Car", 1, 2, 9, 8), box("Person", 20, 20, 24, 28), box("freight car", 30, 30, 40, 40)


def asked(*rows):
    return list(comparison({n: (one, objects(one)) for n, one in enumerate(records(rows))}))


def test_both_wordings_are_asked_where_both_are_there_and_not_as_many():
    found = asked(
        frame("a", [CAR, CAR, PERSON]), frame("b", [CAR, PERSON]), frame("c", [CAR, CAR]), frame("d", [PERSON] * 2)
    )
    assert [(one.key, one.question, one.answer) for one in found] == [
        ("towns/a#comparison-Car-Person", "Are there more cars than people in this infrared image?", "yes"),
        ("towns/a#comparison-Person-Car", "Are there more people than cars in this infrared image?", "no"),
    ]


def test_classes_that_pass_for_each_other_are_not_compared():
    found = asked(frame("a", [CAR, FREIGHT, FREIGHT, PERSON]))
    assert {one.key.partition("#")[2] for one in found} == {
        "comparison-freight car-Person", "comparison-Person-freight car"
    }  # fmt: skip


def test_what_another_record_says():
    first, second = asked(frame("a", [CAR, CAR, PERSON]))
    others = records([frame("b", [PERSON]), frame("c", [CAR, PERSON]), frame("d", [CAR]), frame("e", [])])
    assert [first.answer_of(other) for other in others] == ["no", "no", "yes", None]
    assert [second.answer_of(other) for other in others] == ["yes", "no", "no", None]
