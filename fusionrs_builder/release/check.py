"""Is a release what its card says? Every promise of a release, looked at in its files.

What is read: hashes of all files, small columns of all rows, and the pictures of a sample (or of all rows).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fusionrs_builder import pixels
from fusionrs_builder.checked import Checked
from fusionrs_builder.errors import FusionError
from fusionrs_builder.release import recipe, sums
from fusionrs_builder.release.documents import card
from fusionrs_builder.release.features import arrow_schema
from fusionrs_builder.release.layout import FOLDERS, NAME, SPLITS, Config
from fusionrs_builder.release.licences import allows
from fusionrs_builder.shards import Row
from fusionrs_builder.workspace import Workspace

SAMPLE = 200
"""Rows whose pictures are decoded, spread evenly over the release."""

GROUP_ROWS, GROUP_BYTES = 1000, 286 * 2**20
"""Of a row group at most: what the viewer of the Hub takes."""

COLUMNS = ("id", "split", "group_id", "license", "redistributable", "corpus", "rgb.path", "ir.path")


def check(workspace: Workspace, folder: str, every: bool = False) -> Checked:
    """Look through a release.

    Args:
        workspace: the folder above it, or the workspace it is in.
        folder: of the release.
        every: decode the pictures of all rows, not of a sample.
    """
    found = Checked()
    if card.fingerprint_of(workspace, folder) is None:
        found.off("card", f"{workspace.path(folder)} has no finished card: it is no release, or one cut short")
        return found
    _check_sums(workspace, folder, found)
    try:
        policy = recipe.read(workspace, folder).push.license_policy
    except FusionError as error:
        found.off("recipe", str(error))
        policy = "redistributable"
    standing = {config: _files(workspace, folder, config, found) for config in FOLDERS}
    counted: dict[str, Counter[str]] = {}
    ids: dict[str, list[bytes]] = {}
    for config, files in standing.items():
        rows = _Rows(found, config, policy)
        for file in files:
            rows.look(workspace, folder, file)
        counted[config], ids[config] = rows.splits, rows.digests
    if ids["default"] != ids["text"]:
        found.off("text", "data/ and text/ do not hold the same records in the same order")
    found.rows = counted["default"].total()
    _check_counts(workspace, folder, counted, found)
    _check_pictures(workspace, folder, standing["default"], found, 1 if every else max(1, found.rows // SAMPLE))
    return found.finish()


def _check_sums(workspace: Workspace, folder: str, found: Checked) -> None:
    """Every file is there, and is what SHA256SUMS says."""
    try:
        told = sums.read(workspace, folder)
    except FusionError as error:
        found.off("sums", str(error))
        return
    if not told:
        found.off("sums", f"{sums.NAME} is not there: the files cannot be verified")
    standing = sums.paths(workspace, folder)
    for path in sorted(set(told) - set(standing)):
        found.off("missing", f"{path} is missing")
    for path in standing:
        if path in (sums.NAME, sums.CARD):
            continue
        if path not in told:
            found.off("unknown", f"{path} is not in {sums.NAME}: it is of another release")
        elif sums.hashed(workspace, folder, path).sha256 != told[path]:
            found.off("changed", f"{path} is not what {sums.NAME} says: it was changed or damaged")


def _files(workspace: Workspace, folder: str, config: Config, found: Checked) -> list[str]:
    """Names of the files of a configuration, in the order of their rows; numbers that are missing are told."""
    names = [name for name in workspace.shards(f"{folder}/{FOLDERS[config]}") if NAME.fullmatch(name)]
    parts: dict[str, list[int]] = {}
    for name in names:
        parts.setdefault(f"{name.rsplit('-', 3)[0]}-*-of-{name.rsplit('-', 1)[1]}", []).append(int(name.split("-")[-3]))
    for pattern, numbers in parts.items():
        lacking = sorted(set(range(int(pattern.rsplit("-", 1)[1]))) - set(numbers))
        if lacking:
            found.off("parts", f"{FOLDERS[config]}/{pattern}.parquet: number {lacking[0]} is missing")
    return sorted(names, key=lambda name: (SPLITS.index(name.split("-")[0].split(".")[0]), name))


class _Rows:
    """What is looked at row by row, in the files of one configuration."""

    def __init__(self, found: Checked, config: Config, policy: Any) -> None:
        self.found, self.config, self.policy = found, config, policy
        self.splits: Counter[str] = Counter()
        self.digests: list[bytes] = []
        self._ids: set[bytes] = set()
        self._groups: dict[bytes, str] = {}

    def look(self, workspace: Workspace, folder: str, name: str) -> None:
        path = f"{FOLDERS[self.config]}/{name}.parquet"
        place = workspace.path(folder, path)
        try:
            with workspace.fs.open(place, "rb") as handle:
                parquet = pq.ParquetFile(handle)
                self._look_at_schema(parquet, path)
                names = [column for column in COLUMNS if self.config == "default" or "." not in column]
                for group in range(parquet.num_row_groups):
                    for row in parquet.read_row_group(group, columns=names).to_pylist():
                        self._look_at(row, path, NAME.fullmatch(name)["split"])  # type: ignore[index]
        except (OSError, pa.ArrowException, KeyError) as error:
            self.found.off("unreadable", f"{path} cannot be read: {str(error).splitlines()[0]}")

    def _look_at_schema(self, parquet: pq.ParquetFile, path: str) -> None:
        told = (parquet.schema_arrow.metadata or {}).get(b"huggingface")
        expected = json.loads(arrow_schema(self.config).metadata[b"huggingface"])["info"]["features"]
        said = json.loads(told)["info"]["features"] if told else None
        if said != expected or parquet.schema_arrow.names != list(expected):
            self.found.off("schema", f"{path} has other columns or features than a release of this version")
        for number in range(parquet.num_row_groups):
            group = parquet.metadata.row_group(number)
            if group.num_rows > GROUP_ROWS or group.total_byte_size > GROUP_BYTES:
                self.found.off("viewer", f"{path}: row group {number} is too large for the viewer of the Hub")
            if not group.column(0).has_offset_index:
                self.found.off("viewer", f"{path}: row group {number} has no page index, which the viewer reads by")

    def _look_at(self, row: Row, path: str, split: str) -> None:
        name, found = row["id"], self.found
        key = _short(name)
        if key in self._ids:
            found.off("id", f"{path}: the id {name} is there twice")
        self._ids.add(key)
        self.digests.append(key)
        self.splits[row["split"]] += 1
        if row["split"] != split:
            found.off("split", f"{path}: {name} is of split {row['split']}")
        group = _short(row["group_id"] or "")
        if self._groups.setdefault(group, row["split"]) != row["split"]:
            found.off("group", f"{path}: the group of {name} lies in {self._groups[group]} too")
        if not (row["license"] or "").strip():
            found.off("licence", f"{path}: {name} has no licence")
        if self.config == "default":
            there = row["rgb"] is not None or row["ir"] is not None
            if there and not allows(self.policy, row["license"] or "", bool(row["redistributable"])):
                found.off("withheld", f"{path}: {name} has pixels, though {row['license']} does not allow it")
            if not there and allows(self.policy, row["license"] or "", bool(row["redistributable"])):
                found.off("empty", f"{path}: {name} has neither rgb nor ir")


def _short(text: str) -> bytes:
    """16 bytes that stand for a text, so that memory grows by that much a row."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _check_counts(workspace: Workspace, folder: str, counted: Mapping[str, Counter[str]], found: Checked) -> None:
    """The card's own numbers."""
    from huggingface_hub import DatasetCard

    text = workspace.read_bytes(f"{folder}/{card.NAME}").decode(errors="replace")
    try:
        infos: Any = vars(DatasetCard(text).data)["dataset_info"]
        told = {
            info["config_name"]: {split["name"]: split["num_examples"] for split in info["splits"]} for info in infos
        }
    except Exception as error:  # of the YAML library, and of what the card may hold
        found.off("card", f"{card.NAME} has a front matter that cannot be read: {str(error).splitlines()[0]}")
        return
    for config, splits in counted.items():
        if told.get(config) != dict(splits):
            said = ", ".join(f"{split} {number}" for split, number in (told.get(config) or {}).items()) or "nothing"
            have = ", ".join(f"{split} {number}" for split, number in splits.items()) or "no rows"
            found.off("counts", f"{card.NAME} says {said} of `{config}`, the files hold {have}")


def _check_pictures(workspace: Workspace, folder: str, files: Sequence[str], found: Checked, step: int) -> None:
    """Every `step`-th row: its pictures decode to the pixels whose hashes it gives."""
    number = 0
    for name in files:
        path = f"{FOLDERS['default']}/{name}.parquet"
        try:
            for row, at in _every(workspace, folder, path, step, number):
                number = at
                _look_at_pictures(row, path, found)
        except (OSError, pa.ArrowException, KeyError):
            continue  # it was told already


def _every(workspace: Workspace, folder: str, path: str, step: int, before: int) -> Iterator[tuple[Row, int]]:
    """Rows whose number over all files is a multiple of `step`, with the number of rows read so far."""
    with workspace.fs.open(workspace.path(folder, path), "rb") as handle:
        parquet = pq.ParquetFile(handle)
        for group in range(parquet.num_row_groups):
            count = parquet.metadata.row_group(group).num_rows
            wanted = [n for n in range(count) if (before + n) % step == 0]
            if wanted:
                columns = ["id", "rgb", "ir", "ir16", "pixel_sha256", "ir_sha256"]
                for row in parquet.read_row_group(group, columns=columns).take(wanted).to_pylist():
                    yield row, before
            before += count


def _look_at_pictures(row: Row, path: str, found: Checked) -> None:
    for column, sha256 in (("rgb", row["pixel_sha256"]), ("ir", row["ir_sha256"]), ("ir16", None)):
        if row[column] is None:
            continue
        found.pictures += 1
        try:
            data = row[column]["bytes"] or b""
            array = pixels.rgb_array(data) if column == "rgb" else pixels.gray_array(data) if sha256 else None
            if array is None:
                pixels.decode(data)
        except ValueError as error:
            found.off("picture", f"{path}: {column} of {row['id']} cannot be decoded: {error}")
            continue
        if array is not None and sha256 and pixels.pixel_sha256(array) != sha256:
            found.off("hash", f"{path}: {column} of {row['id']} has other pixels than its sha256 says")
