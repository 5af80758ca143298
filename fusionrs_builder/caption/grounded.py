"""The grounded writer: captions from labels, boxes and measurements, true by construction and the same every time.

What may be said is worked out in `facts.py`; here a sentence is chosen and its slots are filled. Which sentence is
decided by sha256 of the seed, the record's id and the sentence itself, so a new sentence in the phrase file changes
only the captions it wins.
"""

import hashlib
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.caption import checks, claims, facts
from fusionrs_builder.caption.appearance import look
from fusionrs_builder.caption.evidence import measure
from fusionrs_builder.caption.facts import Record, Slots
from fusionrs_builder.caption.geometry import locate
from fusionrs_builder.caption.language import article
from fusionrs_builder.errors import FusionError

ORIGINS = ("publisher", "model", "template")
"""Who wrote the captions that come with a corpus, best first: people, a language model, a rule."""

GROUNDED = "grounded@v1"

SCENE_FIRST, IR_FIRST = ("objects", "class"), ("objects",)
"""Kinds of sentence that come before all others, in this order, where the record allows them."""

CONTENT = frozenset(("content", "scene", "counts", "group", "largest", "subject", "similar_subject", "agreed_subject"))
"""Slots that name what is there: sentences with one of them come before those without."""

_SLOT = re.compile(r"\{(\w+)\}")
_ARTICLE = "\x00"
"""Stands for `a` or `an` until the next word is known; `humanise` lets no control character in."""


@dataclass(frozen=True)
class Phrases:
    """The phrase file.

    Attributes:
        sha256: of its bytes.
        tables: its content.
    """

    sha256: str
    tables: dict[str, Any]

    @classmethod
    def load(cls) -> "Phrases":
        data = (resources.files("fusionrs_builder.caption") / "prompts" / "grounded.toml").read_bytes()
        return cls(hashlib.sha256(data).hexdigest(), tomllib.loads(data.decode()))

    @cached_property
    def needs(self) -> dict[str, frozenset[str]]:
        """The slots that each sentence uses."""
        every = [text for kind in ("scene", "ir") for texts in self.tables[kind].values() for text in texts]
        return {text: frozenset(_SLOT.findall(text)) - {"a"} for text in every}


@dataclass(frozen=True)
class Given:
    """What a model wrote of a record, checked; the grounded writer adds what is missing.

    Attributes:
        scene, ir: captions that passed every check of `claims.py`.
        writer: `chat:<model>`.
        prompt_sha256: of what it was told.
        failed: `check: what was wrong` of what it said besides.
    """

    scene: tuple[str, ...]
    ir: tuple[str, ...]
    writer: str
    prompt_sha256: str
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Captions:
    """The captions of a record.

    Attributes:
        scene: published ones first, those by people before those by a model and by rule; then written ones.
        ir: empty where there is no infrared view.
        scene_writers, ir_writers: one of `ORIGINS`, `chat:<model>` or `grounded@v1`, one for each caption.
        checks: names of the checks that every caption passed.
        prompt_sha256: of what a model was told, where one was asked; else of the phrase file.
        failed: `check: what was wrong` of what a model said that is not among them.
    """

    scene: tuple[str, ...]
    ir: tuple[str, ...]
    scene_writers: tuple[str, ...]
    ir_writers: tuple[str, ...]
    checks: tuple[str, ...]
    prompt_sha256: str
    failed: tuple[str, ...]


class Writer:
    """Writes captions.

    Args:
        seed: another seed chooses other words.
        scene: scene captions a record, at least.
        ir: infrared captions a record.
        phrases: the phrase file; the package's own when None.
    """

    def __init__(self, seed: int, scene: int = 2, ir: int = 2, phrases: Phrases | None = None) -> None:
        self.seed, self.scene, self.ir = seed, scene, ir
        self.phrases = phrases or Phrases.load()

    def write(
        self,
        record: Record,
        rgb: NDArray[np.uint8] | None,
        ir: NDArray[np.uint8] | None,
        given: Given | None = None,
    ) -> Captions:
        """Write the captions of one record.

        Args:
            record: labels, boxes and metadata.
            rgb: uint8 [H, W, 3]; None where the record was seen in infrared alone.
            ir: uint8 [H, W]; None where there is no infrared view. `rgb` and `ir` may not both be None.
            given: what a model wrote already; only what is missing is added.

        Raises:
            FusionError: a written caption failed a check, which is a fault of this package.
            ValueError: an array has another shape or type.
        """
        frame = rgb if rgb is not None else ir
        if frame is None:
            raise ValueError("a record needs a visible or an infrared image to be captioned")
        tables, scales = self.phrases.tables, self.phrases.tables["words"]
        height, width = frame.shape[:2]
        seen = None if ir is None else measure(ir, rgb, record.boxes)
        things = () if seen is None else seen.things
        placed = [thing.placed for thing in things] if seen is not None else locate(record.boxes, width, height)
        said_ir = facts.spoken(record, placed, tables["classes"], facts.allowed_in_infrared(record))
        said = said_ir if rgb is None else facts.spoken(record, placed, tables["classes"], lambda noun: True)
        appearance = None if rgb is None else look(rgb)
        origin, band = "measured" if record.origin == "measured" else "translated", record.band or "none"

        def scene_slots(pick: facts.Pick) -> Slots:
            slots = {"frame": pick("frame", tables["frames"]["rgb"])}
            if appearance is not None:
                slots |= facts.look_slots(appearance, scales, pick)
            elif seen is not None:
                slots = {"frame": pick("frame", tables["frames"][band if origin == "measured" else "none"])}
                slots |= facts.infrared_slots(seen, scales, pick)
            slots |= facts.extent_slots(record.gsd_m, width, height)
            return slots | facts.content_slots(said) | facts.layout_slots(said, things, pick)

        def ir_slots(pick: facts.Pick) -> Slots:
            if seen is None:
                return {}
            slots = {"view": pick("view", tables["views"][origin][band])}
            slots |= facts.content_slots(said_ir) | facts.infrared_slots(seen, scales, pick)
            slots |= facts.near_infrared_slots(said_ir, record, seen, tables["near_infrared"])
            return slots | facts.object_slots(said_ir, things, record, pick)

        others, said_before = (given.scene, given.ir) if given else ((), ())
        first = (*published(record), *others)
        scene = self._compose(
            "scene", SCENE_FIRST, scene_slots, self.scene - len(first), record, (*first, *said_before)
        )
        taken = (*first, *said_before, *scene)
        written = self._compose("ir", IR_FIRST, ir_slots, self.ir - len(said_before), record, taken) if seen else ()
        if faults := checks.faults(scene, written, record.origin, record.band, rgb is None):
            raise FusionError(f"{record.id}: a written caption fails its checks, please report this: {faults}")
        return self._together(record, given, scene, written, rgb is None)

    def adopt(self, record: Record, given: Given, rgb: bool, ir: bool) -> Captions | None:
        """What a model wrote, where nothing is missing; None where it is. No image is looked at.

        Args:
            record: labels, boxes and metadata.
            given: what a model wrote.
            rgb: whether there is a visible image.
            ir: whether there is an infrared view.
        """
        enough = len(published(record)) + len(given.scene) >= self.scene and (not ir or len(given.ir) >= self.ir)
        return self._together(record, given, (), (), not rgb) if enough else None

    def _together(
        self, record: Record, given: Given | None, scene: tuple[str, ...], written: tuple[str, ...], infrared_only: bool
    ) -> Captions:
        """Captions of all writers: published, given, written."""
        origins = published(record)
        others, said_before = (given.scene, given.ir) if given else ((), ())
        first = (*origins, *others)
        failed = checks.faults(
            (*first, *scene), (*said_before, *written), record.origin, record.band, infrared_only
        )  # fmt: skip
        writer = given.writer if given else GROUNDED
        alone = bool(given) and not (origins or scene or written)
        return Captions(
            scene=(*first, *scene),
            ir=(*said_before, *written),
            scene_writers=(*origins.values(), *(writer,) * len(others), *(GROUNDED,) * len(scene)),
            ir_writers=(*(writer,) * len(said_before), *(GROUNDED,) * len(written)),
            # What others wrote was not taken apart: of them only the first few checks can be told.
            checks=tuple(name for name in (claims.CHECKS if alone else checks.CHECKS) if name not in failed),
            prompt_sha256=given.prompt_sha256 if given else self.phrases.sha256,
            failed=given.failed if given else (),
        )

    def _compose(
        self,
        kind: str,
        first: Sequence[str],
        slots_of: Callable[[facts.Pick], Slots],
        count: int,
        record: Record,
        taken: Iterable[str],
    ) -> tuple[str, ...]:
        """Different sentences, each about another side of the record as far as there are enough."""
        texts: list[str] = []
        used = {text.casefold() for text in taken}
        for turn in range(count):
            slots = slots_of(partial(self._pick, record.id, f"{kind}{turn}"))
            fitting = {
                topic: [text for text in sentences if self.phrases.needs[text] <= slots.keys()]
                for topic, sentences in self.phrases.tables[kind].items()
            }
            leading = [topic for topic in first if fitting[topic]]
            rest = [topic for topic in fitting if fitting[topic] and topic not in first]
            topics = leading + self._order(record.id, f"{kind} topic", rest)
            topics = topics[turn % len(topics) :] + topics[: turn % len(topics)]
            for sentence in (s for topic in topics for s in self._ranked(record.id, f"{kind}{turn}", fitting[topic])):
                text = render(sentence, slots)
                if text.casefold() not in used and _fits(text):
                    texts.append(text)
                    used.add(text.casefold())
                    break
        return tuple(texts)

    def _pick(self, record: str, purpose: str, slot: str, options: Sequence[str]) -> str:
        return self._order(record, f"{purpose} {slot}", options)[0]

    def _ranked(self, record: str, purpose: str, sentences: Sequence[str]) -> list[str]:
        return sorted(self._order(record, purpose, sentences), key=lambda text: not self.phrases.needs[text] & CONTENT)

    def _order(self, record: str, purpose: str, options: Sequence[str]) -> list[str]:
        """The options in an order of their own for every seed, record and purpose."""
        if len(options) == 1:
            return list(options)
        start = hashlib.sha256(f"{self.seed}\x1f{record}\x1f{purpose}\x1f".encode())

        def rank(option: str) -> bytes:
            ranked = start.copy()
            ranked.update(option.encode())
            return ranked.digest()

        return sorted(options, key=rank)


def render(sentence: str, slots: Slots) -> str:
    """Fill the slots of a sentence, once: what fills a slot is not searched for slots again."""
    text = _SLOT.sub(lambda match: _ARTICLE if match[1] == "a" else slots[match[1]], sentence)
    text = re.sub(rf"{_ARTICLE} (\S+)", lambda match: f"{article(match[1])} {match[1]}", text)
    return text[:1].upper() + text[1:]


def _fits(text: str) -> bool:
    return checks.MIN_WORDS <= len(text.split()) <= checks.MAX_WORDS and not text[:1].isdigit()


def published(record: Record) -> dict[str, str]:
    """The captions that come with a record, each once, and the best of its origins."""
    found: dict[str, str] = {}
    for origin in ORIGINS:
        for caption in filter(None, map(_clean, getattr(record, origin))):
            found.setdefault(caption, origin)
    return found


def _clean(caption: str) -> str:
    """A published caption on one line, without control characters."""
    return " ".join("".join(" " if unicodedata.category(c)[0] == "C" else c for c in caption).split())
