"""Captions under the class of their image (NWPU-Captions).

{"airplane": [{"filename": "airplane_001.jpg", "split": "train", "raw": "...", "raw_1": "...", ... "raw_4": "..."}]}

The class is a label, and the folder of the image. A record has the sentences it has: not all have five.
"""

import re
from collections.abc import Iterator
from typing import Any

from fusionrs_builder.corpora import json_stream
from fusionrs_builder.corpora.captions import CaptionReader, Record, checked
from fusionrs_builder.corpora.reader import Refused, split_name

RAW = re.compile(r"raw(_\d+)?")
"""Keys that hold a sentence."""


class ClassJson(CaptionReader):
    """One file names all images; the second record of an image is refused."""

    def records(self) -> Iterator[Record]:
        what = "of the shape {class: [{filename, raw}]}"
        for file in self.caption_files((".json",), self._fits, what):
            found = json_stream.records_by_key(self.root / file, file)
            for number, (label, values) in enumerate(found):
                yield _record(file, number, label, values)

    def _fits(self, file: str) -> bool:
        if json_stream.opens_with(self.root / file, file) != "{":
            return False
        found = json_stream.some(json_stream.records_by_key(self.root / file, file))
        return any("filename" in values and any(map(RAW.fullmatch, values)) for _, values in found)


def _record(file: str, number: int, label: str, values: dict[str, Any]) -> Record:
    name = values.get("filename")
    if not isinstance(name, str) or not name.strip():
        return Record(file, number, fault=("missing_key", f"{file}#{number}, {label}: no filename"))
    image = f"{label}/{name.strip()}"
    sentences = [values[key] for key in sorted(filter(RAW.fullmatch, values))]
    try:
        if not sentences:
            raise Refused("missing_key", "no raw, raw_1, ...")
        captions = checked(sentences)
    except Refused as refused:
        return Record(file, number, image, fault=(refused.reason, f"{file}#{number}, {image}: {refused.message}"))
    split = values.get("split")
    return Record(file, number, image, captions, split_name(split) if isinstance(split, str) else "", (label,))


READER = ClassJson
