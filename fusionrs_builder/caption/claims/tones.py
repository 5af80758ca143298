"""What a caption says of bright and dark, and of what it says so.

What is compared with something that was not measured, and whatever a negation touches, is left alone.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fusionrs_builder.caption import facts
from fusionrs_builder.caption.claims import denials, measured
from fusionrs_builder.caption.claims.attachment import narrowed, owner_of, source_of, stands_on
from fusionrs_builder.caption.claims.levels import TONES, is_level, share, tones
from fusionrs_builder.caption.claims.lexicon import FRAME, PREPOSITIONS, VERBS, english, value_of
from fusionrs_builder.caption.claims.measured import MOST, PLAIN, Tone, View
from fusionrs_builder.caption.claims.mentions import CLOSED, Clause, Mention, amount
from fusionrs_builder.caption.claims.objects import Known
from fusionrs_builder.caption.claims.places import NEAR, Where, touches

OVERALL, REGIONS, MODIFIERS = english("overall"), english("regions"), english("modifiers")
SURROUNDINGS = english("surroundings")
"""With these an object may be compared: its surroundings were measured."""
EVERY = frozenset(("all", "every", "each"))
PRONOUNS = english("pronouns")
LINKS = VERBS | english("links")
"""Words that may stand between a thing and what is said of its tone."""
EVERYWHERE = re.compile(r"\b(?:across|over|covering|throughout|fills|covers) (?:much|most|all|nearly all) of\b")
BETWEEN = LINKS | TONES.keys() | PREPOSITIONS | english("denying")
AFTER = CLOSED | LINKS | OVERALL | english("after_predicates")
"""Words after which a word of tone before them is no adjective of a noun."""
VISIBLE = re.compile(r"\b(?:visible(?:-light)? (?:image|view|light|band|picture|scene)|rgb|optical|true-colou?r)\b")


@dataclass(frozen=True)
class _Said:
    """One word of tone, and all that it is to be understood and judged by.

    Attributes:
        until: word before which what it speaks of ends.
        earlier: what the clause before names first.
        subject: and that is what it speaks of, so that a verb without a subject goes on with it.
        denied: it is said not to be so.
    """

    clause: Clause
    tone: Tone
    until: int
    earlier: Mention | None
    subject: bool
    view: View
    known: Known
    denied: bool = False


def contradictions(clauses: Sequence[Clause], view: View, known: Known, record: facts.Record) -> Iterator[str]:
    """What captions of a view say of bright and dark that its measurements contradict."""
    warm = ""
    if view.seen is not None and record.origin == "measured" and record.band == "lwir":
        warm = "bright" if record.white_hot else "dark"
    earlier: Mention | None = None
    subject = False
    for clause in clauses:
        text = " ".join(clause.words)
        beside = VISIBLE.search(text) is not None
        if view.seen is not None:
            yield from measured.contrast(text, view.seen)
            if beside and not clause.negated(len(clause.words)):
                yield from measured.relation(text, view.seen)
        said_of = tones(clause.words, warm)
        for tone, until in zip(said_of, [*(after.at for after in said_of[1:]), len(clause.words)], strict=False):
            denied = denials.of_tone(clause, tone.at, _subject(clause, tone.at))
            said = _Said(clause, tone, until, earlier, subject, view, known, bool(denied))
            if denied:
                yield from _denied(said)
            elif denied is False:
                yield from _of_the_view(said) if beside else _statement(said)
        for at in range(len(clause.words) - 1):
            if clause.words[at].startswith("stand") and clause.words[at + 1] == "out":
                tone = Tone(at, "standing out", 0, PLAIN)
                if denials.of_tone(clause, at, _subject(clause, at)):
                    yield from _denied(_Said(clause, tone, at, earlier, subject, view, known, True))
        named = next((mention for mention in clause.mentions if not clause.hangs(mention)), None)
        if named is not None:
            earlier, subject = named, VERBS.isdisjoint(clause.words[: named.start])


def _head(clause: Clause, at: int) -> int:
    """Position of the noun that an adjective may stand before, other adjectives between them."""
    words, end = clause.words, at + 1
    while end < len(words) and (
        words[end] in MODIFIERS or words[end] in TONES or words[end].endswith(("-style", "-wave"))
    ):
        end += 1
    for further in range(end, min(end + 3, len(words))):
        if words[further] in REGIONS or any(mention.start == further for mention in clause.mentions):
            return further
        if not _is_noun(words[further]):
            break
    return end


def _of_the_view(said: _Said) -> Iterator[str]:
    """`A dark view`, where other words of tone may be said of the visible image."""
    head = _head(said.clause, said.tone.at)
    before = said.clause.words[said.tone.at + 1 : head]
    if said.tone.degree == PLAIN and said.clause.words[head : head + 1] in _FRAMES and "visible" not in before:
        yield from measured.whole(said.tone, said.view)


_FRAMES = frozenset((word,) for word in FRAME - {"it", "band"})


def _statement(said: _Said) -> Iterator[str]:
    """What a word of tone is said of, and whether it is so."""
    clause, tone, words, at = said.clause, said.tone, said.clause.words, said.tone.at
    if words[at + 1 : at + 2] == ("as",):
        return
    end = _head(clause, at)
    head = words[end] if end < len(words) else ""
    named = next((mention for mention in clause.mentions if mention.start == end), None)
    overall = words[at + 1 : at + 2] == ("overall",) or words[at - 1 : at] == ("overall",)
    level = is_level(words[at])
    overall |= level and "overall" in words[at] and _subject(clause, at) is None
    overall |= head == "band" and words[end - 1].endswith(("infrared", "-style"))
    if (part := share(words, at)) is not None:
        yield from measured.pixels(part, tone, said.view)
    elif tone.degree == PLAIN and (overall or (head,) in _FRAMES or (head == "tones" and words[at - 1] in OVERALL)):
        yield from measured.whole(tone, said.view)
    elif tone.degree == MOST or (tone.degree == PLAIN and head in REGIONS):
        if named is None and (place := _place(said)):
            yield from measured.region(place.rect, clause.said(place.start, place.end), tone, said.view)
        elif named is None and EVERYWHERE.search(" ".join(words[at : said.until])):
            yield from measured.wide(tone, said.view)
    elif named is not None:
        yield from _things(said, named, attribute=True)
    elif level and (named := source_of(clause, end)) is not None:
        yield from _things(said, named)
    elif place := next((place for place in clause.places if place.start == end), None):
        yield from measured.sides(place.rect, None, tone, said.view)  # `the darker right half`
    elif not _is_noun(head) or owner_of(clause, at) or words[at + 1] == "and" or "as" in words[max(at - 4, 0) : at]:
        yield from _predicate(said)


def _denied(said: _Said) -> Iterator[str]:
    """`The cars are not bright`, `no dark cars`."""
    clause, tone = said.clause, said.tone
    end = _head(clause, tone.at) if tone.sign else len(clause.words)
    named = next((mention for mention in clause.mentions if mention.start == end), None)
    if named is not None:
        if tone.degree == PLAIN and denials.of_all(clause.words[named.end :]):
            yield from _things(said, named)
        return
    mention = _subject(clause, tone.at)
    loose = end == len(clause.words) or not _is_noun(clause.words[end]) or is_level(clause.words[tone.at])
    if mention is not None and tone.degree != MOST and loose:
        yield from _things(said, mention)


def _is_noun(head: str) -> bool:
    """Whether the word after an adjective may be a noun that it belongs to, and of which nothing is known."""
    return head[:1].isalpha() and head not in AFTER and not head.endswith("ly")


def _place(said: _Said) -> Where | None:
    """Where a region is said to lie: the next place, else the one that the clause says this of."""
    clause, at = said.clause, said.tone.at
    for place in clause.places:
        if at < place.start < said.until:
            named = any(at < mention.start < place.start for mention in clause.mentions)
            # `A dark area of this view of cars, in the upper left` is the only way for a thing to stand between.
            return None if named and "of" not in clause.words[at : place.start] else place
    return _part(clause, at)


def _part(clause: Clause, at: int) -> Where | None:
    """The part of the frame that is the subject of a word of tone: `the left side of this view is`."""
    before = [place for place in clause.places if place.end <= at]
    if before and all(
        (word in LINKS and word != "and") or word in FRAME or word in MODIFIERS or word in TONES or word == "of"
        for word in (word.removesuffix("-style") for word in clause.words[before[-1].end : at])
    ):
        return before[-1]
    return None


def _predicate(said: _Said) -> Iterator[str]:
    """`The cars are brighter`, `the left side is brighter than the right`, `the view is dark`."""
    clause, tone, words, at = said.clause, said.tone, said.clause.words, said.tone.at
    part = _part(clause, at)
    if (part is None or part.locative) and (mention := _subject(clause, at)) is not None:
        yield from _things(said, mention)
        return
    than = words.index("than", at) if "than" in words[at:] else len(words)
    opens = part is not None and all(word in PREPOSITIONS or word == "the" for word in words[: part.start])
    if first := (part if opens or (part and not part.locative) else _next_part(clause, at, than)):
        second = next((place.rect for place in clause.places if place.start > than), None)
        if second is not None or than == len(words) or not SURROUNDINGS.isdisjoint(words[than:]):
            yield from measured.sides(first.rect, second, tone, said.view)
        return
    start = at
    links = LINKS | OVERALL | ({"with", "of", "at"} if is_level(words[at]) else frozenset())
    while start and words[start - 1] in links and words[start - 1] not in FRAME:
        start -= 1
    before = words[start - 1] if start else ""
    if before == "each" and (named := next((one for one in clause.mentions if not clause.hangs(one)), None)):
        yield from _things(said, named, pronoun=before)
    elif said.earlier is not None and _goes_on(before, start, said):
        yield from _things(said, said.earlier, pronoun=before or "it")
    elif tone.degree == PLAIN and (
        (before in FRAME and before != "it" and words[start - 2 : start - 1] != ("of",))
        or (not OVERALL.isdisjoint(words[start:at]) and not clause.mentions)
    ):
        yield from measured.whole(tone, said.view)


def _goes_on(before: str, start: int, said: _Said) -> bool:
    """Whether a tone is said of what the clause before names: by a pronoun, a number, or a verb alone."""
    if not start:
        return said.subject
    if before in ("it", "they"):
        return said.earlier is not None and said.earlier.plural == (before == "they")
    return before in PRONOUNS or value_of(before) is not None


def _next_part(clause: Clause, at: int, than: int) -> Where | None:
    """The `left` of `brighter on the left`."""
    place = next((place for place in clause.places if at < place.start < than), None)
    if place and all(word in PREPOSITIONS or word == "the" for word in clause.words[at + 1 : place.start]):
        return place
    return None


def _subject(clause: Clause, at: int) -> Mention | None:
    """The thing that a word of tone after it is said of: things in a phrase between do not count."""
    if clause.words[at - 1 : at] == (",",) and clause.words[at + 1 : at + 2] not in (("against",), ("than",)):
        return None  # said of the view: `a view of cars, darker on the left`
    if (owner := owner_of(clause, at)) is not None:
        return owner
    placed = {i for place in clause.places for i in range(place.start, place.end)}
    until, phrase = at, False
    for mention in reversed([mention for mention in clause.mentions if mention.end <= at]):
        loose = (i for i in range(mention.end, until) if not phrase and i not in placed)
        if any(word not in BETWEEN and not word.endswith("ly") for word in map(clause.words.__getitem__, loose)):
            return None
        if not clause.hangs(mention):
            return mention
        until, phrase = mention.start, True
    return None


def _things(said: _Said, mention: Mention, attribute: bool = False, pronoun: str = "") -> Iterator[str]:
    """What is said of objects that were measured, or of what fills the view."""
    clause, words, at, known = said.clause, said.clause.words, said.tone.at, said.known
    if said.view.seen is None:
        return
    than = words.index("than", at) if "than" in words[at:] else None
    if (
        than is not None
        and SURROUNDINGS.isdisjoint(words[than + 1 : than + 4])
        and not stands_on(clause, than, mention)
    ):
        return
    if not known.objects(mention):
        if not known.boxed and known.supports(mention) and said.tone.degree == PLAIN:
            yield from measured.filling(said.tone, said.view.seen)
        return
    name = pronoun or clause.said(mention.start, mention.end)
    rects = [] if pronoun or known.frame is None else list(narrowed(clause, mention, at))
    told: list[list[str]] = []
    for placed in known.choices(mention):
        mine = {id(one) for one in placed}
        things = [thing for thing in said.view.seen.things if id(thing.placed) in mine]
        for rect in rects:
            things = [thing for thing in things if touches(rect, thing.placed, known.frame or (1, 1), NEAR)]
        part = value_of(pronoun) if pronoun else _number(clause, mention, len(placed), attribute)
        check = measured.none(things, said.tone, name) if said.denied else measured.group(things, part, said.tone, name)
        told.append(list(check))
    if all(told):
        yield from told[0]


def _number(clause: Clause, mention: Mention, total: int, attribute: bool) -> int | None:
    """How many of the objects a word of tone is said of; None where no number is said."""
    if not EVERY.isdisjoint(clause.words[max(mention.start - 2, 0) : mention.start]):
        return total
    said = amount(clause.words, mention.start)
    if said is None:
        return None if mention.plural and not attribute else 1  # `dark cars`: some; `the lowest car`: one of them
    return min(said.part[0] if said.part else said.low, total)
