"""What is read out of a caption, and the word lists it is read by."""

import re

import pytest

from fusionrs_builder.caption.claims import denials, levels, measured
from fusionrs_builder.caption.claims.lexicon import LONGEST, MANY, lexicon, value_of
from fusionrs_builder.caption.claims.mentions import Amount, amount, nouns_of, read
from fusionrs_builder.caption.claims.places import find
from fusionrs_builder.caption.language import humanise


def clauses(text: str) -> list[str]:
    return [" ".join(clause.words) for clause in read(text, {})]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("The cars appear bright while the road is dark.", ["the cars appear bright", "the road is dark"]),
        ("The cars look bright and the road looks dark.", ["the cars look bright", "the road looks dark"]),
        ("Two cars and a truck look bright.", ["two cars and a truck look bright"]),
        ("A view of a road, a river and a field.", ["a view of a road , a river and a field"]),
        ("Two cars are dark, and one is bright.", ["two cars are dark", "one is bright"]),
        ("About 0.5 m per pixel. Trees cover it; no roads.", ["about 0.5 m per pixel", "trees cover it", "no roads"]),
        ("", []),
        (".,;and while", []),
    ],
)
def test_a_caption_is_cut_where_a_new_statement_begins(text: str, parts: list[str]) -> None:
    assert clauses(text) == parts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("three cars", Amount(3, 3)),
        ("the three cars", Amount(3, 3, definite=True)),
        ("two of the five cars", Amount(5, 5, definite=True, part=(2, 2))),
        ("two of the cars", Amount(2, MANY, definite=True, part=(2, 2))),
        ("12 small white cars", Amount(12, 12, qualified=True)),
        ("twenty-three cars", Amount(23, 23)),
        ("a single car", Amount(1, 1)),
        ("a car", Amount(1, MANY)),
        ("several cars", Amount(2, MANY)),
        ("about 20 cars", Amount(15, 25)),
        ("more than ten cars", Amount(10, MANY)),
        ("at least ten cars", Amount(10, MANY)),
        ("3-5 cars", Amount(3, 5)),
        ("three to five cars", Amount(3, 5)),
        ("a pair of cars", Amount(2, 2)),
        ("two dozen cars", Amount(22, 26)),
        ("no cars", Amount(0, 0)),
        ("the cars", None),
        ("most of the cars", None),
        ("40 percent of the cars", Amount(1, MANY, definite=True, part=(1, MANY))),
        ("a row of six cars", Amount(6, MANY)),
        ("half a dozen cars", Amount(5, 7)),
        ("a half-dozen cars", Amount(5, 7)),
        ("six and four cars", Amount(4, 10)),
        ("a quartet of cars", Amount(4, 4)),
        ("a road with cars", None),
    ],
)
def test_amounts(text: str, said: Amount | None) -> None:
    (clause,) = read(text, {})
    found = amount(clause.words, clause.mentions[-1].start)
    assert found == said or (said and said.part and found and (found.low, found.part) == (said.low, said.part))


def test_areas_of_what_is_not_counted() -> None:
    (clause,) = read("three areas of grass", {})
    assert amount(clause.words, clause.mentions[-1].start) == Amount(3, 3, areas=True)


@pytest.mark.parametrize(
    ("text", "nouns"),
    [
        ("A parking lot next to a car.", ["car park", "car"]),
        ("Storage-tanks and fishing boats.", ["storage tank", "boat"]),
        ("People's homes, man-made objects, a tree-lined street.", ["person", "building", "structure", "road"]),
        ("The car park's edge.", ["car park"]),
        ("Aircraft, sheep and lorries.", ["aircraft", "animal", "truck"]),
    ],
)
def test_the_longest_name_wins(text: str, nouns: list[str]) -> None:
    assert [mention.noun for clause in read(text, {}) for mention in clause.mentions] == nouns


def test_labels_of_the_record_are_names_too() -> None:
    (clause,) = read(
        "Two hot springs near one other vehicle.", {"hot springs": "hot spring", "other vehicle": "other vehicle"}
    )
    assert [(one.noun, one.label) for one in clause.mentions] == [("", "hot spring"), ("", "other vehicle")]


@pytest.mark.parametrize(
    ("text", "rects"),
    [
        ("in the upper left", [(0, 0, 1 / 3, 1 / 3)]),
        ("in the top-right corner of this thermal view", [(2 / 3, 0, 1, 1 / 3)]),
        ("on the left", [(0, 0, 1 / 3, 1)]),
        ("in the right half", [(0.5, 0, 1, 1)]),
        ("along the bottom edge", [(0, 2 / 3, 1, 1)]),
        ("across the middle", [(0, 1 / 3, 1, 2 / 3)]),
        ("in the centre of the image", [(1 / 3, 1 / 3, 2 / 3, 2 / 3)]),
        ("at the top of the building", []),
        ("right next to it", []),
        ("the cars left behind", []),
    ],
)
def test_places(text: str, rects: list[tuple[float, ...]]) -> None:
    found = [place.rect for place in find(tuple(text.replace("-", " ").split()), set())]
    assert found == [pytest.approx(rect) for rect in rects]


def test_negation_reaches_a_list_but_not_the_next_statement() -> None:
    (clause,) = read("There are no cars, ships or planes", {})
    assert all(clause.denied(mention) for mention in clause.mentions)
    (clause,) = read("A view with hardly any contrast and cars on a bright road", {})
    assert not any(clause.denied(mention) for mention in clause.mentions[1:])
    assert not clause.negated(clause.words.index("bright"))
    (clause,) = read("The cars are not clearly brighter", {})
    assert clause.negated(clause.words.index("brighter"))


def test_the_table_of_things_holds_together() -> None:
    table = lexicon()
    assert len(set(table.forms)) >= 120 and len(table.kinds) > 90
    assert all(len(form.split()) <= LONGEST for form in table.forms)
    assert all(names <= table.kinds.keys() for names in (*table.wider.values(), *table.holds.values()))
    assert all(humanise(form.replace("-", " ")) for form in table.forms)
    assert table.forms["cars"] == ("car", True) and table.forms["people"] == ("person", True)
    assert {"vehicle", "large vehicle"} < table.wider["truck"]


@pytest.mark.parametrize("label", ["storage_tank", "OtherVehicle", "SeaLake", "baseball_diamond", "large-vehicle"])
def test_published_labels_are_in_the_table(label: str) -> None:
    assert nouns_of(humanise(label))


def test_numbers() -> None:
    assert [value_of(word) for word in ("zero", "twelve", "ninety-nine", "hundred", "007", "car", "²")] == [
        0, 12, 99, 100, 7, None, None,
    ]  # fmt: skip


def test_phrases_on_contrast_tell_apart_what_the_writer_says() -> None:
    said = ["almost no contrast", "low contrast", "moderate contrast", "strong contrast", "very strong contrast"]
    ranges = [next((low, high) for words, low, high in measured.CONTRASTS if words.search(text)) for text in said]
    assert ranges == sorted(ranges) and len(set(ranges)) == len(ranges)
    assert all(isinstance(words, re.Pattern) for words, *_ in measured.RELATIONS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cars with low intensity", [("low-intensity", -1, 0)]),
        ("a strong thermal response", [("strong-thermal-response", 1, 0)]),
        ("a lower signal", [("less-signal", -1, 1)]),
        ("the strongest return", [("strongest-return", 1, 2)]),
        ("the signal of the cars is weak", [("weak-signal", -1, 0)]),
        ("strong contrast, low-texture, high intensity range", []),
        ("an intense day and a weak link", []),
    ],
)
def test_responses_are_read_as_tones(text: str, said: list[tuple[str, int, int]]) -> None:
    found = [tone for clause in read(text, {}) for tone in levels.tones(clause.words, "")]
    assert [(tone.word, tone.sign, tone.degree) for tone in found] == said


@pytest.mark.parametrize(
    ("text", "nothing"),
    [
        ("A scene devoid of any cars", True),
        ("Cars are not visible", True),
        ("The cars cannot be seen", True),
        ("Cars are absent", True),
        ("Cars are not clearly visible", False),
        ("An empty lot of cars", False),
        ("No cars are visible", False),
    ],
)
def test_what_is_said_not_to_be_there(text: str, nothing: bool) -> None:
    (clause,) = read(text, {})
    assert (denials.absent(clause, clause.mentions[-1]) is not None) == nothing
