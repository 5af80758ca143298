"""Write a finished release as tars for the `webdataset` library, one a Parquet file, under the same name.

The files of a record stand side by side under one key, always in this order; a null is a file that is not there:

    <key>.jpg        the visible view, bytes as published (.png, .webp)
    <key>.ir.jpg     the infrared view (.ir.png)
    <key>.ir16.png   the sensor's 16-bit original
    <key>.txt        the first scene caption
    <key>.json       all other columns, nulls too; hashes as 16 hexadecimal digits

The visible view has nothing but its extension behind the key, for open_clip takes a record only if it has a field named
exactly `jpg`, `png` or `webp`, and a `txt`: it leaves out what has no visible view or no caption.

Unless it is told, `datasets` guesses columns and types from the first five records of one tar: fields that those lack
are dropped, columns that are null in all five break at the first value. No order of rows mends that (a corpus without
`rgb`, a column that only one corpus has), so the card tells the types: `load_dataset(target)` opens any copy, with None
where a file is missing. `load_dataset("webdataset", data_files=...)` does so if the first records are like all others,
or with `features=load_dataset_builder(target).info.features`.

`stats/<name>.json` tells what a tar was made from: a second run keeps the tars that are current.
"""

import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from fusionrs_builder.release import converted, layout, record_files
from fusionrs_builder.release.converted import Converted, Copy
from fusionrs_builder.release.features import IMAGES
from fusionrs_builder.shards import Row

FORM = "webdataset"

VERSION = 1
"""Raised when the same rows would give another tar."""

OURS = rf"(data/{layout.NAME.pattern}\.tar)|(stats/[^/]+-of-\d{{5}}\.json)"

BLOCK, RECORD = 512, 10240
"""Bytes: a file of a tar is filled up to the one, a tar to the other."""

NOTE = """> **WebDataset.** This copy holds each record as files of a tar under one key: `jpg`, `png` or `webp` is the
> column `rgb`, `ir.jpg` or `ir.png` is `ir`, `ir16.png` is `ir16`, `txt` the first scene caption, `json` all other
> columns (`phash` and `ir_phash` as hexadecimal digits). A null image is a file that is not there. It has no
> configurations but the default."""

Stats = dict[str, Any]


def write_webdataset(release: Path, target: Path, progress: Callable[[int], None] = converted.quiet) -> Converted:
    """Write the tars, or those that are not current, and remove those of an earlier release.

    Args:
        release: folder of a finished release.
        target: a new or empty folder, or one that holds an earlier copy.
        progress: called with the rows done since the last call.

    Raises:
        FusionError, UsageError: as `converted.copying`.
    """
    with converted.copying(release, target, FORM, OURS) as copy:
        fields: set[str] = set()
        for split, sources in copy.sources.items():
            for source in sources:
                stats = _current(copy, source)
                if stats:
                    copy.keep()
                    progress(stats["rows"])
                else:
                    stats = _write(copy, source, progress)
                copy.splits[split].rows += stats["rows"]
                copy.splits[split].bytes += stats["bytes"]
                fields |= stats["fields"].keys()
        names = [source for sources in copy.sources.values() for source in sources]
        copy.clear("data", {f"{name}.tar" for name in names})
        copy.clear("stats", {f"{name}.json" for name in names})
        patterns = {split: f"data/{split}[.-]*.tar" for split in copy.sources}
        return copy.finish(patterns, _features(copy, fields), NOTE)


def _current(copy: Copy, source: str) -> Stats | None:
    """What is known of the tar, if it was made from the file that stands in the release now, and was not changed."""
    tar = copy.target / f"data/{source}.tar"
    try:
        stats: Stats = json.loads((copy.target / f"stats/{source}.json").read_bytes())
        same = stats["version"] == VERSION and stats["sha256"] == converted.sha256(tar)
    except (OSError, ValueError, KeyError, TypeError):  # not there, or cut short
        return None
    return stats if same and stats["source_sha256"] == copy.source_sha256(source) else None


def _write(copy: Copy, source: str, progress: Callable[[int], None]) -> Stats:
    """Write one tar, then what is to be known of it."""
    rows, fields = 0, Counter[str]()
    with copy.writing(f"data/{source}.tar") as tar:
        for batch in copy.batches(source):
            for row in batch:
                key = record_files.key(row["id"])
                for field, data in _files(copy, row):
                    _add(tar, f"{key}.{field}", data)
                    fields[field] += 1
            rows += len(batch)
            progress(len(batch))
        tar.write(bytes(2 * BLOCK))
        tar.write(bytes(-tar.tell() % RECORD))
        size = tar.tell()
    stats = {
        "version": VERSION,
        "source_sha256": copy.source_sha256(source),
        "sha256": converted.sha256(copy.target / f"data/{source}.tar"),
        "bytes": size,
        "rows": rows,
        "fields": fields,
    }
    copy.put(f"stats/{source}.json", (json.dumps(stats, indent=2, sort_keys=True) + "\n").encode())
    return stats


def _files(copy: Copy, row: Row) -> Iterator[tuple[str, bytes]]:
    """The files of a record: what follows the key, and the bytes."""
    for column, data in record_files.images(row):
        yield _field(column, record_files.extension(data, row["id"], column)), data
    if row["scene_captions"]:
        yield "txt", row["scene_captions"][0].encode()
    yield "json", json.dumps(record_files.plain(row, copy.arrow), ensure_ascii=False).encode()


def _field(column: str, extension: str) -> str:
    return extension if column == "rgb" else f"{column}.{extension}"


def _add(tar: BinaryIO, name: str, data: bytes) -> None:
    """One file of a tar: without time, owner or host, so that the same rows give the same bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    tar.write(info.tobuf(tarfile.USTAR_FORMAT))
    tar.write(data)
    tar.write(bytes(-len(data) % BLOCK))


def _features(copy: Copy, fields: set[str]) -> Any:
    """The columns that `datasets` reads, of the fields that occur in any tar."""
    from datasets import Features, Image, Value

    images = (_field(column, extension) for column in IMAGES for _, extension in record_files.EXTENSIONS)
    return Features(
        {
            **{field: Image() for field in images if field in fields},
            **({"txt": Value("string")} if "txt" in fields else {}),
            "json": dict(Features.from_arrow_schema(record_files.plain_schema(copy.arrow))),
            "__key__": Value("string"),
            "__url__": Value("string"),
        }
    )
