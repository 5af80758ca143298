"""Captions compared by their words, in one way throughout: by curation, by the benchmark, by training."""

import functools
import hashlib
import re
import sys
import unicodedata

ACROSS = {"left": "right", "right": "left", "leftmost": "rightmost", "rightmost": "leftmost"}
DOWN = {"upper": "lower", "lower": "upper", "top": "bottom", "bottom": "top"}
"""Sides of an image, and what they are in its mirror image and upside down."""

SIDE = re.compile(
    r"\b(?:left|right)(?:most)?\b(?! ?-?angled?\b)"
    r"|(?<!on )\b(?:top|bottom)\b(?![- ](?:down|up|view)\b)"
    r"|\b(?:upper|lower)\b(?=[- ](?:left|right|half|halves|side|part|portion|area|section|centre|center|corner|edge"
    r"|middle|third|quarter|and|or)|[.,;:]|$)",
    re.IGNORECASE,
)
"""A side of the image that a caption names; `lower contrast` is none, nor is `a top-down view`."""

LYING = re.compile(r"\b(?:horizontal|vertical)", re.IGNORECASE)
"""What a quarter turn makes of the one is the other."""

COMPASS = re.compile(r"\b(?:north|south|east|west)", re.IGNORECASE)

UNSURE = re.compile(r"\b(?:left|right) (?:next|standing|bare|over|by|behind)\b", re.IGNORECASE)
"""`Left next to the road` names a side, `right next to the road` does not."""


@functools.cache
def _punctuation() -> dict[int, None]:
    return {code: None for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("P")}


def normalised(text: str) -> str:
    """A sentence as FusionRS compares it: Unicode NFKC, case folded, without punctuation, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_punctuation()).split())


def key(text: str) -> int:
    """64 bits of a sentence; two that are equal when normalised have one."""
    return int.from_bytes(hashlib.blake2b(normalised(text).encode(), digest_size=8).digest(), "big")


def turned(text: str, turn: int) -> str | None:
    """What a caption says of the turned image: the sides that it names change places, as when MDETR is trained (Kamath
    et al., ICCV 2021).

    Args:
        text: of the upright image.
        turn: 0..7, in the order of `pixels.dihedral`.

    Returns:
        The caption; None where its words would not do: it names a side and the image is transposed, or the points of
        the compass, or what may be a side or not, and it is turned at all.
    """
    if turn and (COMPASS.search(text) or UNSURE.search(text)):
        return None
    if turn >= 4:
        return None if SIDE.search(text) or LYING.search(text) else text
    words = (ACROSS if turn & 1 else {}) | (DOWN if turn & 2 else {})

    def other(match: re.Match[str]) -> str:
        word = match.group()
        found = words.get(word.lower(), word)
        return found.capitalize() if word[0].isupper() else found

    return SIDE.sub(other, text)
