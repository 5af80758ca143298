"""A workspace is a folder (or an fsspec URL), a layer a folder in it, a shard one Parquet file in a layer.

Shard `naip-00007` of every layer holds the same records in the same order. A shard is done when its file stands and
its footer carries the fingerprint of what would be written now; there is no other record of progress. Files appear
whole or not at all: written beside their place, flushed to disk, renamed.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import socket
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from fusionrs_builder import schema
from fusionrs_builder.errors import FusionError, UsageError

Row = dict[str, Any]

ROW_GROUP_ROWS = 100
ROW_GROUP_BYTES = 32 * 1024 * 1024
"""A row group is closed at either bound, so memory does not grow with the shard and the Hub viewer can page."""

FOOTER_KEY = b"fusionrs"
TEMPORARY = ".tmp-"


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
        workspace: where.
        path: place of the file, relative to the workspace.
        arrow: schema of the rows.
        options: further options of `pyarrow.parquet.ParquetWriter`.
    """

    def __init__(self, workspace: "Workspace", path: str, arrow: pa.Schema, **options: Any) -> None:
        self.rows = 0
        self._workspace, self._path, self._arrow = workspace, path, arrow
        self._temporary = workspace.temporary(path)
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
        batch = pa.RecordBatch.from_pylist(self._buffer, schema=self._arrow)
        self.rows += batch.num_rows
        self._hash.update(batch.serialize())
        with self._workspace.explained(self._path):
            self._parquet.write_batch(batch, row_group_size=batch.num_rows)
        self._buffer, self._buffered = [], 0

    def commit(self, footer: Footer) -> Footer:
        """Flush, sync, rename into place. Returns the footer with `content` and `rows` filled in."""
        self._flush()
        footer = replace(footer, content=self._hash.hexdigest(), rows=self.rows)
        with self._workspace.explained(self._path):
            self._parquet.add_key_value_metadata({FOOTER_KEY: json.dumps(asdict(footer), sort_keys=True).encode()})
            self._parquet.close()
            self._handle.flush()
            os.fsync(self._handle.fileno())
            self._handle.close()
            self._workspace.publish(self._temporary, self._path)
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


class Workspace:
    """The folder of one dataset. Open with `Workspace.open(dir)`.

    Attributes:
        url: as given.
        fs: the fsspec file system.
        root: its path within that file system.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.fs, self.root = fsspec.core.url_to_fs(url)
        self.local = isinstance(self.fs, LocalFileSystem)

    def __getstate__(self) -> str:
        return self.url

    def __setstate__(self, url: str) -> None:
        self.__init__(url)  # type: ignore[misc]

    @classmethod
    def open(cls, where: str | os.PathLike[str], create: bool = False) -> "Workspace":
        """Open a workspace.

        Args:
            where: folder or fsspec URL.
            create: a missing folder will do; it is made when something is first written.

        Raises:
            UsageError: the folder is missing (and not `create`), or is a file.
            FusionError: the workspace was made by a newer version of this package.
        """
        workspace = cls(os.fspath(where))
        if workspace.fs.isfile(workspace.root):
            raise UsageError(f"{where} is a file, not a workspace folder: name a folder with -w")
        if not create and not workspace.fs.exists(workspace.root):
            raise UsageError(f"no workspace at {where}: make one with `fusionrs-build init {where}`, or name it by -w")
        made_by = workspace.read_json("fusionrs.lock", {})
        if made_by.get("workspace_version", 0) > schema.SCHEMA_VERSION:
            raise FusionError(
                f"{where} was made by fusionrs-builder {made_by.get('version')} (workspace version "
                f"{made_by['workspace_version']}, this one knows {schema.SCHEMA_VERSION}): upgrade fusionrs-builder"
            )
        return workspace

    # Paths and plain files.

    def path(self, *parts: str) -> str:
        return "/".join([self.root, *parts])

    def exists(self, path: str) -> bool:
        return bool(self.fs.exists(self.path(path)))

    def read_bytes(self, path: str) -> bytes:
        return bytes(self.fs.cat_file(self.path(path)))

    def read_json(self, path: str, default: Any) -> Any:
        """A JSON file of the workspace, or `default` when there is none.

        Raises:
            FusionError: the file is not JSON.
        """
        if not self.exists(path):
            return default
        try:
            return json.loads(self.read_bytes(path))
        except ValueError as error:
            raise FusionError(f"{self.path(path)} is not valid JSON ({error}): delete it and run again") from None

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a whole file, atomically."""
        temporary = self.temporary(path)
        try:
            with self.explained(path):
                with temporary.open("wb") as handle:
                    handle.write(data)
                    handle.flush()
                    os.fsync(handle.fileno())
                self.publish(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def write_json(self, path: str, value: Any) -> None:
        self.write_bytes(path, (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())

    def temporary(self, path: str) -> Path:
        """A fresh place to write `path` before it is published: beside it when local, else in the system's folder."""
        name = TEMPORARY + uuid.uuid4().hex
        if not self.local:
            return Path(tempfile.gettempdir()) / name
        folder = Path(self.path(path)).parent
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def publish(self, temporary: Path, path: str) -> None:
        """Move a written and synced file to its place: the moment at which it exists."""
        if not self.local:
            self.fs.put_file(str(temporary), self.path(path))
            temporary.unlink()
            return
        target = Path(self.path(path))
        os.replace(temporary, target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def explained(self, path: str) -> Iterator[None]:
        """Turn a full disk or a missing right into an error that names the file and the fix."""
        try:
            yield
        except OSError as error:
            reasons = {
                errno.ENOSPC: "the disk is full: free some space",
                errno.EDQUOT: "the disk quota is used up: free some space",
                errno.EFBIG: "the file would be larger than allowed here: raise the limit or lower build.shard_mb",
                errno.EACCES: "no right to write there: change the folder's rights",
                errno.EROFS: "the file system is read-only: use another workspace",
            }
            if error.errno not in reasons:
                raise
            raise FusionError(
                f"could not write {self.path(path)}: {reasons[error.errno]}, then run the same command again "
                "(finished shards are kept)"
            ) from error

    def clean(self) -> None:
        """Remove the leavings of a killed run. Call under the lock only."""
        if self.local:
            for depth in range(4):  # release/<name>/data lies three folders down
                for leaving in Path(self.root).glob("*/" * depth + f"{TEMPORARY}*"):
                    leaving.unlink(missing_ok=True)

    # Layers and shards.

    @staticmethod
    def shard_path(layer: str, shard: str) -> str:
        return f"{layer}/{shard}.parquet"

    def shards(self, layer: str) -> list[str]:
        """Names of the shards that stand in a layer, sorted."""
        folder = self.path(layer)
        if not self.fs.isdir(folder):
            return []
        names = (str(entry).rsplit("/", 1)[-1] for entry in self.fs.ls(folder, detail=False))
        return sorted(n.removesuffix(".parquet") for n in names if n.endswith(".parquet") and not n.startswith("."))

    def footer(self, layer: str, shard: str) -> Footer | None:
        """What the shard says of itself; None when it is missing, damaged or not ours: then it is not done."""
        return self.footer_of(self.shard_path(layer, shard))

    def footer_of(self, path: str) -> Footer | None:
        """The same for any Parquet file of the workspace."""
        try:
            with self.fs.open(self.path(path), "rb") as handle:
                metadata = pq.read_metadata(handle).metadata or {}
            return Footer(**json.loads(metadata[FOOTER_KEY]))
        except (FileNotFoundError, KeyError, TypeError, ValueError, pa.ArrowException):
            return None

    def footers(self, layer: str) -> dict[str, Footer]:
        found = {shard: self.footer(layer, shard) for shard in self.shards(layer)}
        return {shard: footer for shard, footer in found.items() if footer is not None}

    def writer(self, layer: str, shard: str, **options: Any) -> ShardWriter:
        """A writer of one shard of a layer."""
        return ShardWriter(self, self.shard_path(layer, shard), schema.arrow_schema(layer), **options)

    def batches(self, layer: str, shard: str, columns: Sequence[str] | None = None) -> Iterator[list[Row]]:
        """The rows of a shard, a row group at a time.

        Raises:
            FusionError: the shard cannot be read.
        """
        path = self.shard_path(layer, shard)
        try:
            with self.fs.open(self.path(path), "rb") as handle:
                parquet = pq.ParquetFile(handle)
                for group in range(parquet.num_row_groups):
                    yield parquet.read_row_group(group, columns=list(columns) if columns else None).to_pylist()
        except (FileNotFoundError, pa.ArrowException) as error:
            raise FusionError(f"{self.path(path)} cannot be read ({error}): delete it and run again") from error

    def rows(self, layer: str, shard: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """The rows of a shard, one row group in memory at a time."""
        for batch in self.batches(layer, shard, columns):
            yield from batch

    def zip(self, shard: str, layers: Mapping[str, Sequence[str] | None]) -> Iterator[Row]:
        """The rows of the same shard in several layers, joined by position.

        Args:
            shard: name of the shard.
            layers: columns wanted of each layer (None: all). A later layer's column replaces an earlier one's.

        Raises:
            FusionError: the layers do not hold the same records in the same order.
        """
        wanted = {layer: None if columns is None else ["id", *columns] for layer, columns in layers.items()}
        streams = [self.rows(layer, shard, columns) for layer, columns in wanted.items()]
        try:
            for parts in zip(*streams, strict=True):
                if len({part["id"] for part in parts}) != 1:
                    raise ValueError
                yield {name: value for part in parts for name, value in part.items()}
        except ValueError:
            raise FusionError(
                f"shard {shard} holds other records in one of {', '.join(layers)}: delete the later one and run again"
            ) from None

    def remove(self, layer: str, shard: str) -> None:
        path = self.path(self.shard_path(layer, shard))
        if self.fs.exists(path):
            self.fs.rm_file(path)

    # One build at a time.

    @contextlib.contextmanager
    def lock(self, command: str) -> Iterator[None]:
        """Hold the workspace for one build; the system frees the lock when the process dies.

        A workspace on an object store is guarded against a second build on this machine only.

        Raises:
            FusionError: another build holds it.
        """
        name = f"fusionrs-{hashlib.sha256(self.url.encode()).hexdigest()[:16]}.lock"
        place = Path(self.path(".lock")) if self.local else Path(tempfile.gettempdir()) / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                handle.seek(0)
                holder = handle.read().strip() or "another process"
                raise FusionError(
                    f"{self.url} is in use by {holder}: wait for it to end, or use another workspace"
                ) from None
            handle.truncate(0)
            handle.write(f"`fusionrs-build {command}` (process {os.getpid()} on {socket.gethostname()})")
            handle.flush()
            self.clean()
            yield


def corpus_of(shard: str) -> str:
    """`naip` of `naip-00007`."""
    return shard.rsplit("-", 1)[0]


def refused_by_reason(reasons: Sequence[str]) -> dict[str, int]:
    """Count `code: message` reasons by their code."""
    return dict(sorted(Counter(reason.split(":", 1)[0] for reason in reasons).items()))
