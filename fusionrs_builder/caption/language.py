"""The English the writer needs: labels as nouns, articles, plurals, lists and numbers.

Labels come from strangers: `humanise` is the only way in, and what it returns holds letters, digits, spaces,
hyphens, apostrophes and `&` only.
"""

import re
import unicodedata
from collections.abc import Sequence

MAX_LABEL_CHARACTERS = 40
MAX_LABEL_WORDS = 4

NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip

IRREGULAR = {
    "person": "people", "child": "children", "man": "men", "woman": "women", "foot": "feet", "goose": "geese",
    "mouse": "mice", "leaf": "leaves", "shelf": "shelves", "calf": "calves", "wharf": "wharves", "half": "halves",
    "axis": "axes", "gas": "gases", "lens": "lenses", "canvas": "canvases", "atlas": "atlases",
}  # fmt: skip
SINGULAR = {plural: word for word, plural in IRREGULAR.items()}

UNCHANGED = {"sheep", "fish", "deer", "series", "species", "cattle", "livestock", "railroads"}
"""Nouns whose plural is their singular (and words ending in `craft`)."""

MASS = {
    "agriculture", "asphalt", "background", "bareland", "concrete", "cropland", "crops", "debris", "farmland",
    "foliage", "grass", "grassland", "ground", "greenery", "ice", "infrastructure", "land", "mud", "parking",
    "pavement", "pasture", "rangeland", "rubble", "sand", "sea", "shrubland", "smoke", "snow", "soil", "terrain",
    "traffic", "vegetation", "water", "wasteland", "wetland", "woodland",
}  # fmt: skip
"""Nouns that are not counted: `three areas of grass`."""

PERSONS = {
    "person", "child", "man", "woman", "pedestrian", "rider", "cyclist", "motorcyclist", "swimmer", "worker", "player",
    "driver", "adult", "human",
}  # fmt: skip
"""Nouns of which `their surroundings` is said, one or many."""

MEN = ("fisherman", "workman", "craftsman", "policeman", "fireman", "horseman")

_VOWEL_SOUND = re.compile(r"(?!uni[tfvqco]|us[aeiu]|uti|eu|one\b|once|ura|ure|u\b)[aeiou]|hour|honou?r|honest|heir|x-")


def humanise(label: str) -> str:
    """A published label as words in lower case; empty when it holds no letter.

    `OtherVehicle` becomes `other vehicle`, `storage_tank` `storage tank`, `T-junction` `t-junction`.
    """
    text = unicodedata.normalize("NFKC", label)
    text = "".join(c if c.isalnum() or c in "-'&" or unicodedata.category(c)[0] == "M" else " " for c in text)
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text).lower()
    words = [word.strip("-'&") if word != "&" else word for word in text.split()][:MAX_LABEL_WORDS]
    while words and len(" ".join(words)) > MAX_LABEL_CHARACTERS:
        words = words[:-1] if len(words) > 1 else [words[0][:MAX_LABEL_CHARACTERS]]
    text = " ".join(filter(None, words)).strip("& ")
    return text if any(c.isalpha() for c in text) else ""


def article(word: str) -> str:
    """`a` or `an`, by the sound the next word starts with."""
    lower = unicodedata.normalize("NFD", word.lower())
    if lower[:1].isdigit():
        return "an" if re.match(r"8|11(?!\d)|18(?!\d)", lower) else "a"
    return "an" if _VOWEL_SOUND.match(lower) else "a"


def is_plural(noun: str) -> bool:
    """Whether a noun is a plural already: `buildings`, `people`, not `bus`, `glass` or `tennis`."""
    word = noun.split(" of ")[0].split()[-1] if noun else ""
    if word in SINGULAR:
        return True
    return word.endswith("s") and not word.endswith(("ss", "us", "is")) and word not in {*IRREGULAR, *UNCHANGED}


def plural(noun: str) -> str:
    """The plural of a noun of one or more words: `bus` `buses`, `body of water` `bodies of water`."""
    head, of, rest = noun.partition(" of ")
    start, space, word = head.rpartition(" ")
    if not word or not word[-1].isascii() or is_plural(head) or word in UNCHANGED or word.endswith("craft"):
        many = word
    elif word in IRREGULAR:
        many = IRREGULAR[word]
    elif word in MEN:
        many = word[:-3] + "men"
    elif re.search(r"(s|x|z|ch|sh)$", word):
        many = word + "es"
    elif re.search(r"[^aeiou]y$", word) and word.isalpha():
        many = word[:-1] + "ies"
    else:
        many = word + "s"
    return start + space + many + of + rest


def is_counted(noun: str) -> bool:
    """Whether objects of this name are counted as they are; mass nouns and plurals are counted as areas."""
    return noun.split(" of ")[0].split()[-1] not in MASS and not is_plural(noun)


def is_person(noun: str) -> bool:
    """Whether a singular noun names a human being."""
    return noun.rsplit(" ", 1)[-1] in PERSONS | set(MEN)


def unit(noun: str) -> str:
    """The noun by which objects of this name are counted: `person` of `people`, `area of grass` of `grass`."""
    start, space, word = noun.rpartition(" ")
    if word in SINGULAR:
        return start + space + SINGULAR[word]
    return noun if is_counted(noun) else f"area of {noun}"


def counted(count: int, noun: str) -> str:
    """A number of objects: `a car`, `two people`, `three areas of grass`, `one other vehicle`."""
    one = unit(noun)
    if count == 1:
        return f"one {one}" if one.startswith("other ") else f"{article(one)} {one}"
    return f"{number(count)} {plural(one)}"


def number(value: int) -> str:
    """A count in words up to twelve, in digits above."""
    return NUMBERS[value] if 0 <= value < len(NUMBERS) else str(value)


def joined(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def percent(share: float) -> str | None:
    """A share 0..1 as `about 7 percent`: whole numbers below 10, steps of 5 above; None below half a percent."""
    value = 100 * share
    rounded = round(value) if value < 9.5 else 5 * round(value / 5)
    return f"about {rounded} percent" if rounded else None


def metres(value: float) -> str:
    """A length to two digits, `77 m` or `1.3 km`."""
    value = float(f"{value:.2g}")
    return f"{value / 1000:g} km" if value >= 1000 else f"{value:g} m"
