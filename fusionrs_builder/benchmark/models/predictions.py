"""Answers that were made elsewhere, as a file: `predictions:FILE.jsonl`.

One JSON object a line, `{"id": ..., "caption": ...}` or `{"id": ..., "answer": ...}`; ids are the keys of questions.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fusionrs_builder.benchmark.models.model import Answer, Question, TextModel
from fusionrs_builder.errors import FusionError, UsageError

TOLD = 5
"""Faults that are named in an error."""


class Prediction(NamedTuple):
    """What a file says of one id.

    Attributes:
        text: the caption or answer.
        line: where it stands, from 1.
    """

    text: str
    line: int


def model(rest: str) -> TextModel:
    """The answers of a file.

    Args:
        rest: of the spec: the path of the file.

    Raises:
        UsageError: there is no such file.
        FusionError: it is empty, no UTF-8, or a line is no prediction or contradicts another.
    """
    path = Path(rest).expanduser()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"predictions:{rest}: cannot be read ({error.strerror}); name a file of JSON lines") from None
    known = read(path, data)

    def answer(questions: Iterable[Question], device: str) -> dict[str, Answer]:
        return matched(path, known, [question.key for question in questions])

    digest = hashlib.sha256(data).hexdigest()
    return TextModel(
        spec=f"predictions:{rest}",
        name=path.stem,
        pretrained=digest[:12],
        identity=f"predictions {digest}",
        answer=answer,
        looks=False,
    )


def read(path: Path, data: bytes) -> dict[str, Prediction]:
    """The predictions of a file by their ids.

    Args:
        path: of the file, for errors.
        data: its bytes.

    Raises:
        FusionError: as `model`.
    """
    found: dict[str, Prediction] = {}
    faults: list[str] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            id, text = _prediction(_decoded(path, number, line))
        except _FaultError as fault:
            faults.append(f"line {number}: {fault}")
            continue
        before = found.setdefault(id, Prediction(text, number))
        if before.text != text:
            faults.append(f"line {number}: {id} was answered otherwise in line {before.line}")
    if faults:
        raise FusionError(f"{path}: {_some(faults)}")
    if not found:
        raise FusionError(f'{path} is empty: write one {{"id": ..., "caption": ...}} a line')
    return found


def matched(path: Path, known: Mapping[str, Prediction], asked: Sequence[str]) -> dict[str, Answer]:
    """An answer to each question that was asked; none where the file has no prediction for it.

    Args:
        path: of the file, for errors.
        known: its predictions.
        asked: keys of all questions of a task.

    Raises:
        FusionError: the file has predictions for what was not asked.
    """
    others = {id: known[id] for id in known.keys() - set(asked)}
    if len(others) == len(known):
        example = f" such as {asked[0]}" if asked else ""
        raise FusionError(
            f"{path}: none of the {len(asked):,} questions{example} has a prediction: write the ids of the split, not "
            f"{next(iter(known))}"
        )
    if others:
        told = [f"line {one.line}: {id}" for id, one in sorted(others.items(), key=lambda item: item[1].line)]
        raise FusionError(
            f"{path}: {len(others):,} ids are none that this split is asked about: {_some(told)}; name the split that "
            "they are of, or take these lines out"
        )
    return {key: Answer(known[key].text) if key in known else Answer(None, "no prediction") for key in asked}


class _FaultError(Exception):
    pass


def _decoded(path: Path, number: int, line: bytes) -> str:
    try:
        if b"\0" in line:  # UTF-16 and UTF-32 are half zeros
            raise ValueError
        return line.decode("utf-8")
    except ValueError:
        raise FusionError(f"{path}, line {number}: this is not UTF-8: save the file as UTF-8") from None


def _prediction(line: str) -> tuple[str, str]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _FaultError("no JSON object")
    id = found.get("id")
    if not isinstance(id, str) or not id:
        raise _FaultError('no "id", a string')
    texts = [found[name] for name in ("caption", "answer") if name in found]
    if len(texts) != 1 or not isinstance(texts[0], str):
        raise _FaultError(f'{id} has not one of "caption" and "answer", a string')
    return id, texts[0].encode(errors="replace").decode()  # JSON can hold half a surrogate pair, files cannot


def _some(faults: Sequence[str]) -> str:
    more = len(faults) - TOLD
    return "; ".join(faults[:TOLD]) + (f"; and {more:,} more" if more > 0 else "")
