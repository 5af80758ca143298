"""What a run was begun with. It is gone on with under the same settings and on the same records, and no others."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionrs_builder.errors import UsageError
from fusionrs_builder.files import Files
from fusionrs_builder.translate.protocol import file_sha256
from train import settings as toml

SETTINGS, SOURCES = "settings.toml", "sources.json"

Sources = Mapping[str, str]
"""What a run reads -> the sha256 of it."""


def check(settings: Any, sources: Sources, free: Sequence[str]) -> bool:
    """Whether a run stands in the folder `settings.out`.

    Args:
        settings: of the run that is asked for.
        sources: that it would read.
        free: settings that may differ.

    Raises:
        UsageError: one does, of other settings or sources.
    """
    out = Path(settings.out)
    if not (out / SETTINGS).is_file():
        return False
    changed = toml.differences(settings, toml.read(type(settings), out / SETTINGS), free)
    before = json.loads((out / SOURCES).read_text(encoding="utf-8")) if (out / SOURCES).is_file() else {}
    changed += [f"{what} is not what it was" for what, sha256 in sources.items() if before.get(what) != sha256]
    if changed:
        raise UsageError(f"{out} holds a run of other settings ({'; '.join(changed)}): name another --out")
    return True


def begin(settings: Any, sources: Sources) -> None:
    """Write down what a run is begun with."""
    files = Files(settings.out)
    files.write_json(SOURCES, dict(sources))
    files.write_bytes(SETTINGS, toml.as_toml(settings).encode())


def of_file(path: str) -> Sources:
    """Of a file, if it is one."""
    return {path: file_sha256(Path(path))} if path and Path(path).is_file() else {}
