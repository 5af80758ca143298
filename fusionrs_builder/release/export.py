"""The Parquet files of a release: the kept rows of the aligned layers, in Arrow from end to end."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fusionrs_builder import schema
from fusionrs_builder.errors import FusionError
from fusionrs_builder.release.features import IMAGES, SOURCES, arrow_schema
from fusionrs_builder.release.layout import FOLDERS, Config
from fusionrs_builder.release.licences import Policy, withhold
from fusionrs_builder.release.plan import File, Part
from fusionrs_builder.shards import Footer, ShardWriter
from fusionrs_builder.workspace import Workspace

GROUP_ROWS: dict[Config, int] = {"default": 100, "text": 1000}
"""Rows of a row group at most: what the viewer of the Hub reads at once for a page."""

GROUP_BYTES = 100_000_000
"""Bytes of the images of a row group, at most; the viewer refuses groups above 286 MiB."""


def rows(workspace: Workspace, file: File, policy: Policy) -> Iterator[pa.RecordBatch]:
    """The rows of one file, a row group of the layers in memory at a time.

    Raises:
        FusionError: a shard cannot be read, its layers do not hold the same records, or it was replaced since the
            file was planned.
    """
    for part in file.parts:
        made_from = {"shard": part.shard, "rgb": part.inputs["rgb"], "ir": part.inputs["ir"]}
        for batch in _aligned(workspace, part.shard):
            mask = pc.and_(batch["keep"], pc.equal(batch["split"], file.split))
            kept = batch.filter(mask)
            if not kept.num_rows:
                continue
            told = pa.array([made_from] * kept.num_rows, schema.MADE_FROM)
            kept = kept.append_column("made_from", told).select([c.name for c in schema.COLUMNS if c.release])
            yield from (withhold(each, policy) for each in kept.combine_chunks().to_batches())
        _check_unchanged(workspace, part)  # after the reading: what was replaced by then is not what was planned


def _aligned(workspace: Workspace, shard: str) -> Iterator[pa.Table]:
    """The released columns, and `keep`, of all layers side by side, as many rows as are at hand of each."""
    wanted = {layer: ["id", *SOURCES[layer]] for layer in schema.LAYERS}
    wanted["curation"].append("keep")
    streams = {layer: workspace.tables(layer, shard, columns) for layer, columns in wanted.items()}
    at_hand: dict[str, pa.Table] = {}
    while True:
        for layer, stream in streams.items():
            if layer not in at_hand or not at_hand[layer].num_rows:
                at_hand[layer] = next(stream, None)
        if all(table is None for table in at_hand.values()):
            return
        if any(table is None for table in at_hand.values()):
            raise _other_records(shard)
        count = min(table.num_rows for table in at_hand.values())
        parts = [table.slice(0, count) for table in at_hand.values()]
        at_hand = {layer: table.slice(count) for layer, table in at_hand.items()}
        if any(not part["id"].equals(parts[0]["id"]) for part in parts):
            raise _other_records(shard)
        whole = parts[0]
        for part in parts[1:]:
            for name in part.column_names[1:]:
                whole = whole.append_column(name, part[name])
        yield whole


def _other_records(shard: str) -> FusionError:
    return FusionError(
        f"shard {shard} holds other records in one of {', '.join(schema.LAYERS)}: delete the later one and run again"
    )


def _check_unchanged(workspace: Workspace, part: Part) -> None:
    for layer, content in part.inputs.items():
        footer = workspace.footer(layer, part.shard)
        if footer is None or footer.content != content:
            raise FusionError(
                f"{layer}/{part.shard}.parquet was replaced while it was being released: run `fusionrs-build push` "
                "again, once nothing else writes to the workspace"
            )


class ReleaseWriter:
    """Writes a file of `data/`, and the one of the same name of `text/`; both appear, whole, when `commit` is called.

    Args:
        workspace: where.
        folder: of the release, relative to the workspace.
        name: of the file.
    """

    def __init__(self, workspace: Workspace, folder: str, name: str) -> None:
        self._writers: dict[Config, ShardWriter] = {
            config: ShardWriter(
                workspace,
                f"{folder}/{place}/{name}.parquet",
                arrow_schema(config),
                hashed=False,
                # Encoded images do not become smaller; what stands beside them does.
                compression={leaf: "none" if leaf.endswith(".bytes") else "zstd" for leaf in _leaves(config)},
                write_page_index=True,
                use_content_defined_chunking=True,
            )
            for config, place in FOLDERS.items()
        }
        self._waiting: dict[Config, list[pa.RecordBatch]] = {config: [] for config in FOLDERS}

    def write(self, batch: pa.RecordBatch) -> None:
        """Take rows, with all columns of a release; row groups do not depend on how they were handed over."""
        for config, writer in self._writers.items():
            waiting = self._waiting[config]
            rest = batch if config == "default" else batch.drop_columns(list(IMAGES))
            while rest.num_rows:
                room = _room(waiting, rest, GROUP_ROWS[config])
                if not room:
                    self._flush(writer, waiting)
                    continue
                waiting.append(rest.slice(0, room))
                rest = rest.slice(room)
            if sum(each.num_rows for each in waiting) >= GROUP_ROWS[config]:
                self._flush(writer, waiting)

    @staticmethod
    def _flush(writer: ShardWriter, waiting: list[pa.RecordBatch]) -> None:
        if waiting:
            writer.write_group(pa.Table.from_batches(waiting).combine_chunks())
            waiting.clear()

    def commit(self, footer: Footer) -> Footer:
        """Flush, sync, rename into place: `data/` last, which is what says that both are done."""
        for config, writer in self._writers.items():
            self._flush(writer, self._waiting[config])
        self._writers["text"].commit(footer)
        return self._writers["default"].commit(footer)

    def __enter__(self) -> "ReleaseWriter":
        return self

    def __exit__(self, *raised: object) -> None:
        for writer in self._writers.values():
            writer.__exit__(*raised)


def _room(waiting: Sequence[pa.RecordBatch], batch: pa.RecordBatch, most: int) -> int:
    """How many of the first rows of a batch still fit into the row group; one always fits into an empty one."""
    rows = most - sum(each.num_rows for each in waiting)
    held = sum(sum(_sizes(each)) for each in waiting)
    room = 0
    for size in _sizes(batch)[:rows]:
        if held + size > GROUP_BYTES and (waiting or room):
            break
        held, room = held + size, room + 1
    return room


def _sizes(batch: pa.RecordBatch) -> list[int]:
    """Bytes of the images of each row."""
    images = [batch[name] for name in IMAGES if name in batch.schema.names]
    lengths = [pc.fill_null(pc.binary_length(pc.struct_field(image, "bytes")), 0).to_pylist() for image in images]
    return [sum(of_row) for of_row in zip(*lengths, strict=True)] if lengths else [0] * batch.num_rows


def _leaves(config: Config) -> list[str]:
    """Names of the columns as Parquet has them, those within lists and structs one by one."""
    empty = pa.BufferOutputStream()
    with pq.ParquetWriter(empty, arrow_schema(config).remove_metadata()):
        pass
    parquet = pq.ParquetFile(pa.BufferReader(empty.getvalue())).schema
    return [parquet.column(n).path for n in range(len(parquet))]
