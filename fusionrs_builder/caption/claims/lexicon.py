"""The words by which captions are read: nouns of `objects.toml`, small words of `english.toml`, numbers."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from fusionrs_builder.caption import language

MANY = 10**6
"""No upper bound on a count."""

TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
NUMBERS = {word: value for value, word in enumerate((*language.NUMBERS, *TEENS))}
NUMBERS |= {word: 10 * value for value, word in enumerate(TENS, start=2)} | {"hundred": 100}
NUMBERS |= {f"{ten}-{language.NUMBERS[one]}": NUMBERS[ten] + one for ten in TENS for one in range(1, 10)}

VAGUE = {
    "several": (2, MANY), "few": (1, 15), "many": (4, MANY), "numerous": (4, MANY), "countless": (10, MANY),
    "multiple": (2, MANY), "various": (2, MANY), "some": (1, MANY), "single": (1, 1), "lone": (1, 1),
    "solitary": (1, 1), "sole": (1, 1), "both": (2, 2), "dozen": (10, 14), "half-dozen": (5, 7),
    "a": (1, MANY), "an": (1, MANY),
    "another": (1, MANY), "no": (0, 0), "zero": (0, 0),
}  # fmt: skip
"""Fewest and most that a word of no exact number means."""
COLLECTIVE = {
    "pair": (2, 2), "couple": (2, 3), "dozens": (18, MANY), "hundreds": (100, MANY), "scores": (30, MANY),
    "number": (2, MANY), "handful": (2, 10), "group": (2, MANY), "cluster": (2, MANY), "row": (2, MANY),
    "rows": (2, MANY), "line": (2, MANY), "collection": (2, MANY), "trio": (3, 3), "duo": (2, 2),
    "quartet": (4, 4), "quintet": (5, 5), "groups": (2, MANY), "clusters": (2, MANY), "lines": (2, MANY),
    "pairs": (2, MANY), "couples": (2, MANY), "groupings": (2, MANY),
}  # fmt: skip
"""The same of a word before `of`."""


@cache
def _tables(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files("fusionrs_builder.caption.claims") / "words" / name).read_text("utf-8"))


def english(name: str) -> frozenset[str]:
    """A list of `english.toml`."""
    return frozenset(_tables("english.toml")[name].split())


FRAME, VERBS, PREPOSITIONS = english("frame"), english("verbs"), english("prepositions")
"""Words for the picture; verbs that make a clause; prepositions."""


def phrases(name: str) -> list[dict[str, Any]]:
    """Patterns of `english.toml`, each with the range of values of which it may be said."""
    found: list[dict[str, Any]] = _tables("english.toml")[name]
    return found


@dataclass(frozen=True)
class Lexicon:
    """`objects.toml`.

    Attributes:
        forms: noun, and whether it is a plural, of each word or words that name it.
        kinds: table that each noun stands in.
        wider: each noun with the nouns that name it too.
        holds: what each noun plausibly holds.
        first: first words of all forms.
    """

    forms: Mapping[str, tuple[str, bool]]
    kinds: Mapping[str, str]
    wider: Mapping[str, frozenset[str]]
    holds: Mapping[str, frozenset[str]]
    first: frozenset[str]


LONGEST = 4
"""Words of the longest form."""


@cache
def lexicon() -> Lexicon:
    tables = _tables("objects.toml")
    forms: dict[str, tuple[str, bool]] = {}
    kinds = {noun: kind for kind in ("object", "landmark", "scene", "ground") for noun in tables[kind]}
    for noun, kind in kinds.items():
        for name in (noun, *tables[kind][noun]):
            forms.setdefault(name, (noun, language.is_plural(name)))
            forms.setdefault(language.plural(name), (noun, True))
    wider = {noun: {noun} for noun in kinds}
    for _ in range(3):  # as deep as the table goes
        for noun, names in tables["is"].items():
            wider[noun] |= set().union(*(wider[name] for name in names))
    holds = {noun: frozenset(tables["holds"].get(noun, ())) for noun in kinds}
    first = frozenset(form.split()[0].split("-")[0] for form in forms)
    return Lexicon(forms, kinds, {noun: frozenset(names) for noun, names in wider.items()}, holds, first)


def is_amount(word: str) -> bool:
    return word in VAGUE or value_of(word) is not None


def value_of(word: str) -> int | None:
    """The number that a word or digits name."""
    return int(word) if word.isdecimal() and len(word) < 6 else NUMBERS.get(word)
