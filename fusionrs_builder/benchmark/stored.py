"""`embeddings:FILE.npz`: embeddings made elsewhere, of records by their ids and of texts letter for letter."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.benchmark.encoding import Vectors
from fusionrs_builder.benchmark.models.hugging_face import file_sha256
from fusionrs_builder.benchmark.records import INPUTS, Records, View
from fusionrs_builder.errors import FusionError

VIEWS: tuple[View, ...] = ("rgb", *INPUTS)

ARRAYS = ("ids", *VIEWS, "texts", "text")
"""What a file may hold: `ids` [N] and one or more views [N, d]; `texts` [M] and `text` [M, d], or neither."""

TOLD = 5
"""Ids that an error names."""


class Stored:
    """A source: the rows of a file.

    Attributes:
        spec, name, pretrained, identity: of the file; the last three by its name and the sha256 of its bytes.
        trained_on: nothing is known.
    """

    trained_on: tuple[str, ...] = ()

    def __init__(self, path: Path, records: Records) -> None:
        """Read the file.

        Args:
            path: an npz without pickles, see `ARRAYS`.
            records: the split that it is of; it may lack some of them.

        Raises:
            FusionError: the file cannot be read, or what it holds does not fit together or to the records.
        """
        self.spec, self._path, self._records = f"embeddings:{path}", path, records
        self._where = f"{records.dataset}:{records.split}"
        arrays = _read(path)
        sha256 = file_sha256(path)
        self.name, self.pretrained, self.identity = path.stem, sha256[:12], f"embeddings {sha256}"
        self._views = {view: arrays[view] for view in VIEWS if view in arrays}
        self._text = arrays.get("text")
        _refuse_misfits(path, arrays)
        self._rows = self._by_id(arrays["ids"].tolist())
        self._texts: dict[str, int] = {}
        for row, text in enumerate(arrays["texts"].tolist() if "texts" in arrays else ()):
            self._texts.setdefault(text, row)

    def views(self, view: View, places: Sequence[int]) -> Vectors | None:
        """Rows of a view; a record without one is a failure. None where none of these records has one.

        Raises:
            FusionError: no row of these is finite and longer than 0.
        """
        if view == "duplicate" and view not in self._views:
            view = "rgb"  # of a model of one image encoder it is the same
        if view not in self._views:
            return None
        return self._picked(view, self._views[view], [self._rows.get(self._records[place].id) for place in places])

    def texts(self, texts: Sequence[str]) -> Vectors | None:
        """Rows of texts; one without a row is a failure. None where the file holds none of these.

        Raises:
            FusionError: it holds no caption of the split either, or no row of these is finite and longer than 0.
        """
        if self._text is None:
            return None
        found = self._picked("text", self._text, [self._texts.get(text) for text in texts])
        if found is None and not any(
            text in self._texts for record in self._records for text in chain(record.scene_captions, record.ir_captions)
        ):
            raise FusionError(
                f"{self._path}: `texts` holds no caption of {self._where}, nor others that are asked for, such as "
                f"{next(iter(texts), '')!r}: write them letter for letter, or leave out `texts`"
            )
        return found

    def _picked(self, what: str, of: NDArray[Any], rows: Sequence[int | None]) -> Vectors | None:
        there = np.array([row is not None for row in rows], bool)
        if len(rows) and not there.any():
            return None
        found = np.zeros((len(rows), of.shape[1]), np.float32)
        with np.errstate(over="ignore"):  # too large for float32 is infinite, and so a failure of its row
            found[there] = of[[row for row in rows if row is not None]]
        failed: NDArray[np.bool_] = np.logical_not(np.isfinite(found).all(axis=1) & found.any(axis=1))
        if len(rows) and failed.all():
            raise FusionError(
                f"{self._path}: none of {int(there.sum()):,} rows of `{what}` is finite and longer than 0: "
                "see how they were made and saved"
            )
        found[failed] = 0
        return Vectors(found, failed)

    def _by_id(self, ids: list[str]) -> Mapping[str, int]:
        if not ids:
            raise FusionError(f"{self._path}: `ids` is empty: write a row for each record of {self._where}")
        if strange := [id for id in ids if self._records.place(id) is None]:
            raise FusionError(
                f"{self._path}: {len(strange):,} of {len(ids):,} ids are not in {self._where}: {_some(strange)}; "
                "name the split that the file was made of, or leave these rows out"
            )
        rows = {id: row for row, id in enumerate(ids)}
        if len(rows) < len(ids):
            twice = [id for id, times in Counter(ids).items() if times > 1]
            raise FusionError(
                f"{self._path}: {len(twice):,} ids stand twice or more: {_some(twice)}; keep one row of each"
            )
        return rows


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            if strange := sorted(set(file.files) - set(ARRAYS)):
                fix = "the infrared view is named `infrared`" if "ir" in strange else f"known are {', '.join(ARRAYS)}"
                raise FusionError(f"{path}: unknown array {_some(strange)}: {fix}")
            return {name: file[name] for name in file.files}
    except FusionError:
        raise
    except Exception as error:  # of numpy, zipfile, zlib: they have no common ancestor
        raise FusionError(
            f"{path} is no npz without pickles ({type(error).__name__}: {error}): write it by numpy.savez, "
            "ids and texts as arrays of dtype str"
        ) from error


def _refuse_misfits(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    held = [view for view in VIEWS if view in arrays]
    if "ids" not in arrays or not held:
        raise FusionError(f"{path}: write `ids` and one or more of {', '.join(VIEWS)}; it holds {_some(list(arrays))}")
    if ("texts" in arrays) != ("text" in arrays):
        raise FusionError(
            f"{path}: `texts` (the words) and `text` (their embeddings) go together: write both or neither"
        )
    for words in {"ids", "texts"} & set(arrays):
        if arrays[words].ndim != 1 or arrays[words].dtype.kind != "U":
            raise FusionError(f"{path}: `{words}` is {_shown(arrays[words])}: write one dimension of dtype str")
    for name in (*held, *(["text"] if "text" in arrays else [])):
        if arrays[name].ndim != 2 or arrays[name].dtype.kind not in "fiu":
            raise FusionError(f"{path}: `{name}` is {_shown(arrays[name])}: write numbers of the shape [rows, width]")
        words = "texts" if name == "text" else "ids"
        if len(arrays[name]) != len(arrays[words]):
            raise FusionError(
                f"{path}: {len(arrays[name]):,} rows of `{name}` for {len(arrays[words]):,} of `{words}`: write as many"
            )
        if arrays[name].shape[1] != arrays[held[0]].shape[1]:
            raise FusionError(
                f"{path}: `{name}` is {arrays[name].shape[1]} wide and `{held[0]}` {arrays[held[0]].shape[1]}: "
                "write embeddings of one space"
            )


def _shown(array: NDArray[Any]) -> str:
    return f"{array.dtype} of the shape {list(array.shape)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:TOLD]) + (" ..." if len(names) > TOLD else "")
