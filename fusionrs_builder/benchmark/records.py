"""The records that models are measured on: one split of a release, and the pictures a model is shown of it."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fusionrs_builder import pixels
from fusionrs_builder.errors import FusionError

Inputs = Literal["infrared", "gray", "gray-inverted", "duplicate"]
"""What a model is shown as the infrared view: that itself, or a control: the luma of the visible image (ITU-R 601), 255
less it, the visible image itself."""

INPUTS: tuple[Inputs, ...] = get_args(Inputs)

CONTROLS: tuple[Inputs, ...] = INPUTS[1:]
"""Those that are made of the visible image."""

View = Inputs | Literal["rgb"]
"""A picture that a model is shown: one of these, or the visible image as what it is."""

FEWEST = 20
"""Images of a result: of fewer, an interval says nothing, and nearly all are among the first ten."""

COLUMNS = (
    "id", "ir_origin", "ir_band", "scene_captions", "ir_captions", "caption_source", "labels", "boxes", "width",
    "height", "corpus", "corpus_key", "origin_family", "group_id", "gsd_m", "pixel_sha256", "ir_sha256",
)  # fmt: skip
"""What is read of a row beside its pictures."""


@dataclass(frozen=True)
class Record:
    """A row of a release without its pictures; the fields are its columns, see `schema.COLUMNS`.

    Attributes:
        rgb_sha256: of the decoded pixels of the visible image; None for a record seen in infrared alone.
        ir_sha256: of those of the infrared view; None where there is none.
        scene_writers: who wrote each scene caption: `publisher`, `model`, `template`, `grounded@v1`, `chat:<model>`.
    """

    id: str
    corpus: str
    corpus_key: str
    origin_family: str
    group_id: str
    ir_origin: str | None
    ir_band: str | None
    scene_captions: tuple[str, ...]
    ir_captions: tuple[str, ...]
    scene_writers: tuple[str, ...]
    labels: tuple[str, ...]
    boxes: tuple[Mapping[str, Any], ...]
    width: int
    height: int
    gsd_m: float | None
    rgb_sha256: str | None
    ir_sha256: str | None

    def key(self, view: View) -> str | None:
        """What the pixels of a view are known by: equal for equal pixels; None where the record has no such view."""
        if view == "infrared":
            return self.ir_sha256 and f"pixels:{self.ir_sha256}"
        if self.rgb_sha256 is None:
            return None
        return f"{view}:{self.rgb_sha256}" if view.startswith("gray") else f"pixels:{self.rgb_sha256}"


class Records(Sequence[Record]):
    """One split of a release.

    Attributes:
        dataset: the name that results carry, that of the folder or repository.
        split: `train`, `validation` or `test`, or a part of one as `datasets` has it.
    """

    def __init__(self, rows: Any, dataset: str, split: str) -> None:
        """Read all but the pictures, which stay where they are until they are asked for.

        Args:
            rows: a `datasets.Dataset` whose `rgb` and `ir`, where it has them, are not decoded: `{bytes, path}`.
            dataset: see the class.
            split: see the class.

        Raises:
            FusionError: a column is missing, the split is empty, or an id stands in it twice.
        """
        self.dataset, self.split = dataset, split
        missing = sorted(set(COLUMNS) - set(rows.column_names))
        if missing:
            raise FusionError(f"{dataset}: no column {missing[0]}; name a release that `fusionrs-build push` wrote")
        there = {
            view: rows.data.column(view).is_valid().to_pylist() if view in rows.column_names else [True] * len(rows)
            for view in ("rgb", "ir")
        }
        indices = getattr(rows, "_indices", None)
        if indices is not None:  # a part of the split: the columns of the table beneath are those of the whole
            order = indices.column(0).to_pylist()
            there = {view: [known[at] for at in order] for view, known in there.items()}
        self._records = [
            _record(row, *has) for row, *has in zip(rows.select_columns(list(COLUMNS)), *there.values(), strict=True)
        ]
        self._pictures = {view: rows.select_columns([view]) for view in there if view in rows.column_names}
        self._places = {record.id: place for place, record in enumerate(self._records)}
        if not self._records:
            raise FusionError(f"{dataset}: the split {split} is empty; name another as DATA:SPLIT")
        if len(self._places) < len(self._records):
            raise FusionError(
                f"{dataset}: an id stands twice in the split {split}; run `fusionrs-build check {dataset}`"
            )

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, place: Any) -> Any:
        return self._records[place]

    def place(self, id: str) -> int | None:
        """Where the record of an id stands; None where it does not."""
        return self._places.get(id)

    @cached_property
    def sha256(self) -> str:
        """Of everything that is measured on: all that a `Record` holds, in the order of the split."""
        found = hashlib.sha256()
        for one in self._records:
            facts = {**vars(one), "boxes": [dict(box) for box in one.boxes]}
            found.update(json.dumps(facts, ensure_ascii=True, sort_keys=True).encode() + b"\n")
        return found.hexdigest()

    def picture(self, place: int, view: View) -> Image.Image:
        """A view of the record at a place, in mode RGB; an infrared view has three equal channels.

        Raises:
            FusionError: the record has no such view, or its bytes cannot be decoded.
        """
        record: Record = self._records[place]
        if record.key(view) is None or not self._pictures:
            raise FusionError(f"{record.id} has no {view} view in {self.dataset}")
        column = "ir" if view == "infrared" else "rgb"
        try:
            image = _decoded(self._pictures[column][place][column]["bytes"], column)
        except ValueError as error:
            raise FusionError(f"{record.id}: its {column} view cannot be read: {error}") from error
        if view == "gray-inverted":
            image = ImageOps.invert(image.convert("L"))
        return image.convert("L").convert("RGB") if view.startswith("gray") else image


def parts(
    records: Records, places: Sequence[int], inputs: Sequence[Inputs]
) -> Iterator[tuple[str, list[int], tuple[Inputs, ...]]]:
    """What a result is of: what its data set is called besides, places of records, what is shown of them.

    Controls are made of the visible image. Where some records have none, all are measured on infrared alone, and those
    that have one on everything, as `..., with rgb`. What has fewer than `FEWEST` images is left out.
    """
    whole = list(places)
    visible = [place for place in whole if records[place].rgb_sha256 is not None]
    if len(visible) == len(whole):
        found = [("", whole, tuple(inputs))]
    else:
        alone: tuple[Inputs, ...] = ("infrared",) if "infrared" in inputs else ()
        found = [("", whole, alone), (", with rgb", visible, tuple(inputs) if len(inputs) > len(alone) else ())]
    for name, of, shown in found:
        if len(of) >= FEWEST and shown:
            yield name, of, shown


def _decoded(data: bytes, column: str) -> Image.Image:
    array: NDArray[np.uint8] = pixels.rgb_array(data) if column == "rgb" else pixels.gray_array(data)
    return Image.fromarray(array).convert("RGB")


def _record(row: Mapping[str, Any], has_rgb: bool, has_ir: bool) -> Record:
    writers = row["caption_source"] or {}
    return Record(
        id=row["id"],
        corpus=row["corpus"],
        corpus_key=row["corpus_key"],
        origin_family=row["origin_family"],
        group_id=row["group_id"],
        ir_origin=row["ir_origin"],
        ir_band=row["ir_band"],
        scene_captions=tuple(row["scene_captions"] or ()),
        ir_captions=tuple(row["ir_captions"] or ()),
        scene_writers=tuple(writers.get("scene") or ()),
        labels=tuple(row["labels"] or ()),
        boxes=tuple(row["boxes"] or ()),
        width=row["width"],
        height=row["height"],
        gsd_m=row["gsd_m"],
        rgb_sha256=row["pixel_sha256"] if has_rgb else None,
        ir_sha256=row["ir_sha256"] if has_ir else None,
    )
