"""Are the layers of a workspace what their footers say? Read: small columns of all rows, the pictures of a sample."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow.parquet as pq

from fusionrs_builder import schema
from fusionrs_builder.checked import Checked, Key, Keys, sampled, step
from fusionrs_builder.shards import Row
from fusionrs_builder.stage import MADE_BY
from fusionrs_builder.workspace import Workspace

PICTURES: Mapping[str, Sequence[str]] = {
    "rgb": ("id", "rgb", "ir", "ir16", "pixel_sha256"),
    "ir": ("id", "ir", "ir16", "ir_sha256"),
}


def check(workspace: Workspace, every: bool = False) -> Checked:
    """Look through the layers that stand. What is damaged is listed, never raised.

    Args:
        workspace: to look at.
        every: decode the pictures of all records, not of a sample.
    """
    found = Checked()
    layers = _Layers(workspace, found)
    if not layers.standing["rgb"]:
        found.off("empty", f"{workspace.root} has no records: run `fusionrs-build download`")
    for shard in layers.standing["rgb"]:
        layers.check_footers(shard)
    layers.check_keys()
    layers.check_pictures(every)
    return found.finish()


class _Layers:
    """The layers that are looked through: what there is to see goes to `found`."""

    def __init__(self, workspace: Workspace, found: Checked) -> None:
        self.workspace, self.found = workspace, found
        self.standing: dict[str, list[str]] = {}
        for layer in schema.LAYERS:
            self.standing[layer] = []
            with found.reading(layer):
                self.standing[layer] = workspace.shards(layer)
        self.sound: dict[str, list[str]] = {}
        """Layers of each shard that can be read."""
        self.rows: dict[str, int] = {}
        """Of each shard whose rgb layer can be read."""
        ours = set(self.standing["rgb"])
        for layer in schema.LAYERS[1:]:
            for shard in sorted(set(self.standing[layer]) - ours):
                found.off("alone", f"{layer}/{shard}.parquet has no rgb/{shard}.parquet: {_mend(layer)}")

    def check_footers(self, shard: str) -> None:
        """The layers of a shard can be read, have the columns they must have, and are made from what stands."""
        contents: dict[str, str] = {}
        for layer in schema.LAYERS:
            path = self.workspace.shard_path(layer, shard)
            if shard not in self.standing[layer]:
                continue
            with self.found.reading(path):
                footer = self.workspace.footer(layer, shard)
                if footer is None or not self._has_columns(layer, path):
                    self.found.off(
                        "damaged", f"{path} is damaged, or not of this version: delete it, then {_mend(layer)}"
                    )
                    continue
                for name, content in footer.inputs.items():
                    if shard not in self.standing.get(name, []):
                        self.found.off(
                            "gone", f"{path} was made from {name}/{shard}.parquet, which is gone: {_mend(name)}"
                        )
                    elif contents.get(name, content) != content:
                        self.found.off("stale", f"{path} was made from another {name}/{shard}.parquet: {_mend(layer)}")
                contents[layer] = footer.content
                self.sound.setdefault(shard, []).append(layer)
                if layer == "rgb":
                    self.rows[shard] = footer.rows

    def _has_columns(self, layer: str, path: str) -> bool:
        with self.workspace.fs.open(self.workspace.path(path), "rb") as handle:
            return bool(pq.read_schema(handle).equals(schema.arrow_schema(layer)))

    def check_keys(self) -> None:
        """The layers of a shard hold the same records, ids are unique, and a group of kept records is in one split."""
        keys = Keys()
        for key in self._keys():
            keys.add(key)
        keys.tell(self.found, self._keys)

    def _keys(self) -> Iterator[Key]:
        for shard, layers in self.sound.items():
            wanted = {layer: ("keep", "split", "group_id") if layer == "curation" else () for layer in layers}
            with self.found.reading(f"shard {shard}"):
                for row in self.workspace.zip(shard, wanted):
                    kept = row.get("keep")
                    if not row["id"] or (kept and not (row["group_id"] and row["split"])):
                        self.found.off(
                            "key", f"{shard}: {row['id'] or 'a record'} lacks its id, or its group and split"
                        )
                    yield Key(shard, row["id"] or "", row["group_id"] if kept else None, row.get("split") or "")

    def check_pictures(self, every: bool) -> None:
        """Pictures decode, to pixels that have the sha256 which their row tells."""
        self.found.rows = sum(self.rows.values())
        wanted, before = step(self.found.rows, every), 0
        for shard, layers in self.sound.items():
            for layer in sorted(set(layers) & set(PICTURES)):
                path = self.workspace.shard_path(layer, shard)
                with self.found.reading(path):
                    for row in sampled(self.workspace, path, PICTURES[layer], wanted, before):
                        self._check_pictures(row, layer, path)
            before += self.rows.get(shard, 0)

    def _check_pictures(self, row: Row, layer: str, path: str) -> None:
        if layer == "rgb":  # pixel_sha256 is of ir where there is no rgb
            self.found.decode(row, "rgb", row["pixel_sha256"], path)
            self.found.decode(row, "ir", row["pixel_sha256"] if row["rgb"] is None else None, path)
        else:
            self.found.decode(row, "ir", row["ir_sha256"], path)
        self.found.decode(row, "ir16", None, path)


def _mend(layer: str) -> str:
    return f"run `fusionrs-build {MADE_BY[layer]}`"
