"""Captioning: what a model says of a picture, against the captions that the release holds and against the picture.

Two protocols: `ir-captioning@1` of infrared views, with the infrared captions as references, and `scene-captioning@1`
of visible images, with the scene captions. Scores are BLEU-1 to 4, METEOR (exact matches), ROUGE-L and CIDEr-D; shares
of captions without a false claim, and of those with words that no infrared view bears out; CLIPScore where a model for
it is named. docs/benchmark.md states all of it in full.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from PIL import Image

from fusionrs_builder.benchmark.encoding import Source
from fusionrs_builder.benchmark.metrics.bleu import bleu
from fusionrs_builder.benchmark.metrics.captions import Captions
from fusionrs_builder.benchmark.metrics.cider import cider_d
from fusionrs_builder.benchmark.metrics.meteor import meteor_exact
from fusionrs_builder.benchmark.metrics.rouge import rouge_l
from fusionrs_builder.benchmark.metrics.tokens import tokenise
from fusionrs_builder.benchmark.models.model import Answer, Answers, Question, TextModel
from fusionrs_builder.benchmark.prompts import CAPTION_INFRARED, CAPTION_PAIR, CAPTION_VISIBLE
from fusionrs_builder.benchmark.records import FEWEST, INPUTS, Inputs, Record, Records, View, parts
from fusionrs_builder.benchmark.result import Result
from fusionrs_builder.errors import FusionError
from fusionrs_builder.intervals import Estimate, estimate

TASK, HEADLINE = "captioning", "CIDEr-D"

MOST_TOKENS = 96
"""Of a caption: some 70 words."""

CLIP_WEIGHT = 2.5
"""Of the cosine in CLIPScore (Hessel et al., EMNLP 2021, eq. 1)."""

PHYSICS = "forbidden_words"
"""The check that a caption of heat, temperature or physics fails."""

Shows = Inputs | Literal["rgb", "pair"]
"""What a model sees: `pair` is the visible image and the infrared view."""

Look = Callable[[View], Image.Image | None]
"""Gives a picture of a record; None where it has no such view."""

Checker = Callable[[Record, Look, str, bool], Sequence[str]]
"""Names of the checks that a caption fails: (record, its pictures, caption, whether it is one of the infrared view).
The same checks that captions of a build pass."""

UNCHECKED = "unchecked"
"""Captions whose checks need a picture that cannot be read."""


@dataclass(frozen=True)
class Protocol:
    """What is described, and what it is held against.

    Attributes:
        name: with its version.
        references: column of the captions that are right.
        infrared: whether it is the infrared view that is described.
    """

    name: str
    references: Literal["ir_captions", "scene_captions"]
    infrared: bool


PROTOCOLS = (
    Protocol("ir-captioning@1", "ir_captions", True),
    Protocol("scene-captioning@1", "scene_captions", False),
)


@dataclass(frozen=True)
class Subset:
    """Records of one protocol, corpus, origin and input: what a result is about."""

    protocol: Protocol
    corpus: str
    origin: str
    shows: Shows
    places: tuple[int, ...]

    def key(self, record: Record) -> str:
        """Of the question about a record; of its infrared view the record's id, as files of predictions have it."""
        return record.id if self.shows == "infrared" else f"{record.id}@{self.shows}"


def captioning(
    records: Records, model: TextModel, inputs: Sequence[Inputs], device: str, check: Checker, clip: Source | None,
    seed: int = 0,
) -> Iterator[Result]:  # fmt: skip
    """A result for each protocol, corpus, origin and input.

    Args:
        records: one split.
        model: that is asked. One that is not shown pictures (`looks`) has answers of the infrared view alone.
        inputs: what is shown as infrared.
        device: torch device of the model.
        check: see `Checker`.
        clip: the model of CLIPScore, over the same records; None: no such score.
        seed: of the bootstrap.
    """
    found = list(subsets(records, inputs, model.looks))
    answers = model.answer([_question(records, place, subset) for subset in found for place in subset.places], device)
    for subset in found:
        yield score(records, subset, answers, model.name, model.pretrained, check, clip, seed)


def subsets(records: Records, inputs: Sequence[Inputs], looks: bool = True) -> Iterator[Subset]:
    """What there is to caption, corpus by corpus: infrared views of either origin, by what is shown; visible images."""
    for protocol, corpus in product(PROTOCOLS, sorted({record.corpus for record in records})):
        mine = [
            (place, record)
            for place, record in enumerate(records)
            if record.corpus == corpus and getattr(record, protocol.references)
        ]
        if not protocol.infrared:
            places = [place for place, record in mine if record.rgb_sha256]
            if looks and len(places) >= FEWEST:
                yield Subset(protocol, corpus, "-", "rgb", tuple(places))
            continue
        for origin in ("measured", "translated"):
            of = [place for place, record in mine if record.ir_sha256 and record.ir_origin == origin]
            for name, places, shown in parts(records, of, inputs if looks else ("infrared",)):
                yield from (Subset(protocol, corpus + name, origin, shows, tuple(places)) for shows in shown)
            both = tuple(place for place in of if records[place].rgb_sha256)
            if looks and len(both) >= FEWEST:
                yield Subset(protocol, corpus + (", with rgb" if len(both) < len(of) else ""), origin, "pair", both)


def _question(records: Records, place: int, subset: Subset) -> Question:
    record: Record = records[place]
    if subset.shows == "pair":
        return Question(
            subset.key(record),
            CAPTION_PAIR,
            lambda: [records.picture(place, "rgb"), records.picture(place, "infrared")],
            f"{record.key('rgb')} {record.key('infrared')}",
            MOST_TOKENS,
        )
    view: View = subset.shows
    prompt = CAPTION_INFRARED if subset.protocol.infrared else CAPTION_VISIBLE
    key = str(record.key(view))
    return Question(subset.key(record), prompt, lambda: [records.picture(place, view)], key, MOST_TOKENS)


def score(
    records: Records, subset: Subset, answers: Answers, model: str, pretrained: str, check: Checker,
    clip: Source | None, seed: int,
) -> Result:  # fmt: skip
    """Score the captions of a subset. One that failed is an empty caption: 0 in every score."""
    used: list[Record] = [records[place] for place in subset.places]
    said = [" ".join((answers[subset.key(record)].text or "").split()) for record in used]
    captions = Captions(
        {record.id: tokenise(text) for record, text in zip(used, said, strict=True)},
        {record.id: [tokenise(text) for text in getattr(record, subset.protocol.references)] for record in used},
    )
    scores = {f"BLEU-{n}": found for n, found in enumerate(bleu(captions), 1)}
    scores |= {"METEOR-exact": meteor_exact(captions), "ROUGE-L": rouge_l(captions), HEADLINE: cider_d(captions)}
    estimates = {name: found.estimate(seed) for name, found in scores.items()}
    faults = [_faults(records, place, text, subset, check) for place, text in zip(subset.places, said, strict=True)]
    estimates["faultless"] = estimate([found is not None and not found for found in faults], seed)
    if subset.protocol.infrared:
        estimates["forbidden physics"] = estimate([PHYSICS in (found or ()) for found in faults], seed)
    if clip is not None and (found := _clip_score(subset, said, clip, seed)) is not None:
        estimates["CLIPScore"] = found
    empty = sum(not text for text in said)
    detail = {
        "faults": dict(Counter(name for found in faults for name in set(found or ())).most_common()),
        "errors": dict(
            Counter(answers[subset.key(record)].error for record in used if answers[subset.key(record)].error)
        ),
        "words": float(np.mean([len(text.split()) for text in said])),
        "different": len({text.casefold() for text in said}),
        "references": sum(len(getattr(record, subset.protocol.references)) for record in used),
    }
    return Result(
        task=TASK,
        protocol=subset.protocol.name,
        dataset=f"{records.dataset}/{subset.corpus}",
        model=model,
        pretrained=pretrained,
        inputs=subset.shows,
        origin=subset.origin,
        band="+".join(sorted({one.ir_band or "none" for one in used})) if subset.protocol.infrared else "-",
        headline=HEADLINE,
        estimates=estimates,
        counts={
            "images": len(used),
            "failed": sum(answers[subset.key(one)].text is None for one in used),
            "empty": empty,
        },
        places=subset.places,
        detail=detail | ({"clip_score": f"{clip.name} {clip.pretrained}"} if "CLIPScore" in estimates and clip else {}),
    )


def _faults(records: Records, place: int, text: str, subset: Subset, check: Checker) -> Sequence[str] | None:
    """None where there is no caption, `UNCHECKED` where there is no telling."""

    def look(view: View) -> Image.Image | None:
        return records.picture(place, view) if records[place].key(view) else None

    try:
        return check(records[place], look, text, subset.protocol.infrared) if text else None
    except FusionError:
        return (UNCHECKED,)


def _clip_score(subset: Subset, said: Sequence[str], clip: Source, seed: int) -> Estimate | None:
    """2.5 times the cosine of the picture that is described and its caption, 0 where that is below 0."""
    pictures = clip.views("infrared" if subset.protocol.infrared else "rgb", subset.places)
    texts = clip.texts([text or "nothing" for text in said])
    if pictures is None or texts is None:
        return None
    a, b = pictures.embeddings.astype(np.float64), texts.embeddings.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(axis=1) / np.maximum(lengths, 1e-12)
    lost = pictures.failed | texts.failed | np.array([not text for text in said])
    return estimate((CLIP_WEIGHT * np.where(lost, 0, np.maximum(cosine, 0))).tolist(), seed)


def controls(
    records: Records, name: str, pool: Records, nearest: Callable[[int], Record | None], check: Checker,
    clip: Source | None, seed: int = 0,
) -> Iterator[Result]:  # fmt: skip
    """What captions score that were written without looking, or by copying.

    Args:
        records: one split.
        name: `random`: the caption of a record of the pool, drawn by seed and id; `majority`: the caption that most
            records of the pool have, the first of equals; `copy-nearest`: that of the record that looks most alike.
        pool: whose captions are taken, never a record's own.
        nearest: see `nearest.Nearest`.
        check: as `captioning`.
        clip: as `captioning`.
        seed: as `captioning`, and of what is drawn.
    """
    for subset in subsets(records, INPUTS):
        if subset.shows not in ("infrared", "rgb"):
            continue
        column = subset.protocol.references
        known = [record for record in pool if getattr(record, column)]
        common = Counter(getattr(record, column)[0] for record in known).most_common(1)
        answers: dict[str, Answer] = {}
        for place in subset.places:
            record: Record = records[place]
            if name == "majority":
                text = common[0][0] if common else None
            else:
                found = _drawn(known, record, seed) if name == "random" else nearest(place)
                text = getattr(found, column)[0] if found and getattr(found, column) else None
            answers[subset.key(record)] = Answer(text, "" if text else "nothing to copy")
        yield score(records, subset, answers, name, "control", check, clip, seed)


def _drawn(known: Sequence[Record], record: Record, seed: int) -> Record | None:
    digest = int.from_bytes(hashlib.sha256(f"{seed} {record.id}".encode()).digest()[:8], "big")
    if not known:
        return None
    found = known[digest % len(known)]
    return found if found.id != record.id else known[(digest + 1) % len(known)] if len(known) > 1 else None
