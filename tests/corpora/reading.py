"""What the tests of formats with text share: images by name, a reader, and a whole corpus through its stage."""

import json
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fusionrs_builder.corpora import formats
from fusionrs_builder.corpora.reader import Item, Reader
from fusionrs_builder.corpora.stage import DownloadStage
from fusionrs_builder.settings import BuildSettings, CorpusSettings
from fusionrs_builder.stage import make
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture

KINDS = {"jpg": "JPEG", "jpeg": "JPEG", "tif": "TIFF", "png": "PNG"}


def put_images(root: Path, *paths: str) -> None:
    for number, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(encoded(picture(number), KINDS[path.rpartition(".")[2]]))


def put_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def reader(root: Path, format: str, **keys: Any) -> Reader:
    return formats.reader(root, CorpusSettings.model_validate({"format": format, **keys}), "c")


def by_key(items: Iterable[Item]) -> dict[str, Item]:
    listed = list(items)
    found = {item.key: item for item in listed}
    assert len(found) == len(listed), "keys are unique"
    return found


def faults(items: Iterable[Item]) -> dict[str, str]:
    return {item.key: item.fault[0] for item in items if item.fault}


def captions(found: Reader, item: Item) -> list[str]:
    return found.read(item).captions


@contextmanager
def peak(most: float) -> Iterator[None]:
    """Within, no more bytes than these are held at any time."""
    tracemalloc.start()
    try:
        yield
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held < most, f"{held} bytes"


def build(ws: Workspace, root: Path, format: str, **keys: Any) -> tuple[dict[str, dict[str, Any]], Counter[str]]:
    """The rows of a corpus by key, and how many were refused by reason."""
    settings = CorpusSettings.model_validate({"from": str(root), "format": format, "license": "MIT", **keys})
    stage = DownloadStage({"c": settings}, BuildSettings(shard_records=7))
    shards = stage.prepare(ws, stage.tasks(ws))
    for task in shards:
        make(ws, stage, stage.open("cpu"), task)
    stage.finish(ws)
    rows = [row for task in shards for row in ws.rows("rgb", task.shard)]
    rejects = [task.shard for task in shards if ws.exists(ws.shard_path("rejects", task.shard))]
    refused = [row for shard in rejects for row in ws.rows("rejects", shard)]
    assert sum(task.items for task in shards) == len(rows) + len(refused), "items in are good plus refused"
    return {row["corpus_key"]: row for row in rows}, Counter(row["reason"] for row in refused)
