"""The files of a release: their folders and names.

README.md               the card, written last: a folder that has it is whole
DATASHEET.md, NOTICE, croissant.json, SHA256SUMS
data/*.parquet          configuration `default`
text/*.parquet          configuration `text`: the same rows in files of the same names, without pictures
examples/*.jpg          pictures of the card
recipe/                 settings, lock and report of the build
"""

import re
from typing import Literal

Config = Literal["default", "text"]

FOLDERS: dict[Config, str] = {"default": "data", "text": "text"}
"""The configurations, and the folder of each."""

SPLITS = ("train", "validation", "test")

NAME = re.compile(rf"(?P<split>{'|'.join(SPLITS)})(\.(?P<corpus>[a-z0-9_-]+))?-(?P<number>\d{{5}})-of-(?P<of>\d{{5}})")
"""Names of files, without their ending."""


def prefix(split: str, corpus: str = "") -> str:
    """How the names of the files of a split begin: `train`, or `train.naip` where every corpus has its own."""
    return f"{split}.{corpus}" if corpus else split


def fits(head: str, split: str, corpus: str = "") -> bool:
    """Whether files whose names begin so are of a split, and of a corpus where one is named."""
    return head == prefix(split, corpus) if corpus else head.partition(".")[0] == split


def pattern(split: str, corpus: str = "", by_corpus: bool = False) -> str:
    """The names of the files of a split, for `data_files`."""
    if corpus:
        return f"{prefix(split, corpus)}-{'[0-9]' * 5}-of-*.parquet"  # not those of `naip-2020` for `naip`
    return f"{split}.*.parquet" if by_corpus else f"{split}-*.parquet"


PARQUET = rf"({'|'.join(FOLDERS.values())})/({NAME.pattern})\.parquet"
"""Paths of the files that hold rows."""

NEEDED = (
    *("README.md", "DATASHEET.md", "NOTICE", "croissant.json", "SHA256SUMS"),
    *("recipe/fusionrs.toml", "recipe/fusionrs.lock", "recipe/report.json"),
)
"""Paths that every release has."""

OURS = re.compile(rf"{'|'.join(map(re.escape, NEEDED))}|examples/\d{{3}}-(rgb|ir)\.jpg|{PARQUET}")
"""Paths of a release, which the next one may replace or remove. Whatever else lies beside them is not ours."""
