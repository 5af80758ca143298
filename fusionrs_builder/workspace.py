"""A workspace is a folder (or an fsspec URL), a layer a folder in it, a shard one Parquet file in a layer.

Shard `naip-00007` of every layer holds the same records in the same order. A shard is done when its file stands and
its footer carries the fingerprint of what would be written now; there is no other record of progress. Files appear
whole or not at all: written beside their place, flushed to disk, renamed.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fusionrs_builder import schema
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import Files
from fusionrs_builder.shards import FOOTER_KEY, Footer, Row, ShardWriter


class Workspace(Files):
    """The folder of one dataset. Open with `Workspace.open(dir)`."""

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
        if not isinstance(made_by, dict):
            raise FusionError(
                f"{workspace.path('fusionrs.lock')} is not what this package wrote: delete it and run again"
            )
        if made_by.get("workspace_version", 0) > schema.SCHEMA_VERSION:
            raise FusionError(
                f"{where} was made by fusionrs-builder {made_by.get('version')} (workspace version "
                f"{made_by['workspace_version']}, this one knows {schema.SCHEMA_VERSION}): upgrade fusionrs-builder"
            )
        return workspace

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
        except PermissionError:
            raise FusionError(f"{self.path(path)} cannot be read: change its rights") from None
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException):  # pyarrow says OSError of damage
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
        for table in self.tables(layer, shard, columns):
            yield table.to_pylist()

    def tables(self, layer: str, shard: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The row groups of a shard, one by one.

        Raises:
            FusionError: the shard cannot be read.
        """
        path = self.shard_path(layer, shard)
        try:
            # Arrow reads a local file by itself twice as fast as through a file of Python.
            place = contextlib.nullcontext(self.path(path)) if self.local else self.fs.open(self.path(path), "rb")
            with place as opened, pq.ParquetFile(opened, pre_buffer=not self.local) as parquet:
                for group in range(parquet.num_row_groups):
                    yield parquet.read_row_group(group, columns=list(columns) if columns else None)
        except (OSError, pa.ArrowException) as error:
            raise FusionError(f"{self.path(path)} cannot be read ({error}): delete it and run again") from error

    def table(self, layer: str, shard: str, columns: Sequence[str]) -> pa.Table:
        """Some columns of a whole shard: those of a few bytes a row.

        Raises:
            FusionError: the shard cannot be read.
        """
        path = self.shard_path(layer, shard)
        try:
            with self.fs.open(self.path(path), "rb") as handle:
                return pq.ParquetFile(handle).read(columns=list(columns))
        except (OSError, pa.ArrowException) as error:
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
        with self.explained(".lock"):
            handle = place.open("a+")
        with handle:
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
