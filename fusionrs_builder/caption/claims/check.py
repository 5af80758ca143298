"""What is wrong with a caption: its wording, and each of its claims against what was measured and labelled.

Captions that a language model wrote are strangers' text. A claim that the measurements and labels do not decide is
left alone; one that they contradict becomes a `Finding`, in words that the model can mend the caption by.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fusionrs_builder.caption import checks, facts
from fusionrs_builder.caption.appearance import Look
from fusionrs_builder.caption.claims import objects, tones
from fusionrs_builder.caption.claims.lexicon import english
from fusionrs_builder.caption.claims.measured import View
from fusionrs_builder.caption.claims.mentions import read
from fusionrs_builder.caption.evidence import Evidence

CHECKS = (*checks.CHECKS, "polarity", "objects", "counts", "positions", "refusal", "truncation", "language")

LATIN_SHARE = 0.9
"""Of the letters of an English caption, at least this share is Latin."""
PROSE_WORDS = 6
"""Captions of so many words hold a function word of English, and not more of them that are of other languages only."""
NOISE_SHARE = 0.3
"""A caption is noise when more than this share of its words has no vowel, six consonants in a row, or 23 letters."""
REPEATS = 4
"""So many times in a row the same one to four words are no English."""

_BOILERPLATE = re.compile(
    r"\bI(?:'m| am) (?:sorry|unable|not able|an AI)|\bI (?:cannot|can't|can not|apologi[sz]e|do not have|don't have"
    r"|don't see|can see|see|think|believe)\b|\bas an? (?:AI|artificial|language|large language|assistant)\b"
    r"|\b(?:here(?:'s| is| are)|below (?:is|are)) (?:a|an|the|your|some|two|three|my|possible)\b.{0,30}"
    r"\b(?:captions?|descriptions?)\b|\b(?:image|picture|photo)s? (?:you )?(?:provided|uploaded|attached|you shared)\b"
    r"|\bprovided (?:image|picture|photo)|^\W*(?:sure|certainly|of course|absolutely|okay|ok)\b[!,.:]"
    r"|^\W*(?:captions?|descriptions?|output|answer|response|assistant|scene|note|ir|rgb|infrared)(?: \w+)?\s*:"
    r"|```|\*\*|^#+ |^[-*] "
    r"|[{}\\]|\"\s*[:\]]|\",\s*\"|\[\s*\"|<[/|]?\w+[^>]{0,40}>|lorem ipsum"
    r"|\b(?:unsupported|placeholder|insert caption|todo|n/a)\b"
    r"|\bthe (?:evidence|labels?|prompt|instructions?|checks?|user)\b"
    r"|https?://|www\.|\bas (?:you )?(?:requested|asked)\b|\b(?:per|at) your request\b"
    r"|\b(?:let me know|hope (?:this|that|it)|please|feel free|thank you|thanks(?! to)|happy to help|great question)\b"
    r"|\bdot (?:com|org|net)\b|\w\.(?:com|org|net)\b|\bsubscri(?:be|ption)\w*|\bclick(?:s|ing)? (?:here|below|on|the)\b"
    r"|\b(?:buy|order|shop|book|sign up|download) (?:our|yours?|now|today|online|it)\b|\b(?:follow|contact|visit) us\b"
    r"|\b(?:our|my) (?:\w+ )?(?:products?|website|channel|shop|store|newsletter|customers|services?|offers?)\b"
    r"|\b(?:special|limited(?:-time)?|exclusive) offer\b|\bbest prices?\b|\bfree shipping\b|\d ?% off\b",
    re.IGNORECASE | re.MULTILINE,
)
_REPEAT = re.compile(rf"\b((?:[^\W_]+\W+){{0,3}}[^\W_]+)(?:\W+\1){{{REPEATS - 1},}}\b", re.IGNORECASE)
_END = re.compile(r"[.!?][\"'”’)\]]*$")
_DANGLING = re.compile(
    r"\b(?:a|an|the|and|or|but|of|than|its|their|which|while|as|very|into|between)[.!?]*$|[,;:\-–—][.!?]*$|\.{2,}$|…",
    re.IGNORECASE,
)
_PAIRS = (("(", ")"), ("[", "]"), ("“", "”"))
_WORD = re.compile(r"[^\W\d_]+")
_NO_VOWEL = re.compile(r"[^aeiouy]{2,}|\w*[^aeiouy\W]{6}\w*|\w{23,}", re.IGNORECASE)
_ABBREVIATIONS = english("abbreviations")
_FUNCTION_WORDS = english("function_words")
_FOREIGN_WORDS = english("foreign_words") - _FUNCTION_WORDS


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        check: one of `CHECKS`.
        caption: the caption it is about.
        message: what is wrong and what is true instead, in one sentence.
    """

    check: str
    caption: str
    message: str


def findings(
    scene: Sequence[str], ir: Sequence[str], record: facts.Record, seen: Evidence | None, look: Look | None
) -> list[Finding]:
    """All that is wrong with the captions of one record.

    Args:
        scene: captions of the visible scene.
        ir: captions of the infrared view.
        record: labels, boxes and published captions.
        seen: measurements of the infrared view; None where there is none.
        look: measurements of the visible image; None where the record was seen in infrared alone: then captions of
            the scene keep the rules of the infrared view.
    """
    known = objects.Known.of(record, seen)
    visible = None if look is None else View.of(look)
    infrared = None if seen is None else View.of(seen)
    found: dict[tuple[str, str, str], Finding] = {}
    captions = [(text, visible or infrared, look is None) for text in scene] + [(text, infrared, True) for text in ir]
    written: set[str] = set()
    for caption, view, bound in captions:
        problems = [*_rules(caption, record, bound), *_wording(caption)]
        if (same := _plain(caption)) in written:
            problems.append(("unique", "It says the same as another caption of the record."))
        written.add(same)
        clauses = read(caption, known.labels)
        problems += objects.contradictions(clauses, known)
        if view is not None:
            problems += [("polarity", text) for text in tones.contradictions(clauses, view, known, record)]
        for check, message in problems:
            found.setdefault((check, caption, message), Finding(check, caption, message))
    return list(found.values())


def _plain(caption: str) -> str:
    """A caption without case, punctuation and spacing; itself where nothing else is in it."""
    return " ".join(re.findall(r"\w+", caption.casefold())) or caption


def _rules(caption: str, record: facts.Record, bound: bool) -> Iterator[tuple[str, str]]:
    """The checks of `checks.faults` that one caption can fail alone."""
    if bound:
        if words := checks.forbidden(caption, record.origin, record.band):
            kind = "measured" if record.origin == "measured" else "translated"
            yield "forbidden_words", f"A caption of this {kind} infrared view may not say {_quoted(words)}."
        if words := checks.colours(caption):
            yield "no_colour_in_ir", f"An infrared view has no colour, but it says {_quoted(words)}."
    elif words := checks.readings(caption):
        yield "forbidden_words", f"No image tells temperatures, but it says {_quoted(words)}."
    count = len(caption.split())
    if not checks.MIN_WORDS <= count <= checks.MAX_WORDS:
        yield "length", f"It has {count} words; {checks.MIN_WORDS} to {checks.MAX_WORDS} are asked for."


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(map(repr, dict.fromkeys(words)))


def _wording(caption: str) -> Iterator[tuple[str, str]]:
    """What can be told from the text alone."""
    if match := _BOILERPLATE.search(caption):
        yield (
            "refusal",
            f"It holds {match[0].strip()!r}: a caption is a plain sentence about the picture, nothing else.",
        )
    elif match := _REPEAT.search(caption):
        yield "refusal", f"It repeats {match[1][:60]!r}: say each thing once."
    if broken := _broken(caption):
        yield "truncation", broken
    if foreign := _foreign(caption):
        yield "language", foreign


def _broken(caption: str) -> str | None:
    text = caption.strip()
    plain = caption.isascii() and caption.isprintable()
    if not plain and any(c == "\ufffd" or unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") for c in caption):
        return "It holds characters that are no text."
    if not _END.search(text):
        return "It does not end as a sentence does, with a full stop."
    if match := _DANGLING.search(text):
        return f"It breaks off at {match[0]!r}."
    if any(text.count(opening) != text.count(closing) for opening, closing in _PAIRS) or text.count('"') % 2:
        return "A bracket or a quotation mark has no partner."
    return None


def _foreign(caption: str) -> str | None:
    if not _latin(caption):
        return "It is not written in English letters; captions are English."
    words = [word.casefold() for word in _WORD.findall(caption)]
    small, others = (sum(word in table for word in words) for table in (_FUNCTION_WORDS, _FOREIGN_WORDS))
    if len(words) >= PROSE_WORDS and (not small or others > small):
        return "It holds too few of the small words of English; captions are English sentences."
    noise = [word for word in words if word not in _ABBREVIATIONS and _NO_VOWEL.fullmatch(word)]
    if len(noise) > NOISE_SHARE * len(words):
        return f"{noise[0]!r} and others are no words; captions are English sentences."
    return None


def _latin(caption: str) -> bool:
    if caption.isascii():
        return any(c.isalpha() for c in caption)
    letters = [c for c in caption if c.isalpha()]
    latin = sum(c < "\u0250" or "\u1e00" <= c < "\u1f00" for c in letters)
    return bool(letters) and latin >= LATIN_SHARE * len(letters)
