"""One text file an image, a line an object, in columns (VisDrone, VEDAI, YOLO).

684,8,273,116,0,0,0,0

The number of columns tells which of the three it is, see `LAYOUTS`. Others are named by `columns`, numbers from 0:

    class               a number, whose name `classes` gives; without it the label is `object_label`
    score               0 where the publisher says to ignore the object: it is left out
    x, y, w, h          upper left corner and size in pixels
    cx, cy, w, h        centre and size as shares of width and height of the image
    x1, y1, ... x4, y4  corners in pixels, kept as a polygon

Images and files meet as `annotated_images.py` says.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fusionrs_builder.corpora.annotated_images import AnnotatedImages, lines_of, number
from fusionrs_builder.corpora.outlines import outlined
from fusionrs_builder.corpora.reader import Item, Refused, Sample, box
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings

UPRIGHT = ("x", "y", "w", "h")
SHARES = ("cx", "cy", "w", "h")
CORNERS = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")

LAYOUTS = {
    8: {"x": 0, "y": 1, "w": 2, "h": 3, "score": 4, "class": 5},  # VisDrone
    14: {"class": 3, "x1": 6, "x2": 7, "x3": 8, "x4": 9, "y1": 10, "y2": 11, "y3": 12, "y4": 13},  # VEDAI, one image
    5: {"class": 0, "cx": 1, "cy": 2, "w": 3, "h": 4},  # YOLO
}
"""Where each column is, by how many there are. The file of all images of VEDAI has 15, in another order."""


class Delimited(AnnotatedImages):
    """A file without lines is an image without objects."""

    annotation_suffix = ".txt"

    def items(self) -> Iterator[Item]:
        layout(self.settings)
        return super().items()

    def read(self, item: Item) -> Sample:
        path, where = item.files[0], item.annotations[0]
        sample = self.picture(self.bytes_of(path), path)
        sample.boxes = parse(self.bytes_of(where), where, self.settings, self._size(path))
        return sample


def parse(data: bytes, where: str, settings: CorpusSettings, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Boxes as in `schema.BOX`.

    Args:
        data: the file.
        where: how errors call it.
        settings: `columns`, `classes` and `object_label`.
        size: width and height of the image, upright.

    Raises:
        Refused: a line has other columns, a cell is no number, or a class has no name; the message names the line.
        UsageError: `columns` names no box.
    """
    named, found = layout(settings), []
    for place, line in lines_of(data, where):
        cells = [cell.strip() for cell in line.rstrip(", ").split(",")] if "," in line else line.split()
        columns = named or LAYOUTS.get(len(cells), {})
        if not columns or len(cells) <= max(columns.values()):
            wanted = f"up to column {max(columns.values())}" if columns else f"{', '.join(map(str, LAYOUTS))} of them"
            raise Refused(
                "malformed_annotation", f"{place}: {len(cells)} columns, not {wanted}: an object without a box"
            )
        values = {name: number(cells[at], place) for name, at in columns.items()}
        if values.get("score") != 0:
            found.append(_box(values, size, place) | {"label": _label(values.get("class"), settings, place)})
    return found


def layout(settings: CorpusSettings) -> dict[str, int]:
    """The columns that the settings name; nothing where they name none.

    Raises:
        UsageError: they make no box, or one is no number; or classes have no name.
    """
    columns = settings.columns
    kinds = (UPRIGHT, SHARES, CORNERS)
    if columns and not any(set(kind) <= set(columns) for kind in kinds):
        raise UsageError(f"columns: a box needs {', or '.join(map(','.join, kinds))}; e.g. --columns x=0,y=1,w=2,h=3")
    if wrong := [f"{name}={at}" for name, at in columns.items() if not at.isdecimal()]:
        raise UsageError(f"columns: {wrong[0]} is no number of a column; they count from 0, e.g. --columns class=5,x=0")
    if not settings.classes and not settings.object_label:
        raise UsageError("classes: objects have numbers for classes; name them, e.g. --classes 1=car,2=truck")
    return {name: int(at) for name, at in columns.items()}


def _box(values: Mapping[str, float], size: tuple[int, int], place: str) -> dict[str, Any]:
    """An object that has no label yet."""
    if "x1" in values:
        return outlined("", [values[name] for name in CORNERS])
    wide, high = values["w"], values["h"]
    if "cx" not in values:
        return box("", values["x"], values["y"], values["x"] + wide, values["y"] + high)
    if not all(0 <= values[name] <= 1 for name in SHARES):
        shares = ", ".join(f"{values[name]:g}" for name in SHARES)
        raise Refused("malformed_annotation", f"{place}: {shares} are no shares of an image: an object without a box")
    left, top = values["cx"] - wide / 2, values["cy"] - high / 2
    return box("", left * size[0], top * size[1], (left + wide) * size[0], (top + high) * size[1])


def _label(number: float | None, settings: CorpusSettings, place: str) -> str:
    if number is None or not settings.classes:
        return settings.object_label
    name = str(int(number) if number.is_integer() else number)
    if name not in settings.classes:
        raise Refused("unknown_class", f"{place}: class {name} is none of {', '.join(settings.classes)}")
    return settings.classes[name]


READER = Delimited
