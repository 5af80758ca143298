"""fusionrs.toml: what to build. Every flag is also a key here; a flag given wins, and is written back to the file."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit
from pydantic import ValidationError

from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings, Section, Settings

if TYPE_CHECKING:  # pyarrow is not needed to show the help of a command
    from fusionrs_builder.workspace import Workspace

CONFIG = "fusionrs.toml"

PLAINLY = {
    "dict_type": "no table: give pairs, e.g. red=1,green=2",
    "missing": "missing: give as many values as it has, e.g. 0.9,0.05,0.05",
}
"""What pydantic says of a value in its own terms."""


def load(workspace: "Workspace") -> Settings:
    """Read and check fusionrs.toml; defaults where the file or a key is missing.

    Raises:
        UsageError: not TOML, an unknown key, or a value out of range; the message names the key and the fix.
    """
    return parse(_document(workspace).unwrap(), workspace.path(CONFIG))


def parse(values: dict[str, Any], where: str) -> Settings:
    """Check a whole configuration. `where` names it in errors."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise UsageError("\n".join(f"{where}: {_explain(item)}" for item in error.errors())) from None


def update(workspace: "Workspace", table: tuple[str, ...], values: dict[str, Any], save: bool = True) -> Settings:
    """Set keys of one table, check the whole, and write the file back with its comments kept.

    Args:
        workspace: where fusionrs.toml is.
        table: `("translate",)` or `("corpora", "naip")`.
        values: keys to set; None leaves a key as it is.
        save: False checks only (for a dry run).

    Returns:
        The settings as they now are.

    Raises:
        UsageError: as `load`.
    """
    document = _document(workspace)
    before = tomlkit.dumps(document)
    place: Any = document
    for name in table:
        if name not in place:
            place.add(name, tomlkit.table(is_super_table=name == "corpora"))
        place = place[name]
    for key, value in values.items():
        if value is not None and place.get(key) != value:
            place[key] = value
    settings = parse(document.unwrap(), "flags" if not save else workspace.path(CONFIG))
    after = tomlkit.dumps(document)
    if save and after != before:
        workspace.write_bytes(CONFIG, after.encode())
    return settings


def replace(workspace: "Workspace", tables: Mapping[str, Any]) -> Settings:
    """Write a whole fusionrs.toml, where it is another than stands.

    Raises:
        UsageError: as `load`; nothing is written.
    """
    text = tomlkit.dumps(tables)
    settings = parse(tomlkit.parse(text).unwrap(), workspace.path(CONFIG))
    if not workspace.exists(CONFIG) or workspace.read_bytes(CONFIG) != text.encode():
        workspace.write_bytes(CONFIG, text.encode())
    return settings


def _document(workspace: "Workspace") -> tomlkit.TOMLDocument:
    if not workspace.exists(CONFIG):
        return tomlkit.document()
    try:
        return tomlkit.parse(workspace.read_bytes(CONFIG).decode())
    except OSError as error:
        raise UsageError(f"{workspace.path(CONFIG)} cannot be read: {error.strerror}") from None
    except (tomlkit.exceptions.ParseError, UnicodeDecodeError) as error:
        raise UsageError(f"{workspace.path(CONFIG)} is not valid TOML: {error}") from None


def _explain(item: Any) -> str:
    """One validation error as `key: what is wrong and what to do`."""
    parts = [str(part) for part in item["loc"]]
    key = ".".join(parts)
    if item["type"] != "extra_forbidden":
        # An address may hold a password.
        hidden = isinstance(item["input"], dict) or parts[-1].endswith("url")
        given = "" if hidden else f" (got {item['input']!r})"
        said = PLAINLY.get(item["type"], item["msg"].removeprefix("Value error, "))
        return f"{key}: {said}{given}"
    model: Any = Settings
    for part in parts[:-1]:
        model = CorpusSettings if model is None else {**_sections(), "corpora": None}.get(part, model)
    names = [field.alias or name for name, field in (model or CorpusSettings).model_fields.items()]
    close = difflib.get_close_matches(parts[-1], names, n=1)
    return f"{key}: unknown key; " + (f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(names)}")


def _sections() -> dict[str, type[Section]]:
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }


def samples_folder() -> Path | None:
    """The folder of real sample corpora: `FUSIONRS_SAMPLES`, else `../shared/data` beside the working directory."""
    named = os.environ.get("FUSIONRS_SAMPLES")
    if named:
        return Path(named)
    beside = Path("../shared/data")
    return beside if beside.is_dir() else None
