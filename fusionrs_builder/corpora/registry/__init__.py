"""The corpora this package knows: one TOML file each, data and no code.

`fusionrs-build download NAME` takes its addresses and settings from here; keys of fusionrs.toml and flags go over them.
A fact without a source is named under `unverified`.
"""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from fusionrs_builder.corpora.address import Address
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings, Section

FOLDER = Path(__file__).parent


class Samples(Section):
    """The part of a corpus that lies among the sample corpora."""

    folder: str = Field(description="its folder there")
    records: int = Field(description="records it gives with these settings")


class Stac(Section):
    """A catalogue of imagery by place and time (STAC API), read by windows."""

    url: str = Field(description="address of the catalogue")
    collection: str = Field(description="name of the collection")
    assets: dict[str, str] = Field(description="asset of each band, `asset` or `asset#2` for its second band")
    scale: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="scale and offset a band, where the items do not state them"
    )
    sign: str = Field("", description="address that gives a token for the assets")
    query: dict[str, dict[str, float | str]] = Field(default_factory=dict, description="further conditions on items")


class Entry(Section):
    """One file of the registry."""

    title: str = Field(description="full name")
    kind: Literal["captions", "classification", "detection", "segmentation", "pairs", "imagery"] = Field(
        description="what its annotations are"
    )
    homepage: str = Field("", description="where the publisher presents it")
    citation: str = Field("", description="how to cite it")
    bands: tuple[str, ...] = Field((), description="what was sensed: rgb, nir, swir, lwir, ...")
    gsd_m: tuple[float, float] | float | None = Field(None, description="metres per pixel, or finest and coarsest")
    records: int | None = Field(None, description="images the publisher counts")
    splits: dict[str, int] = Field(default_factory=dict, description="images of each of the publisher's splits")
    redistribution: Literal["yes", "no", "non-commercial", "unclear"] = Field(
        description="whether pixels may be published again"
    )
    overlaps: tuple[str, ...] = Field((), description="corpora that share images with it")
    manual: str = Field(
        "", description="what a person must do where a form, a login or a shared drive stands in the way"
    )
    unverified: tuple[str, ...] = Field((), description="facts here, or missing here, for which no source was found")
    files: tuple[Address, ...] = Field((), description="what is fetched")
    stac: Stac | None = Field(None, description="the catalogue it is cut from, instead of files")
    samples: Samples | None = Field(None, description="its part among the sample corpora")
    settings: CorpusSettings = Field(description="how it is read, and what its publisher allows")

    @model_validator(mode="after")
    def _agree(self) -> "Entry":
        if self.settings.redistributable != (self.redistribution == "yes"):
            raise ValueError('settings.redistributable is true just where redistribution = "yes"')
        return self

    @property
    def how(self) -> str:
        """How a copy is had: fetch, stac, manual, or own copy."""
        return "stac" if self.stac else "fetch" if self.files else "manual" if self.manual else "own copy"

    @property
    def unknown(self) -> list[str]:
        """What it leaves out, because no source was found."""
        hashed = all(file.md5 or file.sha256 for file in self.files)
        facts: dict[str, object] = {
            "home page": self.homepage,
            "how to cite it": self.citation,
            "metres per pixel": self.gsd_m,
            "number of images": self.records or self.stac,
            "revision": self.settings.source_revision,
            "hash of a file": hashed,
        }
        return [name for name, fact in facts.items() if not fact]


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
