"""Faults planted in captions that are true, for `caption_checks.py`.

Planting knows nothing of how captions are read: it replaces words by tables of its own, and plants only what pixels,
tones of objects or boxes say is false.
"""

import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.caption import claims
from fusionrs_builder.caption.appearance import Look
from fusionrs_builder.caption.evidence import Evidence
from fusionrs_builder.caption.facts import Record
from fusionrs_builder.caption.grounded import Phrases
from fusionrs_builder.caption.language import humanise, is_counted, plural

Captions = tuple[list[str], list[str]]
Fault = tuple[str, int, str]
"""View (`scene`, `ir`), number of the caption, and the caption with a fault."""
Plant = Callable[["Sample", random.Random], Iterator[Fault]]

SWAPS = {
    "brighter": "darker", "darker": "brighter", "brightest": "darkest", "darkest": "brightest", "bright": "dark",
    "dark": "bright", "warmer": "cooler", "cooler": "warmer",
}  # fmt: skip
OTHERS = (
    "car", "person", "bicycle", "ship", "airplane", "storage tank", "truck", "bus", "building", "bridge", "stadium",
    "swimming pool", "wind turbine", "helicopter",
)  # fmt: skip
"""What a thing may be replaced by."""
SCENES = (
    "an airport", "a harbour", "desert", "a stadium", "a railway station", "forest", "a river", "an industrial area",
    "a beach", "a residential area", "a golf course", "a glacier", "farmland",
)  # fmt: skip
"""What a scene may be replaced by."""
FAMILIES = (
    {"river", "water", "sea", "lake", "beach"}, {"forest", "vegetation"}, {"industrial", "residential"},
    {"vehicle", "car"}, {"vehicle", "truck"}, {"vehicle", "bus"}, {"vehicle", "bicycle"},
    {"ship", "boat", "harbour"}, {"airplane", "airport", "helicopter"}, {"crop", "farmland", "pasture", "cropland"},
)  # fmt: skip
"""Words of names that do not contradict each other."""
CLASSES = Phrases.load().tables["classes"]
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
COLOURS, HEAT = (
    ("red", "green", "blue", "white", "black", "grey"),
    ("hot", "warm", "cold", "toasty", "scorching", "35 °C"),
)
CHAT = (
    "Here is a caption: ", "Sure! ", "Caption: ", "I'm sorry, but I cannot see that. ", "- ", "```", "Click here: ",
    "As requested, ",
)  # fmt: skip
BLOCKS, LEVELS = 24, 20.0
"""A part of the frame holds something dark when a block of a grid of so many a side is so much darker than the mean."""
NEAR_LEVELS = 5.0
"""A part may be called the darkest when its darkest block comes so near to the darkest of all."""
SHARES = 0.15
"""`40 percent are dark` is false of what is bright when the two shares differ by so much."""
PLACE = re.compile(
    r"\b(?:in|along|across|down) the (?:upper |lower |centre )?(?:left|right|centre|top|bottom|middle)\b"
)
ROWS = {"upper": 0, "top": 0, "lower": 2, "bottom": 2}
COLUMNS = {"left": 0, "right": 2}
SPREAD = 0.1
"""Something dark may go across much of the frame when this share of the pixels is so much darker than the mean."""


@dataclass(frozen=True)
class Sample:
    """A record, its measurements and its grounded captions."""

    record: Record
    seen: Evidence | None
    look: Look | None
    captions: Captions
    grays: dict[str, NDArray[np.uint8]]
    width: int

    def each(self) -> Iterator[Fault]:
        for view, texts in zip(("scene", "ir"), self.captions, strict=True):
            for number, text in enumerate(texts):
                yield view, number, text

    def false(self, view: str, said: str, before: str, after: str) -> bool:
        """Whether a word of tone that was put in place of its opposite makes the sentence false.

        Args:
            view: `scene` or `ir`.
            said: the word.
            before: the sentence up to it.
            after: the sentence from there on.
        """
        gray = self.grays[view].astype(np.float64)
        sign = 1 if said in ("bright", "brighter", "brightest", "warmer") else -1
        of_a_region = said.endswith("est") or re.match(r" (?:area|part|region|spot)\b", after)
        if of_a_region and "across much" in after:
            return float((sign * (gray - gray.mean()) >= LEVELS).mean()) < SPREAD
        if of_a_region and (place := PLACE.search(after)):
            return not holds(sign * gray, place[0], superlative=said.endswith("est"))
        if before.endswith("percent of the pixels are "):
            return abs(float((gray <= 63).mean()) - float((gray >= 192).mean())) > SHARES
        if said in ("brighter", "darker", "warmer", "cooler") and " side" not in after and self.seen is not None:
            number = re.search(r"and (\w+) (?:is|are) $", before) or re.search(
                r"\b(\w+) of the ", before, re.IGNORECASE
            )
            wanted = count_of(number[1]) if number else 1
            tone = "brighter" if sign > 0 else "darker"
            return sum(thing.tone == tone for thing in self.seen.things) < wanted
        return True

    def check(self, captions: Captions) -> list[claims.Finding]:
        return claims.findings(*captions, self.record, self.seen, self.look)


def count_of(word: str) -> int:
    return NUMBERS.index(word.lower()) + 1 if word.lower() in NUMBERS else int(word)


def holds(gray: NDArray[np.float64], place: str, superlative: bool) -> bool:
    """Whether a part of the frame holds the brightest block, or one that is bright; of the negative image, dark."""
    cuts = [np.linspace(0, side, min(BLOCKS, side) + 1).astype(int)[:-1] for side in gray.shape]
    sums = np.add.reduceat(np.add.reduceat(gray, cuts[0], 0), cuts[1], 1)
    blocks = sums / np.add.reduceat(np.add.reduceat(np.ones_like(gray), cuts[0], 0), cuts[1], 1)
    words = (
        place.replace("across the middle", "centre left right").replace("down the middle", "centre upper lower").split()
    )
    rows, columns = ({word for word in words if word in names} for names in (ROWS, COLUMNS))
    inside = np.ones(blocks.shape, bool)
    for axis, named, names in ((0, rows, ROWS), (1, columns, COLUMNS)):
        if named or "centre" in words:
            third = np.minimum(3 * np.arange(blocks.shape[axis]) // blocks.shape[axis], 2)
            wanted = {names[word] for word in named} or {1}
            wanted = {0, 1, 2} if len(named) == 2 else wanted
            inside &= np.expand_dims(np.isin(third, list(wanted)), 1 - axis)
    most = float(blocks[inside].max())
    return most >= float(blocks.max()) - NEAR_LEVELS if superlative else most >= float(blocks.mean()) + LEVELS


def noun_forms(record: Record) -> dict[str, tuple[str, str]]:
    """Singular and plural of what each label of boxes is called."""
    found = {}
    for label in record.labels:
        one = humanise(label)
        if is_counted(one):
            found[label] = (one, plural(one))
    return found


def whole_words(words: Iterable[str]) -> str:
    return rf"\b(?:{'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})\b"


def put(text: str, match: re.Match[str], word: str) -> str:
    """The text with the matched words replaced, in the same case."""
    word = word.capitalize() if match[0][0].isupper() else word
    return text[: match.start()] + word + text[match.end() :]


def polarity(sample: Sample, chance: random.Random) -> Iterator[Fault]:
    """One word of tone in its opposite, where the pixels say that this is false."""
    for view, number, text in sample.each():
        for match in re.finditer(whole_words(SWAPS), text, re.IGNORECASE):
            flipped = SWAPS[match[0].lower()]
            rest = text[match.end() :]
            if (
                re.match(r" (?:as|in the visible|here|fall|run|surroundings)|er surroundings", rest)
                or "light and" in text
            ):
                continue
            if sample.false(view, flipped, text[: match.start()], rest):
                yield view, number, put(text, match, flipped)


def sides(sample: Sample, chance: random.Random) -> Iterator[Fault]:
    """`The left side is brighter than the right`, the two changed for each other."""
    swap = {"left": "right", "right": "left", "upper": "lower", "lower": "upper"}
    for view, number, text in sample.each():
        if re.search(r"\b(?:left|right|upper|lower) side\b.*\bthan\b", text) and " lies " not in text:
            yield view, number, re.sub(whole_words(swap), lambda match: swap[match[0]], text)


def wrong_object(sample: Sample, chance: random.Random) -> Iterator[Fault]:
    """A thing of which the record has a box, or the class of a scene, replaced by another that is not there."""
    record = sample.record
    said = {word for label in record.labels for word in humanise(label).split()}
    fitting = [other for other in OTHERS if not alike(other, said)]
    names = noun_forms(record) if record.boxes else {}
    for view, number, text in sample.each():
        for one, many in names.values():
            other = chance.choice(fitting)
            changed = re.sub(rf"\b{many}\b", plural(other), re.sub(rf"\b{one}\b", other, text))
            if changed != text:
                yield view, number, changed
        if not record.boxes:
            for label in record.labels:
                phrase = CLASSES.get(humanise(label), humanise(label))
                match = re.search(re.escape(phrase), text, re.IGNORECASE)
                if match:
                    scene = chance.choice([scene for scene in SCENES if not alike(scene, said | set(phrase.split()))])
                    yield view, number, put(text, match, scene)


def alike(name: str, said: set[str]) -> bool:
    words = set(name.split())
    return bool(words & said) or any(words & family and said & family for family in FAMILIES)


def wrong_count(sample: Sample, chance: random.Random) -> Iterator[Fault]:
    """A number of things changed by one, two or three."""
    count = "|".join(("an?", *NUMBERS, r"\d+"))
    for view, number, text in sample.each():
        for one, many in noun_forms(sample.record).values():
            for match in re.finditer(rf"\b({count}) (?:{many}|{one})\b", text, re.IGNORECASE):
                said = match[1].lower()
                true = 1 if said in ("a", "an") else count_of(said)
                if not any(humanise(str(box["label"] or "")) in (one, f"other {one}") for box in sample.record.boxes):
                    continue
                told = chance.choice([n for step in (1, 2, 3) for n in (true - step, true + step) if n > 0])
                words = NUMBERS[told - 1] if told <= len(NUMBERS) else str(told)
                yield view, number, put(text, match, f"{words} {one if told == 1 else many}")


def wrong_place(sample: Sample, chance: random.Random) -> Iterator[Fault]:
    """The place of a thing changed for the opposite one, when no box touches that."""
    swap = {"left": "right", "right": "left", "upper": "lower", "lower": "upper"}
    frame = sample.seen and (sample.seen.width, sample.seen.height)
    names = whole_words(form for forms in noun_forms(sample.record).values() for form in forms)
    for view, number, text in sample.each():
        if not frame or not sample.record.boxes or re.search(r"\bbright|\bdark|\bwarm|\bcool|larg", text):
            continue
        for match in re.finditer(r"in the ((?:upper |lower |centre )?(?:left|right)(?: half)?)\b", text):
            if not re.search(names, text):
                continue
            side = swap["left" if "left" in match[1] else "right"]
            edge = 1 / 2 if "half" in match[1] else 2 / 3
            spans = [(box["x0"] / sample.width, box["x1"] / sample.width) for box in sample.record.boxes]
            touched = any(stop > edge if side == "right" else start < 1 - edge for start, stop in spans)
            if not touched:
                yield view, number, text[: match.start(1)] + match[1].replace(swap[side], side) + text[match.end(1) :]


def colour(sample: Sample, chance: random.Random) -> Iterator[Fault]:
    """A colour in a caption of the infrared view."""
    for view, number, text in sample.each():
        match = re.search(r"\b(?:view|image|rendering|band)\b", text)
        if view == "ir" and match:
            yield view, number, put(text, match, f"{chance.choice(COLOURS)} {match[0]}")


def temperature(sample: Sample, chance: random.Random) -> Iterator[Fault]:
    """Warmth in a caption of an infrared view that no thermal sensor saw."""
    if (sample.record.origin, sample.record.band) == ("measured", "lwir"):
        return
    for view, number, text in sample.each():
        match = re.search(whole_words(SWAPS), text) or re.search(r"\b(?:view|image|rendering|band)\b", text)
        if view == "ir" and match:
            word = chance.choice(HEAT)
            yield view, number, put(text, match, word if match[0] in SWAPS else f"{word} {match[0]}")


def copied(sample: Sample, chance: random.Random) -> Iterator[Fault]:
    """A caption given twice; of one view for the other, too."""
    for view, number, _ in sample.each():
        others = [text for other, n, text in sample.each() if (other, n) != (view, number)]
        if others:
            yield view, number, chance.choice(others)


def cut_off(sample: Sample, chance: random.Random) -> Iterator[Fault]:
    """A caption that ends in the middle."""
    for view, number, text in sample.each():
        words = text.split()
        yield view, number, " ".join(words[: chance.randrange(6, len(words))]) if len(words) > 6 else text[:-1]


def boilerplate(sample: Sample, chance: random.Random) -> Iterator[Fault]:
    """What a model says around a caption."""
    for view, number, text in sample.each():
        before = chance.choice(CHAT)
        yield view, number, before + text


KINDS: dict[str, tuple[Plant, str]] = {
    "flipped polarity": (polarity, "polarity"),
    "sides changed": (sides, "polarity"),
    "wrong object": (wrong_object, "objects"),
    "wrong count": (wrong_count, "counts"),
    "wrong place": (wrong_place, "positions"),
    "colour in infrared": (colour, "no_colour_in_ir"),
    "temperature in translated or near infrared": (temperature, "forbidden_words"),
    "copied caption": (copied, "unique"),
    "cut off": (cut_off, "truncation"),
    "boilerplate": (boilerplate, "refusal"),
}
"""Planter of each kind of fault, and the check that is to find it."""
