"""What the copies of a release in other formats share: the rows, what may stand in the target, the card.

A copy is made file by file, the card last. The card is taken away before the first change, so a folder that has one is
whole; a second run keeps the files that hold what would be written and makes the others.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import TEMPORARY, Files
from fusionrs_builder.release import layout, recipe
from fusionrs_builder.release.documents import card, datasheet, examples, notice
from fusionrs_builder.shards import Row
from fusionrs_builder.workspace import Workspace

BESIDE = (notice.NAME, datasheet.NAME, recipe.SETTINGS, recipe.LOCK)
"""Files of the release that are copied as they are, where they stand, like the example pictures of the card."""

COPIED = "|".join(
    [*map(re.escape, BESIDE), rf"{examples.FOLDER}/\d{{3}}-(rgb|ir)\.jpg", rf"(.+/)?{re.escape(TEMPORARY)}\w+"]
)


class Converted(NamedTuple):
    """How many rows the copy holds, and its files by what was done with them."""

    rows: int
    written: int
    kept: int
    removed: int


@dataclass
class Split:
    """What the card says of one split."""

    rows: int = 0
    bytes: int = 0


def quiet(rows: int) -> None:
    """Progress that is not shown."""


def rows_of(release: Path) -> int:
    """Rows of a finished release, from the footers of its files.

    Raises:
        FusionError: as `copying`.
    """
    return sum(_footer(file).metadata.num_rows for files in _sources(release).values() for file in files)


def _sources(release: Path) -> dict[str, list[Path]]:
    """The Parquet files of each split, in order. A split without rows is left out: `datasets` opens none."""
    with _reading(release):
        finished = card.fingerprint_of(Workspace(os.fspath(release)), ".") is not None
    folders = ((release / folder).glob("*.parquet") for folder in layout.FOLDERS.values())
    data, text = ({file.stem: file for file in files} for files in folders)
    if not finished or not data:
        raise FusionError(f"{release} is not a finished release: run `fusionrs-build push` first")
    for name in sorted(data.keys() ^ text.keys()):
        raise FusionError(f"{name}.parquet is not in both data/ and text/ of {release}: run `fusionrs-build push`")
    found: dict[str, list[Path]] = {split: [] for split in layout.SPLITS}
    for name in sorted(data):
        if match := layout.NAME.fullmatch(name):
            found[match["split"]].append(data[name])
    found = {s: files for s, files in found.items() if any(_footer(file).metadata.num_rows for file in files)}
    if not found:
        raise FusionError(f"{release} has no rows: there is nothing to convert")
    return found


def _footer(path: Path) -> pq.ParquetFile:
    with _reading(path), pq.ParquetFile(path) as parquet:
        return parquet


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or error
        raise FusionError(
            f"{path} cannot be read ({reason}): mend that, or delete it and run `fusionrs-build push`"
        ) from error


def _bytes(path: Path) -> bytes:
    with _reading(path):
        return path.read_bytes()


def sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextlib.contextmanager
def copying(release: Path, target: Path, form: str, ours: str) -> Iterator["Copy"]:
    """Make or mend a copy of a release.

    Args:
        release: folder of a finished release.
        target: a new or empty folder, or one that holds an earlier copy of the same form, finished or not.
        form: name of the format.
        ours: pattern of the files of such a copy, relative to the target. Files of others are never touched.

    Raises:
        FusionError: the release is not finished, lacks a file or cannot be read; the target cannot be written.
        UsageError: the target is a file, lies in the release, or holds something else.
    """
    try:
        copy = Copy(release, target, form, ours)
        yield copy
    except OSError as error:
        raise FusionError(
            f"could not write to {target} ({error.strerror or error}): mend that, then run the same command again; "
            "what was written is kept"
        ) from error


class Copy:
    """A copy that is being made.

    Attributes:
        release: where from.
        target: where to.
        sources: names of the Parquet files of each split, in order.
        arrow: schema of the rows.
        splits: what was copied so far.
    """

    def __init__(self, release: Path, target: Path, form: str, ours: str) -> None:
        self.release, self.target = release, target
        self._rows, self._files = Workspace(os.fspath(release)), Files(os.fspath(target))
        self._mark, self._ours = f"{card.COPY}{form} -->", re.compile(f"{ours}|{COPIED}")
        self._written = self._kept = self._removed = 0
        found = _sources(release)
        self.sources = {split: [file.stem for file in files] for split, files in found.items()}
        self.arrow: pa.Schema = _footer(next(iter(found.values()))[0]).schema_arrow
        self.splits = {split: Split() for split in found}
        self._check(form)

    def _check(self, form: str) -> None:
        if self.target.exists() and not self.target.is_dir():
            raise UsageError(f"--to {self.target} is a file: name a folder")
        if self.target.resolve().is_relative_to(self.release.resolve()):
            raise UsageError(f"--to {self.target} lies in the release: name a folder elsewhere")
        readme = self.target / card.NAME
        if readme.exists():
            if self._mark not in readme.read_text(encoding="utf-8", errors="replace"):
                raise UsageError(f"--to {self.target} holds something that is not a {form} copy: name an empty folder")
            return
        for folder, _, names in os.walk(self.target):
            for name in names:
                if not self._ours.fullmatch(path := (Path(folder) / name).relative_to(self.target).as_posix()):
                    raise UsageError(
                        f"--to {self.target} holds {path}, which is not of a {form} copy: name an empty folder, or "
                        "move it away"
                    )

    def batches(self, source: str) -> Iterator[list[Row]]:
        """The rows of one Parquet file, a row group in memory at a time."""
        return self._rows.batches("data", source)

    def source_sha256(self, source: str) -> str:
        path = self.release / "data" / f"{source}.parquet"
        with _reading(path):
            return sha256(path)

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        """A file that appears in its place, whole, when the block ends; one with the same bytes stays as it is."""
        temporary = self._files.temporary(path)
        try:
            with self._files.explained(path):
                with temporary.open("wb") as handle:
                    yield handle
                    handle.flush()
                    os.fsync(handle.fileno())
                standing = self.target / path
                if standing.is_file() and sha256(standing) == sha256(temporary):
                    self.keep()
                    return
                self._uncover()
                self._files.publish(temporary, path)
                self._written += 1
        finally:
            temporary.unlink(missing_ok=True)

    def put(self, path: str, data: bytes) -> None:
        """A small file, whole, unless it stands there already. All of them are flushed to disk before the card is."""
        standing = self.target / path
        if standing.is_file() and standing.stat().st_size == len(data) and standing.read_bytes() == data:
            self.keep()
            return
        temporary = self._files.temporary(path)
        try:
            with self._files.explained(path):
                temporary.write_bytes(data)
                self._uncover()
                os.replace(temporary, standing)
                self._written += 1
        finally:
            temporary.unlink(missing_ok=True)

    def keep(self) -> None:
        """Count a file that needs nothing."""
        self._kept += 1

    def _uncover(self) -> None:
        """The card goes before anything changes."""
        (self.target / card.NAME).unlink(missing_ok=True)

    def clear(self, folder: str, wanted: Container[str] = ()) -> None:
        """Remove what earlier copies and killed runs left in a folder, and the folder if it is empty then.

        Args:
            folder: relative to the target.
            wanted: names of the files that stay.
        """
        place = self.target / folder
        for path in sorted(place.iterdir()) if place.is_dir() else []:
            if path.name not in wanted and self._ours.fullmatch(path.relative_to(self.target).as_posix()):
                self._uncover()
                path.unlink()
                self._removed += 1
        with contextlib.suppress(OSError):  # not there, or not empty
            place.rmdir()

    def finish(self, patterns: Mapping[str, str | list[str]], features: Any, note: str) -> Converted:
        """Copy what goes beside the rows, then the card, made to open the copy.

        Args:
            patterns: of the files of each split.
            features: of the rows, as `datasets` shall see them.
            note: what a reader must know of the format; Markdown.
        """
        pictures = sorted((self.release / examples.FOLDER).glob("*.jpg"))
        beside = [path for name in BESIDE if (path := self.release / name).is_file()]
        for path in [*beside, *pictures]:
            self.put(path.relative_to(self.release).as_posix(), _bytes(path))
        self.clear(examples.FOLDER, {path.name for path in pictures})
        for folder in ("", recipe.FOLDER):
            self.clear(folder, {path.name for path in beside})
        text = self._card(_bytes(self.release / card.NAME).decode(), patterns, features, note)
        os.sync()
        with self.writing(card.NAME) as handle:
            handle.write(text.encode())
        rows = sum(split.rows for split in self.splits.values())
        return Converted(rows, self._written, self._kept, self._removed)

    def _card(self, text: str, patterns: Mapping[str, str | list[str]], features: Any, note: str) -> str:
        from huggingface_hub import DatasetCard

        found = DatasetCard(text)
        mark = card.fingerprint_of(self._rows, ".")
        size = sum(split.bytes for split in self.splits.values())
        found.data["configs"] = [
            {
                "config_name": "default",
                # `datasets` keeps what it read by this and by the sizes below, not by the time of the files.
                "description": f"copy of release {mark}",
                "data_files": [{"split": split, "path": path} for split, path in patterns.items()],
            }
        ]
        found.data["dataset_info"] = {
            "features": features._to_yaml_list(),
            "splits": [
                {"name": name, "num_bytes": split.bytes, "num_examples": split.rows}
                for name, split in self.splits.items()
            ],
            "download_size": size,
            "dataset_size": size,
        }
        return card.MARK.sub(lambda mark: f"{mark[0]}\n{self._mark}\n\n{note}", str(found), count=1)
