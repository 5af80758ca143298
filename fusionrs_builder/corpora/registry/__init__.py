"""The corpora this package knows: one TOML file each, data and no code.

`fusionrs-build download NAME` takes its settings from here; keys of fusionrs.toml and flags go over them.
"""

import tomllib
from pathlib import Path

from pydantic import Field, ValidationError

from fusionrs_builder.config import CorpusSettings, Section
from fusionrs_builder.errors import UsageError

FOLDER = Path(__file__).parent


class Entry(Section):
    """One file of the registry."""

    title: str = Field(description="full name")
    citation: str = Field("", description="how to cite it")
    records: int | None = Field(None, description="records it gives with these settings")
    samples: str = Field("", description="its folder among the sample corpora")
    settings: CorpusSettings = Field(description="how it is read, and what its publisher allows")


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def entry(name: str) -> Entry | None:
    """The registry's entry of a corpus; None when it knows no such corpus.

    Raises:
        UsageError: the file is not as `Entry` says.
    """
    path = FOLDER / f"{name}.toml"
    if not path.is_file():
        return None
    try:
        return Entry.model_validate(tomllib.loads(path.read_text()))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"registry entry {path.name}: {error}") from None


def resolve(name: str, given: CorpusSettings) -> CorpusSettings:
    """The registry's settings of a corpus with the given ones over them."""
    known = entry(name)
    if known is None:
        return given
    base = {"title": known.title, **known.settings.model_dump(exclude_unset=True)}
    return CorpusSettings.model_validate({**base, **given.model_dump(exclude_unset=True)})
