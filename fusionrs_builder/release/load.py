"""Open a release: `datasets.load_dataset`, with an error that says what is wrong with the folder."""

import os
import re
from pathlib import Path
from typing import Any

from fusionrs_builder.errors import UsageError
from fusionrs_builder.release import card


def load(dir_or_repo: str | os.PathLike[str], split: str | None = None, streaming: bool = False, **options: Any) -> Any:
    """Open a release.

    Args:
        dir_or_repo: a release folder, or `ORG/NAME` on the Hugging Face Hub.
        split: `train`, `validation` or `test`; all of them when not given.
        streaming: read rows as they are asked for, without a copy in the cache.
        options: further options of `datasets.load_dataset`.

    Returns:
        A `Dataset` (or `DatasetDict` without `split`), or their iterable kin with `streaming`.

    Raises:
        UsageError: the folder is missing, or is not a finished release.
    """
    path = Path(dir_or_repo)
    if path.exists():
        _check(path)
        dir_or_repo = str(path.resolve())
    elif not re.fullmatch(r"[\w.-]+/[\w.-]+", os.fspath(dir_or_repo)):
        raise UsageError(f"{dir_or_repo}: no such folder, nor the name of a dataset on the Hub (ORG/NAME)")

    from datasets import load_dataset  # seconds to import

    return load_dataset(os.fspath(dir_or_repo), split=split, streaming=streaming, **options)


def _check(path: Path) -> None:
    readme = path / card.NAME
    if readme.is_file() and card.MARK.search(readme.read_text(encoding="utf-8", errors="replace")):
        return
    if (path / "data").is_dir() and not readme.exists():
        raise UsageError(f"{path} is a release that is not finished: run `fusionrs-build push` to its end")
    inside = sorted(folder.parent for folder in path.glob(f"release/*/{card.NAME}"))
    hint = f": did you mean {inside[0]}?" if inside else ": name the folder that `fusionrs-build push` wrote"
    raise UsageError(f"{path} is not a release{hint}")
