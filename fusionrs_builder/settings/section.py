"""What the tables of fusionrs.toml have in common."""

from typing import Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

Band = Literal["nir", "swir", "mwir", "lwir"]


def _from_text(value: Any) -> Any:
    """Flags arrive as `a,b` or `k=v,k=v`; the file holds lists and tables."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if parts and all("=" in part for part in parts):
        return dict(part.split("=", 1) for part in parts)
    return parts


Listed = BeforeValidator(_from_text)


class Section(BaseModel):
    """A table of fusionrs.toml. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
