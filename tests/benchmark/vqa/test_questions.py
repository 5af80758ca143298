import json
import random
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.benchmark.vqa.asked import Asked
from fusionrs_builder.benchmark.vqa.questions import FEWEST, by_type, questions
from tests.benchmark.conftest import records
from tests.benchmark.vqa.scenes import box, frame, towns, truth


def unbalanced(asked: Iterable[Asked]) -> list[str]:
    """Wordings that a guess helps with, of questions on one corpus."""
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for one in asked:
        answers[one.type if one.type == "position" else one.question][one.answer] += 1
    wrong = []
    for wording, found in answers.items():
        if wording.startswith("How many"):
            bad = max(found.values()) * 3 > found.total()
        else:
            bad = len(found) != (4 if wording == "position" else 2) or len(set(found.values())) != 1
        wrong += [wording] * bad
    return wrong


@pytest.mark.parametrize("seed", range(4))
def test_every_answer_is_right_by_a_count_of_the_boxes_and_no_guess_helps(seed: int) -> None:
    rows = towns(90, seed)
    asked = questions(records(rows), seed)
    assert {one.type for one in asked} == {"presence", "count", "comparison", "position"}
    for one in asked:
        assert one.answer == truth(rows[one.place], one.question), one
        assert one.answer in one.choices
        assert one.key.startswith(f"{rows[one.place]['id']}#{one.type}-")
    assert len({one.key for one in asked}) == len(asked)
    assert unbalanced(asked) == []


def test_nothing_is_asked_about_what_boxes_do_not_tell() -> None:
    rows = towns(90, 1)
    silent = {
        n for n, one in enumerate(rows) if not one["boxes"] or any(b["label"] == "DontCare" for b in one["boxes"])
    }
    asked = {one.place for one in questions(records(rows))}
    assert len(silent) > 5 and not silent & asked
    assert len(asked) > 60


def test_a_corpus_known_by_masks_is_asked_nothing() -> None:
    rows = towns(90, 1)
    assert questions(records([*rows, frame("mask", [], ["meadow"])])) == []
    elsewhere = questions(records([*rows, frame("mask", [], ["meadow"], corpus="country")]))
    assert [one.key for one in elsewhere] == [one.key for one in questions(records(rows))] != []


def test_neither_order_nor_other_corpora_nor_other_origins_change_what_is_asked() -> None:
    rows = towns(80, 2)
    others = towns(40, 3, corpus="villages") + [
        {**one, "id": f"towns/t{n}", "ir_origin": "translated"} for n, one in enumerate(towns(50, 4))
    ]
    mixed = rows + others
    random.Random(0).shuffle(mixed)
    alone = {one.key: one.answer for one in questions(records(rows))}
    among = questions(records(mixed))
    measured = {one["id"] for one in rows}
    assert {one.key: one.answer for one in among if mixed[one.place]["id"] in measured} == alone
    parts = defaultdict(list)
    for one in among:
        parts[mixed[one.place]["corpus"], mixed[one.place]["ir_origin"]].append(one)
    assert len(parts) == 3
    assert all(unbalanced(part) == [] for part in parts.values())


def test_the_seed_chooses_among_too_many() -> None:
    found = records(towns(90, 1))
    first, again, other = ([one.key for one in questions(found, seed)] for seed in (0, 0, 1))
    assert first == again != other
    assert by_type(questions(found, 0)) == by_type(questions(found, 1))


def test_questions_stand_by_record_then_by_type() -> None:
    asked = questions(records(towns(60, 1)))
    types = ["presence", "count", "comparison", "position", "day_night"]
    order = [(one.place, types.index(one.type), one.key) for one in asked]
    assert order == sorted(order)
    assert by_type(asked) == {type: sum(one.type == type for one in asked) for type in types[:4]}
    assert by_type([]) == {}


def test_records_without_an_infrared_view_are_asked_nothing() -> None:
    rows = towns(90, 1)
    blind = [{**one, "ir": None, "ir_sha256": None} if n % 2 else one for n, one in enumerate(rows)]
    asked = questions(records(blind))
    assert asked and all(one.place % 2 == 0 for one in asked)


def test_a_class_of_two_counts_is_not_counted_and_one_that_is_always_there_not_asked_for() -> None:
    rows = [frame(f"{n:02d}", [box("Car", 1, 1, 5, 5)] * (1 + n % 2)) for n in range(40)]
    assert {one.type for one in questions(records(rows))} == set()


def test_a_type_of_few_questions_is_left_out() -> None:
    def asked(count: int) -> dict[str, int]:
        rows = [frame(f"{n % 2}_60_30_0_{n:05d}", [], corpus="hit-uav") for n in range(count)]
        return by_type(questions(records(rows)))

    assert asked(FEWEST) == {"day_night": FEWEST}
    assert asked(FEWEST - 2) == {}


def voc_rows(folder: Path) -> list[dict]:
    """HIT-UAV as a release has it: boxes from the XML, labels without `DontCare`; pictures are of no matter here."""
    rows = []
    for path in sorted((folder / "normal_xml/Annotations").glob("*.xml")):
        boxes = [
            box(str(one.findtext("name")), *(float(one.find("bndbox").findtext(side)) for side in SIDES))
            for one in ElementTree.parse(path).iter("object")
        ]
        labels = sorted({one["label"] for one in boxes} - {"DontCare"})
        rows.append(frame(path.stem, boxes, labels, corpus="hit-uav", width=640, height=512))
    return rows


SIDES = ("xmin", "ymin", "xmax", "ymax")


@pytest.fixture(scope="module")
def hit_uav(samples: Path) -> Records:
    return records(voc_rows(samples / "hit-uav"))


def test_hit_uav_is_asked_what_its_other_annotation_files_answer(samples: Path, hit_uav: Records) -> None:
    """Questions are made from the VOC XML, and answered from the COCO JSON that the publisher gives beside it."""
    told: dict[str, list[tuple[str, float, float]]] = {}
    for part in ("val", "test"):
        found = json.loads((samples / f"hit-uav/normal_json/annotations/{part}.json").read_bytes())
        classes = {one["id"]: one["name"] for one in found["categories"]}
        names = {one["id"]: Path(one["filename"]).stem for one in found["images"]}
        told |= {name: [] for name in names.values()}
        for one in found["annotation"]:
            x, y, width, height = one["bbox"]
            told[names[one["image_id"]]].append((classes[one["category_id"]], x + width / 2, y + height / 2))
    nouns = {"car": "Car", "person": "Person", "bicycle": "Bicycle"} | {
        "cars": "Car", "people": "Person", "bicycles": "Bicycle"
    }  # fmt: skip
    asked = questions(hit_uav)
    assert len(hit_uav) == 483
    for one in asked:
        key = hit_uav[one.place].corpus_key
        objects = told[key]
        count = Counter(name for name, _, _ in objects)
        if one.type == "day_night":
            right = "night" if key.startswith("1") else "day"
        else:
            assert not {"DontCare", "OtherVehicle"} & count.keys() and objects
            about = [nouns[word] for word in re.findall(r"[a-z]+", one.question) if word in nouns]
            if one.type == "presence":
                right = "yes" if count[about[0]] else "no"
            elif one.type == "count":
                right = str(count[about[0]]) if count[about[0]] < 10 else "10 or more"
            elif one.type == "comparison":
                right = "yes" if count[about[0]] > count[about[1]] else "no"
            else:
                ((x, y),) = [(x, y) for name, x, y in objects if name == about[0]]
                right = f"{'upper' if y < 256 else 'lower'} {'left' if x < 320 else 'right'}"
        assert one.answer == right, (one.key, one.question)
    assert unbalanced(asked) == []
    assert set(by_type(asked)) == {"presence", "count", "comparison", "position", "day_night"}
    assert by_type(asked)["presence"] > 500
    assert by_type(asked)["day_night"] == 2 * 156  # the note beside the sample: night 327, day 156
