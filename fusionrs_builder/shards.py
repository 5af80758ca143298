"""One Parquet file of a layer: rows written one by one, and the footer by which it is known to be done."""

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fusionrs_builder.files import Files

Row = dict[str, Any]

ROW_GROUP_ROWS = 100
ROW_GROUP_BYTES = 32 * 1024 * 1024
"""A row group is closed at either bound, so memory does not grow with the shard and the Hub viewer can page."""

FOOTER_KEY = b"fusionrs"


@dataclass(frozen=True)
class Footer:
    """What a shard says of itself.

    Attributes:
        stage: name of the stage that wrote it.
        fingerprint: of what was to be written: stage version, parameters, input contents, model hashes.
        content: sha256 of the rows, whatever machine wrote them; what the next layer's fingerprint is made from.
        inputs: content of each layer the shard was made from.
        items: what went in.
        rows: rows in the file.
        refused: items refused, by reason code. items = good + refused.
    """

    stage: str
    fingerprint: str
    content: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    items: int = 0
    rows: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    @property
    def good(self) -> int:
        return self.items - sum(self.refused.values())


class ShardWriter:
    """Writes one Parquet file row by row; the file appears, whole, when `commit` is called.

    Args:
        files: where.
        path: place of the file, relative to `files`.
        arrow: schema of the rows.
        hashed: give the footer the sha256 of the rows; what no layer is made from goes without.
        options: further options of `pyarrow.parquet.ParquetWriter`.
    """

    def __init__(self, files: Files, path: str, arrow: pa.Schema, hashed: bool = True, **options: Any) -> None:
        self.rows, self.hashed = 0, hashed
        self._files, self._path, self._arrow = files, path, arrow
        self._temporary = files.temporary(path)
        self._handle = self._temporary.open("wb")
        # Encoded images gain nothing from a dictionary; repeated strings gain everything.
        words = [f.name for f in arrow if pa.types.is_string(f.type)]
        self._parquet = pq.ParquetWriter(self._handle, arrow, use_dictionary=words, **options)
        self._hash = hashlib.sha256()
        self._buffer: list[Row] = []
        self._buffered = 0

    def write(self, row: Row) -> None:
        self._buffer.append(row)
        self._buffered += sum(len(v["bytes"] or b"") for v in row.values() if isinstance(v, dict) and "bytes" in v)
        if len(self._buffer) >= ROW_GROUP_ROWS or self._buffered >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._buffer:
            return
        self.write_group(pa.Table.from_pylist(self._buffer, schema=self._arrow))
        self._buffer, self._buffered = [], 0

    def write_group(self, group: pa.Table) -> None:
        """Write a whole row group.

        Args:
            group: one chunk a column, nothing of it sliced: the same rows then have the same `content`.
        """
        group = group.cast(self._arrow)
        self.rows += group.num_rows
        for batch in group.to_batches() if self.hashed else ():
            self._hash.update(batch.serialize())
        with self._files.explained(self._path):
            self._parquet.write_table(group, row_group_size=max(1, group.num_rows))

    def commit(self, footer: Footer) -> Footer:
        """Flush, sync, rename into place. Returns the footer with `content` and `rows` filled in."""
        self._flush()
        footer = replace(footer, content=self._hash.hexdigest() if self.hashed else "", rows=self.rows)
        with self._files.explained(self._path):
            self._parquet.add_key_value_metadata({FOOTER_KEY: json.dumps(asdict(footer), sort_keys=True).encode()})
            self._parquet.close()
            self._handle.flush()
            os.fsync(self._handle.fileno())
            self._handle.close()
            self._files.publish(self._temporary, self._path)
        return footer

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind when `commit` was not reached."""
        if self._temporary.exists():
            with contextlib.suppress(OSError):  # a full disk: closing tries to write again
                self._parquet.close()
            with contextlib.suppress(OSError):
                self._handle.close()
            self._temporary.unlink(missing_ok=True)


def corpus_of(shard: str) -> str:
    """`naip` of `naip-00007`."""
    return shard.rsplit("-", 1)[0]


def refused_by_reason(reasons: Sequence[str]) -> dict[str, int]:
    """Count `code: message` reasons by their code."""
    return dict(sorted(Counter(reason.split(":", 1)[0] for reason in reasons).items()))
