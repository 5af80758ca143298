"""The table of the captions: who writes them, and whom to ask."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from fusionrs_builder.settings.section import Section


class Price(Section):
    """Dollars for a million tokens of one model, as its seller states them."""

    input: float = Field(ge=0, description="dollars a million tokens of the question")
    output: float = Field(ge=0, description="dollars a million tokens of the answer")
    batch: float = Field(0.5, ge=0, le=1, description="share of these that the batch endpoint charges")


class CaptionSettings(Section):
    """Who writes the captions."""

    captioner: Literal["grounded", "chat"] = Field(
        "grounded",
        description="grounded: built in, from labels, boxes and measurements; chat: a model behind an OpenAI-like "
        "server, checked",
    )
    scene_captions: int = Field(2, ge=1, le=5, description="scene captions a record, at least")
    ir_captions: int = Field(2, ge=1, le=5, description="infrared captions a record")
    base_url: str = Field("https://api.openai.com/v1", description="chat: address of the server, ending in /v1")
    model: str = Field("", description="chat: name of the model; its key is read from OPENAI_API_KEY")
    views: Literal["both", "rgb", "ir"] = Field("both", description="chat: which images the model is shown")
    prompt: str = Field("fused", description="chat: fused, fusionrs (the recipe of the paper), or a file of yours")
    image_side: int = Field(512, ge=32, le=4096, description="chat: pixels of the longer side of images sent, at most")
    max_tokens: int = Field(400, ge=16, le=8192, description="chat: tokens of an answer, at most")
    temperature: float = Field(0.2, ge=0, le=2, description="chat: of the model")
    concurrency: int = Field(32, ge=1, le=1024, description="chat: questions under way at once, at most")
    timeout: float = Field(120, gt=0, description="chat: seconds to wait for an answer")
    patience: float = Field(600, gt=0, description="chat: seconds without any answer after which a server is given up")
    max_usd: float | None = Field(None, ge=0, description="chat: dollars, over all runs, that are never crossed")
    batch_api: bool = Field(False, description="chat: through the batch endpoint: within a day, at half the price")
    offline: bool = Field(False, description="chat: by a model in this process, by vllm or transformers; no server")
    prices: dict[str, Price] = Field(default_factory=dict, description="chat: dollars a million tokens, by model")

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("no address: give one like http://localhost:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError(
                "an address with a secret in it would be kept in fusionrs.toml: set OPENAI_API_KEY instead"
            )
        return url
