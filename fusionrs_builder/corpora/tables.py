"""What the formats share in which captions lie in tables: which column is which, and which rows are meant.

`columns` names them: image=filepath,caption=title. With `where`, only some rows are read: where=type:caption, where
`|` stands between values and `&` between columns: where=type:caption|description&country:Finland.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fusionrs_builder.errors import UsageError

IMAGE_COLUMNS = ("filepath", "image", "filename", "file_name", "image_path", "img_name", "path", "image_id", "patch_id")
CAPTION_COLUMNS = ("caption", "captions", "title", "text", "sentence", "sentences", "description", "output")
LABEL_COLUMNS = ("label", "labels", "class", "classes")
SPLIT_COLUMNS = ("split",)


def column(named: str | None, there: Sequence[str], usual: Sequence[str], role: str, where: str) -> str | None:
    """The column of a role: as named, else the first usual one that is there, else none.

    Raises:
        UsageError: the one named is not there.
    """
    if named is None:
        return next((name for name in usual if name in there), None)
    if named not in there:
        raise UsageError(f"columns: {where} has no column {named!r} for {role}; it has {', '.join(there)}")
    return named


class Where:
    """The rows that are meant.

    Args:
        text: `column:value|value&column:value`, or nothing for all rows.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.values: dict[str, set[str]] = {}
        for condition in filter(None, text.split("&")):
            name, colon, values = condition.partition(":")
            if not colon or not name.strip():
                raise UsageError(f"columns: where={text!r} is not column:value, e.g. where=type:caption")
            self.values[name.strip()] = {value.strip() for value in values.split("|")}

    def holds(self, row: Mapping[str, Any]) -> bool:
        return all(str(row.get(name, "")).strip() in values for name, values in self.values.items())

    def rows_of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a batch that are meant."""
        for name, values in self.values.items():
            batch = batch.filter(pc.is_in(batch[name].cast(pa.string()), pa.array(sorted(values))))
        return batch
