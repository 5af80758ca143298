"""All tables of fusionrs.toml."""

from pydantic import Field, field_validator

from fusionrs_builder.settings.caption import CaptionSettings
from fusionrs_builder.settings.corpus import CorpusSettings
from fusionrs_builder.settings.section import Section
from fusionrs_builder.settings.stages import BuildSettings, CurateSettings, PushSettings, TranslateSettings


class Settings(Section):
    """The whole file."""

    build: BuildSettings = BuildSettings()
    corpora: dict[str, CorpusSettings] = Field(default_factory=dict)
    translate: TranslateSettings = TranslateSettings()
    caption: CaptionSettings = CaptionSettings()
    curate: CurateSettings = CurateSettings()
    push: PushSettings = PushSettings()

    @field_validator("corpora")
    @classmethod
    def _corpus_names(cls, corpora: dict[str, CorpusSettings]) -> dict[str, CorpusSettings]:
        for name in corpora:
            check_name(name)
        return corpora


def check_name(name: str) -> str:
    """A corpus name is part of file names and record ids.

    Raises:
        ValueError: it holds anything but lower-case letters, digits, `-` and `_`.
    """
    if not name or not name.isascii() or not all(c.isalnum() or c in "-_" for c in name) or name != name.lower():
        raise ValueError(f"corpus name {name!r}: use lower-case letters, digits, - and _ only, e.g. my-corpus")
    return name
