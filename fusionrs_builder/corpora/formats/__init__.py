"""Annotation formats, one file each: `name` in fusionrs.toml is the module's name with `-` for `_`."""

import importlib
from pathlib import Path

from fusionrs_builder.corpora.reader import Reader
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings

NAMES = tuple(
    sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
)


def reader(root: Path, settings: CorpusSettings, corpus: str) -> Reader:
    """The reader of a corpus.

    Raises:
        UsageError: the format is missing or unknown.
    """
    if settings.format not in NAMES:
        problem = f"unknown format {settings.format!r}" if settings.format else "no format given"
        raise UsageError(f"corpus {corpus}: {problem}; set --format to one of {', '.join(NAMES)}")
    module = importlib.import_module(f"{__name__}.{settings.format.replace('-', '_')}")
    made: Reader = module.READER(root, settings)
    return made
