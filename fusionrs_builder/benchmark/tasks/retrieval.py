"""Retrieval between visible images, infrared images and captions. docs/benchmark.md states the protocols in full.

Measured and translated infrared are never mixed: a protocol is run on the records of either kind by themselves, with a
row for each control, in which a model is shown something else in the place of the infrared view. Where the visible
image is a side too, a control is looked for by what it was made of: such rows say how easy that is, and no model is
compared with itself by them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fusionrs_builder.benchmark.encoding import Source, Vectors
from fusionrs_builder.benchmark.metrics.ranks import Side
from fusionrs_builder.benchmark.metrics.recall import CUTS, FUSIONRS, REMOTECLIP, recalls, retrieve
from fusionrs_builder.benchmark.records import CONTROLS, FEWEST, Inputs, Record, Records, View, parts
from fusionrs_builder.benchmark.result import Result
from fusionrs_builder.captions import normalised

TASK = "zeroshot_retrieval"

HEADLINE = "Mean R"
"""The mean of R@1, R@5 and R@10 over the directions that a protocol names."""

CLIP_BENCHMARK = {"rgb->text": "text_retrieval_recall", "text->rgb": "image_retrieval_recall"}
"""What CLIP_benchmark calls recall in a direction: by what is found."""


@dataclass(frozen=True)
class Protocol:
    """What is searched with what, and what counts as found.

    Attributes:
        name: with its version: a number is compared only with others of the same.
        sides: of `rgb`, `ir`, `fused` and `text`.
        averaged: the directions that the headline is the mean of.
        captions: the column that the texts are from; None without texts.
        every: all captions that people wrote, corpus by corpus, as RemoteCLIP has it; or else the first caption of a
            record, one record standing for all that have the same one, as FusionRS rc4 has it.
    """

    name: str
    sides: tuple[str, ...]
    averaged: Sequence[str]
    captions: str | None = None
    every: bool = False

    @property
    def infrared(self) -> bool:
        """Whether a model is shown an infrared view."""
        return bool({"ir", "fused"} & set(self.sides))

    @property
    def visible(self) -> bool:
        """Whether a model is shown a visible image."""
        return bool({"rgb", "fused"} & set(self.sides))


IR_TEXT = ("ir->text", "text->ir")

PROTOCOLS = (
    Protocol("fusionrs-rc4@1", ("rgb", "ir", "text"), FUSIONRS, "scene_captions"),
    Protocol("ir-captions@1", ("rgb", "ir", "text"), FUSIONRS, "ir_captions"),
    Protocol("ir-text@1", ("ir", "text"), IR_TEXT, "scene_captions"),
    Protocol("ir-text-ir-captions@1", ("ir", "text"), IR_TEXT, "ir_captions"),
    Protocol("fused-query@1", ("fused", "text"), ("fused->text", "text->fused"), "scene_captions"),
    Protocol("rgb-ir-pairing@1", ("rgb", "ir"), ("rgb->ir", "ir->rgb")),
    Protocol("remoteclip@1", ("rgb", "text"), REMOTECLIP, "scene_captions", every=True),
)
"""`ir-text` is for thermal corpora, whose records have no visible image."""


@dataclass(frozen=True)
class Galleries:
    """What a protocol searches and finds: one image a group, and its texts.

    Attributes:
        places: of the images, in the order of the split; the group of an image is its number here.
        texts: of all images.
        owners: of each text the number of its image.
    """

    places: list[int]
    texts: list[str]
    owners: list[int]


def retrieval(
    records: Records, source: Source, inputs: Sequence[Inputs], device: str, seed: int = 0
) -> Iterator[Result]:
    """Every protocol that the records and the model allow.

    Args:
        records: one split.
        source: of the embeddings.
        inputs: what is shown as infrared, one row each.
        device: torch device of the ranks.
        seed: of the bootstrap.
    """
    for protocol in PROTOCOLS:
        for dataset, places, shown in _subsets(records, protocol, inputs):
            galleries = _galleries(records, protocol, places)
            if len(galleries.places) >= FEWEST:
                for shows in shown:
                    sides = _sides(source, protocol, galleries, shows, device)
                    if sides is not None:
                        yield _result(records, source, protocol, dataset, galleries, shows, sides, seed)


def _subsets(
    records: Records, protocol: Protocol, inputs: Sequence[Inputs]
) -> Iterator[tuple[str, list[int], Sequence[View]]]:
    """Data set, places of the records, what is shown: of either origin; corpus by corpus without infrared."""
    usable = [place for place, record in enumerate(records) if _usable(record, protocol)]
    if protocol.every:
        for corpus in sorted({records[place].corpus for place in usable}):
            mine = [place for place in usable if records[place].corpus == corpus]
            yield f"{records.dataset}/{corpus}", mine, ("rgb",)
        return
    for origin in ("measured", "translated"):
        of = [place for place in usable if records[place].ir_origin == origin]
        for name, places, shown in parts(records, of, inputs):
            yield records.dataset + name, places, shown


def _usable(record: Record, protocol: Protocol) -> bool:
    """Whether a record has all that a protocol looks at."""
    if (protocol.visible and record.rgb_sha256 is None) or (protocol.infrared and record.ir_sha256 is None):
        return False
    return protocol.captions is None or bool(_captions(record, protocol))


def _captions(record: Record, protocol: Protocol) -> list[str]:
    if protocol.captions is None:
        return []
    if protocol.every:
        written = zip(record.scene_captions, record.scene_writers, strict=False)
        return [text.capitalize() for text, writer in written if writer == "publisher"]
    captions: tuple[str, ...] = getattr(record, protocol.captions)
    return [captions[0]] if captions and normalised(captions[0]) else []


def _galleries(records: Records, protocol: Protocol, places: list[int]) -> Galleries:
    """One record a group stands for it: of the same caption, or, without texts, of the same pixels."""
    groups: dict[object, int] = {}
    for place in places:
        record: Record = records[place]
        if protocol.every:
            name: object = record.id
        elif protocol.captions:
            name = normalised(_captions(record, protocol)[0])
        else:
            name = record.rgb_sha256, record.ir_sha256
        groups.setdefault(name, place)
    kept = list(groups.values())
    texts = [(number, text) for number, place in enumerate(kept) for text in _captions(records[place], protocol)]
    return Galleries(kept, [text for _, text in texts], [number for number, _ in texts])


def _sides(source: Source, protocol: Protocol, of: Galleries, shows: View, device: str) -> list[Side] | None:
    """The embeddings; None where the model, or the records, have not all that the protocol takes."""
    sides = []
    for name in protocol.sides:
        vectors = source.texts(of.texts) if name == "text" else _pictures(source, of.places, name, shows)
        if vectors is None:
            return None
        owners = np.asarray(of.owners if name == "text" else range(len(of.places)), np.int64)
        embeddings = torch.from_numpy(vectors.embeddings).to(device)
        sides.append(Side(name, embeddings, owners, np.asarray(of.places)[owners], vectors.failed))
    return sides


def _pictures(source: Source, places: list[int], side: str, shows: View) -> Vectors | None:
    if side != "fused":
        return source.views("rgb" if side == "rgb" else shows, places)
    visible, infrared = source.views("rgb", places), source.views(shows, places)
    return None if visible is None or infrared is None else fused(visible, infrared)


def fused(first: Vectors, second: Vectors) -> Vectors:
    """The mean direction of two embeddings of each record; one that failed, or two that cancel out, is a failure."""
    lengths = [np.linalg.norm(each.embeddings, axis=1, keepdims=True) for each in (first, second)]
    total = sum(each.embeddings / np.maximum(n, 1e-12) for each, n in zip((first, second), lengths, strict=True))
    failed = first.failed | second.failed | (np.linalg.norm(total, axis=1) < 1e-6)
    return Vectors(np.asarray(total, np.float32), failed)


def _result(
    records: Records, source: Source, protocol: Protocol, dataset: str, of: Galleries, shows: View,
    sides: Sequence[Side], seed: int,
) -> Result:  # fmt: skip
    estimates = recalls(retrieve(*sides), {HEADLINE: protocol.averaged}, seed=seed)
    if protocol.every:
        estimates = {_in_clip_benchmark(name): found for name, found in estimates.items()}
    used = [records[place] for place in of.places]
    failed = {f"failed {side.name}": int(side.failures.sum()) for side in sides}
    return Result(
        task=TASK,
        protocol=protocol.name,
        dataset=dataset,
        model=source.name,
        pretrained=source.pretrained,
        inputs=shows,
        origin=str(used[0].ir_origin) if protocol.infrared else "-",
        band="+".join(sorted({one.ir_band or "none" for one in used})) if protocol.infrared else "-",
        headline=HEADLINE,
        estimates=estimates,
        counts={"images": len(used), "texts": len(of.texts), "failed": sum(failed.values()), **failed},
        places=of.places,
        detail={"chance": chance(protocol, of), "against_itself": protocol.visible and shows in CONTROLS},
    )


def chance(protocol: Protocol, of: Galleries) -> float:
    """What is expected of the headline where every order of the gallery is as likely: of few images it is much."""
    texts = np.bincount(of.owners, minlength=len(of.places)) if of.owners else np.ones(len(of.places), int)
    found: list[float] = []
    for direction in protocol.averaged:
        query, _, gallery = direction.partition("->")
        size = len(of.texts) if gallery == "text" else len(of.places)
        positives = texts if gallery == "text" else np.ones(len(of.owners if query == "text" else of.places), int)
        for k in CUTS:
            taken = np.arange(min(k, size))  # none of the first k is a positive
            missed = np.prod(np.maximum(size - positives[:, None] - taken, 0) / (size - taken), axis=1)
            found.append(float(np.mean(1 - missed)))
    return float(np.mean(found))


def _in_clip_benchmark(metric: str) -> str:
    direction, _, cut = metric.partition(" R@")
    return f"{CLIP_BENCHMARK[direction]}@{cut}" if cut else metric
