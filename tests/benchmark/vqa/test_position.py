import pytest

from fusionrs_builder.benchmark.vqa.asked import objects
from fusionrs_builder.benchmark.vqa.position import position
from tests.benchmark.conftest import records
from tests.benchmark.vqa.scenes import HEIGHT, WIDTH, box, frame


def asked(*rows):
    return list(position({n: (one, objects(one)) for n, one in enumerate(records(rows))}))


def at(x: float, y: float, label: str = "Car") -> dict:
    return box(label, x * WIDTH - 1, y * HEIGHT - 2, x * WIDTH + 1, y * HEIGHT + 2)


@pytest.mark.parametrize(
    ("x", "y", "answer"),
    [(0.2, 0.2, "upper left"), (0.56, 0.2, "upper right"), (0.44, 0.9, "lower left"), (0.9, 0.6, "lower right")],
)
def test_the_quarter_of_the_only_one(x, y, answer):
    (found,) = asked(frame("a", [at(x, y)]))
    assert (found.key, found.answer) == ("towns/a#position-Car", answer)
    assert found.question == "In which quarter of this infrared image is the only car?"
    assert answer in found.choices and len(found.choices) == 4


@pytest.mark.parametrize(("x", "y"), [(0.46, 0.2), (0.54, 0.2), (0.2, 0.46), (0.2, 0.54), (0.5, 0.5)])
def test_near_a_middle_line_nothing_is_asked(x, y):
    assert asked(frame("a", [at(x, y)])) == []


def test_of_two_nothing_is_asked_and_of_several_classes_about_those_that_are_single():
    (found,) = asked(frame("a", [at(0.2, 0.2), at(0.9, 0.2), at(0.9, 0.9, "Person")]))
    assert (found.key, found.answer) == ("towns/a#position-Person", "lower right")


def test_the_centre_is_that_of_the_part_within_the_image():
    (found,) = asked(frame("a", [box("Car", 20, 2, 130, 6)]))  # of the 64 columns it takes the last 44
    assert found.answer == "upper right"
    (found,) = asked(frame("a", [box("Car", -90, 2, 50, 6)]))
    assert found.answer == "upper left"
    assert asked(frame("a", [box("Car", -90, 2, 63, 6)])) == []  # what is seen of it is in the middle


def test_what_another_record_says():
    (found,) = asked(frame("a", [at(0.2, 0.2)]))
    others = records(
        [frame("b", [at(0.9, 0.9)]), frame("c", [at(0.9, 0.9)] * 2), frame("d", [at(0.5, 0.9)]), frame("e", [])]
    )
    assert [found.answer_of(other) for other in others] == ["lower right", None, None, None]
