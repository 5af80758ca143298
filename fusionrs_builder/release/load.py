"""Open a release: `datasets.load_dataset`, with errors that say what is wrong, and rows ready to learn from."""

import glob
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import fsspec
import numpy as np

from fusionrs_builder.errors import UsageError
from fusionrs_builder.release import layout, transforms
from fusionrs_builder.release.documents import card


def load(
    dir_or_repo: str | os.PathLike[str],
    split: str | None = None,
    *,
    config: str = "default",
    streaming: bool = False,
    format: str | None = None,
    image_size: int | None = None,
    require: Collection[str] = (),
    allow_missing: bool = False,
    seed: int | None = None,
    **options: Any,
) -> Any:
    """Open a release.

    Args:
        dir_or_repo: a release folder, or `ORG/NAME` on the Hugging Face Hub.
        split: `train`, `validation` or `test`, or a part such as `train[:1%]`; all splits when not given.
        config: `default`, or `text` for all columns but the images.
        streaming: read rows as they are asked for, without a copy in the cache.
        format: what rows are made of, as `with_format` of `datasets` has it: `torch`, `numpy`, `arrow` ...
        image_size: with format `torch`: rows of `transforms.KEYS` in place of the columns. `rgb` float32 [3, N, N]
            and `ir` float32 [1, N, N] in 0..1, the centre square of both views; `text` and `ir_text`, their captions.
        require: views (`rgb`, `ir`) that a row must have; other rows are left out.
        allow_missing: with `image_size`: a view that a row does not have is zeros, and its `has_rgb` or `has_ir`
            False. Without this such a row is an error when it is read.
        seed: with `image_size`: `text` and `ir_text` are one caption each, drawn by this and the row's id; without,
            lists of all of them, which the default collation of a DataLoader does not take.
        options: further options of `datasets.load_dataset`.

    Returns:
        A `Dataset` (or `DatasetDict` without `split`), or their iterable kin with `streaming`. Images are decoded
        and resized when a row is read, in the workers of a DataLoader where it has some.

    Raises:
        UsageError: the folder is missing, or is not a finished release; or the options do not go together.
    """
    dir_or_repo = _found(dir_or_repo)
    if unknown := sorted(set(require) - set(transforms.VIEWS)):
        raise UsageError(f"require {unknown[0]!r}: give a list of views, of {', '.join(transforms.VIEWS)}")
    if image_size is None and (allow_missing or seed is not None):
        raise UsageError("allow_missing and seed are for tensors of one size: give image_size and format='torch'")
    if image_size is not None and format != "torch":
        raise UsageError("image_size gives tensors: give format='torch' with it")
    if image_size is not None and image_size < 1:
        raise UsageError(f"image_size={image_size}: give the pixels of a side, 1 or more")
    if config == "text" and (require or image_size is not None):
        raise UsageError("config 'text' has no images: leave require and image_size out, or name config 'default'")

    from datasets import load_dataset  # seconds to import

    if image_size is not None and streaming:
        options.setdefault("columns", list(transforms.COLUMNS))  # what is not read need not be fetched
    found = load_dataset(os.fspath(dir_or_repo), config, split=split, streaming=streaming, **options)
    tensors = None if image_size is None else transforms.Tensors(image_size, allow_missing, seed)
    if isinstance(found, dict):
        found = type(found)({name: _prepared(rows, require, tensors) for name, rows in found.items()})
    else:
        found = _prepared(found, require, tensors)
    return found.with_format(format) if format and tensors is None else found


def load_split(dir_or_repo: str | os.PathLike[str], split: str, *, config: layout.Config = "default") -> Any:
    """The rows of one split, whose files alone are fetched and read; pictures stay as they are kept, `{bytes, path}`.

    Args:
        dir_or_repo: as `load`.
        split: as `load`.
        config: as `load`.

    Returns:
        A `Dataset`.

    Raises:
        UsageError: as `load`, or the release has no such split.
    """
    place = _found(dir_or_repo)
    root = place if os.path.isabs(place) else f"hf://datasets/{place}"
    name = split.partition("[")[0]
    if name not in layout.SPLITS:
        raise UsageError(f"{dir_or_repo} has no split {name}: name one of {', '.join(layout.SPLITS)}")
    files = f"{glob.escape(root)}/{layout.FOLDERS[config]}/{name}[-.]*.parquet"

    fs, pattern = fsspec.core.url_to_fs(files)
    found = [fs.unstrip_protocol(path) for path in sorted(fs.glob(pattern))]
    if not found:
        raise UsageError(f"{dir_or_repo} has no {name} split: name another of {', '.join(layout.SPLITS)}")

    from datasets import Image, load_dataset

    try:
        rows = load_dataset("parquet", data_files={name: found}, split=split)
    except ValueError as error:  # a part that is written wrongly, or that holds nothing
        raise UsageError(f"{dir_or_repo}: split {split}: {error}") from None
    for column, feature in rows.features.items():
        if isinstance(feature, Image):
            rows = rows.cast_column(column, Image(decode=False))
    return rows


def _found(dir_or_repo: str | os.PathLike[str]) -> str:
    """The absolute path of a release folder, or the name of a repository."""
    path = Path(dir_or_repo)
    if path.exists():
        _check(path)
        return str(path.resolve())
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", os.fspath(dir_or_repo)):
        raise UsageError(f"{dir_or_repo}: no such folder, nor the name of a dataset on the Hub (ORG/NAME)")
    return os.fspath(dir_or_repo)


def _prepared(rows: Any, require: Collection[str], tensors: transforms.Tensors | None) -> Any:
    """One split, with the rows that have the views required, as tensors where these are wanted."""
    from datasets import Dataset, Image

    if tensors:
        rows = rows.select_columns(list(transforms.COLUMNS))
        for view in transforms.VIEWS:
            rows = rows.cast_column(view, Image(decode=False))
    if require and isinstance(rows, Dataset):  # which of them are null is known without reading any
        there = np.logical_and.reduce([rows.data.column(view).is_valid().to_numpy() for view in require])
        rows = rows if there.all() else rows.select(np.flatnonzero(there))
    elif require:
        rows = rows.filter(_are_there, input_columns=list(require))
    if tensors is None:
        return rows
    if isinstance(rows, Dataset):
        return rows.with_transform(tensors)
    return rows.map(tensors.row, remove_columns=list(transforms.COLUMNS))


def _are_there(*images: Any) -> bool:
    return all(image is not None for image in images)


def _check(path: Path) -> None:
    readme = path / card.NAME
    if readme.is_file() and card.MARK.search(readme.read_text(encoding="utf-8", errors="replace")):
        return
    if (path / "data").is_dir() and not readme.exists():
        raise UsageError(f"{path} is a release that is not finished: run `fusionrs-build push` to its end")
    inside = sorted(folder.parent for folder in path.glob(f"release/*/{card.NAME}"))
    hint = f": did you mean {inside[0]}?" if inside else ": name the folder that `fusionrs-build push` wrote"
    raise UsageError(f"{path} is not a release{hint}")
