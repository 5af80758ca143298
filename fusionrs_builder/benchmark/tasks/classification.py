"""Zero-shot classification of scenes: which class a picture is most like, of all that its corpus has.

A class is the mean direction of its prompts (`prompts.VISIBLE`, `prompts.INFRARED`). Each corpus, band and origin is
a result of its own. docs/benchmark.md states the protocol in full.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.benchmark.encoding import Source, Vectors
from fusionrs_builder.benchmark.prompts import INFRARED, VISIBLE, words
from fusionrs_builder.benchmark.records import FEWEST, INPUTS, Inputs, Record, Records, View, parts
from fusionrs_builder.benchmark.result import Result
from fusionrs_builder.intervals import Estimate, means

TASK, PROTOCOL = "zeroshot_classification", "scene-classes@1"

HEADLINE = "acc1"

Classes = Mapping[str, Sequence[str]]
"""The scene classes of each corpus, those that the split does not show too."""


def classification(
    records: Records, source: Source, inputs: Sequence[Inputs], classes: Classes, seed: int = 0
) -> Iterator[Result]:
    """A result for each corpus, in visible light, and for each band, origin and input in infrared.

    Args:
        records: one split.
        source: of the embeddings.
        inputs: what is shown as infrared.
        classes: see `Classes`; a corpus of fewer than two is left out.
        seed: of the bootstrap.
    """
    for corpus, names, shows, places in subsets(records, inputs, classes):
        prompts = VISIBLE if shows == "rgb" else INFRARED
        pictures = source.views(shows, places)
        vectors = class_vectors(source, names, prompts)
        if pictures is None or vectors is None:
            continue
        scores = unit(pictures.embeddings) @ unit(vectors).T
        yield result(records, places, names, shows, scores, pictures.failed, f"{records.dataset}/{corpus}", seed, {
            "model": source.name, "pretrained": source.pretrained, "task": TASK, "protocol": PROTOCOL
        })  # fmt: skip


def majority(records: Records, classes: Classes, seed: int = 0) -> Iterator[Result]:
    """What always naming the class that most records have would score: the best that a constant can."""
    for corpus, names, shows, places in subsets(records, INPUTS, classes):
        if shows not in ("rgb", "infrared"):
            continue
        truth = [names.index(records[place].labels[0]) for place in places]
        scores = np.tile(np.bincount(truth, minlength=len(names)).astype(np.float64), (len(places), 1))
        failed = np.zeros(len(places), bool)
        yield result(records, places, names, shows, scores, failed, f"{records.dataset}/{corpus}", seed, {
            "model": "majority", "pretrained": "control", "task": TASK, "protocol": PROTOCOL
        })  # fmt: skip


def subsets(
    records: Records, inputs: Sequence[Inputs], classes: Classes
) -> Iterator[tuple[str, list[str], View, list[int]]]:
    """Corpus, its classes, what is shown, places of the records: in visible light first, then by band and origin."""
    for corpus, known in classes.items():
        names = list(known)
        mine = [place for place, record in enumerate(records) if record.corpus == corpus and is_scene(record)]
        if len(names) < 2:
            continue
        visible = [place for place in mine if records[place].rgb_sha256]
        if len(visible) >= FEWEST:
            yield corpus, names, "rgb", visible
        infrared = [place for place in mine if records[place].ir_sha256]
        for kind in sorted({_kind(records[place]) for place in infrared}):
            of = [place for place in infrared if _kind(records[place]) == kind]
            for name, places, shown in parts(records, of, inputs):
                yield from ((corpus + name, names, shows, places) for shows in shown)


def is_scene(record: Record) -> bool:
    """Whether a record is of one class as a whole."""
    return len(record.labels) == 1 and not record.boxes


def _kind(record: Record) -> tuple[str, str]:
    return str(record.ir_origin), str(record.ir_band)


def class_vectors(source: Source, classes: Sequence[str], prompts: Sequence[str]) -> NDArray[np.float32] | None:
    """The mean direction of each class's prompts, [C, d]; None of a model that takes no text.

    A prompt that could not be embedded is left out.
    """
    texts = [prompt.format(words(name)) for name in classes for prompt in prompts]
    found: Vectors | None = source.texts(texts)
    if found is None:
        return None
    each = np.where(found.failed[:, None], 0, unit(found.embeddings)).reshape(len(classes), len(prompts), -1)
    return np.asarray(each.mean(axis=1), np.float32)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of length 1, in float64; what is of length 0 stays so."""
    rows = vectors.astype(np.float64)
    scaled: NDArray[np.float64] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return scaled


def result(
    records: Records, places: Sequence[int], names: Sequence[str], shows: View, scores: NDArray[np.float64],
    failed: NDArray[np.bool_], dataset: str, seed: int, named: Mapping[str, str],
) -> Result:  # fmt: skip
    """Accuracies by scores, [N, C]; of equal scores the class that comes first in the order of names is taken.

    Returns:
        With `acc1`, `acc5` where there are more than five classes, and `mean_per_class_recall` over the classes that
        some record has. Records that failed count as wrong.
    """
    truth = np.array([names.index(records[place].labels[0]) for place in places])
    order = np.argsort(-np.asarray(scores, np.float64), axis=1, kind="stable")
    rank = np.where(failed, len(names), (order == truth[:, None]).argmax(axis=1))
    cuts = {"acc1": 1} | ({"acc5": 5} if len(names) > 5 else {})
    samples: dict[str, Any] = {name: (rank < cut, places) for name, cut in cuts.items()}
    seen = sorted(set(truth.tolist()))
    at = np.asarray(places)
    samples |= {f"of {names[n]}": (rank[truth == n] < 1, at[truth == n]) for n in seen}
    found = means(samples, seed)
    recalls = [found.pop(f"of {names[n]}") for n in seen]
    used = [records[place] for place in places]
    infrared = shows != "rgb"
    return Result(
        **named,
        dataset=dataset,
        inputs=shows,
        origin=str(used[0].ir_origin) if infrared else "-",
        band=str(used[0].ir_band) if infrared else "rgb",
        headline=HEADLINE,
        estimates={**found, "mean_per_class_recall": _mean_of_known(recalls)},
        counts={"images": len(places), "classes": len(names), "failed": int(failed.sum())},
        places=places,
        detail={
            "chance": 1 / len(names),
            "recall": {names[n]: one.value for n, one in zip(seen, recalls, strict=True)},
            "absent": [name for n, name in enumerate(names) if n not in seen],
        },
    )


def _mean_of_known(estimates: Sequence[Estimate]) -> Estimate:
    """Over classes; on a resample without a record of some, over the others: as `average_precision.presence` does."""
    resampled = np.stack([one.resampled for one in estimates])
    known = np.isfinite(resampled)
    sums = np.where(known, resampled, 0).sum(axis=0)
    return Estimate(float(np.mean([one.value for one in estimates])), sums / known.sum(axis=0), estimates[0].n)
