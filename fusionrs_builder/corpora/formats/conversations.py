"""Conversations about images, as LLaVA and ShareGPT have them (GeoChat_Instruct, VRSBench_train, LHRS).

[{"id": "1", "image": "P0001.png", "conversations": [{"from": "human", "value": "<image> Describe the image."},
                                                     {"from": "gpt", "value": "A harbour with ..."}]}]

Only the answer to a request to describe or caption the whole image is a caption: one marked [caption], or worded as
`ASKS` has it and marked as nothing else. Answers to questions, about a region, or with boxes in them are left out;
an image that keeps none is refused as `no_caption`. `columns.prompt` is a regular expression to use in place of `ASKS`.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fusionrs_builder.corpora import json_stream
from fusionrs_builder.corpora.captions import CaptionReader, Record, checked, split_in
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings

HUMAN, MODEL = ("human", "user"), ("gpt", "assistant", "model")

TASK = re.compile(r"^\s*\[(\w+)\]")
"""What kind of request it is: [caption], [vqa], [refer], [identify], [grounding]."""

CAPTION_TASKS = ("caption", "cap")

BOX = re.compile(r"\{?(?:<\d+>){2}|</?(?:p|box|ref|delim|quad|rot)>|\[\s*\d+(?:\.\d+)?\s*,", re.IGNORECASE)
"""Places in text: GeoChat's {<x1><y1><x2><y2>|<angle>}, tags of phrases and boxes, lists of numbers."""

_WORDS = (
    "the|this|that|given|above|following|provided|whole|entire|overall|main|visual|contents?|details|of|shown|in|"
    "satellite|aerial|overhead|drone|uav|remote|sensing|remote-sensing|high|resolution|high-resolution|rs"
)
_OF = rf"(?:(?:{_WORDS})\s+)*"
_SCENE = rf"{_OF}(?:image|images|imagery|picture|photo|photograph|scene)"
_KIND = r"(?:(?:a|an|the|short|brief|concise|detailed|comprehensive|thorough|one-sentence|single-sentence|long)\s+)*"
_HOW = r"(?:\s+(?:in|with|using|as|briefly|concisely|thoroughly|comprehensively|for me)\b(?!\s+one\s+word)[\w\s,'-]*)?"

ASKS = (
    rf"(?:describe|caption|summari[sz]e)\s+(?:in detail\s+|briefly\s+)?{_SCENE}{_HOW}"
    rf"|(?:write|provide|give|generate|create|offer|produce)\s+(?:me\s+)?(?:with\s+)?{_KIND}"
    rf"(?:caption|description|summary)\s+(?:of|for|about)\s+{_SCENE}{_HOW}"
    rf"|(?:what|tell me what)\s+(?:do|can)?\s*you\s+(?:can\s+)?see\s+in\s+{_SCENE}"
)
"""Requests for a caption, after words of courtesy. `Describe the car in the image` is none."""

COURTESY = re.compile(r"^(?:(?:please|can you|could you|would you|kindly|i want you to)\s*,?\s*)+", re.IGNORECASE)


class Conversations(CaptionReader):
    """What several conversations say of one image is put together."""

    merges = True

    def __init__(self, root: Path, settings: CorpusSettings) -> None:
        super().__init__(root, settings)
        try:
            self.asks = re.compile(settings.columns.get("prompt", ASKS), re.IGNORECASE)
        except re.error as error:
            raise UsageError(f"columns: prompt is not a regular expression: {error}") from None

    def records(self) -> Iterator[Record]:
        what = 'of the shape [{"image", "conversations": [{"from", "value"}]}]'
        for file in self.caption_files((".json", *json_stream.LINES), self._fits, what):
            for number, values in enumerate(json_stream.records(self.root / file, file)):
                yield self._record(file, number, values)

    def _fits(self, file: str) -> bool:
        if not file.lower().endswith(json_stream.LINES) and json_stream.opens_with(self.root / file, file) != "[":
            return False
        found = json_stream.some(json_stream.records(self.root / file, file))
        return any(isinstance(values, dict) and "conversations" in values for values in found)

    def _record(self, file: str, number: int, values: Any) -> Record:
        place = f"{file}#{number}"
        image = values.get("image") if isinstance(values, dict) else None
        if isinstance(image, list) and len(image) == 1:
            image = image[0]
        if isinstance(image, list):
            return Record(file, number, fault=("several_images", f"{place} is about {len(image)} images together"))
        if not isinstance(image, str) or not image.strip():
            return Record(file, number, fault=("missing_key", f"{place} names no image"))
        try:
            captions = self._captions(values.get("conversations"))
        except Refused as refused:
            return Record(file, number, image, fault=(refused.reason, f"{place}, {image}: {refused.message}"))
        return Record(file, number, image.strip(), captions, split_in(file))

    def _captions(self, turns: Any) -> list[str]:
        """The answers that describe the scene; none where the conversation is about something else.

        Raises:
            Refused: not a conversation, or such an answer is empty.
        """
        if not isinstance(turns, list) or not all(isinstance(turn, dict) and _says(turn) is not None for turn in turns):
            raise Refused("missing_key", "no conversations of turns with from and value")
        answers = [
            _says(answer) or ""
            for request, answer in itertools.pairwise(turns)
            if request.get("from") in HUMAN and answer.get("from") in MODEL and self.is_caption(_says(request) or "")
        ]
        kept = [answer for answer in answers if not BOX.search(answer)]
        return checked(kept) if kept else []

    def is_caption(self, request: str) -> bool:
        """Whether a request asks for a description of the whole image."""
        request = request.replace("<image>", " ").strip()
        task = TASK.match(request)
        if task and "prompt" not in self.settings.columns:
            return task[1].lower() in CAPTION_TASKS and not BOX.search(request)
        words = COURTESY.sub("", " ".join(request.split())).rstrip(" .?!:")
        return bool(self.asks.fullmatch(words)) and not BOX.search(request)


def _says(turn: dict[str, Any]) -> str | None:
    value = turn.get("value")
    return value if isinstance(value, str) else None


READER = Conversations
