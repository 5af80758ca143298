"""Captions as A. Karpathy's splits have them (RSICD, RSITMD, UCM-Captions, Sydney-Captions).

{"images": [{"filename": "airport_1.jpg", "split": "train", "sentences": [{"raw": "Many planes are parked."}]}]}

Images are found by name anywhere below the folder. RSICD repeats sentences until there are five: equal ones count once.
Sentences about what changed between two images (LEVIR-CC, SECOND-CC) describe neither of the two: these are refused.
"""

from collections.abc import Iterator
from typing import Any

from fusionrs_builder.corpora import json_stream
from fusionrs_builder.corpora.captions import CaptionReader, Record, checked
from fusionrs_builder.corpora.reader import Refused, split_name
from fusionrs_builder.errors import UsageError


class Karpathy(CaptionReader):
    """One file names all images; the second record of an image is refused."""

    def records(self) -> Iterator[Record]:
        what = 'of the shape {"images": [{"filename", "sentences"}]}'
        for file in self.caption_files((".json",), self._fits, what):
            for number, values in enumerate(json_stream.records(self.root / file, file, "images.item")):
                yield _record(file, number, values)

    def _fits(self, file: str) -> bool:
        if json_stream.opens_with(self.root / file, file) == "[":
            return False
        found = json_stream.some(json_stream.records(self.root / file, file, "images.item"))
        return any(isinstance(values, dict) and "filename" in values and "sentences" in values for values in found)


def _record(file: str, number: int, values: Any) -> Record:
    """One entry of `images`.

    Raises:
        UsageError: its sentences are about a change.
    """
    if isinstance(values, dict) and "changeflag" in values:
        raise UsageError(
            f"{file} tells what changed between two images, which describes neither of them; "
            "such a corpus gives no captions"
        )
    name = values.get("filename") if isinstance(values, dict) else None
    if not isinstance(name, str) or not name.strip():
        return Record(file, number, fault=("missing_key", f"{file}#{number} has no filename"))
    image = "/".join(filter(None, [_text(values, "filepath"), name.strip()]))
    try:
        captions = _sentences(values)
    except Refused as refused:
        return Record(file, number, image, fault=(refused.reason, f"{file}#{number}, {name}: {refused.message}"))
    return Record(file, number, image, captions, split_name(_text(values, "split")))


def _sentences(values: dict[str, Any]) -> list[str]:
    sentences = values.get("sentences")
    if not isinstance(sentences, list):
        raise Refused("missing_key", "no list of sentences")
    if not all(isinstance(sentence, dict) and "raw" in sentence for sentence in sentences):
        raise Refused("missing_key", "a sentence without raw")
    return checked([sentence["raw"] for sentence in sentences])


def _text(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""


READER = Karpathy
