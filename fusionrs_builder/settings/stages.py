"""The tables of the other stages, and of what all share."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from fusionrs_builder.settings.section import Listed, Section


class BuildSettings(Section):
    """What all stages share."""

    shard_records: int = Field(1000, ge=1, le=100_000, description="records a shard, at most")
    shard_mb: int = Field(256, ge=1, description="megabytes of source a shard, about")
    max_reject_rate: float = Field(0.05, ge=0, le=1, description="share of refused items above which a command fails")
    seed: int = Field(0, ge=0, description="seed of every random choice")


class TranslateSettings(Section):
    """How the infrared view of an RGB image is drawn."""

    translator: str = Field(
        "nir-small",
        description="gray, gray-inverted, duplicate, nir-small, lwir-small, a folder, FILE.onnx, COMMAND.toml, or "
        "hf://ORG/NAME",
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="arithmetic of the network")
    ir_format: Literal["jpeg", "png"] = Field("jpeg", description="how translated infrared is encoded")


class CurateSettings(Section):
    """How records are grouped, split and sifted."""

    split: Annotated[tuple[float, float, float], Listed] = Field(
        (0.90, 0.05, 0.05), description="shares of train, validation and test, where no publisher split the records"
    )
    phash_radius: int = Field(
        4,
        ge=0,
        le=8,
        description="bits by which the hashes of near-duplicates differ, at most; above 4, a million records take long",
    )
    protect: Annotated[tuple[str, ...], Listed] = Field(
        (), description="benchmarks to keep out of train, with all that resembles them: CORPUS:SPLIT,..."
    )
    min_side: int = Field(32, ge=1, description="pixels of the shorter side, at least")
    min_entropy: float = Field(0.5, ge=0, le=8, description="bits of the grey levels below which a picture is blank")
    max_saturation: float = Field(0.5, ge=0, le=1, description="share of black and white pixels, at most")
    max_nodata: float = Field(0.5, ge=0, le=1, description="share of pixels without data, at most")
    max_same_caption: int = Field(
        1000, ge=1, description="records that one published sentence may stand in; more, and it says nothing of them"
    )

    @field_validator("split")
    @classmethod
    def _sums_to_one(cls, split: tuple[float, float, float]) -> tuple[float, float, float]:
        if not (min(split) >= 0 and abs(sum(split) - 1) <= 1e-6):  # false of what is no number, too
            raise ValueError("the three shares must be positive and sum to 1, e.g. 0.90,0.05,0.05")
        return split

    @field_validator("protect")
    @classmethod
    def _corpus_and_split(cls, protect: tuple[str, ...]) -> tuple[str, ...]:
        for each in protect:
            if not re.fullmatch(r"[a-z0-9_-]+:[^:]+", each):
                raise ValueError(f"{each!r} is no CORPUS:SPLIT, e.g. rsicd:test")
        return protect


class PushSettings(Section):
    """What is released, and what only its publisher can say of it."""

    name: str = Field("fusionrs", pattern=r"^[A-Za-z0-9][\w.-]*$", description="name of the release folder")
    title: str = Field("FusionRS", description="title of the dataset card")
    file_mb: int = Field(400, ge=1, le=5000, description="megabytes a Parquet file, about")
    license_policy: Literal["redistributable", "noncommercial", "any"] = Field(
        "redistributable",
        description="whose pixels are in it: what anyone may publish again, also what may be published but not sold, "
        "or all, for your own use; the other rows hold what `fusionrs-build rebuild` needs",
    )
    by_corpus: bool = Field(False, description="files and a configuration of its own for every corpus")
    creators: Annotated[tuple[str, ...], Listed] = Field((), description="who publishes it: names,...")
    contact: str = Field("", description="where to ask, and to ask that a record be taken down")
    url: str = Field("", description="page of the dataset")
    published: str = Field("", pattern=r"^(\d{4}-\d{2}-\d{2})?$", description="date of publication, YYYY-MM-DD")
    version: str = Field("1.0.0", pattern=r"^\d+\.\d+\.\d+$", description="of the release, MAJOR.MINOR.PATCH")
    purpose: str = Field("", description="what it was made for")
    funding: str = Field("", description="who paid")
    maintenance: str = Field("", description="who keeps it up")

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if url and not re.fullmatch(r"https?://[A-Za-z0-9._~:/?#@!$&'*+,;=%-]+", url):
            raise ValueError("an address that begins with https://")
        if "@" in urlsplit(url).netloc:
            raise ValueError("an address with a user name or password in it would be published: leave it out")
        return url
