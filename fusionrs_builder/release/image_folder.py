"""Write a finished release as image files, a thousand rows a folder, with a table of all other columns for each split.

    train/metadata.parquet       the columns, with `rgb_file_name`, `ir_file_name`, `ir16_file_name` for the images
    train/00000/<key>-rgb.jpg    bytes as published (.png, .webp)
    train/00000/<key>-ir.jpg
    train/00000/<key>-ir16.png

`load_dataset("imagefolder", data_dir=target)` turns each `*_file_name` into an image, a null into None. The table is
Parquet, not JSON lines: of the latter `datasets` guesses the types in each split and refuses splits that differ, so one
column that is null throughout a split would close the whole folder. Hashes are 16 hexadecimal digits.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fusionrs_builder.release import converted, layout, record_files
from fusionrs_builder.release.converted import Converted, Copy
from fusionrs_builder.release.features import IMAGES
from fusionrs_builder.shards import Row

FORM = "folder"

ROWS = 1000
"""Rows a folder: file managers and `ls` stay quick."""

TABLE = "metadata.parquet"

FILE_NAMES = {column: f"{column}_file_name" for column in IMAGES}

_SPLIT, _IMAGE = "|".join(layout.SPLITS), "|".join(IMAGES)

OURS = rf"({_SPLIT})/({TABLE.replace('.', '[.]')}|\d{{5}}/{record_files.KEY}-({_IMAGE})\.(jpg|png|webp))"

NOTE = """> **Image folder.** This copy holds each image as a file, and all other columns in `metadata.parquet` of each
> split (`phash` and `ir_phash` as hexadecimal digits). It has no configurations but the default."""


def write_image_folder(release: Path, target: Path, progress: Callable[[int], None] = converted.quiet) -> Converted:
    """Write the files, or those that are missing or other, and remove those of an earlier release.

    Args:
        release: folder of a finished release.
        target: a new or empty folder, or one that holds an earlier copy.
        progress: called with the rows done since the last call.

    Raises:
        FusionError, UsageError: as `converted.copying`.
    """
    with converted.copying(release, target, FORM, OURS) as copy:
        for split in copy.sources:
            _write(copy, split, progress)
        _clear(copy)
        return copy.finish(_patterns(copy), _features(copy), NOTE)


def _write(copy: Copy, split: str, progress: Callable[[int], None]) -> None:
    arrow = _table_schema(copy)
    with copy.writing(f"{split}/{TABLE}") as handle, pq.ParquetWriter(handle, arrow) as table:
        rows = _rows(copy, split, progress)
        for number, chunk in enumerate(iter(lambda: list(islice(rows, ROWS)), [])):
            table.write_table(pa.Table.from_pylist(chunk, schema=arrow))
            names = {row[name].rsplit("/", 1)[-1] for row in chunk for name in FILE_NAMES.values() if row[name]}
            copy.clear(f"{split}/{number:05d}", names)


def _rows(copy: Copy, split: str, progress: Callable[[int], None]) -> Iterator[Row]:
    """The rows of the table; the images of each are written before it is given."""
    done = copy.splits[split]
    for source in copy.sources[split]:
        for batch in copy.batches(source):
            for row in batch:
                found = record_files.plain(row, copy.arrow) | dict.fromkeys(FILE_NAMES.values())
                for column, data in record_files.images(row):
                    extension = record_files.extension(data, row["id"], column)
                    name = f"{done.rows // ROWS:05d}/{record_files.key(row['id'])}-{column}.{extension}"
                    copy.put(f"{split}/{name}", data)
                    found[FILE_NAMES[column]] = name
                    done.bytes += len(data)
                done.rows += 1
                yield found
            progress(len(batch))


def _clear(copy: Copy) -> None:
    """Remove the folders and tables that only an earlier release had."""
    for split in layout.SPLITS:
        done = copy.splits.get(split)
        folders = -(-done.rows // ROWS) if done else 0
        for path in sorted((copy.target / split).glob("[0-9]*")):
            if path.is_dir() and path.name not in {f"{number:05d}" for number in range(folders)}:
                copy.clear(f"{split}/{path.name}")
        copy.clear(split, {TABLE} if done else ())


def _patterns(copy: Copy) -> dict[str, str | list[str]]:
    """The files of each split. `datasets` takes a split without images for plain Parquet: one whose pixels are all
    withheld names images of another beside its table, which does not name them.
    """
    pictured = [split for split, done in copy.splits.items() if done.bytes]
    found: dict[str, str | list[str]] = {split: f"{split}/**" for split in copy.sources}
    return found | {s: [f"{s}/**", f"{pictured[0]}/00000/*"] for s in found if pictured and s not in pictured}


def _table_schema(copy: Copy) -> pa.Schema:
    """The columns of the release in their order, a file name in place of an image."""
    plain = record_files.plain_schema(copy.arrow)
    fields = [
        pa.field(FILE_NAMES[name], pa.string()) if name in FILE_NAMES else plain.field(name)
        for name in copy.arrow.names
    ]
    return pa.schema(fields)


def _features(copy: Copy) -> Any:
    from datasets import Features, Image

    columns = Features.from_arrow_schema(record_files.plain_schema(copy.arrow))
    return Features({name: Image() if name in FILE_NAMES else columns[name] for name in copy.arrow.names})
