"""What a caption denies: that a thing is bright, that it stands out, that it is there at all.

Only plain denials are read: `not bright`, `none of the cars`, `devoid of people`. What `hardly`, `not very` and
`not all` say is too soft to be held against measurements.
"""

import re
from collections.abc import Sequence

from fusionrs_builder.caption.claims.lexicon import FRAME, english, is_amount
from fusionrs_builder.caption.claims.mentions import Clause, Mention

NEGATIONS = english("negations")
DEVOID = english("devoid")
"""Words before `of` after which nothing is there."""
PLAINLY = frozenset(("appear", "look", "be", "seem", "any", "actually", "at", "all", "in", "the", "least", "stand"))
"""Words that may stand between `not` and a word of tone without softening it."""
ABSENCE = frozenset(("not", "nowhere", "cannot", "absent", "missing", "aren't", "isn't", "weren't", "wasn't", "can't"))
HIDDEN = frozenset(("any", "all", "visible", "or", "and", ",", "the", "a", "an"))
"""Words that may stand between `devoid of` and a thing."""
GROUNDS = frozenset(("road", "path", "car park", "yard", "ground"))
"""What may be said to be empty of a thing where that means that the view is."""
WITHIN = frozenset(("in", "on", "within", "across", "along", "from", "throughout"))
EXISTING = english("existing")
PARTS = english("sides") | {"scale", "resolution", "size", "kind", "type", "row", "spot"}
"""What `in this side` and `at this scale` are not of the whole view by."""

_NONE = re.compile(
    r"(?:^| )(?:(?:none|neither|not one) of (?:the|these|those)(?: \w+)?|none of|neither|no|neither the|nor the|nor"
    r"|not a single)$"
)
_ABSENT = re.compile(
    r"^(?:(?:are|is|were|was|can|seem|seems|appear|appears|to|be) )*(?:entirely |completely |altogether |simply )?"
    r"(?:(?:not|nowhere|(?:are|is|were|was|ca)n't) (?:to )?(?:be )?(?:visible|seen|present|found|detected"
    r"|in sight|there)|cannot be (?:seen|found|detected)|absent|missing|nowhere in sight)\b"
)


def of_tone(clause: Clause, at: int, subject: Mention | None) -> bool | None:
    """Whether what a word says of a thing is denied: True where it plainly is, None where that cannot be told.

    Args:
        clause: the clause.
        at: which word of it.
        subject: the thing that the word is said of, where it stands before.
    """
    words = clause.words
    negation = None
    for before in range(at - 1, max(at - 6, -1), -1):
        if words[before] in (",", "and", "but", "with"):
            break
        if words[before] in NEGATIONS or words[before].endswith("n't"):
            negation = before
            break
    none = subject is not None and _NONE.search(clause.said(max(subject.start - 5, 0), subject.start)) is not None
    if negation is None:
        return none
    if subject is None:
        return True if words[at - 1] == "no" else None
    if negation < subject.start:
        return True if none else None
    if none:
        return None
    simple = (
        words[negation] == "not" or words[negation].endswith("n't") or (words[negation] == "no" and negation == at - 1)
    )
    return True if simple and PLAINLY.issuperset(words[negation + 1 : at]) else None


def absent(clause: Clause, mention: Mention) -> tuple[str, ...] | None:
    """What follows where a thing is said not to be there, by `devoid of cars` and `cars are not visible`; else None."""
    words = clause.words
    if not ABSENCE.isdisjoint(words[mention.end :]) and (match := _ABSENT.search(" ".join(words[mention.end :]))):
        return words[mention.end + len(match[0].split()) :]
    inside = {i for other in clause.mentions for i in range(other.start, other.end)}
    of = mention.start - 1
    while of > 0 and (words[of] in HIDDEN or of in inside):
        of -= 1
    if of > 0 and words[of] == "of" and words[of - 1] in DEVOID:
        return words[mention.end :]
    return None


def whole_view(clause: Clause, mention: Mention) -> bool:
    """Whether a thing that is said not to be there is said to be nowhere in view.

    On a field or a river alone there may be none; what is said of a place or a number of them is about a part.
    """
    before = [other for other in clause.mentions if other.end <= mention.start]
    listed = {i for i in range(mention.start) if clause.words[i] in DEVOID}
    subjects = [other for other in before if not listed or other.end <= max(listed)]
    number = any(is_amount(word) and word not in ("a", "an", "no") for word in clause.words[: mention.start])
    return not clause.places and not number and all(other.noun in GROUNDS for other in subjects)


def of_all(after: Sequence[str]) -> bool:
    """Whether the words after `no cars` leave it at that, or go on with `are visible in this view`."""
    rest = [word for word in after if word not in EXISTING]
    return (
        not rest
        or rest[0] in (",", "or", "and")
        or (rest[0] in WITHIN and rest[1:2] == ["this"] and PARTS.isdisjoint(rest[2:4]))
        or (rest[0] in WITHIN and not FRAME.isdisjoint(rest[1:5]))
    )
