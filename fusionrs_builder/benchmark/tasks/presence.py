"""Which classes of objects an infrared view shows: average precision of each, by its boxes.

The score of a class is the cosine of the picture and the mean direction of its prompts (`prompts.PRESENT`). What boxes
leave open is left out, by the rules of the questions (`vqa.asked`). docs/benchmark.md states the protocol in full.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from fusionrs_builder.benchmark.encoding import Source
from fusionrs_builder.benchmark.metrics.average_precision import presence as average_precision
from fusionrs_builder.benchmark.prompts import PRESENT
from fusionrs_builder.benchmark.records import Inputs, Records, parts
from fusionrs_builder.benchmark.result import Result
from fusionrs_builder.benchmark.tasks.classification import class_vectors, unit
from fusionrs_builder.benchmark.vqa.asked import Objects, boxed, objects

TASK, PROTOCOL, HEADLINE = "presence", "presence@1", "mAP"

FEWEST_SHOWN = 5
"""Images that show a class, and that do not, for it to be part of the mean: of fewer, one image decides."""


def presence(records: Records, source: Source, inputs: Sequence[Inputs], seed: int = 0) -> Iterator[Result]:
    """A result for each corpus with boxes, origin and input.

    Args:
        records: one split.
        source: of the embeddings.
        inputs: what is shown as infrared.
        seed: of the bootstrap.
    """
    for corpus in sorted({record.corpus for record in records if record.boxes}):
        for origin in ("measured", "translated"):
            places = [
                place
                for place, record in enumerate(records)
                if (record.corpus, record.ir_origin) == (corpus, origin) and record.ir_sha256
            ]
            if not boxed(records[place] for place in places):
                continue
            known = {place: those for place in places if (those := objects(records[place])) is not None}
            for name, of, shown in parts(records, list(known), inputs):
                these = {place: known[place] for place in of}
                classes = _classes(list(these.values()))
                for shows in shown if classes else ():
                    found = _result(records, source, corpus + name, these, classes, shows, seed)
                    if found is not None:
                        yield found


def _classes(shown: Sequence[Objects]) -> list[str]:
    """Those that enough images show, and enough do not."""
    counts = {name: sum(name in one for one in shown) for name in sorted(set[str]().union(*shown))}
    return [name for name, count in counts.items() if FEWEST_SHOWN <= count <= len(shown) - FEWEST_SHOWN]


def _result(
    records: Records,
    source: Source,
    corpus: str,
    known: dict[int, Objects],
    classes: list[str],
    shows: Inputs,
    seed: int,
) -> Result | None:
    places = list(known)
    pictures, vectors = source.views(shows, places), class_vectors(source, classes, PRESENT)
    if pictures is None or vectors is None:
        return None
    scores = unit(pictures.embeddings) @ unit(vectors).T
    truth = np.array([[name in known[place] for name in classes] for place in places])
    found = average_precision(scores, truth, classes, pictures.failed, seed)
    shares = truth.mean(axis=0)
    return Result(
        task=TASK,
        protocol=PROTOCOL,
        dataset=f"{records.dataset}/{corpus}",
        model=source.name,
        pretrained=source.pretrained,
        inputs=shows,
        origin=str(records[places[0]].ir_origin),
        band="+".join(sorted({records[place].ir_band or "none" for place in places})),
        headline=HEADLINE,
        estimates={HEADLINE: found.mean} | {f"AP {name}": one for name, one in found.classes.items()},
        counts={"images": found.images, "classes": len(classes), "failed": found.failed},
        places=places,
        detail={"chance": float(shares.mean()), "share": dict(zip(classes, shares.tolist(), strict=True))},
    )
