"""Words of tone: `bright`, `darker`, and the strong and weak responses that are the same in an infrared view."""

import re
from collections.abc import Sequence

from fusionrs_builder.caption.claims.lexicon import english
from fusionrs_builder.caption.claims.measured import MORE, MOST, PLAIN, Tone

TONES = {
    "bright": (1, PLAIN), "brighter": (1, MORE), "brightest": (1, MOST), "lighter": (1, MORE), "lightest": (1, MOST),
    "pale": (1, PLAIN), "paler": (1, MORE), "light-toned": (1, PLAIN), "luminous": (1, PLAIN),
    "dark": (-1, PLAIN), "darker": (-1, MORE), "darkest": (-1, MOST), "dim": (-1, PLAIN), "dimmer": (-1, MORE),
    "dimmest": (-1, MOST),
}  # fmt: skip
WARMTH = {
    "warm": (1, PLAIN), "warmer": (1, MORE), "warmest": (1, MOST), "cool": (-1, PLAIN), "cooler": (-1, MORE),
    "coolest": (-1, MOST),
}  # fmt: skip
"""What measured long-wave infrared shows; where it is black-hot, warm is dark."""


def _graded(words: frozenset[str], sign: int) -> dict[str, tuple[int, int]]:
    """A list of adjectives with their comparatives and superlatives."""
    found: dict[str, tuple[int, int]] = {}
    for word in words:
        stem = f"{word}m" if word == "dim" else word.removesuffix("e")
        found |= {word: (sign, PLAIN), f"{stem}er": (sign, MORE), f"{stem}est": (sign, MOST)}
    return found


OTHERS = {"reduced": (-1, PLAIN), "less": (-1, MORE), "least": (-1, MOST), "greater": (1, MORE), "greatest": (1, MOST)}
LEVELS = _graded(english("weak"), -1) | _graded(english("strong"), 1) | OTHERS
"""What a response may be, each with its sign and degree."""
CARRIERS = "intensity intensities response responses signal signals return returns signature signatures brightness"
CARRIER = re.compile(rf"-(?:{CARRIERS.replace(' ', '|')})$")

_LEVEL = "|".join(sorted(LEVELS, key=len, reverse=True))
_BETWEEN = r"(?:(?:overall|mean|average|infrared|near-infrared|thermal|radar|relative|signal)[ -])"
_NOT_OF = r"(?![ -](?:contrast|variation|varia|differen|range|gradient|change|noise|to-noise|distribution|level))"
_CARRIER = rf"(?:{CARRIERS.replace(' ', '|')})\b{_NOT_OF}"
_SAID = re.compile(rf"\b(?P<level>{_LEVEL})[ -](?P<between>{_BETWEEN}{{0,2}})(?P<carrier>{_CARRIER})")
_IS = r"(?P<is>is|are|was|were|appears?|looks?|seems?|remains?|stays?)(?P<how>(?: \w+ly| very| quite| rather)?)"
_PREDICATE = re.compile(
    rf"\b(?P<whose>the |a |an |its |their )?(?P<overall>(?:{_BETWEEN})?)(?P<carrier>{_CARRIER})"
    rf"(?: (?:of|from) (?P<of>[\w -]{{1,40}}?))? {_IS} (?P<level>{_LEVEL})\b(?! (?:in )?contrast\b)"
)
_MAY_SAY = re.compile(CARRIERS.replace(" ", "|"))


def joined(text: str) -> str:
    """A text with what it says of responses as one word each: `a low-intensity view`, `the cars are weak-response`.

    Args:
        text: in small letters.
    """
    if not _MAY_SAY.search(text):
        return text
    return _SAID.sub(_adjective, _PREDICATE.sub(_predicate, text))


def _level(word: str) -> str:
    """`lower` is a word of place too."""
    return "less" if word == "lower" else "least" if word == "lowest" else word


def _adjective(match: re.Match[str]) -> str:
    between = match["between"].replace(" ", "-")
    return f"{_level(match['level'])}-{between}{match['carrier']}"


def _predicate(match: re.Match[str]) -> str:
    """`The signal of the cars is weak` as `the cars is weak-signal`."""
    pronouns = {"its ": "it", "their ": "they"}
    whose = match["of"] or pronouns.get(match["whose"] or "", "the view")
    return f"{whose} {match['is']}{match['how']} {_level(match['level'])}-{match['carrier']}"


def is_level(word: str) -> bool:
    """Whether a word is one that `joined` made."""
    return "-" in word and CARRIER.search(word) is not None and word.split("-")[0] in LEVELS


def tones(words: Sequence[str], warm: str) -> list[Tone]:
    """The words of tone of a clause.

    Args:
        words: of the clause.
        warm: `bright` or `dark`, where it is known what is warm, so that words of warmth count; else empty. A strong
            response is left alone where dark is warm: it may be bright, or warm.
    """
    found = []
    for at, word in enumerate(words):
        first = word.split("-")[0]
        if word in TONES or first in TONES:
            found.append(Tone(at, word, *(TONES.get(word) or TONES[first])))
        elif warm and first in WARMTH:
            sign, degree = WARMTH[first]
            found.append(Tone(at, word, sign if warm == "bright" else -sign, degree, warm))
        elif warm != "dark" and is_level(word):
            found.append(Tone(at, word, *LEVELS[first]))
    return found


def share(words: Sequence[str], at: int) -> float | None:
    """The share of `about 40 percent of the pixels are dark`, 0..1."""
    for i in range(max(at - 8, 1), at):
        if words[i] in ("percent", "%") and "pixels" in words[i:at] and words[i - 1].isdecimal():
            return int(words[i - 1]) / 100
    return None
