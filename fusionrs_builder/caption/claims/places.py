"""The parts of the frame that a caption names, and whether an object lies in one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fusionrs_builder.caption.claims.lexicon import FRAME, PREPOSITIONS, english
from fusionrs_builder.caption.geometry import Placed

Rect = tuple[float, float, float, float]
"""x0, y0, x1, y1 in parts of the frame, 0..1."""

NEAR, NEAR_HALF = 1 / 6, 1 / 12
"""An object is in a part of the frame when its box touches that part, or its centre lies so near to it, in parts of the
frame's sides; the second for halves."""
DEEP = 1 / 20
"""Its centre lies so deep in a part of which it cannot be said that it lies elsewhere."""

ROWS = {"upper": 0, "top": 0, "topmost": 0, "lower": 2, "bottom": 2, "bottommost": 2}
COLUMNS = {"left": 0, "leftmost": 0, "right": 2, "rightmost": 2}
MIDDLE = frozenset(("centre", "center", "central", "middle"))
SIDES = english("sides")
LEADS = english("leads")
"""Words one of which stands before a place of one word: `the left`, but not `right next to`."""
FOCUS = english("focus")
LOCATING = (PREPOSITIONS - {"of"}) | english("occupying") | FOCUS
"""Words after which a place is where something is: `in the upper left`, `cars line the right side`."""


@dataclass(frozen=True)
class Where:
    """A part of the frame named in a clause: words `start` to `end`.

    Attributes:
        locative: something is said to be there, `in the upper left`; else the part itself is spoken of.
    """

    start: int
    end: int
    rect: Rect
    locative: bool


def find(words: tuple[str, ...], named: Collection[int]) -> tuple[Where, ...]:
    """The places of a clause.

    Args:
        words: of the clause.
        named: numbers of the words that name things: a `shopping centre` is no place.
    """
    found, at = [], 0
    while at < len(words):
        end = at
        while end < len(words) and end - at < 3 and end not in named and is_place(words[end]):
            end += 1
        if end == at:
            at += 1
            continue
        core, before = words[at:end], words[at - 1] if at else ""
        while end < len(words) and words[end] in SIDES and end not in named:
            end += 1
        alone = len(core) == 1 and end == at + 1
        if not (alone and before not in LEADS) and _of_the_frame(words, end):
            lead = words[at - 2] if at > 1 and before in ("the", "its") else before
            found.append(Where(at, end, rect_of(core, words[end - 1], lead), lead in LOCATING))
        at = end
    return tuple(found)


def is_place(word: str) -> bool:
    """Whether a word is one of those that make a place."""
    return word in ROWS or word in COLUMNS or word in MIDDLE


def _of_the_frame(words: tuple[str, ...], end: int) -> bool:
    """Whether a place is one of the frame: followed by no `of` other than `of the image`."""
    return words[end : end + 1] != ("of",) or any(word in FRAME for word in words[end + 1 : end + 7])


def rect_of(core: Sequence[str], last: str, lead: str) -> Rect:
    """The part of the frame that words of place name.

    Args:
        core: `upper`, `left` ...
        last: the last word, `half` or another.
        lead: the word before, its article left out.
    """
    width = 0.5 if last in ("half", "quadrant") else 1 / 3
    spans = {0: (0.0, width), 1: (1 / 3, 2 / 3), 2: (1 - width, 1.0), None: (0.0, 1.0)}
    row = next((ROWS[word] for word in core if word in ROWS), None)
    column = next((COLUMNS[word] for word in core if word in COLUMNS), None)
    if not MIDDLE.isdisjoint(core):
        row, column = (1 if row is None else row), (1 if column is None else column)
        if len(core) == 1 and lead == "across":
            column = None
        if len(core) == 1 and lead in ("down", "through"):
            row = None
    (x0, x1), (y0, y1) = spans[column], spans[row]
    return x0, y0, x1, y1


def touches(rect: Rect, one: Placed, frame: tuple[int, int], near: float) -> bool:
    """Whether a box touches a part of the frame, or its centre lies within `near` of it.

    Args:
        rect: the part.
        one: the object.
        frame: width and height, pixels.
        near: in parts of the frame's sides; negative: whether its centre lies so deep in the part.
    """
    x0, y0, x1, y1 = rect
    if near > 0 and 0.5 in (x1 - x0, y1 - y0):
        near = NEAR_HALF
    across = (x0 <= 0 or x0 - near <= one.x) and (x1 >= 1 or one.x <= x1 + near)
    if across and (y0 <= 0 or y0 - near <= one.y) and (y1 >= 1 or one.y <= y1 + near):
        return True
    rows, columns = one.window
    beside = columns.start >= x1 * frame[0] or columns.stop <= x0 * frame[0]
    return near > 0 and not beside and rows.start < y1 * frame[1] and rows.stop > y0 * frame[1]
