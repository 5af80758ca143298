from typing import Any

import pytest

from fusionrs_builder.curate import quality
from fusionrs_builder.settings import CurateSettings

GOOD: dict[str, Any] = {
    "width": 256,
    "height": 200,
    "rgb_quality": {"entropy": 6.0, "saturation": 0.01, "nodata": None},
    "captions": ["a field"],
    "by_others": [],
}


def judged(**changes: Any) -> tuple[bool, str]:
    return quality.judged({**GOOD, **changes}, CurateSettings())


def test_a_good_record() -> None:
    assert judged() == (True, "")
    assert judged(by_others=["a harbour", "copyright 2020"]) == (True, "")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"width": 31}, "too_small"),
        ({"rgb_quality": {"entropy": 6, "saturation": 0, "nodata": 0.6}}, "nodata"),
        ({"rgb_quality": {"entropy": 0.2, "saturation": 0, "nodata": None}}, "blank"),
        ({"rgb_quality": {"entropy": 2.0, "saturation": 0.7, "nodata": None}}, "saturated"),
        ({"captions": ["", " ?! "]}, "caption_empty"),
        ({"by_others": ["IMG_12.jpg", "all rights reserved"]}, "caption_boilerplate"),
    ],
)
def test_each_filter(changes: dict[str, Any], code: str) -> None:
    keep, reason = judged(**changes)
    assert not keep
    assert reason.split(":")[0] == code


def test_every_bound_is_a_setting() -> None:
    loose = CurateSettings(min_side=1, min_entropy=0, max_saturation=1, max_nodata=1)
    bad = {**GOOD, "width": 4, "rgb_quality": {"entropy": 0.0, "saturation": 1.0, "nodata": 1.0}}
    assert quality.judged(bad, loose) == (True, "")


def test_a_caption_that_stands_everywhere() -> None:
    settings = CurateSettings(max_same_caption=10)
    assert quality.caption_duplicate(10, settings) == (True, "")
    keep, reason = quality.caption_duplicate(11, settings)
    assert not keep
    assert reason.startswith("caption_duplicate: each of its captions stands in 11 records")
