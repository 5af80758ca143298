"""Fill in the pictures that a release does not hold, from a workspace built by its recipe, and verify every hash."""

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fusionrs_builder import pixels
from fusionrs_builder.release import recipe, sums
from fusionrs_builder.release.documents import card, describe
from fusionrs_builder.release.export import ReleaseWriter
from fusionrs_builder.release.features import arrow_schema
from fusionrs_builder.release.layout import FOLDERS, NAME, SPLITS
from fusionrs_builder.shards import Footer, Row
from fusionrs_builder.stage import digest
from fusionrs_builder.workspace import Workspace

DATA = FOLDERS["default"]

HELD = 4
"""Row groups of the workspace in memory at once."""

SAID = 5
"""Rows named of those that could not be filled in."""


@dataclass
class Rebuilt:
    """What came of it.

    Attributes:
        path: of the whole release.
        filled: rows by corpus whose pictures are in it now.
        problems: why others are not, a line each; empty where all are.
    """

    path: str = ""
    filled: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    _failed: Counter[str] = field(default_factory=Counter)

    @property
    def failures(self) -> int:
        """Rows that could not be filled in."""
        return self._failed.total()

    def failed(self, kind: str, what: str) -> None:
        self._failed[kind] += 1
        if self._failed[kind] <= SAID:
            self.problems.append(what)
        elif self._failed[kind] == SAID + 1:
            self.problems.append(f"{kind}: and more")

    def lines(self) -> list[str]:
        """For people."""
        counts = ", ".join(f"{corpus} {count:,}" for corpus, count in sorted(self.filled.items())) or "none"
        return [*(f"not filled in: {each}" for each in self.problems), f"filled in: {counts}", self.path]

    def as_dict(self) -> dict[str, Any]:
        return {"path": self.path, "filled": dict(self.filled), "problems": self.problems}


def wanted(source: Workspace, folder: str) -> Counter[str]:
    """Rows without pictures by corpus: every record has an infrared view, so one without is withheld."""
    found: Counter[str] = Counter()
    for name in _names(source, folder):
        found.update(_counts(source, folder, name))
    return found


def _counts(source: Workspace, folder: str, name: str) -> Counter[str]:
    table = source.table(f"{folder}/{DATA}", name, ["corpus", "ir.path"])
    return Counter(table.filter(pc.is_null(table["ir"]))["corpus"].to_pylist())


def fill(source: Workspace, folder: str, workspace: Workspace, target: Workspace, into: str) -> Rebuilt:
    """Write the release anew, with the pictures of a workspace where it has none.

    A picture goes in where its pixels have the sha256 that the release gives; where they have another, or the record is
    not there, the row stays as it was and is told. Files that stand and are current are kept.

    Args:
        source: the folder above the release.
        folder: of the release in it.
        workspace: with the rgb and ir layers of the corpora that are wanted.
        target: the folder above the new release.
        into: its folder there.
    """
    found = Rebuilt(target.path(into))
    names = _names(source, folder)
    if target.exists(f"{into}/{card.NAME}"):
        target.fs.rm_file(target.path(into, card.NAME))
    pictures = _Pictures(workspace)
    contents = {layer: [f.content for f in workspace.footers(layer).values()] for layer in ("rgb", "ir")}
    for name in names:
        fingerprint = digest([sums.hashed(source, folder, f"{DATA}/{name}.parquet").sha256, contents])
        footer = target.footer_of(f"{into}/{DATA}/{name}.parquet")
        if footer and footer.fingerprint == fingerprint and not footer.refused:
            found.filled.update(_counts(source, folder, name))
            continue
        failed = found.failures
        with ReleaseWriter(target, into, name) as writer:
            for rows in source.batches(f"{folder}/{DATA}", name):
                filled = [_filled(row, pictures, found) if row["ir"] is None else row for row in rows]
                writer.write(pa.RecordBatch.from_pylist(filled, arrow_schema().remove_metadata()))
            # A row that could not be filled in is tried again the next time.
            refused = {"not_filled": found.failures - failed} if found.failures > failed else {}
            writer.commit(Footer("rebuild", fingerprint, refused=refused))
    _describe(source, folder, target, into, names)
    return found


def _filled(row: Row, pictures: "_Pictures", found: Rebuilt) -> Row:
    made = pictures.get(row["id"])
    if made is None:
        found.failed("missing", f"{row['id']} is not in your copy of {row['corpus']}")
        return row
    try:
        ours = pixels.rgb_array(made["rgb"]["bytes"]) if made["rgb"] else pixels.gray_array(made["ir"]["bytes"])
        infrared = pixels.pixel_sha256(pixels.gray_array(made["ir"]["bytes"])) if made["ir"] else None
    except ValueError as error:
        found.failed("damaged", f"{row['id']} cannot be decoded: {error}")
        return row
    if pixels.pixel_sha256(ours) != row["pixel_sha256"]:
        revision = f"revision {row['source_revision'] or 'not stated'}"
        found.failed(
            "other",
            f"{row['id']} has other pixels in your copy of {row['corpus']}: is it {row['source_url']}, {revision}?",
        )
        return row
    if infrared != row["ir_sha256"]:
        found.failed(
            "drawn otherwise",
            f"the infrared view of {row['id']} was drawn otherwise: {row['ir_source']} on another device, or by "
            "another release of torch, rounds otherwise; recipe/fusionrs.lock tells what it was",
        )
        return row
    found.filled[row["corpus"]] += 1
    return {**row, **{name: made[name] for name in ("rgb", "ir", "ir16")}}


class _Pictures:
    """The pictures of a workspace by id: where each is stays in memory, and the row groups read last."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._places: dict[str, tuple[str, int]] = {}
        self._held: OrderedDict[tuple[str, str, int], list[Row]] = OrderedDict()
        self._ends: dict[tuple[str, str], list[int]] = {}
        for shard in workspace.shards("ir"):
            ids = workspace.table("ir", shard, ["id"])["id"].to_pylist()
            self._places |= {name: (shard, number) for number, name in enumerate(ids)}

    def get(self, name: str) -> Row | None:
        """`rgb`, `ir` and `ir16` of a record; None where it is not there."""
        if name not in self._places:
            return None
        shard, number = self._places[name]
        rgb, ir = self._row("rgb", shard, number), self._row("ir", shard, number)
        return {"rgb": rgb["rgb"], "ir": ir["ir"], "ir16": ir["ir16"]}

    def _row(self, layer: str, shard: str, number: int) -> Row:
        ends = self._ends.setdefault((layer, shard), list(self._group_ends(layer, shard)))
        group = next(n for n, end in enumerate(ends) if number < end)
        key = (layer, shard, group)
        if key not in self._held:
            columns = ["rgb"] if layer == "rgb" else ["ir", "ir16"]
            with self._workspace.fs.open(self._workspace.path(f"{layer}/{shard}.parquet"), "rb") as handle:
                self._held[key] = pq.ParquetFile(handle).read_row_group(group, columns=columns).to_pylist()
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return self._held[key][number - (ends[group - 1] if group else 0)]

    def _group_ends(self, layer: str, shard: str) -> Iterator[int]:
        end = 0
        with self._workspace.fs.open(self._workspace.path(f"{layer}/{shard}.parquet"), "rb") as handle:
            metadata = pq.read_metadata(handle)
        for group in range(metadata.num_row_groups):
            end += metadata.row_group(group).num_rows
            yield end


def _names(source: Workspace, folder: str) -> Sequence[str]:
    """The files of a release, in the order of their rows."""
    names = [name for name in source.shards(f"{folder}/{DATA}") if NAME.fullmatch(name)]
    return sorted(names, key=lambda name: (SPLITS.index(name.split("-")[0].split(".")[0]), name))


def _describe(source: Workspace, folder: str, target: Workspace, into: str, names: Sequence[str]) -> None:
    """Tell of the whole release: the same recipe, but every pixel, so that it is not to be published."""
    found = recipe.read(source, folder)
    found = replace(found, push=found.push.model_copy(update={"license_policy": "any"}))
    for path in sums.paths(target, into):
        if path.endswith(".parquet") and path.rsplit("/", 1)[-1].removesuffix(".parquet") not in names:
            target.fs.rm_file(target.path(into, path))
    contents = {name: footer.fingerprint for name, footer in target.footers(f"{into}/{DATA}").items()}
    describe.describe(target, into, found, names, digest([found.texts(), contents, "rebuilt"]))
