"""Parquet with the images within, as on the Hugging Face Hub (arampacha/rsicd, timm/eurosat-rgb, markus-42/SegFly).

data/train-00000-of-00002.parquet: image struct<bytes, path>, caption string or list of strings, label number or name

`columns` says which column is which: image, ir (a second image, infrared), caption, label, split, id (the key of a row,
e.g. id=image.path; unset, the file's name and the row's number) and where (see `tables.py`). Numbers of classes have
their names in the file, or in `classes`. `include` says which files are read.
"""

import fnmatch
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fusionrs_builder.corpora import tables
from fusionrs_builder.corpora.captions import checked, refuse_tiles, split_in
from fusionrs_builder.corpora.parquet_rows import ParquetRows
from fusionrs_builder.corpora.reader import Item, Reader, Refused, Sample, split_name, stem, walk
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.settings import CorpusSettings

IMAGE_COLUMNS = ("image", "img", "rgb", "jpg", "png")

LISTED_ROWS = 1024
"""Rows listed at once, without their images."""

NO_LABEL = -1
"""What datasets write for the classes of a test split."""


class Parquet(Reader):
    """A row an image."""

    def __init__(self, root: Path, settings: CorpusSettings) -> None:
        super().__init__(root, settings)
        refuse_tiles(settings)
        self.meant = tables.Where(settings.columns.get("where", ""))
        self._views: dict[str, list[str]] = {}
        self._rows = ParquetRows(root, self._views_of)

    def items(self) -> Iterator[Item]:
        for path in walk(self.root):
            if path.lower().endswith(".parquet") and fnmatch.fnmatch(path, self.settings.include or "*"):
                try:
                    with pq.ParquetFile(self.root / path) as file:
                        yield from self._items_of(path, file)
                except (OSError, pa.ArrowException) as error:
                    raise FusionError(f"{path} cannot be read ({error}); fetch it again") from None

    def _items_of(self, path: str, file: "pq.ParquetFile") -> Iterator[Item]:
        roles, names = self._roles(path, file.schema_arrow), class_names(file.schema_arrow)
        listed: dict[str, str] = {role: roles[role] for role in ("caption", "label", "split", "id") if role in roles}
        wanted = [*dict.fromkeys([*listed.values(), *self.meant.values])]
        number = 0
        for group in range(file.num_row_groups):
            about = file.metadata.row_group(group)
            size, row = about.total_byte_size // max(about.num_rows, 1), 0
            if not wanted:
                rows: Iterator[Mapping[str, Any]] = iter([{}] * about.num_rows)
            else:
                batches = file.iter_batches(LISTED_ROWS, row_groups=[group], columns=wanted, use_threads=False)
                rows = (values for batch in batches for values in batch.to_pylist())
            for row, values in enumerate(rows):
                if self.meant.holds(values):
                    found = {role: _at(values, column) for role, column in listed.items()}
                    yield self._item(path, (group, row, number), found, size, names.get(roles.get("label", ""), ()))
                number += 1

    def _item(
        self, path: str, place: tuple[int, int, int], found: dict[str, Any], size: int, names: tuple[str, ...]
    ) -> Item:
        group, row, number = place
        key = f"{stem(path)}/{number:07d}"
        try:
            if "id" in found:
                if not isinstance(found["id"], str | int) or found["id"] == "":
                    raise Refused("missing_key", f"row {number} of {path} has no {self.settings.columns['id']}")
                key = stem(str(found["id"]).replace("\\", "/"))
            captions = checked(found["caption"]) if "caption" in found else []
            labels = self._labels(found.get("label"), names, path)
        except Refused as refused:
            said = f"row {number} of {path}: {refused.message}"
            return Item(f"{stem(path)}/{number:07d}", (path,), bytes=size, fault=(refused.reason, said))
        split = split_name(str(found["split"])) if found.get("split") else self.split_of(path) or split_in(path)
        data = json.dumps({"group": group, "row": row, "captions": captions})
        return Item(key, (path,), bytes=size, split=split, labels=labels, data=data)

    def _labels(self, value: Any, names: tuple[str, ...], path: str) -> tuple[str, ...]:
        """The names of a label or a list of labels.

        Raises:
            UsageError: it is a number that nothing names.
            Refused: it is a number beyond the names.
        """
        labels = []
        for label in value if isinstance(value, list) else [value]:
            if label is None or label == NO_LABEL or label == "":
                continue
            name = self.settings.classes.get(str(label)) or (label if isinstance(label, str) else None)
            if name is None and not names:
                raise UsageError(
                    f"classes: {path} does not name class {label}; say what it is, e.g. --classes {label}=forest"
                )
            if name is None and not (isinstance(label, int) and 0 <= label < len(names)):
                raise Refused("unknown_class", f"class {label!r} of {len(names)}")
            labels.append(name or names[label])
        return tuple(labels)

    def _roles(self, path: str, schema: pa.Schema) -> dict[str, str]:
        """The column of each role that there is.

        Raises:
            UsageError: there is no image, or a column that was named is not there.
        """
        columns = self.settings.columns
        images = [field.name for field in schema if _is_image(field.type)]
        texts = [field.name for field in schema if _holds(field.type, pa.types.is_string, pa.types.is_large_string)]
        labels = [field.name for field in schema if field.name in texts or _holds(field.type, pa.types.is_integer)]
        found = {
            "image": tables.column(columns.get("image"), images, (*IMAGE_COLUMNS, *images), "image", path),
            "ir": tables.column(columns.get("ir"), images, (), "ir", path),
            "caption": tables.column(columns.get("caption"), texts, tables.CAPTION_COLUMNS, "caption", path),
            "label": tables.column(columns.get("label"), labels, tables.LABEL_COLUMNS, "label", path),
            "split": tables.column(columns.get("split"), schema.names, tables.SPLIT_COLUMNS, "split", path),
            "id": columns.get("id"),
        }
        if "id" in columns:
            tables.column(columns["id"].split(".")[0], schema.names, (), "id", path)
        for name in self.meant.values:
            tables.column(name, schema.names, (), "where", path)
        if found["image"] is None:
            raise UsageError(f"columns: {path} has no column of images; it has {', '.join(schema.names)}")
        return {role: name for role, name in found.items() if name is not None}

    def read(self, item: Item) -> Sample:
        path, found = item.files[0], item.found()
        try:
            row = self._rows.row(path, found["group"], found["row"])
            names = self._views_of(path)
        except (OSError, pa.ArrowException) as error:
            raise Refused("unreadable_file", f"{path}, row group {found['group']}: {error}") from None
        views = [row[name]["bytes"] if isinstance(row[name], dict) else row[name] for name in names]
        if views[0] is None:
            raise Refused("missing_image", f"{path}: no bytes in {names[0]} of {item.key}")
        sample = self.picture(views[0], path)
        if len(views) > 1 and views[1] is not None:
            sample.ir, sample.band = views[1], self.settings.band
            sample.source = f"{self.settings.sensor} {self.settings.band or ''}".strip()
        self.say(sample, found["captions"])
        return sample

    def _views_of(self, path: str) -> list[str]:
        """The columns of images in a file: the visible one, and the infrared one where there is one."""
        if path not in self._views:
            roles = self._roles(path, pq.read_schema(self.root / path))
            self._views[path] = [roles[role] for role in ("image", "ir") if role in roles]
        return self._views[path]


def class_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Names of classes by column, as `datasets` writes them into the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        pairs = [(name, _names(feature)) for name, feature in features.items()]
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
    return {name: names for name, names in pairs if names}


def _names(feature: Any) -> tuple[str, ...]:
    if isinstance(feature, list):
        return _names(feature[0]) if feature else ()
    if not isinstance(feature, dict):
        return ()
    names = feature.get("names")
    return tuple(names) if isinstance(names, list) else _names(feature.get("feature"))


def _is_image(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _holds(kind: pa.DataType, *tests: Any) -> bool:
    """Whether a column holds such values, or lists of them."""
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return any(bool(test(kind.value_type if listed else kind)) for test in tests)


def _at(values: Any, column: str) -> Any:
    """The value of a column, `.` between the parts of a struct."""
    for part in column.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


READER = Parquet
