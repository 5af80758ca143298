"""The example pictures of the dataset card."""

import io
from collections.abc import Sequence

import pyarrow.parquet as pq

from fusionrs_builder import pixels
from fusionrs_builder.release.documents.facts import Place
from fusionrs_builder.shards import Row
from fusionrs_builder.workspace import Workspace

FOLDER = "examples"
SIDE = 256
"""Longer side of an example picture, pixels."""

COLUMNS = ["id", "corpus", "split", "rgb", "ir", "ir_origin", "ir_band", "scene_captions", "ir_captions"]


def write(workspace: Workspace, folder: str, layer: str, places: Sequence[Place]) -> list[Row]:
    """Write `examples/000-rgb.jpg`, `examples/000-ir.jpg` ... of the given rows, and remove those of an earlier card.

    Returns:
        The rows, with the name of each picture (None where the record has none) in place of its bytes.
    """
    found, written = [], set()
    for number, shown in enumerate(places):
        row = _row(workspace, layer, shown)
        for name in ("rgb", "ir"):
            picture = row[name]
            row[name] = f"{FOLDER}/{number:03d}-{name}.jpg" if picture and picture["bytes"] else None
            if row[name]:
                workspace.write_bytes(f"{folder}/{row[name]}", _small(picture["bytes"], name))
                written.add(row[name].rsplit("/", 1)[-1])
        found.append(row)
    place = workspace.path(folder, FOLDER)
    for path in workspace.fs.ls(place, detail=False) if workspace.fs.isdir(place) else []:
        if str(path).endswith(".jpg") and str(path).rsplit("/", 1)[-1] not in written:
            workspace.fs.rm_file(str(path))
    return found


def _row(workspace: Workspace, layer: str, place: Place) -> Row:
    """One row of a release file; only its row group is read."""
    with workspace.fs.open(workspace.path(workspace.shard_path(layer, place.shard)), "rb") as handle:
        parquet = pq.ParquetFile(handle)
        group, before = 0, 0
        while before + parquet.metadata.row_group(group).num_rows <= place.row:
            before += parquet.metadata.row_group(group).num_rows
            group += 1
        table = parquet.read_row_group(group, columns=COLUMNS).slice(place.row - before, 1)
    row: Row = table.to_pylist()[0]
    return row


def _small(data: bytes, name: str) -> bytes:
    image = pixels.decode(data).convert("RGB" if name == "rgb" else "L")
    image.thumbnail((SIDE, SIDE))
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=85)
    return sink.getvalue()
