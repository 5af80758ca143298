import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.caption import language as words


@pytest.mark.parametrize(
    ("label", "noun"),
    [("OtherVehicle", "other vehicle"), ("storage_tank", "storage tank"), ("AnnualCrop", "annual crop"),
     ("T-junction", "t-junction"), ("HDBBlock", "hdb block"), ("ship/boat", "ship boat"), ("  Car\n", "car"),
     ("{counts}", "counts"), ("a\x00b\u202ec", "a b c"), ("___", ""), ("12", ""), ("Boeing737", "boeing737"),
     ("one two three four five", "one two three four"), ("x" * 90, "x" * 40), ("driver's seat", "driver's seat"),
     ("汽车", "汽车"), ("ﬁeld", "field")],
)  # fmt: skip
def test_humanise(label: str, noun: str) -> None:
    assert words.humanise(label) == noun


@given(st.text(max_size=100))
def test_humanised_labels_are_harmless(label: str) -> None:
    noun = words.humanise(label)
    assert len(noun) <= words.MAX_LABEL_CHARACTERS
    assert len(noun.split()) <= words.MAX_LABEL_WORDS
    assert noun == " ".join(noun.split())
    assert not set(noun) & set('{}<>"\\%$#@\x00\n\t.,;:!?')
    assert not noun or any(c.isalpha() for c in noun)


@pytest.mark.parametrize(
    ("noun", "many"),
    [("car", "cars"), ("person", "people"), ("bus", "buses"), ("box", "boxes"), ("church", "churches"),
     ("dish", "dishes"), ("factory", "factories"), ("runway", "runways"), ("leaf", "leaves"), ("roof", "roofs"),
     ("aircraft", "aircraft"), ("sheep", "sheep"), ("storage tank", "storage tanks"), ("fire bus", "fire buses"),
     ("body of water", "bodies of water"), ("buildings", "buildings"), ("fisherman", "fishermen"), ("gas", "gases"),
     ("other vehicle", "other vehicles"), ("overpass", "overpasses"), ("汽车", "汽车")],
)  # fmt: skip
def test_plural(noun: str, many: str) -> None:
    assert words.plural(noun) == many


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [(1, "car", "a car"), (1, "aeroplane", "an aeroplane"), (2, "person", "two people"), (13, "bus", "13 buses"),
     (12, "car", "twelve cars"),
     (1, "other vehicle", "one other vehicle"), (3, "other vehicle", "three other vehicles"),
     (1, "grass", "an area of grass"), (2, "grass", "two areas of grass"), (1, "buildings", "an area of buildings"),
     (1, "people", "a person"), (4, "people", "four people"), (2, "low vegetation", "two areas of low vegetation"),
     (1, "glass", "a glass"), (1, "university", "a university"), (1, "unidentified object", "an unidentified object")],
)  # fmt: skip
def test_counted(count: int, noun: str, said: str) -> None:
    assert words.counted(count, noun) == said


@pytest.mark.parametrize(
    ("word", "expected"),
    [("car", "a"), ("airport", "an"), ("hour", "an"), ("urban", "an"), ("unit", "a"), ("useful", "a"), ("one", "a"),
     ("european", "a"), ("8", "an"), ("11", "an"), ("18", "an"), ("80", "an"), ("1", "a"), ("110", "a"),
     ("house", "a"), ("uphill", "an"), ("église", "an"), ("island", "an")],
)  # fmt: skip
def test_article(word: str, expected: str) -> None:
    assert words.article(word) == expected


def test_lists_numbers_and_lengths() -> None:
    assert words.joined(["a"]) == "a"
    assert words.joined(["a", "b"]) == "a and b"
    assert words.joined(["a", "b", "c"]) == "a, b and c"
    assert [words.number(n) for n in (0, 1, 12, 13, 100)] == ["zero", "one", "twelve", "13", "100"]
    assert [words.metres(m) for m in (0.3, 76.8, 643, 1284, 27000)] == ["0.3 m", "77 m", "640 m", "1.3 km", "27 km"]


@given(st.floats(0, 1))
def test_percent_is_near(share: float) -> None:
    said = words.percent(share)
    if said is None:
        assert share < 0.0051
    else:
        number = int(said.removeprefix("about ").removesuffix(" percent"))
        assert abs(number - 100 * share) <= (0.5001 if number < 10 else 2.5001)
