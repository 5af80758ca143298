"""What a model said, read strictly: a JSON object of captions, or a word on what is wrong with it."""

import json
import re
import unicodedata
from dataclasses import dataclass

from fusionrs_builder.caption.chat.ledger import Answer

MAX_REPLY = 20_000
"""Characters of a reply; what is longer is cut when it is kept, and no answer."""

MAX_CAPTIONS = 10
"""Captions of a kind that are looked at."""

_THOUGHT = re.compile(r"^<think>.*?</think>\s*", re.DOTALL)
"""What some models say to themselves first."""

_FENCE = re.compile(r"^```(?:json)?\s*(.*?)\s*```$", re.DOTALL | re.IGNORECASE)


class MalformedError(ValueError):
    """A reply that holds no captions. The message goes back to the model when it is asked again."""


@dataclass(frozen=True)
class Reply:
    """The captions of a reply, each on one line.

    Attributes:
        scene: of the visible scene.
        ir: of the infrared view.
        unsupported: labels that the model could not find.
    """

    scene: tuple[str, ...]
    ir: tuple[str, ...]
    unsupported: tuple[str, ...]


def read(answer: Answer) -> Reply:
    """Read an answer.

    Raises:
        MalformedError: it is empty, cut off, too long, no JSON, or another object than was asked for.
    """
    text = answer.reply.strip()
    if not text:
        raise MalformedError("the answer was empty")
    if answer.finish == "length":
        raise MalformedError("the answer was too long and was cut off: write shorter captions")
    if len(text) >= MAX_REPLY:
        raise MalformedError("the answer was far too long: write short captions only")
    text = _THOUGHT.sub("", text)
    if fenced := _FENCE.match(text):
        text = fenced[1]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedError("the answer was not one JSON object and nothing else") from None
    if not isinstance(found, dict):
        raise MalformedError("the answer was not a JSON object")
    return Reply(*(_texts(found, name) for name in ("scene", "ir_aware", "unsupported")))


def _texts(found: dict[str, object], name: str) -> tuple[str, ...]:
    values = found.get(name)
    if values is None and name == "unsupported":
        return ()
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise MalformedError(f'"{name}" was not a list of strings')
    lines = (_line(value) for value in values[:MAX_CAPTIONS])
    return tuple(line for line in lines if line)


def _line(text: str) -> str:
    """A caption on one line, without control characters."""
    kept = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in unicodedata.normalize("NFC", text))
    return " ".join(kept.split())
