"""Draw docs/rows.jpg: rows of a built release as a reader of the README sees them.

python docs/make_rows.py demo/release/fusionrs
"""

import sys
import textwrap
from pathlib import Path
from typing import Any

from datasets import concatenate_datasets, load_dataset
from PIL import Image, ImageDraw, ImageFont

SIDE, GAP, TEXT = 200, 12, 620
CORPORA = ("oam-buildings", "naip-opengeos", "hit-uav", "eurosat-rgb-small", "s2-ships", "landsat8-tirs")
"""One row each, the first with objects where there are any."""


def fitted(image: Image.Image | None) -> Image.Image:
    """The image in a square; a frame says that there is none."""
    square = Image.new("RGB", (SIDE, SIDE), "white")
    if image is None:
        ImageDraw.Draw(square).rectangle((0, 0, SIDE - 1, SIDE - 1), outline="grey")
        ImageDraw.Draw(square).text((SIDE // 2, SIDE // 2), "no visible image", fill="grey", anchor="mm")
        return square
    image = image.convert("RGB")
    scale = SIDE / max(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    square.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return square


def chosen(rows: Any) -> list[dict[str, Any]]:
    """The row of each corpus to show."""
    light = rows.select_columns(["corpus", "boxes"])
    places: dict[str, int] = {}
    for i, row in enumerate(light):
        better = row["boxes"] and not (row["corpus"] in places and light[places[row["corpus"]]]["boxes"])
        if row["corpus"] not in places or better:
            places[row["corpus"]] = i
    return [rows[places[corpus]] for corpus in CORPORA if corpus in places]


def main(release: str, out: str = "docs/rows.jpg") -> None:
    """Draw the picture."""
    rows = chosen(concatenate_datasets(list(load_dataset(release).values())))
    sheet = Image.new("RGB", (2 * SIDE + 4 * GAP + TEXT, len(rows) * (SIDE + GAP) + GAP), "white")
    pen, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(15), ImageFont.load_default(12)
    for number, row in enumerate(rows):
        top = GAP + number * (SIDE + GAP)
        sheet.paste(fitted(row["rgb"]), (GAP, top))
        sheet.paste(fitted(row["ir"]), (2 * GAP + SIDE, top))
        left, y = 3 * GAP + 2 * SIDE, top
        pen.text(
            (left, y), f"{row['id']}   {row['ir_origin']} {row['ir_band'] or ''}  ({row['ir_source']})", "grey", small
        )
        for kind, captions in (("scene", row["scene_captions"]), ("infrared", row["ir_captions"])):
            for caption in captions[:2]:
                for i, line in enumerate(textwrap.wrap(caption, 72)):
                    y += 19
                    pen.text((left, y), kind if i == 0 else "", "steelblue" if kind == "scene" else "firebrick", small)
                    pen.text((left + 60, y - 2), line, "black", font)
                y += 4
    sheet.save(out, quality=88)
    print(Path(out).resolve())


if __name__ == "__main__":
    main(*sys.argv[1:])
