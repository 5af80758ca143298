"""COCO: one JSON for many images (NWPU VHR-10, iSAID, HIT-UAV normal_json and rotate_json).

{"images": [{"id": 0, "file_name": "001.jpg", "width": 958, "height": 808}],
 "categories": [{"id": 1, "name": "airplane"}],
 "annotations": [{"image_id": 0, "category_id": 1, "bbox": [x, y, width, height], "segmentation": [[x, y, ...], ...]}]}

The three lists may come in any order, and have other names (`ALIASES`). A bbox of five numbers is a box turned about
its centre: cx, cy, w, h, angle in radians. Of a segmentation the ring that encloses most is kept as the polygon; one
that is run-length encoded is left out. Files are those that `captions` names, else all of this shape; the name of a
file tells the split of its images (`iSAID_train.json`) where neither `splits` nor `split_pattern` does.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from fusionrs_builder.corpora import json_stream
from fusionrs_builder.corpora.captions import files_like, split_in, strictest
from fusionrs_builder.corpora.image_index import ImageIndex
from fusionrs_builder.corpora.outlines import corners, outlined
from fusionrs_builder.corpora.reader import Item, Reader, Refused, Sample, Window, box, stem
from fusionrs_builder.corpora.split_lists import SplitLists
from fusionrs_builder.corpora.spool import Spool
from fusionrs_builder.errors import UsageError

ALIASES = {"annotation": "annotations", "filename": "file_name"}
"""Keys of HIT-UAV by their names in COCO."""

SIDES = ("x0", "y0", "x1", "y1")


class Image(NamedTuple):
    """What a file says of one image: `number` counts its list of images from 0, `key` is file and id."""

    file: str
    number: int
    key: str
    size: tuple[int, int] | None

    @property
    def place(self) -> str:
        return f"{self.file}#images/{self.number}"


class Coco(Reader):
    """An image without annotations has no objects; one that no file lists, or that is listed twice, is counted."""

    def items(self) -> Iterator[Item]:
        names: dict[str, str] = {}
        index = ImageIndex(self.all_images(), self.is_included)
        with index, Spool() as images, Spool() as ids, Spool() as objects:
            for file in self._files():
                for key, number, values in _records(self, file):
                    if key == "categories":
                        names[f"{file}#{values.get('id')}"] = str(values.get("name"))
                    elif key == "annotations":
                        objects.add(f"{file}#{values.get('image_id')}", [number, _object(values)])
                    elif key == "images":
                        image = Image(file, number, f"{file}#{values.get('id')}", _size(values))
                        ids.add(image.key, number)
                        try:
                            if path := index.find(str(values.get("file_name") or "")):
                                images.add(path, image)
                        except Refused as refused:
                            fault = refused.reason, f"{image.place}: {refused.message}"
                            yield Item(image.place, (), (file,), fault=fault)
            with SplitLists(self) as lists:
                for path in self.images():
                    known = [Image(*values) for values in images.get(path)]
                    split = lists.split_of(path) or strictest(self.split_of(i.file) or split_in(i.file) for i in known)
                    yield from self._items_of(path, split, known, ids, objects, names)
                yield from lists.missing()
            for key, (number, _) in objects.sorted():
                if not ids.get(key):
                    file, _, name = key.rpartition("#")
                    fault = (
                        "unknown_image_id",
                        f"{file}: annotation {number} is of image {name}, which it does not list",
                    )
                    yield Item(f"{file}#annotations/{number}", (), (file,), fault=fault)

    def _items_of(
        self, path: str, split: str, known: list[Image], ids: Spool, objects: Spool, names: dict[str, str]
    ) -> Iterator[Item]:
        """The item of an image, or its tiles with the objects that reach into them; and one for each further record."""
        whole = Item(stem(path), (path,), bytes=self.size_of(path), split=split)
        if not known:
            yield replace(whole, fault=("missing_annotation", f"no file lists {path}"))
            return
        for image in known[1:]:
            fault = "duplicate_filename", f"{image.place}: {path} is listed before, in {known[0].place}"
            yield Item(image.place, (path,), (image.file,), fault=fault)
        image = known[0]
        whole = replace(whole, annotations=(image.file,))
        try:
            if len(ids.get(image.key)) > 1:
                raise Refused("duplicate_image_id", f"{image.place}: its id is that of another image too")
            boxes = [self._box(values, image, number, names) for number, values in objects.get(image.key)]
        except Refused as refused:
            yield replace(whole, fault=(refused.reason, refused.message))
            return
        for item in self.tiled(whole):
            found = [box for box in boxes if item.window is None or _reaches(box, item.window)]
            yield replace(item, data=json.dumps({"boxes": found, "size": image.size}))

    def read(self, item: Item) -> Sample:
        sample, found = self.picture(self.bytes_of(item.files[0]), item.files[0]), item.found()
        sample.boxes, sample.size = found["boxes"], tuple(found["size"]) if found["size"] else None
        return sample

    def _files(self) -> list[str]:
        """The annotation files.

        Raises:
            UsageError: there is none, or one that was named has another shape.
        """
        named = list(files_like(self.root, self.settings.captions, (".json",)))
        found = [file for file in named if self._fits(file)]
        other = [file for file in named if file not in found]
        if not found or (self.settings.captions and other):
            looked = (
                ", ".join(other[:5]) or f"{self.settings.captions or '*.json'} in {self.root}, of which there is none"
            )
            raise UsageError(f"captions: no COCO file, with a list of images that have a file_name: looked at {looked}")
        return found

    def _fits(self, file: str) -> bool:
        if json_stream.opens_with(self.root / file, file) != "{":
            return False
        found = json_stream.some(json_stream.records(self.root / file, file, "images.item"))
        return any(isinstance(values, dict) and "file_name" in _renamed(values) for values in found)

    def _box(self, values: dict[str, Any], image: Image, number: int, names: dict[str, str]) -> dict[str, Any]:
        """An object as in `schema.BOX`.

        Raises:
            Refused: it has no box, or no category that has a name.
        """
        place, category = f"{image.file}: annotation {number} of {image.key.rpartition('#')[2]}", values["category"]
        if "fault" in values:
            raise Refused("malformed_annotation", f"{place}: {values['fault']}")
        label = self.settings.classes.get(category, names.get(f"{image.file}#{category}", ""))
        if not label:
            raise Refused("unknown_class", f"{place}: its category {category} has no name; give it by --classes")
        return {**values["box"], "label": label}


def _records(reader: Reader, file: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Name of the list, number in it from 0, and each record, under the names of COCO."""
    numbers: dict[str, int] = {}
    for name, values in json_stream.records_by_key(reader.root / file, file):
        key = ALIASES.get(name, name)
        yield key, numbers.setdefault(key, 0), _renamed(values)
        numbers[key] += 1


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    return {ALIASES.get(key, key): value for key, value in values.items()}


def _object(values: dict[str, Any]) -> dict[str, Any]:
    """Category and box of an annotation, or what is wrong with it."""
    category, bbox = str(values.get("category_id")), values.get("bbox")
    if not isinstance(bbox, list) or len(bbox) not in (4, 5) or not _numbers(bbox):
        return {"category": category, "fault": f"its bbox is {bbox!r}, not x, y, width, height"}
    if len(bbox) == 5:
        return {"category": category, "box": outlined("", corners(*bbox))}
    x, y, wide, high = bbox
    return {"category": category, "box": box("", x, y, x + wide, y + high, _ring(values.get("segmentation")))}


def _ring(segmentation: Any) -> list[float]:
    """The ring that encloses most; none of a mask that is run-length encoded."""
    rings = segmentation if isinstance(segmentation, list) else []
    fit = [ring for ring in rings if isinstance(ring, list) and len(ring) >= 6 and not len(ring) % 2 and _numbers(ring)]
    return max(fit, key=_area, default=[])


def _area(ring: Sequence[float]) -> float:
    points = list(zip(ring[::2], ring[1::2], strict=True))
    return abs(sum(points[i - 1][0] * y - x * points[i - 1][1] for i, (x, y) in enumerate(points))) / 2


def _numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def _size(values: dict[str, Any]) -> tuple[int, int] | None:
    width, height = values.get("width", 0), values.get("height", 0)
    return (int(width), int(height)) if _numbers((width, height)) and min(width, height) > 0 else None


def _reaches(found: dict[str, Any], window: Window) -> bool:
    """Whether an object lies in part in a window."""
    column, row, width, height = window
    x0, y0, x1, y1 = (found[side] for side in SIDES)
    return bool(x0 < column + width and x1 > column and y0 < row + height and y1 > row)


READER = Coco
