"""What a caption must not say, and the checks every written caption goes through.

Translated infrared carries no temperature, and no infrared view carries colour. Words are matched whole and in their
inflections, so that `infrared`, `hotel` and `greenhouse` pass and `redder`, `hottest` and `greenish` do not.
"""

import re
from collections.abc import Sequence

MIN_WORDS, MAX_WORDS = 5, 40

CHECKS = ("forbidden_words", "no_colour_in_ir", "length", "unique")

WARMTH = r"warm(?:er|est|th|ed|ing|s|ly)?|cool(?:er|est|ed|ing|s|ness)?|thermal(?:ly|s)?|lukewarm|tepid"
"""What measured long-wave infrared may be said to show, and no other view."""

HEAT = (
    r"heat(?:ed|er|ers|ing|s)?|hot(?:ter|test|ness)?|hot-?spots?|white-hot|black-hot|cold(?:er|est|ness|ly)?"
    r"|thermo\w*|temperatures?|degrees?|celsius|fahrenheit|kelvins?|burn(?:s|t|ed|ing)?|glow(?:s|ed|ing)?"
    r"|chill(?:s|y|ed)?|freez(?:e|es|ing)|frozen|warmness|toasty|blazing|sizzl(?:e|es|ed|ing)|scorch(?:es|ed|ing)?"
    r"|bak(?:e|es|ed|ing)|swelter(?:s|ed|ing)?|sear(?:ed|ing)|boil(?:s|ed|ing)|sultry|balmy|frosty"
)
PHYSICS = (
    r"emissi\w*|emit\w*|radian\w*|radiat\w*|radiometr\w*|reflect\w*|albedos?|absor(?:b|p)\w*|materials?"
    r"|metals?|metallic|conduct(?:s|ed|ing|ive|ivity|or|ors)"
)
COLOURS = (
    r"(?:red|reddish|redder|reddest|green|blue|grey|gray|brown|black|white|yellow|orange|purple|pink|violet)"
    r"(?:s|d|ed|r|er|st|est|ish|y|ing|ness|en|ens|ened)?"
    r"|gr[ae]y-?scales?|cyan|magenta|turquoise|teal|aqua|aquamarine|indigo|maroon|crimson|scarlet|burgundy|vermilion"
    r"|beige|tan|tanned|tawny|ochre|ocher|khaki|olive|ivory|cream|creamy|amber|gold|golden|silver|silvery|bronze"
    r"|copper|lavender|lilac|mauve|lime|navy|azure|emerald|ruby|sapphire|rose|rosy|rusty|salmon|peach|fuchsia|charcoal"
    r"|blue-?green|colou?r(?:s|ed|ful|less|ing|ation|fully)?|discolou?r\w*|multi-?colou?red|false-?colou?r|hues?|tint(?:s|ed)?"
)

READING = re.compile(
    r"(?:\d\s?|\b(?i:in|of|at)\s)(?:[°º]\s?[CFK]|[℃℉])(?!\w)|[°º]\s?(?:Celsius|Fahrenheit|Kelvin)"
    r"|\d\s?[°º](?!\s?(?:[CFKNSEW](?!\w)|to\b|angle|bend|turn|corner|rotat|panorama|view|apart|latitude|longitude))"
    r"|\d\s?deg\b(?! ?(?:angle|[NSEW]\b))"
    r"|(?<![\w.,-])[12345]\d\d(?:[.,]\d+)?\s?K(?![\w-])"
    r"|(?<![\w.,])(?<!runway )(?<!gate )(?<!block )(?<!building )(?<!route )(?<!hangar )(?<!row )"
    r"[-−]?\d{2,3}(?:[.,]\d+)?\s?[CF](?![\w-])"
)
"""A number with a unit of temperature: `35 °C`, `95 F`, `300 K`, but not `4K`, `300 m`, `45° N` and `runway 27 C`."""
_MAY_READ = re.compile(r"[\d°º℃℉]")


def _words(*lists: str) -> re.Pattern[str]:
    # A hyphen or an apostrophe ends a word as a space does: "red-roofed" is a colour.
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(lists)})(?![^\W_])", re.IGNORECASE)


_COLOUR = _words(COLOURS)
_FORBIDDEN = {True: _words(HEAT, PHYSICS), False: _words(HEAT, PHYSICS, WARMTH)}


def forbidden(text: str, origin: str | None, band: str | None) -> list[str]:
    """Words of heat and of physics that a text about an infrared view must not hold.

    Args:
        text: a caption, or a part of one.
        origin: `measured` or `translated`; anything but `measured` is held to the rules of translated views.
        band: `nir`, `swir`, `mwir`, `lwir` or None.
    """
    return [*_FORBIDDEN[origin == "measured" and band == "lwir"].findall(text), *readings(text)]


def readings(text: str) -> list[str]:
    """Temperatures in degrees or kelvin, which no image tells."""
    return [match[0] for match in READING.finditer(text)] if _MAY_READ.search(text) else []


def colours(text: str) -> list[str]:
    """Colour words in a text."""
    return _COLOUR.findall(text)


def may_say(text: str, origin: str | None, band: str | None) -> bool:
    """Whether a label may be spoken of in a caption of this infrared view."""
    return not forbidden(text, origin, band) and not colours(text)


def faults(
    scene: Sequence[str], ir: Sequence[str], origin: str | None, band: str | None, scene_is_ir: bool = False
) -> dict[str, str]:
    """Check the captions of one record.

    Args:
        scene: captions of the scene.
        ir: captions of the infrared view.
        origin: as `forbidden`.
        band: as `forbidden`.
        scene_is_ir: the scene was seen in infrared alone, so its captions keep the same rules.

    Returns:
        What is wrong, by the name of the check that failed; `CHECKS` that are absent passed.
    """
    found: dict[str, str] = {}
    bound = [*ir, *(scene if scene_is_ir else ())]
    for caption in bound:
        if words := forbidden(caption, origin, band):
            found["forbidden_words"] = f"{words} in {caption!r}"
        if words := colours(caption):
            found["no_colour_in_ir"] = f"{words} in {caption!r}"
    every = [*scene, *ir]
    for caption in every:
        if not MIN_WORDS <= len(caption.split()) <= MAX_WORDS:
            found["length"] = f"{len(caption.split())} words in {caption!r}"
    if len({caption.casefold() for caption in every}) != len(every):
        found["unique"] = f"a caption twice in {every}"
    return found
