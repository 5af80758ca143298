"""How a record of a release becomes files: their names, their bytes, and the columns that are no image."""

import hashlib
import re
from collections.abc import Iterator

import pyarrow as pa

from fusionrs_builder.errors import FusionError
from fusionrs_builder.release.features import IMAGES
from fusionrs_builder.shards import Row

KEY = r"[A-Za-z0-9][A-Za-z0-9_-]*-[0-9a-f]{16}"
"""What `key` gives."""

EXTENSIONS = ((b"\xff\xd8\xff", "jpg"), (b"\x89PNG", "png"), (b"RIFF", "webp"))
"""How the encodings that a release holds begin."""


def key(name: str) -> str:
    """A file name for a record: ASCII without dots or slashes, at most 77 characters, one to one with the id."""
    readable = re.sub(r"[^A-Za-z0-9-]+", "_", name)[:60].strip("_-") or "record"
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def extension(data: bytes, name: str, column: str) -> str:
    """The file extension of encoded pixels.

    Raises:
        FusionError: neither JPEG, PNG nor WebP.
    """
    for start, found in EXTENSIONS:
        if data.startswith(start):
            return found
    raise FusionError(
        f"{column} of {name} is neither JPEG, PNG nor WebP: delete the file of the release that holds it, then "
        "`fusionrs-build push`"
    )


def images(row: Row) -> Iterator[tuple[str, bytes]]:
    """The images that a row has: column and encoded bytes."""
    for column in IMAGES:
        if row[column] and row[column]["bytes"]:
            yield column, row[column]["bytes"]


def plain_schema(arrow: pa.Schema) -> pa.Schema:
    """The other columns, as `plain` gives them."""
    fields = (field for field in arrow if field.name not in IMAGES)
    return pa.schema([field.with_type(pa.string()) if _is_hash(field) else field for field in fields])


def plain(row: Row, arrow: pa.Schema) -> Row:
    """The other columns of a row. Hashes become 16 hexadecimal digits: of 64-bit numbers that do not come from
    Parquet `datasets` reads no more than 63 bits.
    """
    return {
        field.name: f"{row[field.name]:016x}" if _is_hash(field) and row[field.name] is not None else row[field.name]
        for field in arrow
        if field.name not in IMAGES
    }


def _is_hash(field: pa.Field) -> bool:
    return bool(field.type == pa.uint64())
