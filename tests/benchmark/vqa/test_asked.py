import pytest

from fusionrs_builder.benchmark.vqa.asked import Asked, Box, alike, boxed, clear, objects, plural, singular
from tests.benchmark.conftest import records
from tests.benchmark.vqa.scenes import box, frame

CAR, PERSON = box("Car", 1, 2, 9, 8), box("Person", 20, 20, 24, 28)


def seen(*rows):
    return [objects(one) for one in records(rows)]


def test_the_objects_of_a_record_are_its_boxes_by_class():
    (found,) = seen(frame("a", [CAR, PERSON, CAR]))
    assert found == {"Car": (Box(1, 2, 9, 8),) * 2, "Person": (Box(20, 20, 24, 28),)}


@pytest.mark.parametrize(
    ("boxes", "labels"),
    [
        ([], []),
        ([], ["Car"]),
        ([CAR], ["Car", "Person"]),
        ([CAR, box("DontCare", 0, 0, 5, 5)], ["Car"]),
        ([CAR, box("OtherVehicle", 0, 0, 5, 5)], ["Car", "OtherVehicle"]),
        ([CAR, box("others", 0, 0, 5, 5)], ["Car", "others"]),
    ],
    ids=["not annotated", "a label alone", "a label without a box", "a box without a label", "a rest", "the rest"],
)
def test_boxes_that_do_not_tell_are_not_asked_about(boxes, labels):
    assert seen(frame("a", boxes, labels)) == [None]


def test_boxes_are_cut_down_to_the_image_and_those_outside_are_no_objects():
    cut, outside = seen(
        frame("a", [box("Car", -5, 40, 10, 60)]), frame("b", [CAR, box("Person", 70, 5, 80, 9)], ["Car", "Person"])
    )
    assert cut == {"Car": (Box(0, 40, 10, 48),)}
    assert outside is None  # a person is there by the label, and nobody knows where


def test_labels_that_never_have_a_box_come_from_masks_or_scenes():
    town, country = frame("a", [CAR, PERSON]), frame("b", [], ["meadow"])
    assert boxed(records([town, frame("c", [], [])]))
    assert boxed(records([town, frame("c", [CAR, box("DontCare", 0, 0, 2, 2)], ["Car"])]))
    assert not boxed(records([town, country]))
    assert boxed(records([town, frame("b", [CAR], ["Car", "Person"])]))  # a person has a box elsewhere


@pytest.mark.parametrize(
    ("name", "other", "same"),
    [
        ("Car", "Person", False),
        ("car", "freight car", True),
        ("freight car", "car", False),
        ("Car", "cars", True),
        ("tricycle", "awning-tricycle", True),
        ("pedestrian", "people", True),
        ("people", "pedestrian", True),
        ("car", "scar", False),
        ("small_vehicle", "large_vehicle", False),
    ],
)
def test_which_classes_words_do_not_tell_apart(name, other, same):
    assert alike(name, other) is same
    assert clear(name, [name, other]) is not same


@pytest.mark.parametrize(
    ("name", "one", "many"),
    [
        ("Person", "person", "people"),
        ("people", "person", "people"),
        ("OtherVehicle", "other vehicle", "other vehicles"),
        ("storage_tank", "storage tank", "storage tanks"),
        ("Trees", "tree", "trees"),
        ("bus", "bus", "buses"),
        ("buses", "bus", "buses"),
        ("tennis", "tennis", "tennises"),
        ("houses", "house", "houses"),
        ("ground-track-field", "ground track field", "ground track fields"),
        ("swimming pool", "swimming pool", "swimming pools"),
        ("ferries", "ferry", "ferries"),
        ("railway", "railway", "railways"),
        ("bench", "bench", "benches"),
        ("benches", "bench", "benches"),
        ("aircraft", "aircraft", "aircraft"),
        ("Expressway-toll-station", "expressway toll station", "expressway toll stations"),
    ],
)
def test_one_and_many(name, one, many):
    assert (singular(name), plural(name)) == (one, many)


def test_a_prompt_names_the_answers():
    one = Asked("a#presence-Car", 0, "presence", "Is there a car?", ("yes", "no"), "yes", lambda record: None)
    assert one.prompt == "Is there a car? Answer with one of: yes, no."
