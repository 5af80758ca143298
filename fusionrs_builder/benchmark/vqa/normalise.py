"""From what a model says to one of the answers allowed, or to none. This text is the definition; it needs no library.

1. Unicode NFKC, case folded.
2. Where the choices are `yes` and `no`: a text that begins with one of them, marks before it or not, and goes on with a
   mark, a new line or nothing, says that, whatever follows (`No, there are none.`). Not so where the other one follows
   at once (`Yes, no.` repeats the choices).
3. A comma within a number is dropped (`1,000`), `+` behind one is `or more`, one with a decimal point is no number. All
   other marks, hyphens too, are spaces; only an apostrophe is part of its word (`isn't`). `a`, `an`, `the` are dropped.
4. `top` is `upper`, `bottom` is `lower`, `daytime` is `day`, `nighttime` is `night`. The words of a quarter may stand
   in either order and without a space (`left upper`, `bottomright`).
5. Where some choices are numbers: `zero` to `ninety nine`, `no` and `none` (0), `single` (1), and `dozen`, `hundred`,
   `thousand`, times a number before them, are numbers too. A number that falls under a choice `N or more` says that
   choice. A number with a bound (`more than`, `over`, `at least`, `or more`; `fewer than`, `less than`, `under`,
   `up to`, `or fewer`, `or less`) says it too if all that the bound leaves falls under it, and else nothing.
6. What then occurs as whole words and not right behind `not`: choices, the longer before the shorter, and numbers that
   are no choice. If that is one and the same choice, it is the answer. If it is several, or none, there is no answer.
"""

import re
import unicodedata

UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBERS = {word: n for n, word in enumerate(UNITS)} | {word: 10 * n for n, word in enumerate(TENS, 2)}
NUMBERS |= {"no": 0, "none": 0, "single": 1}
SCALES = {"dozen": 12, "dozens": 12, "hundred": 100, "hundreds": 100, "thousand": 1000, "thousands": 1000}

LARGEST = 10**9
"""Larger numbers are taken for this one: Python refuses to read thousands of digits."""

SYNONYMS = {"top": "upper", "bottom": "lower", "daytime": "day", "nighttime": "night"}
ARTICLES = ("a", "an", "the")

LEADING = re.compile(r"[\W_]*(yes|no)(?=[^\S\n]*(?:[^\w\s'’]|\n|$))")
NEXT_WORD = re.compile(r"[\W_]*(\w*)")
QUARTER = re.compile(r"\b(?:(upper|lower|top|bottom) ?(left|right)|(left|right) ?(upper|lower|top|bottom))\b")
BOUND = re.compile(
    r"\b(?:(?:more than|over|at least) (\d+)|(\d+) or more"
    r"|(?:fewer than|less than|under|up to) \d+|\d+ or (?:fewer|less))\b"
)


def normalise(text: str, choices: tuple[str, ...]) -> str | None:
    """Which of the choices a text says; None where it says none of them, or several.

    Args:
        text: what a model said.
        choices: the answers that were allowed.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    if set(choices) == {"yes", "no"} and (led := LEADING.match(folded)):
        following = NEXT_WORD.match(folded, led.end())
        if following is None or following[1] not in set(choices) - {led[1]}:
            return led[1]
    numbers = any(choice.isdecimal() for choice in choices)
    forms = {_plain(choice.casefold(), numbers): choice for choice in choices}
    said = _plain(folded, numbers)
    if numbers:
        said = _open_ended(said, next((form for form in forms if form.endswith(" or more")), ""))
    longest = sorted(forms, key=len, reverse=True)
    any_number = [r"\d+"] if numbers else []
    found = set(re.findall(rf"(?<!\S)(?<!not )(?:{'|'.join([*map(re.escape, longest), *any_number])})(?!\S)", said))
    return forms.get(found.pop()) if len(found) == 1 else None


def _plain(text: str, numbers: bool) -> str:
    """Steps 3 and 4, and number words of step 5: words with one space between them."""
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(?<=\d)\+", " or more ", text)
    text = re.sub(r"(\d*)\.(\d+)", r"\1point\2", text)
    words = [SYNONYMS.get(word, word) for word in re.sub(r"[^\w'’]|_", " ", text).split() if word not in ARTICLES]
    return QUARTER.sub(_quarter, " ".join(_numbered(words) if numbers else words))


def _quarter(found: re.Match[str]) -> str:
    side, height = (found[2], found[1]) if found[1] else (found[3], found[4])
    return f"{SYNONYMS.get(height, height)} {side}"


def _numbered(words: list[str]) -> list[str]:
    """Digits for number words, without zeros before them."""
    found: list[str] = []
    for at, word in enumerate(words):
        value = min(int(word[:18]), LARGEST) if word.isdecimal() else NUMBERS.get(word)
        if word in SCALES:
            times = int(found.pop()) if found and found[-1].isdecimal() else 1
            found.append(str(min(times * SCALES[word], LARGEST)))
        elif at and words[at - 1] in TENS and word in UNITS[1:10]:
            found[-1] = str(int(found[-1]) + UNITS.index(word))
        else:
            found.append(word if value is None else str(value))
    return found


def _open_ended(said: str, form: str) -> str:
    """With the choice `N or more`, given by its form, for all that falls under it, and nothing for other bounds."""
    least = int(form.split()[0]) if form else None

    def one(found: re.Match[str]) -> str:
        number = found[1] or found[2] or (found[0] if found[0].isdecimal() else None)
        if number is not None and least is not None and int(number) >= least:
            return form
        return found[0] if found[0].isdecimal() else "some"

    return re.sub(rf"{BOUND.pattern}|(?<!\S)\d+(?!\S)", one, said)
