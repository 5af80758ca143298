import pytest

from fusionrs_builder.benchmark.vqa.day_night import day_night
from tests.benchmark.conftest import records
from tests.benchmark.vqa.scenes import frame


def asked(*rows):
    return list(day_night(enumerate(records(rows))))


@pytest.mark.parametrize(
    ("key", "answer"),
    [("0_100_30_0_03307", "day"), ("1_60_90_1_00001", "night"), ("test/1_60_90_1_00001_x00000_y00256", "night")],
)
def test_the_name_of_a_frame_tells_the_time(key, answer):
    (found,) = asked(frame(key, [], corpus="hit-uav"))
    assert (found.key, found.answer, found.choices) == (f"hit-uav/{key}#day_night", answer, ("day", "night"))
    assert found.question == "Was this infrared image taken by day or by night?"


def test_nothing_is_asked_where_the_name_does_not_tell_or_no_sensor_looked():
    assert not asked(
        frame("2_100_30_0_03307", [], corpus="hit-uav"),
        frame("10_100_30_0_03307", [], corpus="hit-uav"),
        frame("0_100_30_0_03307", [], corpus="towns"),
        frame("0_100_30_0_03308", [], corpus="hit-uav", ir_origin="translated"),
    )


def test_another_frame_of_the_corpus_has_an_answer_of_its_own():
    (found,) = asked(frame("0_100_30_0_03307", [], corpus="hit-uav"))
    night, other = records([frame("1_60_30_0_00002", [], corpus="hit-uav"), frame("1_60_30_0_00002", [])])
    assert (found.answer_of(night), found.answer_of(other)) == ("night", None)
