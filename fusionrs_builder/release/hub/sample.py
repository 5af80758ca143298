"""Whether `load_dataset` finds on the Hub what lies here: the first rows of each split, streamed and compared."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fusionrs_builder.errors import FusionError
from fusionrs_builder.release.hub.inventory import Inventory
from fusionrs_builder.shards import Row

ROWS = 4
"""Rows compared a split. Every byte was verified by its hash before; this is about what the card makes of the files."""


def check(local: Inventory, config: str, repo_id: str, revision: str, token: str, endpoint: str) -> None:
    """Stream the first rows of each split of a config, and compare splits, files, ids and image bytes.

    Args:
        local: the release.
        config: of its card.
        repo_id: `ORG/NAME`.
        revision: a commit. Its name is its content, so nothing older can come from a cache.
        token: that may read it.
        endpoint: of the Hub.

    Raises:
        FusionError: what is read is not what lies here.
    """
    from datasets import load_dataset  # seconds to import

    # `datasets` answers from an older copy in its cache when the Hub does not answer: it is given an empty one.
    with tempfile.TemporaryDirectory() as cache, _reading_from(endpoint):
        streams: Mapping[str, Any] = load_dataset(
            repo_id, config, revision=revision, streaming=True, token=token, cache_dir=cache
        )
        _compare(config, "splits", sorted(streams), sorted(local.configs[config]))
        for split, stream in streams.items():
            files = local.data_files(config, split)
            _compare(f"{config}/{split}", "files", stream.num_shards, len(files))
            with pq.ParquetFile(local.folder / files[0]) as parquet:
                images = [field.name for field in parquet.schema_arrow if _is_image(field.type)]
                rows = next(parquet.iter_batches(ROWS), pa.RecordBatch.from_pylist([])).to_pylist()
            found = [_told(row, images) for row in islice(stream.decode(False), len(rows))]
            _compare(f"{config}/{split}", "first rows", found, [_told(row, images) for row in rows])


def _is_image(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and [field.name for field in kind] == ["bytes", "path"]


def _told(row: Row, images: list[str]) -> list[str | None]:
    """The id of a row, and the sha256 of each of its images."""
    return [row["id"], *(hashlib.sha256(row[name]["bytes"]).hexdigest() if row[name] else None for name in images)]


def _compare(where: str, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise FusionError(
            f"{where}: `load_dataset` reads other {what} from the Hub than from the release folder, so nothing was "
            "published: write the release anew with `fusionrs-build push`, then run the same command again"
        )


@contextmanager
def _reading_from(endpoint: str) -> Iterator[None]:
    """Let `datasets` read there, and count no download: it has both from the environment alone."""
    from datasets import config
    from huggingface_hub import constants

    values = (
        (config, "HF_UPDATE_DOWNLOAD_COUNTS", False),
        (config, "HF_ENDPOINT", endpoint),
        (constants, "ENDPOINT", endpoint),
        (constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"),
    )
    before = [(place, name, getattr(place, name)) for place, name, _ in values]
    try:
        for place, name, value in values:
            setattr(place, name, value)
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)
