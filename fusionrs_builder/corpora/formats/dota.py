"""DOTA: one text file an image, a line an object: four corners, class, and whether it is difficult.

imagesource:GoogleEarth
gsd:0.146343590398
2753 2408 2861 2385 2888 2468 2805 2502 plane 0

The first two lines may be missing, and a gsd be `null`. A file without objects is an image without objects. Images and
files meet as `annotated_images.py` says: labelTxt/P0000.txt, or where `annotations` says, for several versions of them.
"""

from typing import Any

from fusionrs_builder.corpora.annotated_images import AnnotatedImages, lines_of, number
from fusionrs_builder.corpora.outlines import outlined
from fusionrs_builder.corpora.reader import Item, Refused, Sample

CORNERS = 8
"""Numbers before the class."""


class Dota(AnnotatedImages):
    """Outlines are kept as polygons, the difficult ones included."""

    annotation_suffix = ".txt"

    def read(self, item: Item) -> Sample:
        path, where = item.files[0], item.annotations[0]
        sample = self.picture(self.bytes_of(path), path)
        sample.boxes, sample.gsd_m = parse(self.bytes_of(where), where)
        return sample


def parse(data: bytes, where: str) -> tuple[list[dict[str, Any]], float | None]:
    """Boxes as in `schema.BOX`, and metres per pixel where the file states them.

    Raises:
        Refused: a line is not as DOTA has it; the message names it.
    """
    boxes, gsd_m = [], None
    for place, line in lines_of(data, where):
        key, colon, value = line.partition(":")
        if colon and key.lower() in ("imagesource", "gsd"):
            gsd_m = _metres(value, place) if key.lower() == "gsd" else gsd_m
            continue
        cells = line.split()
        if len(cells) not in (CORNERS + 1, CORNERS + 2):
            raise Refused("malformed_annotation", f"{place}: {len(cells)} cells, not x1 y1 ... x4 y4 class difficult")
        boxes.append(outlined(cells[CORNERS], [number(cell, place) for cell in cells[:CORNERS]]))
    return boxes, gsd_m


def _metres(text: str, place: str) -> float | None:
    """Metres per pixel; none where the publisher knows none."""
    if text.strip().lower() in ("", "null", "none", "nan"):
        return None
    metres = number(text, place)
    return metres if metres > 0 else None


READER = Dota
