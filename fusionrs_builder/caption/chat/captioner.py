"""The chat captioner: a language model writes, every caption is checked, and what does not hold is written by measure.

Of each record the model is asked once for all captions. Where captions fail their checks, or there are too few, it is
asked once more with what was wrong; what then still fails is left out, and the grounded writer fills in.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from fusionrs_builder.caption.appearance import Look, look
from fusionrs_builder.caption.chat import answer as answers
from fusionrs_builder.caption.chat.asking import UnansweredError
from fusionrs_builder.caption.chat.ledger import Answer
from fusionrs_builder.caption.chat.question import Question, Questions
from fusionrs_builder.caption.claims import findings
from fusionrs_builder.caption.evidence import Evidence, measure
from fusionrs_builder.caption.facts import Record
from fusionrs_builder.caption.grounded import published
from fusionrs_builder.caption.rows import Views

TOLD, MOST_TOLD = 200, 10
"""Characters of a caption, and findings, that the model is told when it is asked again."""


@dataclass(frozen=True)
class Measured:
    """A record, what was measured of its views, and the question about it.

    Attributes:
        record: labels, boxes, published captions.
        seen: of the infrared view; None where there is none.
        look: of the visible image; None where there is none.
        wanted: scene and infrared captions that are missing.
        question: that asks for them.
    """

    record: Record
    seen: Evidence | None
    look: Look | None
    wanted: tuple[int, int]
    question: Question


@dataclass(frozen=True)
class Said:
    """What the model said of a record that holds, and what did not.

    Attributes:
        scene: captions that passed every check.
        ir: likewise.
        failed: `check: what was wrong`, once for every caption that was left out, `no_answer: why` where none came.
        answers: that it took, one or two.
    """

    scene: tuple[str, ...]
    ir: tuple[str, ...]
    failed: tuple[str, ...]
    answers: tuple[Answer, ...] = ()


def prepared(record: Record, views: Views, questions: Questions) -> Measured | None:
    """Measure both views, and make the question; None where no caption is missing."""
    rgb, ir = (None if image is None else image[1] for image in (views.rgb, views.ir))
    settings = questions.settings
    scene = max(0, settings.scene_captions - len(published(record)))
    if not scene and ir is None:
        return None
    seen = None if ir is None else measure(ir, rgb, record.boxes)
    wanted = (scene, settings.ir_captions if seen else 0)
    question = questions.about(record, views.rgb, views.ir, seen, wanted)
    return Measured(record, seen, None if rgb is None else look(rgb), wanted, question)


class Answers(Protocol):
    """Who answers a question."""

    async def ask(self, question: Question) -> Answer:
        """The answer; raises UnansweredError where there is none."""


async def captioned(measured: Measured, questions: Questions, asking: Answers) -> Said:
    """Ask about a record, and check what is said.

    Raises:
        FusionError: as `asking.Asking.ask`.
    """
    question, kept, failed = measured.question, _Kept(), list[str]()
    came: list[Answer] = []
    for last in (False, True):
        try:
            came.append(await asking.ask(question))
            reply = answers.read(came[-1])
        except UnansweredError as error:
            failed.append(f"no_answer: {error}")
            break
        except answers.MalformedError as error:
            wrong, lines = [f"malformed: {error}"], [str(error)]
        else:
            wrong, lines = kept.take(measured, reply)
        if not lines:
            break
        failed += wrong
        if not last:
            question = questions.again(question, lines)
    return Said(tuple(kept.scene), tuple(kept.ir), tuple(failed), tuple(came))


class _Kept:
    """Captions that passed, of the first answer and of the second."""

    def __init__(self) -> None:
        self.scene: list[str] = []
        self.ir: list[str] = []

    def take(self, measured: Measured, reply: answers.Reply) -> tuple[list[str], list[str]]:
        """Keep what passes, as far as it is wanted.

        Returns:
            For every caption that failed `check: what was wrong`; and all that the model should be told.
        """
        wanted, ir = measured.wanted, reply.ir if measured.seen else ()
        found = findings(_once(reply.scene), _once(ir), measured.record, measured.seen, measured.look)
        bad = {each.caption for each in found}
        for mine, theirs, most in zip((self.scene, self.ir), (reply.scene, ir), wanted, strict=True):
            known = {text.casefold() for text in (*self.scene, *self.ir)}
            fresh = [text for text in _once(theirs) if text not in bad and text.casefold() not in known]
            mine += fresh[: most - len(mine)]
        lines = [f'{each.message[:TOLD]} (in "{each.caption[:TOLD]}")' for each in found[:MOST_TOLD]]
        for name, mine, most in zip(("scene", "ir_aware"), (self.scene, self.ir), wanted, strict=True):
            if len(mine) < most and not found:
                lines.append(f'"{name}" held {len(mine)} usable captions where {most} are wanted')
        wrong = [f"{each.check}: {each.message}" for each in found]
        if len(self.scene) >= wanted[0] and len(self.ir) >= wanted[1]:
            lines = []  # enough of them hold: nothing to ask again for
        return wrong, lines


def _once(texts: Iterable[str]) -> list[str]:
    """Each text once, in order."""
    return list({text.casefold(): text for text in reversed(list(texts))}.values())[::-1]


def alike(texts: Iterable[Iterable[str]], most: int) -> set[str]:
    """Captions that stand in more than `most` records, case folded: they say nothing of any."""
    seen = Counter(text for record in texts for text in {text.casefold() for text in record})
    return {text for text, count in seen.items() if count > most}
