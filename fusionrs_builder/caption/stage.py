"""The stage that writes `captions/` from `rgb/` and `ir/`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from fusionrs_builder.caption.chat.captioner import Said, alike
from fusionrs_builder.caption.chat.ledger import Ledger, ledger_path
from fusionrs_builder.caption.chat.prompt import Prompt
from fusionrs_builder.caption.chat.question import Questions
from fusionrs_builder.caption.grounded import GROUNDED, Captions, Given, Phrases, Writer
from fusionrs_builder.caption.rows import LAYERS, infrared_of, record_of, views_of
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CaptionSettings
from fusionrs_builder.shards import Row
from fusionrs_builder.stage import Stage, Task, Worker
from fusionrs_builder.workspace import Workspace

CHAT_VERSION = 1
"""Raised when another caption would be kept of the same answer."""

AHEAD = 8
"""Shards that may be begun before the one before them is through."""

MOST_ALIKE = 3
"""Records of a shard that one sentence of the model may stand in; more, and it says nothing of any of them."""


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
    version: ClassVar[int] = 3
    reads: ClassVar[tuple[str, ...]] = ("rgb", "ir")
    writes = "captions"

    @property
    def parallel(self) -> bool:  # type: ignore[override]
        return self.settings.captioner == "grounded"

    def params(self) -> Mapping[str, Any]:
        """The captioner, how many captions, the seed and the sha256 of the phrase file; for chat, what is sent."""
        chosen: dict[str, Any] = {
            "captioner": self.settings.captioner,
            "writer": GROUNDED,
            "scene_captions": self.settings.scene_captions,
            "ir_captions": self.settings.ir_captions,
            "seed": self.seed,
            "prompt_sha256": Phrases.load().sha256,
        }
        if self.settings.captioner == "chat":
            if not self.settings.model:
                raise UsageError("caption.model: which model is to be asked? give --model NAME")
            chosen |= {"chat": CHAT_VERSION, "chat_prompt_sha256": Prompt.load(self.settings.prompt).sha256}
            chosen |= {name: getattr(self.settings, name) for name in ("model", "views")}
            chosen |= {name: getattr(self.settings, name) for name in ("image_side", "max_tokens", "temperature")}
        return chosen

    def check(self, workspace: Workspace) -> None:
        """Raises UsageError where answers could not be kept."""
        if self.settings.captioner != "chat":
            return
        ledger_path(workspace)
        if self.settings.max_usd is not None and self.settings.model not in self.settings.prices:
            raise UsageError(
                f'caption.max_usd needs a price: add [caption.prices."{self.settings.model}"] with input and output, '
                "dollars a million tokens, to fusionrs.toml"
            )

    def prepare(self, workspace: Workspace, pending: Sequence[Task]) -> list[Task]:
        """A task knows which come after it: a chat captioner begins with the next before one is through."""
        if self.settings.captioner != "chat":
            return list(pending)
        names = [task.shard for task in pending]
        return [replace(task, payload=tuple(names[n + 1 : n + 1 + AHEAD])) for n, task in enumerate(pending)]

    def open(self, device: str) -> Worker:
        """The worker of one process; `device` is not used."""
        writer = Writer(self.seed, self.settings.scene_captions, self.settings.ir_captions)
        if self.settings.captioner == "chat":
            return _Chat(self.settings, writer)

        def work(workspace: Workspace, task: Task) -> Iterator[Row]:
            for row in workspace.zip(task.shard, LAYERS):
                yield _captioned(row, writer)

        return work


class _Chat:
    """The worker that asks a model; to be closed by the engine, whatever happens."""

    def __init__(self, settings: CaptionSettings, writer: Writer) -> None:
        self.settings, self.writer = settings, writer
        self.prompt = Prompt.load(settings.prompt)
        self.session: Any = None

    def __call__(self, workspace: Workspace, task: Task) -> Iterator[Row]:
        from fusionrs_builder.caption.chat.measuring import Measuring
        from fusionrs_builder.caption.chat.rounds import from_ledger
        from fusionrs_builder.caption.chat.session import Session  # its client is not needed to read settings

        questions = Questions(self.settings, self.prompt)
        if self.settings.batch_api or self.settings.offline:  # all was answered before the stage began
            with Ledger(ledger_path(workspace)) as answers:
                said = list(from_ledger(workspace, questions, answers, task.shard))
            yield from self._rows(workspace, task, said)
            return
        if self.session is None:
            records = Measuring(workspace, questions)
            self.session = Session(self.settings, questions, ledger_path(workspace), records.shard, records.close)
        yield from self._rows(workspace, task, list(self.session.shard(task.shard, task.payload)))

    def _rows(self, workspace: Workspace, task: Task, said: list[Said | None]) -> Iterator[Row]:
        # Only when all of a shard was said is it known which sentences fit everything.
        same = alike([(*each.scene, *each.ir) for each in said if each], MOST_ALIKE)
        for row, each in zip(workspace.zip(task.shard, LAYERS), said, strict=True):
            yield _captioned(row, self.writer, None if each is None else self._given(each, same))

    def close(self) -> None:
        if self.session is not None:
            session, self.session = self.session, None
            session.close()

    def _given(self, said: Said, same: set[str]) -> Given:
        scene, ir = ([text for text in texts if text.casefold() not in same] for texts in (said.scene, said.ir))
        dropped = len(said.scene) + len(said.ir) - len(scene) - len(ir)
        failed = (*said.failed, *("sameness: the same sentence stood in many records",) * dropped)
        return Given(tuple(scene), tuple(ir), f"chat:{self.settings.model}", self.prompt.sha256, failed)


def _captioned(row: Row, writer: Writer, given: Given | None = None) -> Row:
    """The row of the captions layer for one joined row of `rgb` and `ir`."""
    if given is not None:  # so its images were decoded before, and need not be again where nothing is missing
        kept, reason = infrared_of(row)
        adopted = writer.adopt(record_of(row), given, row["rgb"] is not None, kept is not None)
        if adopted is not None:
            return _row(row["id"], adopted, reason)
    try:
        views, reason = views_of(row)
    except ValueError as error:
        return _row(row["id"], None, f"unreadable_image: {error}")
    if views.rgb is None and views.ir is None:
        return _row(row["id"], None, reason)
    rgb, ir = (None if image is None else image[1] for image in (views.rgb, views.ir))
    return _row(row["id"], writer.write(record_of(row), rgb, ir, given), reason)


def _row(record: str, captions: Captions | None, reason: str | None) -> Row:
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
            "prompt_sha256": captions.prompt_sha256,
            "checks": list(captions.checks),
            "failed": list(captions.failed),
        },
        "reason": reason,
    }
