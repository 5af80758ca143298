from fusionrs_builder.benchmark.vqa.asked import objects
from fusionrs_builder.benchmark.vqa.count import CHOICES, count
from tests.benchmark.conftest import records
from tests.benchmark.vqa.scenes import box, frame

CAR, PERSON = box("Car", 1, 2, 9, 8), box("Person", 20, 20, 24, 28)


def asked(*rows):
    return list(count({n: (one, objects(one)) for n, one in enumerate(records(rows))}))


def test_objects_are_counted_and_crowds_are_ten_or_more():
    found = asked(frame("a", [CAR] * 3), frame("b", [PERSON] * 9 + [CAR]), frame("c", [PERSON] * 10))
    assert {one.key: one.answer for one in found} == {
        "towns/a#count-Car": "3", "towns/a#count-Person": "0",
        "towns/b#count-Car": "1", "towns/b#count-Person": "9",
        "towns/c#count-Car": "0", "towns/c#count-Person": "10 or more",
    }  # fmt: skip
    assert {one.question for one in found} == {
        "How many cars are there in this infrared image?", "How many people are there in this infrared image?"
    }  # fmt: skip
    assert all(one.choices == CHOICES for one in found)
    assert CHOICES == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10 or more")


def test_a_box_outside_the_image_is_not_counted():
    (found,) = asked(frame("a", [CAR, box("Car", 64, 0, 70, 10), box("Car", 63, 0, 70, 10)]))
    assert found.answer == "2"


def test_how_many_another_record_has():
    (cars,) = asked(frame("a", [CAR]))
    others = records([frame("b", [PERSON]), frame("c", [CAR] * 12), frame("d", []), frame("e", [CAR], corpus="x")])
    assert [cars.answer_of(other) for other in others] == ["0", "10 or more", None, None]
