"""Image and caption side by side in JSON: lists of records (ChatEarthNet), or a file an image (VRSBench).

[{"image": "0001.png", "caption": "..."}]          ChatEarthNet_caps_35_train.json, ChatEarthNet_caps_4v_val.json
{"image": "P0000_1.png", "caption": "...", "objects": [{"obj_cls": "ship", "obj_coord": [0.1, 0.2, 0.3, 0.4]}]}

All files of these shapes are read, and what several say of one image is put together. `columns` names other keys:
image=id,caption=text. The split is the record's own, or the word train, val or test in the name of its file.
Objects of VRSBench become boxes; its questions, and its sentences about one object, are no captions of the scene.
"""

import json
from collections.abc import Iterator
from typing import Any

from fusionrs_builder.corpora import json_stream
from fusionrs_builder.corpora.captions import CaptionReader, Record, checked, files_like, split_in
from fusionrs_builder.corpora.reader import Item, Refused, Sample, box, stem
from fusionrs_builder.errors import FusionError, UsageError

IMAGE_KEYS = ("image", "image_id", "filename", "file_name", "image_path", "path", "img")
CAPTION_KEYS = ("caption", "captions", "text", "description")

SUFFIXES = (".json", *json_stream.LINES)

MAX_SINGLE_BYTES = 4 * 1024 * 1024
"""A file about one image is no larger."""

TOLERANCE = 0.01
"""How far a box in parts of 1 may reach out of its image; one in percent is farther out."""


class CaptionJson(CaptionReader):
    """What several records say of one image is put together."""

    merges = True

    def records(self) -> Iterator[Record]:
        singles, lists = 0, 0
        broken: Refused | None = None
        for file in files_like(self.root, self.settings.captions, SUFFIXES):
            if self._is_list(file):
                if self._fits(file):
                    lists += 1
                    for number, values in enumerate(json_stream.records(self.root / file, file)):
                        yield self._record(file, number, values)
            elif self.size_of(file) <= MAX_SINGLE_BYTES:
                try:
                    values = json_stream.whole(self.root / file, file)
                except Refused as refused:
                    broken = broken or refused
                    yield Record(file, None, stem(file), fault=(refused.reason, refused.message))
                    continue
                if self._has_both(values):
                    singles += 1
                    yield self._record(file, None, values)
        if broken and not singles:  # not one bad file among many good ones, but a list of which nothing is left
            raise FusionError(f"{broken.message}; fetch it again, or name the caption files with --captions")
        if not singles and not lists:
            keys = f"image ({', '.join(self._keys('image'))}) and caption ({', '.join(self._keys('caption'))})"
            raise UsageError(
                f"captions: {self.root} holds no JSON of records with the keys {keys}; "
                "name the files with --captions, or the keys, e.g. --columns image=id,caption=text"
            )

    def _keys(self, what: str) -> tuple[str, ...]:
        default = IMAGE_KEYS if what == "image" else CAPTION_KEYS
        return (self.settings.columns[what],) if what in self.settings.columns else default

    def _value(self, values: dict[str, Any], what: str) -> Any:
        return next((values[key] for key in self._keys(what) if values.get(key) is not None), None)

    def _is_list(self, file: str) -> bool:
        return file.lower().endswith(json_stream.LINES) or json_stream.opens_with(self.root / file, file) == "["

    def _fits(self, file: str) -> bool:
        return any(map(self._has_both, json_stream.some(json_stream.records(self.root / file, file))))

    def _has_both(self, values: Any) -> bool:
        return isinstance(values, dict) and all(
            any(key in values for key in self._keys(what)) for what in ("image", "caption")
        )

    def _record(self, file: str, number: int | None, values: Any) -> Record:
        place = file if number is None else f"{file}#{number}"
        name = self._value(values, "image") if isinstance(values, dict) else None
        if not isinstance(name, str | int) or isinstance(name, bool) or not str(name).strip():
            return Record(file, number, fault=("missing_key", f"{place} names no image"))
        image = str(name).strip()
        split = values.get(self.settings.columns.get("split", "split"))
        try:
            caption = self._value(values, "caption")
            if caption is None:
                raise Refused("missing_key", "no caption")
            captions, objects = checked(caption), _objects(values.get("objects"))
        except Refused as refused:
            return Record(file, number, image, fault=(refused.reason, f"{place}, {image}: {refused.message}"))
        return Record(
            file, number, image, captions, split if isinstance(split, str) else split_in(file), extra=objects or None
        )

    def read(self, item: Item) -> Sample:
        sample = super().read(item)
        objects = [found for several in item.found()["extra"] for found in several]
        if objects:
            width, height = self._size(item.files[0])
            for label, sides, corners in objects:
                x0, y0, x1, y1 = (value * (height if i % 2 else width) for i, value in enumerate(sides))
                polygon = [value * (height if i % 2 else width) for i, value in enumerate(corners)]
                sample.boxes.append(box(label, x0, y0, x1, y1, polygon))
        return sample


def _objects(value: Any) -> list[tuple[str, list[float], list[float]]]:
    """Class, sides and corners of each object, in parts of the image.

    Raises:
        Refused: an object has no class or box, or the box is not in parts of 1.
    """
    found: list[tuple[str, list[float], list[float]]] = []
    for entry in value if isinstance(value, list) else []:
        label: Any = entry.get("obj_cls") if isinstance(entry, dict) else None
        if not isinstance(label, str) or not _in_parts(sides := entry.get("obj_coord"), 4):
            raise Refused("bad_box", f"obj_cls is no text, or obj_coord not four parts of 1, in {json.dumps(entry)}")
        corners = entry.get("obj_corner") or []
        if isinstance(corners, list) and all(isinstance(point, list) for point in corners):
            corners = [part for point in corners for part in point]
        found.append((label, sides, corners if _in_parts(corners, 8) else []))
    return found


def _in_parts(values: Any, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, int | float) and -TOLERANCE <= value <= 1 + TOLERANCE for value in values)
    )


READER = CaptionJson
