"""What a training needs of a release: its columns, rows that show something, and captions."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release.transforms import COLUMNS, VIEWS
from train.samples import DataSettings

IDENTITY = ("id", "pixel_sha256", "ir_sha256", "scene_captions", "ir_captions")
"""Columns that tell one set of rows from another."""


def sources(settings: DataSettings) -> Sequence[str]:
    """Columns of which a row must have one to show anything."""
    return VIEWS if settings.infrared == "infrared" else ("rgb",)


def kinds(settings: DataSettings) -> list[str]:
    """Columns of which some row must hold a text."""
    shown = ("scene",) if settings.captions == "scene" else ("scene", "ir")
    return [f"{kind}_captions" for kind in shown if kind in settings.texts]


def captionless(kind: str, settings: DataSettings) -> UsageError:
    hint = ", or choose captions = scene" if kind == "ir_captions" else ""
    return UsageError(
        f"{settings.data}: no row of {settings.split} has {kind}: run `fusionrs-build caption` and push again{hint}"
    )


def require(columns: Sequence[str], settings: DataSettings) -> None:
    for name in COLUMNS:
        if name not in columns:
            raise FusionError(
                f"{settings.data}: {settings.split} has no column {name}; name a release of `fusionrs-build push`"
            )


def rows_sha256(rows: Any) -> str:
    """Of the ids, pixels and captions of a split, in order."""
    found = hashlib.sha256()
    names = [name for name in IDENTITY if name in rows.column_names]
    for batch in rows.select_columns(names).with_format("arrow").iter(4096):
        for row in zip(*(batch[name].to_pylist() for name in names), strict=True):
            found.update(json.dumps(row).encode() + b"\n")
    return found.hexdigest()
