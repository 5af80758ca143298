"""Which of the things that a clause names a place in it is said of."""

from collections.abc import Iterator

from fusionrs_builder.caption.claims.levels import is_level
from fusionrs_builder.caption.claims.lexicon import COLLECTIVE, FRAME, english, lexicon, value_of
from fusionrs_builder.caption.claims.mentions import Clause, Mention
from fusionrs_builder.caption.claims.places import COLUMNS, FOCUS, LEADS, ROWS, Rect, Where, rect_of

GLUE = english("glue") | english("modifiers") | english("occupying") | FRAME
"""Words that may stand between a thing and the place it is said to be in."""
LIST = frozenset(("and", ",", "a", "an", "the", "other", "as", "well"))
"""Words between the things of a list."""
CONTAINING = english("containing")
OPENING = CONTAINING | COLLECTIVE.keys() | {"there", "a", "an"}
"""Words between a place and the thing it is said to hold."""
COMING = frozenset(("comes", "come", "coming", "is", "are", "seen", "visible"))
ROADS, WATERS = frozenset(("vehicle", "person")), frozenset(("ship",))
STAND_ON = dict.fromkeys(("road", "path", "car park"), ROADS) | dict.fromkeys(("water", "sea", "lake", "river"), WATERS)
"""What stands on each ground."""
SPREAD = frozenset(("spread", "scattered", "distributed", "dispersed"))


def attached(clause: Clause, place: Where) -> list[Mention]:
    """The things that a place is said of: those just before it, else the one just after it."""
    words = clause.words
    if (focus := _focus(clause, place)) is not None:
        return _focused(clause, focus)
    if not place.locative and CONTAINING.isdisjoint(words[place.end : place.end + 1]):
        return []
    if place.locative and (things := before(clause, place.start)):
        return things
    later = next((mention for mention in clause.mentions if mention.start >= place.end), None)
    opening = all(word in GLUE for word in words[: place.start])
    if later and opening and all(is_glue(word) or word in OPENING for word in words[place.end : later.start]):
        return [later]
    comma = max((at for at in range(place.start) if words[at] == ","), default=None)
    alone = place.end == len(words) and len(clause.places) == 1
    if alone and comma is not None and GLUE.issuperset(words[comma : place.start]):
        listed = _list(clause, len(clause.mentions))  # `two cars in a view with few outlines, both in the upper left`
        return listed if len(listed) == len(clause.mentions) else []
    return []


def _focus(clause: Clause, place: Where) -> int | None:
    """Position of the `especially` of `especially in the upper left`."""
    at = place.start - 1
    while at >= 0 and clause.words[at] in LEADS:
        at -= 1
    return at if at > 0 and clause.words[at] in FOCUS else None


def _focused(clause: Clause, focus: int) -> list[Mention]:
    """What `especially in the upper left` narrows: what is spread, else what the clause speaks of before it."""
    spread = max((at for at in range(focus) if clause.words[at] in SPREAD), default=None)
    if spread is not None and (things := before(clause, spread)):
        return things
    if things := before(clause, focus):
        return things
    subjects = [mention for mention in clause.mentions if mention.end <= focus and not clause.hangs(mention)]
    return _list(clause, clause.mentions.index(subjects[-1]) + 1) if subjects else []


def before(clause: Clause, at: int) -> list[Mention]:
    """The thing, or the list of things, that stands before a position with nothing of weight between."""
    earlier = sum(mention.end <= at for mention in clause.mentions)
    if not earlier or not all(is_glue(word) for word in clause.words[clause.mentions[earlier - 1].end : at]):
        return []
    return _list(clause, earlier)


def _list(clause: Clause, count: int) -> list[Mention]:
    """The last of so many mentions, and those that stand in one list with it."""
    listed = list(clause.mentions[max(count - 1, 0) : count])
    for mention in clause.mentions[: max(count - 1, 0)][::-1]:
        if not all(word in LIST or value_of(word) is not None for word in clause.words[mention.end : listed[0].start]):
            break
        listed.insert(0, mention)
    return listed


def is_glue(word: str) -> bool:
    return word in GLUE or value_of(word) is not None


def narrowed(clause: Clause, mention: Mention, at: int) -> Iterator[Rect]:
    """The parts of the frame that a mention is narrowed to: `the cars in the upper left`, `the lower cars`.

    Args:
        clause: the clause.
        mention: the thing.
        at: word before which a place narrows what stands before it.
    """
    for place in clause.places:
        if mention.end <= place.start < at or mention in attached(clause, place):
            yield place.rect
    words = clause.words[max(mention.start - 2, 0) : mention.start]
    if rows := [word for word in words if word in ROWS or word in COLUMNS]:
        yield rect_of(rows, "half", "")


def stands_on(clause: Clause, than: int, mention: Mention) -> bool:
    """Whether what things are compared with is what surrounds them: cars and a road, ships and water."""
    nouns = lexicon().wider.get(mention.noun, frozenset())
    grounds = (other.noun for other in clause.mentions if other.start - than in (1, 2, 3))
    return any(nouns & STAND_ON.get(ground, frozenset()) for ground in grounds)


def source_of(clause: Clause, end: int) -> Mention | None:
    """The cars of `a strong signal comes from the cars`, which goes on from a position."""
    while end < len(clause.words) and clause.words[end] in COMING:
        end += 1
    sources = (mention for mention in clause.mentions if end < mention.start <= end + 3)
    return next(sources, None) if clause.words[end : end + 1] in (("of",), ("from",)) else None


def owner_of(clause: Clause, at: int) -> Mention | None:
    """The street of `by a street of low intensity`."""
    of = at - 2 if clause.words[at - 1 : at] in (("a",), ("an",)) else at - 1
    owned = is_level(clause.words[at]) and of > 0 and clause.words[of] in ("of", "with", "having")
    return next((mention for mention in clause.mentions if mention.end == of), None) if owned else None
