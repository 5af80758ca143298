"""A page of pictures: chips as a person sees them, RGB | measured | gray | translated, beside the tables."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fusionrs_builder.errors import FusionError
from fusionrs_builder.translate.scores.tables import tables
from fusionrs_builder.translate.translator import Translator

SIDE, GAP, LABEL = 128, 6, 18
"""Pixels of a chip on the sheet, between chips, and of the text above."""

BESIDE = 8
"""Views in a row of the sheet, at most."""

STYLE = """\
body { font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 1150px; padding: 0 1em; color: #222 }
table { border-collapse: collapse } td, th { border: 1px solid #ccc; padding: .3em .6em; text-align: left }
img { max-width: 100% } p { color: #555 }"""


@dataclass(frozen=True)
class Chip:
    """One scene and its views.

    Attributes:
        key: of the record.
        views: by title, in the order of the columns: uint8 [H, W, 3] or [H, W].
    """

    key: str
    views: Mapping[str, NDArray[np.uint8]]


def chip(
    key: str,
    rgb: NDArray[np.uint8],
    measured: NDArray[np.uint8] | None,
    contestants: Iterable[Translator],
    side: int | None = None,
) -> Chip:
    """Draw the views of one scene.

    Args:
        key: of the record.
        rgb: uint8 [H, W, 3].
        measured: uint8 [H, W], or None.
        contestants: whose views are shown, in order.
        side: of the central square that is shown, pixels; None, or more than there are: the largest one.
    """
    side = min(side or SIDE * 2, *rgb.shape[:2])
    y, x = ((length - side) // 2 for length in rgb.shape[:2])
    part = (slice(y, y + side), slice(x, x + side))
    given = np.ascontiguousarray(rgb[part].transpose(2, 0, 1)[None])
    views = {"RGB": rgb[part]} | ({} if measured is None else {"measured": measured[part]})
    return Chip(key, views | {each.name: each.translate(given)[0, 0] for each in contestants})


def sheet(chips: Sequence[Chip]) -> Image.Image:
    """All chips on one picture: each view in a square of `SIDE` px under its title, at most `BESIDE` views in a row."""
    columns = max(len(each.views) for each in chips)
    wide, high = columns * (SIDE + GAP) + 2 * GAP, SIDE + 2 * LABEL + GAP
    beside = min(max(1, BESIDE // columns), len(chips))
    image = Image.new("RGB", (beside * wide, -(-len(chips) // beside) * high), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for n, each in enumerate(chips):
        left, top = n % beside * wide + GAP, n // beside * high
        pen.text((left, top + 2), fitted(each.key, font, columns * (SIDE + GAP)), "grey", font)
        for column, (title, view) in enumerate(each.views.items()):
            at = (left + column * (SIDE + GAP), top + 2 * LABEL)
            pen.text((at[0], top + LABEL), fitted(title, font, SIDE), "black", font)
            shown = Image.fromarray(view).convert("RGB")
            image.paste(shown.resize((SIDE, SIDE), Image.Resampling.LANCZOS), at)
    return image


def fitted(text: str, font: Any, width: int) -> str:
    """The end of a text that is too long: keys differ there."""
    while font.getlength(text) > width:
        text = "…" + text[2:]
    return text


def write(out: Path, title: str, result: Mapping[str, Any], chips: Sequence[Chip], frames: Sequence[Chip] = ()) -> None:
    """Write `report.json`, `report.md`, `index.html`, `translations.jpg` and, of real frames, `frames.jpg`.

    Args:
        out: folder, made where it is missing.
        title: of the page.
        result: of `evaluate_translator`.
        chips: to be shown.
        frames: real frames of other scenes, one view each.

    Raises:
        FusionError: the folder cannot be written.
    """
    found = list(tables(result))
    pictures = {"translations.jpg": chips, "frames.jpg": frames}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, shown in pictures.items():
            if shown:
                sheet(shown).save(out / name, quality=88)
            else:
                (out / name).unlink(missing_ok=True)
        (out / "report.json").write_text(json.dumps(result, indent=2) + "\n")
        (out / "report.md").write_text(f"# {title}\n\n" + "\n\n".join(each.markdown() for each in found) + "\n")
        images = "".join(f'<p><img src="{name}" alt="{name}"></p>' for name, shown in pictures.items() if shown)
        body = f"<h1>{escape(title)}</h1>{''.join(each.html() for each in found)}{images}"
        head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        (out / "index.html").write_text(f"<!doctype html><html><head>{head}</head><body>{body}</body></html>\n")
    except OSError as error:
        raise FusionError(f"the report cannot be written to {out}: {error}: name another folder by --out") from None
