"""Are the layers of a workspace what their footers say? Read: small columns of all rows, the pictures of a sample."""

import hashlib
from collections.abc import Iterator, Sequence

from fusionrs_builder import pixels, schema
from fusionrs_builder.checked import Checked
from fusionrs_builder.errors import FusionError
from fusionrs_builder.shards import Row
from fusionrs_builder.stage import MADE_BY
from fusionrs_builder.workspace import Workspace

SAMPLE = 200
"""Records whose pictures are decoded, spread evenly over the workspace."""


def check(workspace: Workspace, every: bool = False) -> Checked:
    """Look through the layers that stand.

    Args:
        workspace: to look at.
        every: decode the pictures of all records, not of a sample.
    """
    found = Checked()
    shards = workspace.shards("rgb")
    if not shards:
        found.off("empty", f"{workspace.url} has no records: run `fusionrs-build download`")
    ids: set[bytes] = set()
    groups: dict[bytes, str] = {}
    for shard in shards:
        layers = _check_footers(workspace, shard, found)
        for row in _aligned(workspace, shard, layers, found):
            found.rows += 1
            key = hashlib.blake2b(row["id"].encode(), digest_size=16).digest()
            if key in ids:
                found.off("id", f"{shard}: the id {row['id']} is there twice")
            ids.add(key)
            if row.get("keep"):
                group = hashlib.blake2b(row["group_id"].encode(), digest_size=16).digest()
                if groups.setdefault(group, row["split"]) != row["split"]:
                    found.off("group", f"{shard}: the group of {row['id']} lies in {groups[group]} and {row['split']}")
    step = 1 if every else max(1, found.rows // SAMPLE)
    number = 0
    for shard in shards:
        number = _check_pictures(workspace, shard, step, number, found)
    return found.finish()


def _check_footers(workspace: Workspace, shard: str, found: Checked) -> Sequence[str]:
    """The layers of a shard that can be read and are made from what stands; problems are told."""
    standing: list[str] = []
    contents: dict[str, str] = {}
    for layer in schema.LAYERS:
        if shard not in workspace.shards(layer):
            continue
        footer = workspace.footer(layer, shard)
        if footer is None:
            found.off(
                "damaged", f"{layer}/{shard}.parquet is damaged: delete it, then `fusionrs-build {MADE_BY[layer]}`"
            )
            continue
        older = [name for name, content in footer.inputs.items() if contents.get(name, content) != content]
        if older:
            found.off(
                "stale", f"{layer}/{shard} was made from another {older[0]}: run `fusionrs-build {MADE_BY[layer]}`"
            )
        standing.append(layer)
        contents[layer] = footer.content
    return standing


def _aligned(workspace: Workspace, shard: str, layers: Sequence[str], found: Checked) -> Iterator[Row]:
    wanted = {layer: ["keep", "split", "group_id"] if layer == "curation" else ["id"] for layer in layers}
    try:
        yield from workspace.zip(shard, wanted) if wanted else ()
    except FusionError as error:
        found.off("misaligned", str(error))


def _check_pictures(workspace: Workspace, shard: str, step: int, number: int, found: Checked) -> int:
    """Decode the pictures of every `step`-th record. Gives the number of records before the next shard."""
    for layer, columns in (("rgb", ["rgb", "ir"]), ("ir", ["ir"])):
        at = number
        try:
            for row in workspace.rows(layer, shard, ["id", *columns]) if shard in workspace.shards(layer) else ():
                if at % step == 0:
                    _decode(row, columns, f"{layer}/{shard}", found)
                at += 1
        except FusionError as error:
            found.off("damaged", str(error))
    footer = workspace.footer("rgb", shard)
    return number + (footer.rows if footer else 0)


def _decode(row: Row, columns: Sequence[str], where: str, found: Checked) -> None:
    for column in columns:
        if row[column] is None:
            continue
        found.pictures += 1
        try:
            pixels.decode(row[column]["bytes"] or b"")
        except ValueError as error:
            found.off("picture", f"{where}: {column} of {row['id']} cannot be decoded: {error}")
