"""The columns of the configurations of a release, as Arrow and as Hugging Face features, and where each comes from."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from fusionrs_builder import schema
from fusionrs_builder.release.layout import Config

IMAGES = tuple(column.name for column in schema.COLUMNS if column.release and column.type == schema.IMAGE)
"""What the configuration `text` leaves out."""

SOURCES: Mapping[str, Sequence[str]] = {
    layer: [c.name for c in schema.COLUMNS if c.release and c.layers[-1:] == (layer,) and c.layers != schema.LAYERS]
    for layer in schema.LAYERS
}
"""The released columns of each layer, each from the last layer that holds it (`ir` from `ir`, not from `rgb`)."""


def features(config: Config = "default") -> Any:
    """The `datasets.Features` of a configuration."""
    from datasets import Features, Image  # seconds to import: only when something is written

    found = Features.from_arrow_schema(_columns(config))
    return Features({name: Image() if name in IMAGES else feature for name, feature in found.items()})


def arrow_schema(config: Config = "default") -> pa.Schema:
    """The Arrow schema of a file of a configuration; `datasets` finds its features in the metadata."""
    return _columns(config).with_metadata(features(config).arrow_schema.metadata)


def _columns(config: Config) -> pa.Schema:
    columns = schema.arrow_schema("release")
    return columns if config == "default" else pa.schema([field for field in columns if field.name not in IMAGES])
