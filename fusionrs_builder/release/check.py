"""Is a release what its card says? Every promise of a release, looked at in its files.

What is read: hashes of all files, the columns of all rows but the pictures, and the pictures of a sample (or of all).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fusionrs_builder.checked import Checked, Key, Keys, sampled, step
from fusionrs_builder.release import recipe, sums
from fusionrs_builder.release.documents import card
from fusionrs_builder.release.features import IMAGES, arrow_schema, features
from fusionrs_builder.release.layout import FOLDERS, NAME, NEEDED, SPLITS, Config
from fusionrs_builder.release.licences import Policy, allows
from fusionrs_builder.shards import Row
from fusionrs_builder.workspace import Workspace

GROUP_ROWS, GROUP_BYTES = 1000, 286 * 2**20
"""Of a row group at most: what the viewer of the Hub takes."""

KEYS = ("id", "group_id", "split")

TERMS = ("corpus", "license", "redistributable", *IMAGES)

PICTURES = ("id", *IMAGES, "pixel_sha256", "ir_sha256")


def check(workspace: Workspace, folder: str, every: bool = False) -> Checked:
    """Look through a release. What is damaged is listed, never raised.

    Args:
        workspace: the folder above it, or the workspace it is in.
        folder: of the release.
        every: decode the pictures of all rows, not of a sample; and read, on the Hub, what has a hash there.
    """
    found = Checked()
    with found.reading(workspace.path(folder, card.NAME)):
        if card.fingerprint_of(workspace, folder) is None:
            found.off("card", f"{workspace.path(folder)} has no finished card: it is no release, or one cut short")
        elif card.COPY.encode() in workspace.read_bytes(f"{folder}/{card.NAME}"):
            found.off("copy", f"{workspace.path(folder)} is a copy in another format: check the release it was made of")
    if found.problems:
        return found.finish()
    release = _Release(workspace, folder, found)
    release.check_files(every)
    for name in release.names():
        release.check_rows(name)
    release.check_keys()
    release.check_card()
    release.check_pictures(every)
    return found.finish()


class _Release:
    """A release that is looked through: what there is to see goes to `found`."""

    def __init__(self, workspace: Workspace, folder: str, found: Checked) -> None:
        self.workspace, self.folder, self.found = workspace, folder, found
        self.policy: Policy | None = None
        with found.reading(recipe.FOLDER):
            self.policy = recipe.read(workspace, folder).push.license_policy
        self.complete = True
        """Whether no file of rows is missing."""
        self.whole: set[str] = set()
        """Paths of the files of rows that could be read to their end."""
        self.rows: dict[str, int] = {}
        """Of each file of data/ that is whole, as is the one of the same name of text/."""
        self.counts: dict[str, Counter[str]] = {}
        """Rows of each split, by corpus."""
        self.keys = Keys()
        self.standing = {config: self._standing(config) for config in FOLDERS}

    def _standing(self, config: Config) -> set[str]:
        """Names of the Parquet files of a configuration."""
        with self.found.reading(FOLDERS[config]):
            return set(self.workspace.shards(f"{self.folder}/{FOLDERS[config]}"))
        return set()

    def names(self) -> list[str]:
        """Names of the files that both configurations have, in the order of their rows."""
        names = filter(NAME.fullmatch, set.intersection(*self.standing.values()))
        return sorted(names, key=lambda name: (SPLITS.index(_split(name)), name))

    def check_files(self, every: bool) -> None:
        """Every file is there, and is what SHA256SUMS says; there is none that `load_dataset` would read too."""
        paths: list[str] = []
        known: dict[str, str] = {}
        with self.found.reading(self.folder):
            paths = sums.paths(self.workspace, self.folder)
        with self.found.reading(sums.NAME):
            known = sums.read(self.workspace, self.folder)
        missing = {*known, *NEEDED, *self._parts()} - set(paths)
        self.complete = not any(path.endswith(".parquet") for path in missing)
        for path in sorted(missing):
            self.found.off("missing", f"{path} is missing")
        for config, names in self.standing.items():
            for name in sorted(name for name in names if not NAME.fullmatch(name)):
                path = f"{FOLDERS[config]}/{name}.parquet"
                self.found.off("strange", f"{path} is not of a release, yet `load_dataset` may read it: take it away")
        for path in sorted(set(paths) - {sums.NAME, sums.CARD}) if known else ():
            with self.found.reading(path):
                if path not in known:
                    self.found.off("unknown", f"{path} is not in {sums.NAME}: it is of another release")
                elif self._sha256(path, every) != known[path]:
                    self.found.off("changed", f"{path} is not what {sums.NAME} says: it was changed or damaged")

    def _parts(self) -> Iterator[str]:
        """Paths that the name of some file tells of: the other numbers of its split, and the same of the other kind."""
        names = set(filter(NAME.fullmatch, set.union(*self.standing.values())))
        for head, of in {(name.rsplit("-", 3)[0], name.rsplit("-", 1)[1]) for name in names}:
            names |= {f"{head}-{number:05d}-of-{of}" for number in range(int(of))}
        for place in FOLDERS.values():
            yield from (f"{place}/{name}.parquet" for name in names)

    def _sha256(self, path: str, every: bool) -> str:
        said = None if every else sums.said(self.workspace, self.folder, path)
        return said or sums.hashed(self.workspace, self.folder, path).sha256

    def check_rows(self, name: str) -> None:
        """Look at all rows of a file of data/, and whether the one in text/ holds the same."""
        data, text = (f"{FOLDERS[config]}/{name}.parquet" for config in FOLDERS)
        twins = self._tables("text", text)
        held, other, rows = arrow_schema("text").empty_table(), "", 0
        for table in self._tables("default", data):
            for row in table.select([*KEYS, *TERMS]).to_pylist():
                self._check_row(row, data, name)
            while held.num_rows < table.num_rows and (more := next(twins, None)) is not None:
                held = pa.concat_tables([held, more])
            other = other or _difference(table.select(held.column_names), held.slice(0, table.num_rows))
            held = held.slice(table.num_rows)
            rows += table.num_rows
        if held.num_rows + sum(table.num_rows for table in twins):
            other = other or "it has more rows"
        if {data, text} <= self.whole:
            self.rows[name] = rows
            if other:
                self.found.off("text", f"{text} does not hold what {data} does: {other}")

    def _tables(self, config: Config, path: str) -> Iterator[pa.Table]:
        """Row groups of a file, without the bytes of pictures; none where it has other columns than it must have."""
        expected = arrow_schema(config)
        columns = [f"{name}.path" if name in IMAGES else name for name in expected.names]
        place = self.workspace.path(self.folder, path)
        # Over a network the columns are fetched, and not what lies between them.
        with self.found.reading(path), self.workspace.fs.open(place, "rb", cache_type="none") as handle:
            parquet = pq.ParquetFile(handle, pre_buffer=True)
            self._check_viewer(parquet.metadata, path)
            if not parquet.schema_arrow.equals(expected) or not _has_features(parquet, config):
                self.found.off("schema", f"{path} has other columns or features than a release of this version")
                return
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(group, columns=columns)
                table.validate(full=True)
                yield table
            self.whole.add(path)

    def _check_viewer(self, metadata: Any, path: str) -> None:
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            if group.num_rows > GROUP_ROWS or group.total_byte_size > GROUP_BYTES:
                self.found.off("viewer", f"{path}: row group {number} is too large for the viewer of the Hub")
            if group.num_rows and not all(group.column(n).has_offset_index for n in range(group.num_columns)):
                self.found.off("viewer", f"{path}: row group {number} has no page index, which the viewer reads by")

    def _check_row(self, row: Row, path: str, name: str) -> None:
        found, key, licence = self.found, row["id"], (row["license"] or "").strip()
        split, corpus = row["split"], row["corpus"]
        if not key or not row["group_id"]:
            found.off("key", f"{path}: {key or 'a row'} has no {'group_id' if key else 'id'}")
        self.keys.add(Key(path, key or "", row["group_id"], split))
        self.counts.setdefault(corpus, Counter())[split] += 1
        if split != _split(name) or corpus != (_corpus(name) or corpus):
            found.off("split", f"{path}: {key} is of {split} of {corpus}, which this file is not")
        if not licence:
            found.off("licence", f"{path}: {key} has no licence")
        if self.policy is None:
            return
        there = any(row[view] is not None for view in IMAGES)
        free = allows(self.policy, licence, bool(row["redistributable"]))
        if there and not free:
            found.off("withheld", f"{path}: {key} has pixels, which {licence} and `{self.policy}` do not allow")
        if free and not there:
            found.off(
                "empty", f"{path}: {key} has no pixels: if this was rebuilt, rebuild again with a copy of {corpus}"
            )

    def check_keys(self) -> None:
        """Ids are unique, and a group is in one split."""
        self.keys.tell(self.found, self._keys)

    def _keys(self) -> Iterator[Key]:
        for name in self.names():
            path = f"{FOLDERS['default']}/{name}.parquet"
            if path in self.whole:
                for row in self.workspace.rows(f"{self.folder}/{FOLDERS['default']}", name, KEYS):
                    yield Key(path, row["id"] or "", row["group_id"], row["split"])

    def check_card(self) -> None:
        """What the front matter says of counts, columns and files is so."""
        from huggingface_hub import DatasetCard

        self.found.rows = sum(self.rows.values())
        total = sum(self.counts.values(), Counter[str]())
        wanted: dict[str, tuple[Config, str]] = {config: (config, "") for config in FOLDERS}
        wanted |= {corpus: ("default", corpus) for corpus in map(_corpus, self.names()) if corpus}
        with self.found.reading(f"the front matter of {card.NAME}"):
            text = self.workspace.read_bytes(f"{self.folder}/{card.NAME}").decode(errors="replace")
            head = vars(DatasetCard(text).data)
            infos = {each["config_name"]: each for each in head["dataset_info"]}
            reads = {each["config_name"]: each["data_files"] for each in head["configs"]}
            if set(infos) != set(wanted) or set(reads) != set(wanted):
                raise ValueError(f"it must tell of the configurations {', '.join(wanted)}")
            for which, (config, corpus) in wanted.items():
                self._check_counts(which, infos[which], self.counts.get(corpus, Counter()) if corpus else total)
                self._check_columns(which, infos[which], config)
                self._check_patterns(which, reads[which], config, corpus)

    def _check_counts(self, which: str, info: Row, have: Counter[str]) -> None:
        said = {split["name"]: split["num_examples"] for split in info["splits"]}
        if said != dict(have) and self.complete and len(self.rows) == len(self.names()):
            self.found.off("counts", f"{card.NAME} says {_listed(said)} of `{which}`, the files hold {_listed(have)}")

    def _check_columns(self, which: str, info: Row, config: Config) -> None:
        from datasets import Features

        if Features._from_yaml_list(info["features"]) != features(config):
            self.found.off(
                "features", f"{card.NAME} says other columns of `{which}` than a release of this version has"
            )

    def _check_patterns(self, which: str, parts: Sequence[Row], config: Config, corpus: str) -> None:
        reads = {part["split"]: [part["path"]] if isinstance(part["path"], str) else part["path"] for part in parts}
        for split in SPLITS:
            for name in sorted(filter(NAME.fullmatch, self.standing[config])):
                path = f"{FOLDERS[config]}/{name}.parquet"
                read = any(fnmatchcase(path, each) for each in reads.get(split, []))
                if read != (_split(name) == split and corpus in ("", _corpus(name))):
                    verb = "reads" if read else "does not read"
                    self.found.off("reads", f"by {card.NAME}, `load_dataset` {verb} {path} for {split} of `{which}`")

    def check_pictures(self, every: bool) -> None:
        """Pictures decode, to pixels that have the sha256 which their row tells."""
        wanted, before = step(self.found.rows, every), 0
        for name, rows in self.rows.items():
            path = f"{FOLDERS['default']}/{name}.parquet"
            with self.found.reading(path):
                for row in sampled(self.workspace, f"{self.folder}/{path}", PICTURES, wanted, before):
                    for view, sha256 in (("rgb", row["pixel_sha256"]), ("ir", row["ir_sha256"]), ("ir16", None)):
                        self.found.decode(row, view, sha256, path)
            before += rows


def _split(name: str) -> str:
    return name.split("-")[0].split(".")[0]


def _corpus(name: str) -> str:
    """Whose rows a file holds, where every corpus has files of its own; else empty."""
    return name.rsplit("-", 3)[0].partition(".")[2]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{split} {count}" for split, count in counts.items()) or "no rows"


def _has_features(parquet: pq.ParquetFile, config: Config) -> bool:
    from datasets import Features

    return bool(Features.from_arrow_schema(parquet.schema_arrow) == features(config))


def _difference(ours: pa.Table, theirs: pa.Table) -> str:
    """The first thing that is not the same in two tables of the same columns; empty where all is."""
    if theirs.num_rows < ours.num_rows:
        return "it has fewer rows"
    for name in ours.column_names:
        if not ours[name].equals(theirs[name]):
            columns = (each.to_pylist() for each in (ours["id"], ours[name], theirs[name]))
            for key, one, other in zip(*columns, strict=True):
                if repr(one) != repr(other):  # a NaN is not equal to itself
                    return f"{name} of {key} is another"
    return ""
