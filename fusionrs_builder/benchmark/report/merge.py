"""Saved results of many runs, each measurement once, and which of them may stand in one table."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from math import isclose, isfinite, isnan
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fusionrs_builder.benchmark.result import MEASUREMENT, read
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.intervals import BOOTSTRAP

TASKS = {
    "zeroshot_retrieval": "Retrieval",
    "zeroshot_classification": "Classification",
    "presence": "Presence of objects",
    "linear_probe": "Linear probe",
    "captioning": "Captioning",
    "vqa": "Visual question answering",
}
"""In the order of a report, with their titles."""

ORIGINS = ("measured", "translated", "-")

NUMBERS = ("headline", "n", "metrics", "intervals", "counts")
"""What a measurement finds. How long it took, and on what, may differ."""

APART = 1e-5
"""How far two runs of a measurement may be apart: processors and libraries round otherwise."""

KEYS = {"format", "protocol", "task", "resampled"}
"""By which a JSON file is known for a result."""

OURS = re.compile(r"--[0-9a-f]{10}\.json")
"""How names of results end: such a file that cannot be read is one that was damaged."""


class Leakage(BaseModel):
    """Records whose group holds images that the model says it learnt from."""

    model_config = ConfigDict(strict=True)
    declared: list[str]
    unknown: list[str]
    groups: int
    records: int
    of: int


class Saved(BaseModel):
    """What a report takes from a result; see `result.Result`."""

    model_config = ConfigDict(strict=True)
    task: str
    protocol: str
    dataset: str
    split: str
    split_sha256: str
    seed: int
    origin: str
    band: str
    model: str
    pretrained: str
    inputs: str
    headline: str
    n: int = Field(ge=1)
    metrics: dict[str, float]
    intervals: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]]
    counts: dict[str, int]
    detail: dict[str, Any]
    resampled: Annotated[list[float | None], Field(min_length=BOOTSTRAP, max_length=BOOTSTRAP)]
    leakage: Leakage | None = None


class Group(NamedTuple):
    """What the results of one table have in common. Measured and translated infrared are never in one."""

    task: str
    protocol: str
    dataset: str
    origin: str
    band: str
    split: str
    split_sha256: str
    seed: int
    headline: str

    @property
    def place(self) -> tuple[Any, ...]:
        """To sort by: tasks in their order, and measured before translated."""
        return _index(self.task, tuple(TASKS)), *self[:3], _index(self.origin, ORIGINS), *self[3:]


def group(saved: Mapping[str, Any]) -> Group:
    return Group(**{key: saved[key] for key in Group._fields})


def merged(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Results in a fixed order, whatever the order of the paths.

    Args:
        paths: files of results, and folders that these lie in; their other JSON files are passed over.

    Returns:
        As `result.read` gives them. Of several runs that found the same numbers one stays.

    Raises:
        FusionError: a result is damaged, or the same measurement has different numbers in two files.
        UsageError: a path is not there, there is no result, or a newer version wrote one.
    """
    found: dict[tuple[Any, ...], tuple[dict[str, Any], Path]] = {}
    for path in sorted({file for given in paths for file in _files(given)}):
        saved = _checked(path)
        key = tuple(saved[name] for name in MEASUREMENT)
        other, before = found.setdefault(key, (saved, path))
        if not _alike([saved[name] for name in NUMBERS], [other[name] for name in NUMBERS]):
            raise FusionError(
                f"{before} ({_where(other)}) and {path} ({_where(saved)}) are the same measurement of {saved['model']} "
                "with different numbers: leave one of them out"
            )
        found[key] = max((other, before), (saved, path), key=lambda one: _fullness(one[0]))
    if not found:
        raise UsageError(
            f"no results there: {', '.join(map(str, paths)) or 'no path was given'}; name files or folders that "
            "`fusionrs-build benchmark` wrote"
        )
    return sorted((saved for saved, _ in found.values()), key=lambda saved: (group(saved).place, _text(saved)))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        if not path.is_file():
            raise UsageError(f"{path}: no such file or folder")
        yield path
        return
    for file in path.glob("*.json"):
        ours = bool(OURS.search(file.name))
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            if ours:
                raise FusionError(f"{file} cannot be read ({error}): delete it, or measure again") from None
            continue
        if ours or (isinstance(found, dict) and found.keys() >= KEYS):
            yield file


def _checked(path: Path) -> dict[str, Any]:
    """A result that has everything that a report takes."""
    saved = read(path)
    try:
        Saved.model_validate(saved)
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if saved["metrics"].keys() != saved["intervals"].keys():
        raise _damaged(path, "metrics and intervals have different names")
    main = saved["headline"]
    if not all(map(isfinite, (saved["metrics"][main], *saved["intervals"][main]))):
        raise _damaged(path, f"{main} has no value")
    return saved


def _damaged(path: Path, fault: str) -> FusionError:
    return FusionError(f"{path} is a damaged result ({fault}): delete it and measure again")


def _fullness(saved: Mapping[str, Any]) -> tuple[int, str]:
    """Of two that found the same, that which tells of more leakage stays; else either, but always the same one."""
    return (saved.get("leakage") or {}).get("records", 0), _text(saved)


def _alike(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same but for `APART`; a number that is none is like itself."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=0, abs_tol=APART) or (isnan(one) and isnan(other))
    return bool(one == other)


def _where(saved: Mapping[str, Any]) -> str:
    """What it was measured by."""
    return f"{saved.get('device')}, torch {(saved.get('versions') or {}).get('torch')}"


def _text(saved: Mapping[str, Any]) -> str:
    return json.dumps(saved, sort_keys=True)


def _index(word: str, order: Sequence[str]) -> int:
    return order.index(word) if word in order else len(order)
