"""Fill in the pictures that a release does not hold, from a workspace built by its recipe, and verify every hash.

Every file of the release is written anew, under its name, with the pictures that could be had. A file that stands is
gone on from: what is filled in stays, whatever became of the copy it came from, and only the other rows are tried. A
run may be killed anywhere and run again.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fusionrs_builder.checked import Checked
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import TEMPORARY, Files
from fusionrs_builder.release import recipe, sums
from fusionrs_builder.release.documents import card, describe
from fusionrs_builder.release.export import ReleaseWriter
from fusionrs_builder.release.features import IMAGES
from fusionrs_builder.release.layout import FOLDERS, NAME, SPLITS
from fusionrs_builder.release.licences import withheld
from fusionrs_builder.release.pictures import WANTED, LackingError, Pictures
from fusionrs_builder.shards import Footer
from fusionrs_builder.stage import digest
from fusionrs_builder.workspace import Workspace

STAGE = "rebuild"
DATA = FOLDERS["default"]


@dataclass
class Rebuilt:
    """What came of it.

    Attributes:
        path: of the whole release.
        filled: rows by corpus whose pictures came in now.
        missing: rows by corpus that still have none.
        problems: why not, a line each; empty where all rows are whole, or nothing was tried.
    """

    path: str
    filled: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people."""
        return [
            *(f"not filled in: {each}" for each in self.problems),
            f"filled in: {_named(self.filled)}",
            f"without pictures: {_named(self.missing)}",
            self.path,
        ]

    def as_dict(self) -> dict[str, Any]:
        counts = {"filled": dict(self.filled), "missing": dict(self.missing)}
        return {"path": self.path, **counts, "problems": self.problems}


def _named(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())) or "none"


class Rebuild:
    """One release, and the folder that becomes the whole of it.

    Args:
        source: the folder above the release.
        folder: of the release in it.
        to: local folder.

    Raises:
        FusionError: the release is not whole.
        UsageError: `to` is no folder for it.
    """

    def __init__(self, source: Workspace, folder: str, to: Path) -> None:
        if card.fingerprint_of(source, folder) is None:
            raise FusionError(f"{source.path(folder)} has no card, so it is no whole release: fetch or push it again")
        if source.local and Path(source.path(folder)).resolve() == to:
            raise UsageError(f"--to {to} is the release itself: name a folder of its own")
        _check_target(to)
        self.source, self.folder = source, folder
        self.target, self.into = Workspace(str(to.parent)), to.name
        self.recipe = recipe.read(source, folder)
        names = [name for name in source.shards(f"{folder}/{DATA}") if NAME.fullmatch(name)]
        self.names = sorted(names, key=lambda name: (SPLITS.index(name.split("-")[0].split(".")[0]), name))
        self._sums = sums.read(source, folder)
        self._fingerprints: dict[str, str] = {}

    def missing(self) -> Counter[tuple[str, str]]:
        """Rows that have no pictures yet, by corpus and `ir_origin`."""
        found: Counter[tuple[str, str]] = Counter()
        for name in self.names:
            found.update(withheld(*self._begun(name), [name]))
        return found

    def is_begun(self) -> bool:
        """Whether a file stands that an earlier run made."""
        return any(self._standing(name) for name in self.names)

    def fill(self, workspace: Workspace) -> Rebuilt:
        """Write what is not whole, and tell of it all.

        A picture goes in where its pixels have the sha256 that the release gives; where they have another, or the
        record is not there, the row stays as it was and is told.

        Args:
            workspace: with the rgb and ir layers of the corpora that are missing.

        Raises:
            FusionError: a file of the release is damaged, or the disk is full; what is written stays.
        """
        found, problems = Rebuilt(self.target.path(self.into)), Checked()
        Files(found.path).clean()
        pictures = Pictures(workspace)
        for name in self.names:
            footer = self._standing(name)
            if not footer or footer.refused:
                self._unfinish()
                self._write(name, pictures, found, problems)
        self._describe()
        found.problems = problems.finish().problems
        return found

    def _fingerprint(self, name: str) -> str:
        """Of a file: what it is made from. A local one is read; of another the Hub or SHA256SUMS says what it is."""
        if name not in self._fingerprints:
            path = f"{DATA}/{name}.parquet"
            told = self._sums.get(path)
            sha256 = sums.said(self.source, self.folder, path) or (None if self.source.local else told)
            sha256 = sha256 or sums.hashed(self.source, self.folder, path).sha256
            if told and sha256 != told:
                raise FusionError(
                    f"{self.source.path(self.folder, path)} is not what {sums.NAME} says: it was changed or damaged, "
                    "so fetch the release again"
                )
            self._fingerprints[name] = digest([STAGE, sha256])
        return self._fingerprints[name]

    def _standing(self, name: str) -> Footer | None:
        """The footer of a file that an earlier run made from the same; both configurations stand."""
        footers = [self.target.footer_of(f"{self.into}/{place}/{name}.parquet") for place in FOLDERS.values()]
        of_this = all(footer and footer.fingerprint == self._fingerprint(name) for footer in footers)
        return footers[0] if of_this else None

    def _begun(self, name: str) -> tuple[Workspace, str]:
        """Where the rows of a file are to be read."""
        if self._standing(name):
            return self.target, f"{self.into}/{DATA}"
        return self.source, f"{self.folder}/{DATA}"

    def _write(self, name: str, pictures: Pictures, found: Rebuilt, problems: Checked) -> None:
        rows = lacking = 0
        source, layer = self._begun(name)
        with ReleaseWriter(self.target, self.into, name) as writer:
            for table in source.tables(layer, name):
                whole = _filled(table, pictures, found, problems)
                rows, lacking = rows + whole.num_rows, lacking + whole["ir"].null_count
                for batch in whole.combine_chunks().to_batches():
                    writer.write(batch)
            # What could not be filled in is tried again the next time.
            refused = {"not_filled": lacking} if lacking else {}
            writer.commit(Footer(STAGE, self._fingerprint(name), items=rows, refused=refused))

    def _unfinish(self) -> None:
        """Take the card away: a folder that has one is whole."""
        if self.target.exists(f"{self.into}/{card.NAME}"):
            self.target.fs.rm_file(self.target.path(self.into, card.NAME))

    def _describe(self) -> None:
        """Tell of the whole release: the same recipe, but every pixel, so that it is not to be published."""
        told = replace(self.recipe, push=self.recipe.push.model_copy(update={"license_policy": "any"}))
        for path in sums.paths(self.target, self.into):
            if path.endswith(".parquet") and path.rsplit("/", 1)[-1].removesuffix(".parquet") not in self.names:
                self.target.fs.rm_file(self.target.path(self.into, path))
        refused = [self.target.footers(f"{self.into}/{DATA}")[name].refused for name in self.names]
        files = [[name, self._fingerprint(name), each] for name, each in zip(self.names, refused, strict=True)]
        wanted = digest({"version": describe.version(), "recipe": told.texts(), "files": files})
        if card.fingerprint_of(self.target, self.into) != wanted:
            describe.describe(self.target, self.into, told, self.names, wanted)


def _filled(table: pa.Table, pictures: Pictures, found: Rebuilt, problems: Checked) -> pa.Table:
    """The rows of a row group with the pictures that could be had in place of nulls."""
    if not table["ir"].null_count:
        return table
    images = {name: table[name].to_pylist() for name in IMAGES}
    empty = pc.indices_nonzero(pc.is_null(table["ir"])).to_pylist()
    for number, row in zip(empty, table.select(WANTED).take(empty).to_pylist(), strict=True):
        try:
            made = pictures.verified(row)
        except LackingError as why:
            found.missing[row["corpus"]] += 1
            problems.off(why.kind, str(why))
            continue
        found.filled[row["corpus"]] += 1
        for name in IMAGES:
            images[name][number] = made[name]
    for name in IMAGES:
        column = table.schema.get_field_index(name)
        table = table.set_column(column, table.field(name), pa.array(images[name], table.field(name).type))
    return table


def _check_target(to: Path) -> None:
    """Raises UsageError where a folder holds something else than an earlier run left there."""
    if to.is_file():
        raise UsageError(f"--to {to} is a file: name a folder")
    there = Workspace(str(to))
    footers = (there.footers(place) for place in FOLDERS.values())
    begun = any(footer.stage == STAGE for each in footers for footer in each.values())
    if begun:
        strange = there.exists(card.NAME) and card.fingerprint_of(there, "") is None
    else:
        strange = any(not path.name.startswith(TEMPORARY) for path in to.rglob("*") if path.is_file())
    if strange:
        raise UsageError(f"--to {to} holds something that `rebuild` did not make: name a new or empty folder")
