"""Where a file of a corpus is published, and how to know that it arrived."""

from typing import Annotated

from pydantic import Field, field_validator

from fusionrs_builder.settings import Section


class Address(Section):
    """One published file (or the files of a Hub repository that match a pattern).

    `url` and its mirrors are https://..., hf://datasets/ORG/NAME@REVISION/PATH (PATH may hold `*`), s3://..., gs://...
    or file:///...
    """

    url: str = Field(description="address of the publisher")
    mirrors: tuple[str, ...] = Field((), description="other addresses of the same bytes, tried in turn")
    to: str = Field("", description="path below the corpus folder; the last part of the address by default")
    bytes: Annotated[int, Field(ge=0)] | None = Field(None, description="size")
    md5: str = Field("", pattern="^([0-9a-f]{32})?$", description="published md5")
    sha256: str = Field("", pattern="^([0-9a-f]{64})?$", description="published sha256")
    unpack: bool = Field(True, description="an archive is unpacked")
    into: str = Field("", description="folder an archive is unpacked into, below the corpus folder")
    joined: str = Field("", description="name of the archive that this and the parts after it make together")

    @field_validator("to", "into", "joined")
    @classmethod
    def _stays_below(cls, path: str) -> str:
        if path.startswith("/") or ".." in path.split("/") or "\\" in path:
            raise ValueError("a path below the corpus folder, without `..`")
        return path

    @property
    def name(self) -> str:
        """Path below the corpus folder where the file is kept."""
        return self.to or self.url.split("?", 1)[0].rstrip("/").rsplit("/", 1)[-1]
