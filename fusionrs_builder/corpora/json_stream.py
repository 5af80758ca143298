"""JSON files larger than memory, one record at a time; whatever is wrong with one is an error that names it."""

import codecs
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.errors import FusionError

LINES = (".jsonl", ".ndjson")
"""Suffixes of files with a JSON value a line."""

OTHER_ENCODINGS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

MAX_DEPTH = 64
"""Lists and objects within each other: no annotation needs more, and a bomb of them fills the memory."""

TOO_DEEP = f"lists or objects lie more than {MAX_DEPTH} deep within each other"

LOOKED_AT = 20
"""Records looked at to tell the shape of a file."""

BLANK = b" \t\r\n"


def records(path: Path, where: str, prefix: str = "item") -> Iterator[Any]:
    """The records of a file: of its list, of the list under a key, or one a line.

    Args:
        path: the file; a byte order mark is skipped.
        where: how errors call it.
        prefix: `item` for the list that is the whole file, `images.item` for the list under `images`.

    Raises:
        FusionError: it cannot be read, is cut off, is not UTF-8, or is not JSON (NaN is not). Records before the fault
            have been given out by then.
    """
    lines = path.name.lower().endswith(LINES)
    with _opened(path, where) as handle:
        yield from ijson.items(events(handle, lines), "" if lines else prefix)


def events(handle: BinaryIO, multiple_values: bool = False) -> Iterator[tuple[str, str, Any]]:
    """Path, kind and value of each part of a JSON text, as `ijson.parse` gives them.

    Raises:
        ValueError: as `_basic`.
    """
    found: Iterator[tuple[str, str, Any]] = ijson.parse(_basic(handle, multiple_values))
    return found


def _basic(handle: BinaryIO, multiple_values: bool = False) -> Iterator[tuple[str, Any]]:
    """As `ijson.basic_parse`.

    Raises:
        ValueError: lists and objects lie deeper within each other than MAX_DEPTH.
    """
    depth = 0
    for event, value in ijson.basic_parse(handle, use_float=True, multiple_values=multiple_values):
        depth += event.startswith("start_") - event.startswith("end_")
        if depth > MAX_DEPTH:
            raise ValueError(TOO_DEEP)
        yield event, value


def some(records: Iterator[Any]) -> list[Any]:
    """The first records, by which the shape of a file is told."""
    return list(itertools.islice(records, LOOKED_AT))


def records_by_key(path: Path, where: str) -> Iterator[tuple[str, Any]]:
    """Key and record for each record of each list of one object: `{key: [record, ...], ...}`.

    Raises:
        FusionError: as `records`.
    """
    key, builder = "", None
    within: list[str] = []
    with _opened(path, where) as handle:
        for event, value in _basic(handle):
            if event == "map_key" and within == ["start_map"]:
                key = value
            elif event == "start_map" and within == ["start_map", "start_array"]:
                builder = ijson.ObjectBuilder()
            if event.startswith("start_"):
                within.append(event)
            elif event.startswith("end_"):
                within.pop()
            if builder is not None:
                builder.event(event, value)
                if len(within) == len(("start_map", "start_array")):
                    yield key, builder.value
                    builder = None


def whole(path: Path, where: str) -> Any:
    """The value of a small file.

    Raises:
        Refused: it cannot be read, is not UTF-8, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        raise Refused("malformed_annotation", f"{where}: {error}") from None


def opens_with(path: Path, where: str) -> str:
    """The first character of a file that is not white space; nothing when there is none."""
    with _opened(path, where) as handle:
        while block := handle.read(4096):
            if text := block.lstrip(BLANK):
                return text[:1].decode("latin-1")
    return ""


@contextmanager
def _opened(path: Path, where: str) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as handle:
            start = handle.read(len(codecs.BOM_UTF8))
            if start.startswith(OTHER_ENCODINGS):
                raise FusionError(_encoding(where, "it is UTF-16"))
            handle.seek(len(start) if start == codecs.BOM_UTF8 else 0)
            yield handle
    except OSError as error:
        raise FusionError(f"{where} cannot be read: {error.strerror}") from None
    except (ijson.JSONError, ValueError) as error:
        raise FusionError(_explained(where, error)) from None


def _explained(where: str, error: Exception) -> str:
    """The message of each backend of ijson, in our words."""
    text = error.args[0] if error.args else ""
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(error)
    if said == TOO_DEEP:
        return f"{where}: {said}; is it the annotation file?"
    if "EOF" in said or "Incomplete" in said:
        return f"{where} ends in the middle: it was not downloaded in full; fetch it again"
    if "UTF8" in said or "codec" in said:
        return _encoding(where, "it is not UTF-8")
    near = " ".join(said.replace("(right here) ------^", "").split())
    return f"{where} is not valid JSON ({near}); NaN, comments and trailing commas are not JSON: write it anew"


def _encoding(where: str, what: str) -> str:
    return f"{where}: {what}; convert it, e.g. iconv -f ENCODING -t UTF-8"


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
