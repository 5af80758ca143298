"""From a record and its measurements to words: every slot a caption may use, and only those that are true of it."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fusionrs_builder.caption import checks
from fusionrs_builder.caption import language as words
from fusionrs_builder.caption.appearance import Look
from fusionrs_builder.caption.evidence import Evidence, Thing
from fusionrs_builder.caption.geometry import Placed, group_place
from fusionrs_builder.caption.regions import Region

TONE = ((50.0, 95.0), (160.0, 205.0))
"""Mean brightness below which a view is very dark, dark; above which it is bright, very bright."""
CONTRAST = (10.0, 50.0, 110.0, 170.0)
"""Steps of the contrast, grey levels."""
OUTLINES = (0.004, 0.03, 0.12, 0.3)
"""Steps of the edge density."""
RANGE = (4.5, 7.2)
"""Entropy in bits below which the range of tones is narrow, from which it is wide."""
RELATION = (-0.4, -0.2, 0.2, 0.4, 0.75)
"""Correlations: opposed up to the first, unrelated between the second and third, loose from the fourth, close from
the last. In the gaps nothing is said."""
LINED_UP = 0.6
"""Edge agreement from which outlines are said to line up."""
PIXELS_SHARE = 0.2
"""Share of dark (bright) pixels from which it is said."""
COVER_SHARE, LARGEST_LEAD = 0.03, 1.3
"""Outlined objects cover a share worth saying from the first on; one is the largest when it leads so many times."""
SPOT_SHARE = 0.02
"""A smaller region is a spot."""
NIR_BRIGHT, NIR_DARK, NIR_STRAY = 150.0, 80.0, 0.05
"""Mean from which plants are said to be bright, up to which water is said to be dark, if no more than this share of
the pixels says the opposite."""
MUCH, SLIGHTLY = 40.0, 20.0
"""Grey levels from which an object is much brighter than its surroundings; below which it is slightly so."""
MAX_KINDS = 4
"""Kinds of objects that one caption counts."""

Slots = dict[str, str]
Pick = Callable[[str, Sequence[str]], str]
"""Chooses one of several wordings of the named slot."""


@dataclass(frozen=True)
class Record:
    """What is known of a record besides its pixels.

    Attributes:
        id: seeds the choice of words.
        labels: classes that may be spoken of. Boxes of other labels are not.
        boxes: as `schema.BOX`.
        publisher: captions as published, by people.
        gsd_m: metres per pixel of the frame.
        origin: `ir_origin`.
        band: `ir_band`.
        white_hot: of measured `lwir`: bright is the higher apparent temperature. Where it is not, bright is cooler.
        model, template: captions as published, by a language model and by rule.
    """

    id: str
    labels: Sequence[str] = ()
    boxes: Sequence[Mapping[str, Any]] = ()
    publisher: Sequence[str] = ()
    gsd_m: float | None = None
    origin: str | None = None
    band: str | None = None
    white_hot: bool = True
    model: Sequence[str] = ()
    template: Sequence[str] = ()


@dataclass(frozen=True)
class Spoken:
    """What the labels let a caption speak of.

    Attributes:
        groups: visible objects by noun, the largest group first, `other ...` last.
        classes: published names, in words, of what has no box.
    """

    groups: tuple[tuple[str, tuple[Placed, ...]], ...] = ()
    classes: tuple[str, ...] = ()
    phrases: Mapping[str, str] = field(default_factory=dict)

    def counts(self) -> str:
        return words.joined([words.counted(len(some), noun) for noun, some in self.groups[:MAX_KINDS]])

    def scene(self) -> str:
        """The classes as noun phrases: `forest, a river and a ferry terminal`."""
        return words.joined([self._phrase(name) for name in self.classes[:MAX_KINDS]])

    def _phrase(self, name: str) -> str:
        if name in self.phrases:
            return self.phrases[name]
        return name if words.is_plural(name) else f"{words.article(name)} {name} scene"


def spoken(
    record: Record, placed: Sequence[Placed], phrases: Mapping[str, str], allowed: Callable[[str], bool]
) -> Spoken:
    """Sort labels and objects into what may be said.

    Args:
        record: labels and boxes.
        placed: the visible ones of its boxes.
        phrases: noun phrase of each known class.
        allowed: whether a noun may be said.
    """
    nouns = {label: words.humanise(label) for label in record.labels}
    nouns = {label: noun for label, noun in nouns.items() if noun and allowed(noun) and allowed(words.plural(noun))}
    boxed = {str(box["label"] or "") for box in record.boxes}
    groups: dict[str, list[Placed]] = {}
    for one in placed:
        if one.label in nouns:
            groups.setdefault(nouns[one.label], []).append(one)
    if len(groups) == 1:  # `other vehicles` alone would beg the question
        groups = {noun.removeprefix("other "): some for noun, some in groups.items()}
    order = sorted(groups, key=lambda noun: (noun.startswith("other "), -len(groups[noun]), noun))
    classes = dict.fromkeys(noun for label, noun in nouns.items() if label not in boxed)
    return Spoken(tuple((noun, tuple(groups[noun])) for noun in order), tuple(classes), phrases)


def content_slots(said: Spoken) -> Slots:
    """What is there: counts, classes, where the objects lie."""
    slots: Slots = {}
    if said.classes:
        slots["scene"] = slots["content"] = said.scene()
    if said.groups:
        slots["counts"] = slots["content"] = said.counts()
        listed = [one for _, some in said.groups[:MAX_KINDS] for one in some]
        place = group_place(listed)
        slots["where"] = "" if place is None else f" {place}" if len(listed) == 1 else f", {place}"
        slots["where_after"] = "" if place is None else f", {place}"
        slots["are"] = "is" if len(listed) == 1 else "are"
    return slots


def layout_slots(said: Spoken, things: Sequence[Thing], pick: Pick) -> Slots:
    """Where one kind of object lies, how much of the frame it covers, and where the largest is."""
    if not said.groups:
        return {}
    noun = pick("layout", [noun for noun, _ in said.groups])
    some = dict(said.groups)[noun]
    slots = {"group": _group(noun, len(some)), "is": "is" if len(some) == 1 else "are"}
    slots["covers"] = "covers" if len(some) == 1 else "cover"
    alone = sum(len(each) for _, each in said.groups) == 1  # then the counts say where it is
    if not alone and (place := group_place(some)):
        slots["group_where"] = place
    of = {id(thing.placed): thing for thing in things}
    mine = sorted((of[id(one)] for one in some if id(one) in of), key=lambda thing: -thing.share)
    cover = sum(thing.alone for thing in mine)
    if all(one.outline is not None for one in some) and cover >= COVER_SHARE:
        slots["cover"] = words.percent(cover) or ""
        if len(mine) > 1 and mine[0].share >= LARGEST_LEAD * mine[1].share:
            slots["largest"] = f"the {'larger' if len(some) == 2 else 'largest'} of {_group(noun, len(some))}"
            slots["largest_where"] = group_place([mine[0].placed]) or ""
    return slots


def look_slots(look: Look, scales: Mapping[str, Any], pick: Pick) -> Slots:
    """Brightness, texture and colours of the visible image."""
    slots = {
        "tone": pick("tone", scales["tone"][tone_step(look.brightness)]),
        "outlines": pick("outlines", scales["outlines"][bisect_right(OUTLINES, look.edges)]),
        "palette": pick("palette", ["mixed colours", "a mix of colours"]),
    }
    if len(look.colours) == 1:
        slots["palette"] = pick("palette", [f"mostly {look.colours[0]} tones", f"mainly {look.colours[0]} tones"])
    elif look.colours:
        slots["palette"] = f"{look.colours[0]} and {look.colours[1]} tones"
    if look.brightest:
        slots["light_where"] = f"in the {look.brightest}"
    if look.darkest:
        slots["shade_where"] = f"in the {look.darkest}"
    return slots


def extent_slots(gsd_m: float | None, width: int, height: int) -> Slots:
    """Metres per pixel, and metres across."""
    if not gsd_m or not 0 < gsd_m < 1e5:
        return {}
    across, down = words.metres(gsd_m * width), words.metres(gsd_m * height)
    return {"gsd": words.metres(gsd_m), "extent": across if across == down else f"{across} by {down}"}


def infrared_slots(seen: Evidence, scales: Mapping[str, Any], pick: Pick) -> Slots:
    """What was measured of the infrared view as a whole."""
    slots = {
        "tone": pick("tone", scales["tone"][tone_step(seen.brightness)]),
        "contrast": pick("contrast", scales["contrast"][bisect_right(CONTRAST, seen.contrast)]),
        "outlines": pick("outlines", scales["outlines"][bisect_right(OUTLINES, seen.edges)]),
    }
    if wide := scales["range"][bisect_right(RANGE, seen.entropy)]:
        slots["range"] = pick("range", wide)
    for name, superlative, region, share in (
        ("bright", "brightest", seen.brightest, seen.bright_share),
        ("dark", "darkest", seen.darkest, seen.dark_share),
    ):
        if region is not None and region.place is not None:
            slots |= _region_slots(name, superlative, region, pick)
        if share >= PIXELS_SHARE and (amount := words.percent(share)):
            slots[f"{name}_pixels"] = amount
    if seen.side:
        slots["side"] = seen.side
        slots["other_side"] = {"left": "right", "right": "left", "upper": "lower", "lower": "upper"}[seen.side]
    if seen.correlation is not None and (relation := scales["relation"][bisect_left(RELATION, seen.correlation)]):
        slots["relation"] = pick("relation", relation)
    if seen.edge_agreement is not None and seen.edge_agreement >= LINED_UP and seen.edges >= OUTLINES[0]:
        slots["lined_up"] = "line up with those of the visible image"
    return slots


def object_slots(said: Spoken, things: Sequence[Thing], record: Record, pick: Pick) -> Slots:
    """Objects that are clearly brighter or darker than what surrounds them, and those that are not."""
    of = {id(thing.placed): thing for thing in things}
    tones: dict[str, list[str]] = {noun: [of[id(one)].tone for one in some] for noun, some in said.groups}
    slots: Slots = {}
    clear = [noun for noun, found in tones.items() if "brighter" in found or "darker" in found]
    if clear:
        noun = pick("object", clear)
        found = tones[noun]
        tone, opposite = sorted(("brighter", "darker"), key=lambda name: (-found.count(name), name))
        others = found.count(opposite)
        mine = [one for one in dict(said.groups)[noun] if of[id(one)].tone == tone]
        differences = [abs(of[id(one)].difference or 0.0) for one in mine]
        how = "much " if min(differences) >= MUCH else "slightly " if max(differences) < SLIGHTLY else ""
        slots |= _subject(noun, mine, len(found), "")
        slots |= {"brighter": tone, "how_brighter": how + tone, "bright_adj": tone.removesuffix("er")}
        slots |= {"darker_around": opposite, "them": "it" if slots["its"] == "its" else "them"}
        if others:
            slots["other"] = words.number(others)
            slots["darker"] = f"{'is' if others == 1 else 'are'} {opposite}"
        if record.origin == "measured" and record.band == "lwir":
            warmer, cooler = ("warmer", "cooler") if (tone == "brighter") == record.white_hot else ("cooler", "warmer")
            slots["warmer"] = warmer
            if others:
                slots["cooler"] = f"{'is' if others == 1 else 'are'} {cooler}"
    alike = [noun for noun, found in tones.items() if "similar" in found]
    if alike:
        noun = pick("similar", alike)
        mine = [one for one in dict(said.groups)[noun] if of[id(one)].tone == "similar"]
        slots |= _subject(noun, mine, len(tones[noun]), "similar_")
    return slots


def near_infrared_slots(
    said: Spoken, record: Record, seen: Evidence, subjects: Mapping[str, Mapping[str, str]]
) -> Slots:
    """Plants bright, water dark: only in measured near infrared, of the one class of the scene, and when it is so."""
    if record.origin != "measured" or record.band != "nir" or len(said.classes) != 1 or said.groups:
        return {}
    name = said.classes[0]
    if name in subjects["bright"] and seen.brightness >= NIR_BRIGHT and seen.dark_share <= NIR_STRAY:
        return {"agreed_subject": subjects["bright"][name], "agreed_tone": "bright"}
    if name in subjects["dark"] and seen.brightness <= NIR_DARK and seen.bright_share <= NIR_STRAY:
        return {"agreed_subject": subjects["dark"][name], "agreed_tone": "dark"}
    return {}


def allowed_in_infrared(record: Record) -> Callable[[str], bool]:
    """Whether a noun may be said in a caption of this record's infrared view."""
    return lambda noun: checks.may_say(noun, record.origin, record.band)


def tone_step(brightness: float) -> int:
    """Position on the scale of tones, 0 very dark .. 4 very bright; inverting the image mirrors it."""
    value = round(brightness, 6)
    below, above = TONE
    return 2 - sum(value < bound for bound in below) + sum(value > bound for bound in above)


def _group(noun: str, count: int) -> str:
    one = words.unit(noun)
    return f"the {one}" if count == 1 else f"the {words.number(count)} {words.plural(one)}"


def _subject(noun: str, some: Sequence[Placed], total: int, prefix: str) -> Slots:
    """A part of a group as the subject of a sentence, and the words that agree with it."""
    one = words.unit(noun)
    if len(some) < total:
        subject = f"{words.number(len(some))} of {_group(noun, total)}"
    elif total == 1:
        subject = f"the {one} {group_place(some)}"
    else:
        subject = f"both {words.plural(one)}" if total == 2 else _group(noun, total)
    alone = len(some) == 1
    its = "its" if alone and not words.is_person(one) else "their"
    agreeing = {"subject": subject, "s": "s" if alone else "", "are": "is" if alone else "are", "its": its}
    return {prefix + name: value for name, value in agreeing.items()}


def _region_slots(name: str, superlative: str, region: Region, pick: Pick) -> Slots:
    noun = "spot" if region.share < SPOT_SHARE else pick(f"{name}_noun", ["area", "part", "region"])
    adjective = f"the {superlative}" if region.outstanding else f"a {name}"
    slots = {name: f"{adjective} {noun}", f"{name}_where": region.place or ""}
    slots[f"its_{name}"] = f"its {superlative} {noun}" if region.outstanding else f"a {name} {noun}"
    if share := words.percent(region.share):
        slots[f"{name}_share"] = share
    return slots
