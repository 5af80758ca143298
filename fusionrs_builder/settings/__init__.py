"""The parameters of a build, as one model a table of fusionrs.toml: the single list of them.

The CLI makes its options from these models (`cli/options.py`), the file is checked against them (`config.py`), and each
stage is handed the one that concerns it.
"""

from fusionrs_builder.settings.caption import CaptionSettings, Price
from fusionrs_builder.settings.corpus import CorpusSettings
from fusionrs_builder.settings.section import Band, Section
from fusionrs_builder.settings.stages import BuildSettings, CurateSettings, PushSettings, TranslateSettings
from fusionrs_builder.settings.whole import Settings, check_name

__all__ = [
    "Band",
    "BuildSettings",
    "CaptionSettings",
    "CorpusSettings",
    "CurateSettings",
    "Price",
    "PushSettings",
    "Section",
    "Settings",
    "TranslateSettings",
    "check_name",
]
