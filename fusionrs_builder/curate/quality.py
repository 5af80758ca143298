"""Which pictures and captions are worth keeping. Each filter gives `(keep, reason)`.

A filter looks at one row: `width`, `height` and `rgb_quality` of the rgb layer, `captions` (all of the record) and
`by_others` (those by people and by language models, as published).
"""

from collections.abc import Callable

from fusionrs_builder.captions import normalised
from fusionrs_builder.curate.sentences import BOILERPLATE
from fusionrs_builder.settings import CurateSettings
from fusionrs_builder.shards import Row

Verdict = tuple[bool, str]
"""Whether to keep, and `code: message` of why not."""

KEPT: Verdict = (True, "")


def too_small(row: Row, settings: CurateSettings) -> Verdict:
    if min(row["width"], row["height"]) >= settings.min_side:
        return KEPT
    return False, f"too_small: {row['width']}x{row['height']} px; curate.min_side is {settings.min_side}"


def nodata(row: Row, settings: CurateSettings) -> Verdict:
    share = row["rgb_quality"]["nodata"] or 0
    if share <= settings.max_nodata:
        return KEPT
    return False, f"nodata: {share:.0%} of the picture has no data; curate.max_nodata is {settings.max_nodata:g}"


def blank(row: Row, settings: CurateSettings) -> Verdict:
    bits = row["rgb_quality"]["entropy"]
    if bits is None or bits >= settings.min_entropy:
        return KEPT
    return False, f"blank: its grey levels hold {bits:.2f} bits; curate.min_entropy is {settings.min_entropy:g}"


def saturated(row: Row, settings: CurateSettings) -> Verdict:
    share = row["rgb_quality"]["saturation"] or 0
    if share <= settings.max_saturation:
        return KEPT
    return False, f"saturated: {share:.0%} is black or white; curate.max_saturation is {settings.max_saturation:g}"


def caption_empty(row: Row, settings: CurateSettings) -> Verdict:
    if any(map(normalised, row["captions"])):
        return KEPT
    return False, "caption_empty: no caption holds a word"


def caption_boilerplate(row: Row, settings: CurateSettings) -> Verdict:
    if not row["by_others"] or not all(map(BOILERPLATE.search, row["by_others"])):
        return KEPT
    return False, f"caption_boilerplate: {row['by_others'][0][:80]!r} says nothing of the picture"


FILTERS: tuple[Callable[[Row, CurateSettings], Verdict], ...] = (
    too_small,
    nodata,
    blank,
    saturated,
    caption_empty,
    caption_boilerplate,
)
"""In this order; the first that does not keep a record gives the reason."""


def judged(row: Row, settings: CurateSettings) -> Verdict:
    """The verdict of all filters on a row."""
    return next((verdict for verdict in (judge(row, settings) for judge in FILTERS) if not verdict[0]), KEPT)


def caption_duplicate(repeats: int, settings: CurateSettings) -> Verdict:
    """The verdict on a record whose rarest caption by others stands in so many records."""
    if repeats <= settings.max_same_caption:
        return KEPT
    return False, (
        f"caption_duplicate: each of its captions stands in {repeats} records or more; "
        f"curate.max_same_caption is {settings.max_same_caption}"
    )
