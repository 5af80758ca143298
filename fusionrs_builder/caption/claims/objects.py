"""Whether the things that a caption names are there, as many as it says, and where it says: by labels and boxes.

What labels and boxes do not tell is left alone: how many cars a box labelled `cars` holds, whether a street has trees.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fusionrs_builder.caption import facts, language
from fusionrs_builder.caption.claims import denials
from fusionrs_builder.caption.claims.attachment import SPREAD, attached, before
from fusionrs_builder.caption.claims.lexicon import MANY, english, is_amount, lexicon, value_of
from fusionrs_builder.caption.claims.mentions import Amount, Clause, Mention, amount, nouns_of
from fusionrs_builder.caption.claims.places import DEEP, FOCUS, NEAR, touches
from fusionrs_builder.caption.evidence import Evidence
from fusionrs_builder.caption.geometry import CELLS, Placed, cell, locate

FEW = 0.1
"""Of objects that are said to be all in one part, no more than this share may be elsewhere."""
MOST = 0.4
"""Of objects that are said to be mostly in one part, no less than this share must be there."""

SIMILES = english("similes")
COMPARISONS = english("comparisons")
ALL, MAINLY = frozenset(("all", "both", "each")), frozenset(("mostly", "mainly", "most", "concentrated"))
OVER = frozenset(("across", "throughout"))


@dataclass(frozen=True)
class Known:
    """What labels, boxes and published captions tell of a record.

    Attributes:
        groups: visible objects by label in words.
        nouns: nouns of the table that each of these labels is one of.
        support: nouns that labels, boxes and published captions name.
        labels: each label in words, by its forms.
        boxed: the record has boxes; else its labels, if any, are classes of the scene.
        frame: width and height, pixels; None where the places of objects are not known.
    """

    groups: Mapping[str, tuple[Placed, ...]]
    nouns: Mapping[str, frozenset[str]]
    support: frozenset[str]
    labels: Mapping[str, str]
    boxed: bool
    frame: tuple[int, int] | None

    @classmethod
    def of(cls, record: facts.Record, seen: Evidence | None) -> "Known":
        if seen is not None:
            placed: Sequence[Placed] = [thing.placed for thing in seen.things]
        else:  # the size of the frame is not known: all boxes count, none has a place
            placed = locate(record.boxes, 10**9, 10**9)
        groups = dict(facts.spoken(record, placed, {}, lambda noun: True).groups)
        every = {*record.labels, *(str(box["label"] or "") for box in record.boxes)}
        labels = {noun for label in every if (noun := language.humanise(label))} | groups.keys()
        named = [nouns_of(text) for text in (*labels, *record.publisher, *record.model, *record.template)]
        table = lexicon()
        return cls(
            groups=groups,
            nouns={noun: frozenset().union(*(table.wider[one] for one in nouns_of(noun))) for noun in groups},
            support=frozenset().union(*named),
            labels={form: noun for noun in labels for form in (noun, language.plural(noun))},
            boxed=bool(record.boxes),
            frame=None if seen is None else (seen.width, seen.height),
        )

    def objects(self, mention: Mention) -> tuple[Placed, ...]:
        """All visible objects that a mention may mean."""
        return self.choices(mention)[-1]

    def choices(self, mention: Mention) -> list[tuple[Placed, ...]]:
        """The groups that a mention may mean: those of its label, and all that its noun covers."""
        wide = [some for noun, some in self.groups.items() if mention.noun in self.nouns[noun]]
        every = tuple(one for some in wide for one in some)
        own = self.groups.get(mention.label, ())
        return [own, every] if own and every and len(own) != len(every) else [own or every]

    def supports(self, mention: Mention) -> bool:
        if mention.label or not mention.noun:
            return True
        table, noun = lexicon(), mention.noun
        names = {noun} if table.kinds[noun] == "scene" else table.wider[noun]
        return any(
            noun in table.wider[known]
            or known in table.wider[noun]
            or any(names & table.holds[wide] for wide in table.wider[known])
            for known in self.support
        )


def contradictions(clauses: Sequence[Clause], known: Known) -> Iterator[tuple[str, str]]:
    """Check and message of each thing that is not there, not so many, or elsewhere."""
    for message in _unsupported(clauses, known):
        yield "objects", message
    for clause in clauses:
        for message in _counts(clause, clauses, known):
            yield "counts", message
    if known.frame is not None:
        for clause in clauses:
            for message in _positions(clause, known):
                yield "positions", message


def _unsupported(clauses: Sequence[Clause], known: Known) -> Iterator[str]:
    if not (known.labels if known.boxed else known.support):
        return
    table = lexicon()
    flagged = ("object", "landmark") if known.boxed else ("landmark",)
    named = [
        (clause, mention)
        for clause in clauses
        for mention in clause.mentions
        if not clause.denied(mention)
        and denials.absent(clause, mention) is None
        and SIMILES.isdisjoint(clause.words[max(mention.start - 3, 0) : mention.start])
    ]
    labels = sorted(set(known.labels.values()))
    told = language.joined(labels or ["what its published captions name"])
    for clause, mention in named:
        if table.kinds.get(mention.noun) in flagged and not known.supports(mention):
            yield f"It names {_said(clause, mention)!r}, which nothing known of this record supports; known: {told}."
            return
    scenes = [(clause, mention) for clause, mention in named if table.kinds.get(mention.noun) == "scene"]
    classed = not known.boxed and any(nouns_of(label) for label in labels)
    if classed and scenes and not any(known.supports(mention) for _, mention in named):
        clause, mention = scenes[0]
        yield f"It calls the scene {_said(clause, mention)!r}, but its class is {told}."


def _counts(clause: Clause, clauses: Sequence[Clause], known: Known) -> Iterator[str]:
    for mention in clause.mentions:
        said = amount(clause.words, mention.start)
        choices = [some for some in known.choices(mention) if some]
        if choices and said is None and _missing(clause, clauses, mention):
            yield f"It says there is no {_said(clause, mention)!r}, but boxes show {len(choices[-1])} of them."
        if said is None or not choices:
            continue
        counted = all(language.is_counted(noun) or noun in language.SINGULAR for noun in _labels(mention, known))
        if not counted and not said.areas:
            continue
        truths = {len(some) for some in choices}
        if said.high == 0:
            if said.qualified or clause.places or not denials.of_all(clause.words[mention.end :]):
                continue  # none of a kind, or none somewhere
            yield f"It says there is no {_said(clause, mention)!r}, but boxes show {min(truths)} of them."
        elif not clause.denied(mention) and (here := _fewer_there(clause, mention, said, known)) is not None:
            yield f"It says {_amount_in_words(clause, mention)!r} where it places them, but {here} are there."
        elif clause.denied(mention) or any(said.low <= count <= said.high for count in truths):
            if said.part is not None and said.part[0] > max(truths):
                yield f"It speaks of {said.part[0]} of the {_said(clause, mention)!r}, but there are {max(truths)}."
        elif not _part_of_all(clause, clauses, mention, said, known, max(truths)):
            yield (
                f"It says {_amount_in_words(clause, mention)!r}, but the number of them is "
                f"{' or '.join(map(str, sorted(truths)))}."
            )


def _missing(clause: Clause, clauses: Sequence[Clause], mention: Mention) -> bool:
    """Whether a caption says that there is none of a thing in view, and nowhere else names one."""
    rest = denials.absent(clause, mention)
    named = sum(other.noun == mention.noun for one in clauses for other in one.mentions)
    return rest is not None and named == 1 and denials.of_all(rest) and denials.whole_view(clause, mention)


def _labels(mention: Mention, known: Known) -> list[str]:
    return [noun for noun in known.groups if noun == mention.label or mention.noun in known.nouns[noun]]


def _part_of_all(
    clause: Clause, clauses: Sequence[Clause], mention: Mention, said: Amount, known: Known, truth: int
) -> bool:
    """Whether a count that is not the count of all may be that of a part: in a place, of one tone, or of a sum."""
    if said.low > truth:
        return False
    if said.qualified or any(word in ("another", "other", "others", "rest") for one in clauses for word in one.words):
        return True
    after = clause.words[mention.end :]
    until = after.index(",") if "," in after else len(after)
    if not said.definite and not COMPARISONS.isdisjoint(after[:until]):
        return True
    if known.frame is not None:
        some = known.objects(mention)
        for place in (place for place in clause.places if mention in attached(clause, place)):
            inside = sum(touches(place.rect, one, known.frame, NEAR) for one in some)
            strictly = sum(touches(place.rect, one, known.frame, -DEEP) for one in some)
            if strictly <= said.high and said.low <= inside:
                return (ALL | MAINLY).isdisjoint(clause.words[: place.start])
    parts = [amount(one.words, each.start) for one in clauses for each in one.mentions if each.noun == mention.noun]
    sums = [each.low for each in parts if each is not None and each.high < MANY and not each.definite]
    bare = [number for one in clauses for number in _bare_numbers(one)]
    return len(sums) > 0 and len(sums + bare) > 1 and sum(sums + bare) == truth


def _fewer_there(clause: Clause, mention: Mention, said: Amount, known: Known) -> int | None:
    """How many are in the one place that a clause puts a number of things in, where that is clearly too few."""
    placed = [place for place in clause.places if mention in attached(clause, place)]
    if (
        known.frame is None
        or len(placed) != 1
        or len(clause.places) > 1
        or said.part
        or len(known.choices(mention)) > 1
    ):
        return None
    between = clause.words[mention.end : placed[0].start]
    if any(is_amount(word) and word not in ("a", "an") for word in between) or not (MAINLY | FOCUS).isdisjoint(between):
        return None
    here = sum(touches(placed[0].rect, one, known.frame, NEAR) for one in known.objects(mention))
    return here if 0 < here <= said.low - max(FEW * said.low, 2) else None


def _bare_numbers(clause: Clause) -> Iterator[int]:
    """Numbers that belong to no thing named: the `two` of `three cars above and two below`."""
    for at, word in enumerate(clause.words):
        number = value_of(word)
        if number is not None and not any(at < mention.start <= at + 3 for mention in clause.mentions):
            yield number


def _positions(clause: Clause, known: Known) -> Iterator[str]:
    assert known.frame is not None
    for place in clause.places:
        if clause.negated(place.start):
            continue
        listed = attached(clause, place)
        some = [one for mention in listed for one in known.objects(mention)]
        if not some or any(not known.objects(mention) for mention in listed):
            continue
        between = set(clause.words[listed[0].end : place.start]) | set(clause.words[: listed[-1].start])
        inside = sum(touches(place.rect, one, known.frame, NEAR) for one in some)
        outside = len(some) - inside
        named = clause.said(listed[0].start, listed[-1].end)
        where = clause.said(place.start, place.end)
        truth = _cells(some)
        if inside == 0:
            yield f"It places {named!r} in the {where}, but none is there: {truth}."
        elif any(len(known.choices(mention)) > 1 for mention in listed):
            continue
        elif ALL & between and outside > FEW * len(some):
            part = amount(clause.words, listed[-1].start)
            if part is None or (part.part is None and part.high >= len(some)):
                yield f"It places all of {named!r} in the {where}, but {outside} of {len(some)} are not: {truth}."
        elif MAINLY & between and inside < MOST * len(some):
            yield f"It places most of {named!r} in the {where}, but only {inside} of {len(some)} are: {truth}."
    yield from _spread(clause, known)


def _spread(clause: Clause, known: Known) -> Iterator[str]:
    for at, word in enumerate(clause.words):
        if word not in SPREAD or OVER.isdisjoint(clause.words[at : at + 3]) or clause.negated(at):
            continue
        some = [one for mention in before(clause, at) for one in known.objects(mention)]
        if len(some) > 2 and len({cell(one.x, one.y) for one in some}) == 1:
            yield f"It spreads things across the frame, but all {len(some)} are in one part: {_cells(some)}."


def _cells(some: Sequence[Placed]) -> str:
    return language.joined([f"in the {CELLS[number]}" for number in sorted({cell(one.x, one.y) for one in some})])


def _said(clause: Clause, mention: Mention) -> str:
    return clause.said(mention.start, mention.end)


def _amount_in_words(clause: Clause, mention: Mention) -> str:
    return clause.said(max(mention.start - 3, 0), mention.end)
