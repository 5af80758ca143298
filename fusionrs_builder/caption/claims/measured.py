"""Whether one statement on bright and dark is so, by the measurements of the view it speaks of.

Only what the measurements contradict is told; what lies between is left alone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fusionrs_builder.caption.appearance import Look
from fusionrs_builder.caption.claims.lexicon import phrases
from fusionrs_builder.caption.claims.places import Rect
from fusionrs_builder.caption.evidence import Evidence, Thing
from fusionrs_builder.caption.geometry import BANDS, CELLS

PLAIN, MORE, MOST = range(3)
"""`bright`, `brighter`, `brightest`."""

DARK, BRIGHT = 95.0, 160.0
"""Means up to which a view is dark, from which it is bright."""
BRIGHT_FROM, DARK_TO = 110.0, 145.0
"""A view below the first mean may not be called bright, above the second not dark."""
MOST_PIXELS = 0.5
"""A view of which this share of the pixels is dark (bright) may be called so whatever its mean."""
SIDE_LEVELS, PART_LEVELS = 4.0, 12.0
"""A part is not brighter than another when its mean lies so many levels below that of the other, and not bright when
so many below that of all the rest."""
REGION_LEVELS = 6.0
"""A part holds no bright region when the means of its cells all lie so many levels below the mean of the view."""
WIDE_LEVELS = 20.0
"""Three cells or more that all lie so many levels below the mean of the view are not its brightest part."""
WIDE_SHARE = 0.35
"""A bright (dark) region may be said to go across much of the view when this share of its pixels is bright (dark)."""
STRAY = 0.05
"""Nothing in a view is bright (dark) when no more than this share of its pixels is."""
FEW_OF_CLEAR = 0.25
"""What is said of objects is wrong when no more than this share of those of a clear tone are so."""
STRONG_LEVELS = 30.0
"""An object is bright or dark, whatever is meant by it, when it differs so many levels from its surroundings."""
SHARE_SLACK = 0.1
"""A share of pixels may be wrong by so much."""

CONTRASTS = tuple((re.compile(rf"\b(?:{one['words']})\b"), one["low"], one["high"]) for one in phrases("contrast"))
"""What is said of the contrast of a view, and the lowest and highest contrast of which it may be."""
LOCAL_CONTRAST = re.compile(r"contrast (?:to|with|against|between)\b")
RELATIONS = tuple(
    (re.compile(rf"\b(?:{one['words']})\b"), one["low"], one["high"], one["how"]) for one in phrases("relation")
)
"""What is said of a view beside the visible image, and the lowest and highest correlation of which it may be."""

NEIGHBOURS = tuple(
    frozenset(b for b in range(9) if abs(a // 3 - b // 3) <= 1 and abs(a % 3 - b % 3) <= 1) for a in range(9)
)
PLACE_CELLS: Mapping[str, frozenset[int]] = {
    **{f"in the {name}": frozenset((number,)) for number, name in enumerate(CELLS)},
    **{name: frozenset(band) for band, name in BANDS},
}


@dataclass(frozen=True)
class Stretch:
    """Cells of a bright or dark region, and whether nothing comes near it. No cells: no words fit where it lies."""

    cells: frozenset[int]
    outstanding: bool


@dataclass(frozen=True)
class View:
    """What statements are held against: an infrared view, or the visible image.

    Attributes:
        brightness: mean, 0..255.
        cells: means of the 3 x 3 grid.
        regions: the bright (1) and dark (-1) region; None where there is none.
        shares: of pixels that are bright (1), dark (-1); empty where not measured.
        seen: of an infrared view, all that was measured.
    """

    brightness: float
    cells: Sequence[float]
    regions: Mapping[int, Stretch | None]
    shares: Mapping[int, float]
    seen: Evidence | None

    @classmethod
    def of(cls, measured: Evidence | Look) -> "View":
        regions: dict[int, Stretch | None] = {1: None, -1: None}
        if isinstance(measured, Look):
            for sign, name in ((1, measured.brightest), (-1, measured.darkest)):
                regions[sign] = Stretch(frozenset((CELLS.index(name),)), True) if name else Stretch(frozenset(), False)
            return cls(measured.brightness, measured.cells, regions, {}, None)
        for sign, region in ((1, measured.brightest), (-1, measured.darkest)):
            if region is not None:
                regions[sign] = Stretch(PLACE_CELLS.get(region.place or "", frozenset()), region.outstanding)
        shares = {1: measured.bright_share, -1: measured.dark_share}
        return cls(measured.brightness, measured.cells, regions, shares, measured)

    def mean(self, cells: frozenset[int]) -> float:
        return sum(self.cells[number] for number in cells) / len(cells)


@dataclass(frozen=True)
class Tone:
    """A word of tone in a clause.

    Attributes:
        at: which word of the clause.
        word: as the caption has it.
        sign: 1 bright, -1 dark.
        degree: `PLAIN`, `MORE` or `MOST`.
        warm: `bright` or `dark`, what is warm, where the word is one of warmth; else empty.
    """

    at: int
    word: str
    sign: int
    degree: int
    warm: str = ""


def cells_of(rect: Rect) -> frozenset[int]:
    """Cells whose centre lies in a part of the frame."""
    x0, y0, x1, y1 = rect
    return frozenset(n for n in range(9) if x0 <= (n % 3 + 0.5) / 3 < x1 and y0 <= (n // 3 + 0.5) / 3 < y1)


def whole(tone: Tone, view: View) -> Iterator[str]:
    """`A dark view`."""
    wrong = view.brightness < BRIGHT_FROM if tone.sign > 0 else view.brightness > DARK_TO
    if wrong and view.shares.get(tone.sign, 0.0) < MOST_PIXELS:
        truth = "dark" if view.brightness < DARK else "bright" if view.brightness > BRIGHT else "of middling brightness"
        yield f"It calls the view {tone.word}, but its mean brightness is {view.brightness:.0f} of 255: it is {truth}."


def pixels(share: float, tone: Tone, view: View) -> Iterator[str]:
    """`40 percent of the pixels are dark`; the share 0..1."""
    truth = view.shares.get(tone.sign)
    if truth is not None and abs(truth - share) > SHARE_SLACK:
        yield f"It says that {share:.0%} of the pixels are {tone.word}, but {truth:.0%} of them are."


def sides(first: Rect, second: Rect | None, tone: Tone, view: View) -> Iterator[str]:
    """`The left side is brighter than the right`; without a second part, than the part across, or all the rest."""
    mine = cells_of(first)
    if second is not None:
        other = cells_of(second)
    elif tone.degree == MORE and len(mine) == 3:
        x0, y0, x1, y1 = first
        other = cells_of((1 - x1, 1 - y1, 1 - x0, 1 - y0))
    else:
        other = frozenset(range(9)) - mine
    if not mine or not other or mine == other:
        return
    here, there = view.mean(mine), view.mean(other)
    if tone.sign * (here - there) < -(SIDE_LEVELS if tone.degree == MORE else PART_LEVELS):
        truth = "brighter" if here > there else "darker"
        yield (
            f"It calls one part of the view {tone.word} than another, but that part is {truth}: its mean brightness is "
            f"{here:.0f}, that of the other {there:.0f} of 255."
        )


def region(said: Rect, words: str, tone: Tone, view: View) -> Iterator[str]:
    """`The brightest spot lies in the upper left`, `a dark area in the centre`; `words` are those of the place."""
    cells = cells_of(said)
    if not cells or not _misplaced(cells, tone, view):
        return
    mine, kind = view.regions[tone.sign], "bright" if tone.sign > 0 else "dark"
    where = " and ".join(CELLS[number] for number in sorted(mine.cells)) if mine else ""
    truth = f"the {kind} region lies in the {where}" if where else f"no {kind} region was measured there"
    yield f"It places something {tone.word} in the {words}, but {truth}."


def wide(tone: Tone, view: View) -> Iterator[str]:
    """`A dark area across much of the frame`."""
    mine = view.regions[tone.sign]
    if (mine is None or mine.cells) and view.shares.get(tone.sign, 1.0) < WIDE_SHARE:
        kind, where = "bright" if tone.sign > 0 else "dark", sorted(mine.cells) if mine else []
        truth = f"it lies in the {' and '.join(CELLS[number] for number in where)}" if where else "none was measured"
        yield f"It spreads a {kind} region across much of the frame, but {truth}."


def _misplaced(said: frozenset[int], tone: Tone, view: View) -> bool:
    mine, other = view.regions[tone.sign], view.regions[-tone.sign]
    above = [tone.sign * (view.cells[number] - view.brightness) for number in said]
    beneath = max(above) < -REGION_LEVELS
    opposed = other is not None and bool(other.cells & said)
    if mine is None:
        return opposed or beneath
    if not mine.cells:
        wide = tone.degree == MOST and len(said) >= 3 and max(above) < -WIDE_LEVELS
        return wide or (opposed and max(above) < 0)
    if mine.cells & said:
        return other is not None and other.cells == said != mine.cells and max(above) < 0
    near = any(NEIGHBOURS[number] & said for number in mine.cells)
    if tone.degree == MOST and mine.outstanding:
        return opposed or beneath or not near
    return opposed or (beneath and not near)


def group(things: Sequence[Thing], part: int | None, tone: Tone, name: str) -> Iterator[str]:
    """`The cars are brighter than their surroundings`.

    Args:
        things: all that the words may mean.
        part: how many are said to be so, where a number is said.
        tone: what they are said to be.
        name: words for them.
    """
    said, opposite = ("brighter", "darker") if tone.sign > 0 else ("darker", "brighter")
    found: list[str] = [thing.tone for thing in things]
    so, not_so = found.count(said), found.count(opposite)
    few = so <= FEW_OF_CLEAR * (so + not_so) and (part is None or so < part)
    # Objects that are not clearly of either tone may be meant too, unless their means are on the other side.
    may_be = sum(thing.difference is None or tone.sign * thing.difference > 0 for thing in things)
    if not_so and (few or may_be < (part or 0)):
        yield (
            f"It calls {name!r} {tone.word}, but of {len(found)} such objects {not_so} are {opposite} and {so} {said} "
            f"than their surroundings{tone.warm and f', and {tone.warm} is warm'}."
        )


def none(things: Sequence[Thing], tone: Tone, name: str) -> Iterator[str]:
    """`None of the cars is brighter than its surroundings`, `the cars are not bright`, `no car stands out`.

    Args:
        things: as `group`.
        tone: what they are said not to be; of sign 0: of any tone.
        name: as `group`.
    """
    said = {1: ("brighter",), -1: ("darker",), 0: ("brighter", "darker")}[tone.sign]
    so = [thing for thing in things if thing.tone in said]
    if tone.degree == PLAIN:
        strong = sum(abs(thing.difference or 0.0) >= STRONG_LEVELS for thing in so)
        so = so if strong > len(so) / 2 else []
    clear = sum(thing.tone in ("brighter", "darker") for thing in things)
    if so and len(so) >= (1 - FEW_OF_CLEAR) * clear and len(so) > len(things) / 2:
        yield (
            f"It denies that {name!r} are {tone.word}, but of {len(things)} such objects {len(so)} are "
            f"{' or '.join(said)} than their surroundings{tone.warm and f', and {tone.warm} is warm'}."
        )


def filling(tone: Tone, seen: Evidence) -> Iterator[str]:
    """`The water appears dark`, of what is the class of the whole view."""
    share = seen.bright_share if tone.sign > 0 else seen.dark_share
    opposite = seen.brightness < DARK if tone.sign > 0 else seen.brightness > BRIGHT
    if opposite and share <= STRAY:
        yield f"It calls what fills the view {tone.word}, but the mean brightness is {seen.brightness:.0f} of 255."


def contrast(text: str, seen: Evidence) -> Iterator[str]:
    """`With strong contrast`, of the whole view."""
    if LOCAL_CONTRAST.search(text):
        return
    for pattern, low, high in CONTRASTS:
        if match := pattern.search(text):
            if not low <= seen.contrast <= high:
                yield f"It speaks of {match[0]!r}, but the contrast of the view is {seen.contrast:.0f} of 255."
            return


def relation(text: str, seen: Evidence) -> Iterator[str]:
    """`Brightness follows the visible image`."""
    for pattern, low, high, how in RELATIONS:
        if pattern.search(text):
            if seen.correlation is not None and not low <= seen.correlation <= high:
                yield (
                    f"It says that light and dark are {how} those of the visible image, but the correlation of the two "
                    f"is {seen.correlation:.2f}, on a scale from -1 to 1."
                )
            return
