"""Prompt files: what a language model is told. Versioned text, known by the sha256 that stands on every row it made."""

import hashlib
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from fusionrs_builder.errors import UsageError

FOLDER = resources.files("fusionrs_builder.caption") / "prompts"

OWN = ("grounded", "fused", "fusionrs")
"""Files of the package: phrases of the grounded writer; both images and what was measured; the recipe of the paper."""

PARTS = ("system", "task", "again", "views", "infrared")
"""What a prompt for a model must hold."""

VIEWS, INFRARED = ("both", "rgb", "ir"), ("translated", "measured", "thermal")
"""Keys of the tables `views` and `infrared`: what is shown, and what kind of infrared view it is."""


@dataclass(frozen=True)
class Prompt:
    """A prompt for a model.

    Attributes:
        name: of the file, without its ending.
        sha256: of its bytes.
        tables: its content.
    """

    name: str
    sha256: str
    tables: dict[str, Any]

    @classmethod
    def load(cls, which: str) -> "Prompt":
        """A prompt of the package by its name, or a file of the user's.

        Raises:
            UsageError: no such file, or a part is missing in it.
        """
        data, where = _read(which)
        try:
            tables = tomllib.loads(data.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"caption.prompt: {where} is not TOML: {error}") from None
        missing = [part for part in PARTS if part not in tables]
        for table, keys in (("views", VIEWS), ("infrared", INFRARED)):
            held = tables.get(table)
            missing += [f"{table}.{key}" for key in keys if not isinstance(held, dict) or key not in held]
        if missing:
            raise UsageError(
                f"caption.prompt: {where} lacks {', '.join(missing)}: start from a copy of {FOLDER / 'fused.toml'}"
            )
        texts = [tables[part] for part in PARTS[:3]]
        texts += [tables[table][key] for table, keys in (("views", VIEWS), ("infrared", INFRARED)) for key in keys]
        if not all(isinstance(text, str) for text in texts) or "{facts}" not in tables["task"]:
            raise UsageError(f"caption.prompt: {where}: every part is a text, and task holds {{facts}}")
        try:
            tables["task"].format(views="", facts="", infrared="", scene=0, ir=0)
            tables["again"].format(findings="")
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            raise UsageError(
                f"caption.prompt: {where}: task knows {{views}}, {{facts}}, {{infrared}}, {{scene}} and {{ir}}, again "
                f"knows {{findings}}; other braces are written twice ({error!r})"
            ) from None
        return cls(Path(where).stem, hashlib.sha256(data).hexdigest(), tables)


def _read(which: str) -> tuple[bytes, str]:
    if which in OWN[1:]:
        return (FOLDER / f"{which}.toml").read_bytes(), f"{which}.toml"
    path = Path(which).expanduser()
    if not path.is_file():
        raise UsageError(f"caption.prompt: no file {which}; the package has {', '.join(OWN[1:])}")
    return path.read_bytes(), str(path)
