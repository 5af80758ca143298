import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.benchmark.vqa.count import CHOICES as COUNTS
from fusionrs_builder.benchmark.vqa.normalise import normalise
from fusionrs_builder.benchmark.vqa.position import CHOICES as QUARTERS

YES_NO, TIMES = ("yes", "no"), ("day", "night")

ALL = (YES_NO, TIMES, QUARTERS, COUNTS)

CHOICE = st.sampled_from(ALL).flatmap(lambda choices: st.tuples(st.just(choices), st.sampled_from(choices)))


@given(CHOICE, st.randoms(), st.sampled_from(["{}", "{}.", "The answer is {}.", "**{}**", " {}\n", '"{}"!', "A: {}"]))
def test_every_choice_says_itself(both, random, sentence) -> None:
    choices, choice = both
    spelt = "".join(random.choice([letter.upper(), letter.lower()]) for letter in choice)
    assert normalise(sentence.format(spelt), choices) == choice


@given(CHOICE, st.data())
def test_two_choices_say_nothing(both, data) -> None:
    choices, one = both
    other = data.draw(st.sampled_from([choice for choice in choices if choice != one]))
    assert normalise(f"{one} or {other}", choices) is None
    assert normalise(f"It is {one}, {other}", choices) is None


@given(st.text(), st.sampled_from(ALL))
def test_any_text_says_a_choice_or_nothing(text, choices) -> None:
    assert normalise(text, choices) in (*choices, None)


@given(st.integers(0, 99))
def test_numbers_in_words_are_numbers(number) -> None:
    units = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    words = [*units.split(), "seventeen", "eighteen", "nineteen"]
    tens = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    spelt = words[number] if number < 20 else tens[number // 10 - 2] + (f"-{words[number % 10]}" if number % 10 else "")
    expected = str(number) if number < 10 else "10 or more"
    assert normalise(f"There are {spelt} cars.", COUNTS) == normalise(str(number), COUNTS) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", None),
        ("No, there are none. Yes, I am sure.", "no"),
        ("Yes, there is no doubt.", "yes"),
        ("yes\nno car is hidden", None),
        ("Yes - no one is there", None),
        ("Yes, no.", None),
        ("yes or no", None),
        ("Answer with one of: yes, no.", None),
        ("There is no car.", "no"),
        ("Yes there is no car", None),
        ("There are cars.", None),
        ("It isn't there", None),
        ("I know nothing of it; yesterday", None),
        ("not yes", None),
        ("ＹＥＳ", "yes"),
        ("**No**", "no"),
    ],
)
def test_yes_and_no(text, said) -> None:
    assert normalise(text, YES_NO) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("There are 3 cars.", "3"),
        ("THREE", "3"),
        ("03", "3"),
        ("\\boxed{7}", "7"),
        ("There are no cars", "0"),
        ("None.", "0"),
        ("a single car", "1"),
        ("a car", None),
        ("3 cars and 2 people", None),
        ("5-6", None),
        ("3.5", None),
        ("3, not 4", "3"),
        ("twelve", "10 or more"),
        ("a dozen", "10 or more"),
        ("two dozen", "10 or more"),
        ("one hundred", "10 or more"),
        ("1,000", "10 or more"),
        ("9" * 5000, "10 or more"),
        ("thousand " * 2000, "10 or more"),
        ("12+", "10 or more"),
        ("at least 10", "10 or more"),
        ("more than ten", "10 or more"),
        ("more than 5", None),
        ("5+", None),
        ("3 or more", None),
        ("fewer than 5", None),
        ("up to 20", None),
        ("over the road there are 3", "3"),
        ("10 or more, about 12", "10 or more"),
        ("many", None),
    ],
)
def test_counts(text, said) -> None:
    assert normalise(text, COUNTS) == said


def test_a_number_that_is_no_choice_is_an_answer_of_its_own() -> None:
    assert normalise("4", ("1", "2", "3")) is None
    assert normalise("2, or 4", ("1", "2", "3")) is None
    assert normalise("2", ("1", "2", "3")) == "2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Top-left", "upper left"),
        ("in the top right corner", "upper right"),
        ("left lower", "lower left"),
        ("bottomRight", "lower right"),
        ("Upper left (top left).", "upper left"),
        ("upper left and lower right", None),
        ("left", None),
        ("upper", None),
        ("not in the upper left", "upper left"),
        ("not the upper left but the lower right", "lower right"),
    ],
)
def test_quarters(text, said) -> None:
    assert normalise(text, QUARTERS) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Daytime", "day"),
        ("It was taken at night.", "night"),
        ("day, not night", "day"),
        ("It is not night", None),
        ("today", None),
        ("day or night", None),
    ],
)
def test_times(text, said) -> None:
    assert normalise(text, TIMES) == said
