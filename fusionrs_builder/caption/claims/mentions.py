"""Reading a caption: clauses, the things they name, how many of them, and the places they give."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fusionrs_builder.caption import language
from fusionrs_builder.caption.claims import levels, places
from fusionrs_builder.caption.claims.lexicon import (
    COLLECTIVE,
    FRAME,
    LONGEST,
    MANY,
    PREPOSITIONS,
    VAGUE,
    VERBS,
    english,
    is_amount,
    lexicon,
    value_of,
)
from fusionrs_builder.caption.claims.places import Where

NEGATIONS = english("negations")
CLOSED = PREPOSITIONS | VERBS | english("closed")  # fmt: skip
"""Words that end the adjectives in front of a noun."""

HEADS = PREPOSITIONS | VERBS | FRAME | {",", "and", "which", "where"}
"""Words that a phrase does not reach back beyond."""
QUANTITIES = english("quantities")
SPLITS = english("splits")
ENDS = frozenset(".!?;:—–")

ABOUT = english("about")
AT_LEAST, AT_MOST = frozenset(("over", "least")), frozenset(("under", "most", "to"))

MOST_WORDS = 200
"""Words that are read of a text; no caption is so long."""

_RANGE = re.compile(r"(?<=\d)\s*[-–]\s*(?=\d)")
_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['-][^\W_]+)*|[^\w\s]")


@dataclass(frozen=True)
class Mention:
    """A thing named in a clause: words `start` to `end`.

    Attributes:
        noun: its noun of `objects.toml`; empty for a label that is not there.
        label: a label of the record in words, where the words are that label; else empty.
    """

    start: int
    end: int
    noun: str
    label: str
    plural: bool


@dataclass(frozen=True)
class Clause:
    """A part of a caption that states one thing."""

    words: tuple[str, ...]
    mentions: tuple[Mention, ...]
    places: tuple[Where, ...]

    def said(self, start: int, end: int) -> str:
        return " ".join(self.words[start:end])

    def negated(self, at: int) -> bool:
        """Whether a negation close before a position reaches it."""
        for word in reversed(self.words[max(at - 5, 0) : at]):
            if word in (",", "and", "but", "with"):
                return False
            if _negates(word):
                return True
        return False

    def denied(self, mention: Mention) -> bool:
        """Whether a thing is said not to be there, alone or in a list: `no cars, ships or planes`."""
        for word in reversed(self.words[: mention.start]):
            if _negates(word):
                return True
            if word in ("is", "are") and self.words[0] in ("none", "neither", "nothing"):
                continue  # `none of the vehicles is a truck`
            if word in VERBS or (word in PREPOSITIONS and word != "of"):
                return False
        return False

    def hangs(self, mention: Mention) -> bool:
        """Whether a mention hangs on a preposition, other than in `two of the cars` and `with cars that are`."""
        words, at = self.words, mention.start - 1
        if words[mention.end : mention.end + 1] in (("that",), ("which",), ("appearing",), ("standing",), ("looking",)):
            return False
        while at >= 0 and words[at] not in HEADS:
            at -= 1
        if at < 0:
            return False
        if words[at] == "and":  # of a list, the place of its first
            listed = next((other for other in self.mentions if other.end == at), None)
            return listed is not None and self.hangs(listed)
        if words[at] not in PREPOSITIONS:
            return False
        before = words[at - 1] if at else ""
        return words[at] != "of" or not (value_of(before) is not None or before in QUANTITIES)


@dataclass(frozen=True)
class Amount:
    """How many of a thing a clause speaks of.

    Attributes:
        low, high: fewest and most it means.
        definite: `the three cars`: all there are.
        qualified: an adjective stands between number and noun, so that a part may be meant.
        part: fewest and most of `two` in `two of the five cars`.
        areas: `three areas of grass`.
    """

    low: int
    high: int
    definite: bool = False
    qualified: bool = False
    part: tuple[int, int] | None = None
    areas: bool = False


@lru_cache(4096)
def nouns_of(text: str) -> frozenset[str]:
    """Nouns of the table that a label or a published caption names."""
    return frozenset(mention.noun for clause in read(text, {}) for mention in clause.mentions)


def read(text: str, labels: Mapping[str, str]) -> list[Clause]:
    """Split a caption into clauses, and read each.

    Args:
        text: any text.
        labels: label in words by each form of it, for labels of the record.
    """
    words = _words(levels.joined(text.casefold()))[:MOST_WORDS]
    clauses = []
    for start, end in _spans(words):
        part = words[start:end]
        mentions = _mentions(part, labels)
        named = {i for mention in mentions for i in range(mention.start, mention.end)}
        clauses.append(Clause(part, mentions, places.find(part, named)))
    return clauses


def _negates(word: str) -> bool:
    return word in NEGATIONS or word.endswith("n't")


def _words(text: str) -> tuple[str, ...]:
    words: list[str] = []
    text = _RANGE.sub(" to ", text.casefold().replace("’", "'"))
    for token in _TOKEN.findall(text):
        token = token.removesuffix("'s")
        parts = token.split("-")
        if len(parts) > 1 and places.is_place(parts[0]):
            words += parts
        else:
            words.append(token)
    return tuple(words)


def _spans(words: tuple[str, ...]) -> list[tuple[int, int]]:
    """Clauses as first and last word: sentences, cut at `while` and the like, and where a new verb begins one."""
    joints = [i for i, word in enumerate(words) if word in ENDS or word in SPLITS or word in (",", "and")]
    joints.append(len(words))
    spans, start = [], 0
    for joint, after in zip(joints, [*joints[1:], len(words)], strict=True):
        word = words[joint] if joint < len(words) else "."
        if word in (",", "and"):
            if words[joint + 1 : joint + 2] in (("and",), ("with",)):
                follow = next((i for i in joints if i > joint + 1), len(words))
                cut = words[joint + 1] == "with" or _has_verb(words[joint + 1 : follow])
            else:
                cut = _has_verb(words[joint + 1 : after])
            if not cut or not _has_verb(words[start:joint]):
                continue
        while start < joint and words[start] in (",", "and"):
            start += 1
        if joint > start:
            spans.append((start, joint))
        start = joint + 1
    return spans


def _has_verb(words: Sequence[str]) -> bool:
    return not VERBS.isdisjoint(words)


def _mentions(words: tuple[str, ...], labels: Mapping[str, str]) -> tuple[Mention, ...]:
    table = lexicon()
    heads = {form.split()[0] for form in labels}
    found, at = [], 0
    while at < len(words):
        head = words[at]
        if head in heads or head in table.first or head.split("-")[0] in table.first:
            for length in range(min(LONGEST, len(words) - at), 0, -1):
                form = " ".join(words[at : at + length])
                noun, many = table.forms.get(form) or table.forms.get(form.replace("-", " ")) or ("", False)
                label = labels.get(form, "")
                if noun or label:
                    found.append(Mention(at, at + length, noun, label, many or language.is_plural(form)))
                    at += length - 1
                    break
        at += 1
    return tuple(found)


def amount(words: tuple[str, ...], at: int) -> Amount | None:
    """How many of the thing named at a position the words before it speak of; None where they do not say."""
    i = at - 1
    while i >= 0 and at - 1 - i < 3 and not is_amount(words[i]) and words[i] not in CLOSED:
        i -= 1
    if i < 0:
        return None
    qualified, word = i < at - 1, words[i]
    before = words[i - 1] if i else ""
    if word == "of":
        if before in ("area", "areas"):
            found = amount(words, i - 1)
            return found and Amount(found.low, found.high, found.definite, found.qualified, found.part, True)
        if words[max(i - 2, 0) : i] == ("a", "number") or before in COLLECTIVE:
            return Amount(*COLLECTIVE[before], qualified=qualified)
        return None
    if word == "the" and before == "of" and (part := _part(words, i)) is not None:
        return Amount(part[0], MANY, True, qualified, part)
    if (value := value_of(word)) is None:
        if word == "dozen" and "half" in (before, words[i - 2] if i > 1 and before == "a" else ""):
            return Amount(5, 7, qualified=qualified)
        if word == "dozen" and (times := value_of(before)):
            return Amount(12 * times - 2, 12 * times + 2, qualified=qualified)
        return Amount(*VAGUE[word], qualified=qualified) if word in VAGUE else None
    low, high = value, value
    if before in ABOUT:
        low, high = value - max(1, value // 4), value + max(1, value // 4)
    elif before in AT_LEAST or words[max(i - 2, 0) : i] == ("more", "than"):
        low, high = value, MANY
    elif before in ("to", "or") and i > 1 and (first := value_of(words[i - 2])) is not None:
        low = min(first, value)
    elif before == "and" and i > 1 and (first := value_of(words[i - 2])) is not None:
        high = value + first  # `two rows of six and four cars`
    elif before in AT_MOST or words[max(i - 2, 0) : i] in (("fewer", "than"), ("less", "than")):
        low, high = 0, value
    if before == "of" and words[i - 2] in COLLECTIVE and i > 1 and low == high:
        return Amount(low, MANY, qualified=qualified)  # `a row of six cars`, others beside it
    if before in ("the", "these", "all", "of"):
        return Amount(low, high, True, qualified, _part(words, i - 1))
    return Amount(low, high, qualified=qualified)


def _part(words: tuple[str, ...], the: int) -> tuple[int, int] | None:
    """The `two` in `two of the`."""
    of = the if words[the] == "of" else the - 1
    if of < 1 or words[of] != "of":
        return None
    word = words[of - 1]
    if (value := value_of(word)) is not None:
        return value, value
    return None if word in ("all", "most", "majority") else VAGUE.get(word, (1, MANY))
