"""Settings of a program as a dataclass, a TOML file and flags: one definition, its docstring is the help."""

import argparse
import dataclasses
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import tomlkit

from fusionrs_builder.errors import UsageError

Settings = TypeVar("Settings", bound=Any)
"""A frozen dataclass of str, int, float, bool and Literal fields, each with a line in its docstring."""


def parse(kind: type[Settings], program: str, about: str, argv: Sequence[str] | None = None) -> Settings:
    """Settings from flags, over those of the file that `--config` names, over the defaults.

    Args:
        kind: the dataclass.
        program: how it is run, such as `python -m train.clip`.
        about: what it does, for the help.
        argv: arguments; None: those of the process.

    Raises:
        UsageError: the file is missing or damaged, or holds an unknown key or a value of another kind.
    """
    told = _lines(kind)
    parser = argparse.ArgumentParser(program, description=about)
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; flags go over them")
    for field in dataclasses.fields(kind):
        flag = "--" + field.name.replace("_", "-")
        text = f"{told[field.name]}  [default: {field.default!r}]".replace("%", "%%")
        if field.type is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        elif get_origin(field.type) is Literal:
            parser.add_argument(flag, choices=get_args(field.type), default=None, help=text)
        else:
            parser.add_argument(flag, type=field.type, default=None, help=text)
    given = vars(parser.parse_args(argv))
    config = given.pop("config")
    values = _file(kind, config) if config else {}
    found: Settings = kind(**values | {name: value for name, value in given.items() if value is not None})
    return found


def as_toml(settings: Any) -> str:
    """All settings, defaults too, as a file that `--config` takes."""
    return tomlkit.dumps(dataclasses.asdict(settings))


def part(kind: type[Settings], settings: Any) -> Settings:
    """Settings of a dataclass out of those of one that inherits from it."""
    found: Settings = kind(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(kind)})
    return found


def differences(now: Any, before: Any, ignored: Sequence[str] = ()) -> list[str]:
    """What of two settings is not the same, a line each.

    Args:
        now: the settings asked for.
        before: those of the run that stands.
        ignored: names of what may differ.
    """
    ours, theirs = dataclasses.asdict(now), dataclasses.asdict(before)
    return [
        f"{name}: {theirs[name]!r} before, {value!r} now"
        for name, value in ours.items()
        if name not in ignored and value != theirs[name]
    ]


def read(kind: type[Settings], path: Path) -> Settings:
    """The settings of a run that stands.

    Raises:
        UsageError: as `parse`.
    """
    found: Settings = kind(**_file(kind, path))
    return found


def _file(kind: type[Any], path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as settings: {error}") from None
    types: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(kind)}
    for name, value in found.items():
        if name not in types:
            raise UsageError(f"{path}: unknown key {name}; known: {', '.join(types)}")
        wanted = types[name]
        if wanted is float and type(value) is int:
            found[name] = float(value)
        elif get_origin(wanted) is Literal:
            if value not in get_args(wanted):
                raise UsageError(f"{path}: {name} is one of {', '.join(get_args(wanted))}, not {value!r}")
        elif type(value) is not wanted:
            raise UsageError(f"{path}: {name} is a {wanted.__name__}, not {value!r}")
    return found


def _lines(kind: type[Any]) -> dict[str, str]:
    """The docstring's line of each attribute, of those that are inherited too."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        text = re.sub(r"\n\s{10,}", " ", each.__doc__ or "")
        found |= {name: line.strip() for name, line in re.findall(r"^\s+(\w+): (.+)$", text, re.MULTILINE)}
    return found
