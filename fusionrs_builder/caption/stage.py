"""The stage that writes `captions/` from `rgb/` and `ir/`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fusionrs_builder import pixels
from fusionrs_builder.caption.facts import Record
from fusionrs_builder.caption.grounded import GROUNDED, Captions, Phrases, Writer
from fusionrs_builder.config import CaptionSettings
from fusionrs_builder.shards import Row
from fusionrs_builder.stage import Stage, Task, Worker
from fusionrs_builder.workspace import Workspace

RGB_COLUMNS = (
    "rgb", "publisher_captions", "model_captions", "template_captions", "labels", "boxes", "gsd_m"
)  # fmt: skip
IR_COLUMNS = ("ir", "ir_origin", "ir_band", "reason")


@dataclass(frozen=True)
class CaptionStage(Stage):
    """Writes scene and infrared captions of every record.

    Attributes:
        settings: who writes, and how many captions.
        seed: of the choice of words.
    """

    settings: CaptionSettings
    seed: int

    name: ClassVar[str] = "caption"
    version: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = ("rgb", "ir")
    writes = "captions"

    def params(self) -> Mapping[str, Any]:
        """The captioner, how many captions, the seed and the sha256 of the phrase file."""
        return {
            "captioner": self.settings.captioner,
            "writer": GROUNDED,
            "scene_captions": self.settings.scene_captions,
            "ir_captions": self.settings.ir_captions,
            "seed": self.seed,
            "prompt_sha256": Phrases.load().sha256,
        }

    def open(self, device: str) -> Worker:
        """The worker of one process; `device` is not used."""
        writer = Writer(self.seed, self.settings.scene_captions, self.settings.ir_captions)

        def work(workspace: Workspace, task: Task) -> Iterator[Row]:
            for row in workspace.zip(task.shard, {"rgb": RGB_COLUMNS, "ir": IR_COLUMNS}):
                yield _captioned(row, writer)

        return work


def _captioned(row: Row, writer: Writer) -> Row:
    """The row of the captions layer for one joined row of `rgb` and `ir`."""
    rgb, ir = _bytes(row["rgb"]), _bytes(row["ir"])
    reason = None
    if row["reason"] or ir is None:
        ir, reason = None, f"no_infrared: {row['reason'] or 'the record has no infrared view'}"
    if rgb is None and ir is None:
        return _row(row["id"], None, writer, reason)
    try:
        visible = None if rgb is None else pixels.rgb_array(rgb)
        infrared = None if ir is None else pixels.gray_array(ir)
    except ValueError as error:
        return _row(row["id"], None, writer, f"unreadable_image: {error}")
    record = Record(
        id=row["id"],
        labels=row["labels"] or (),
        boxes=row["boxes"] or (),
        publisher=row["publisher_captions"] or (),
        model=row["model_captions"] or (),
        template=row["template_captions"] or (),
        gsd_m=row["gsd_m"],
        origin=row["ir_origin"],
        band=row["ir_band"],
    )
    return _row(row["id"], writer.write(record, visible, infrared), writer, reason)


def _row(record: str, captions: Captions | None, writer: Writer, reason: str | None) -> Row:
    if captions is None:
        return {
            "id": record, "scene_captions": None, "ir_captions": None, "caption_source": None, "reason": reason
        }  # fmt: skip
    return {
        "id": record,
        "scene_captions": list(captions.scene),
        "ir_captions": list(captions.ir),
        "caption_source": {
            "scene": list(captions.scene_writers),
            "ir": list(captions.ir_writers),
            "prompt_sha256": writer.phrases.sha256,
            "checks": list(captions.checks),
        },
        "reason": reason,
    }


def _bytes(image: Mapping[str, Any] | None) -> bytes | None:
    return image["bytes"] if image else None
