"""Which classes of objects an infrared view shows: average precision of each, by its boxes.

The score of a class is the cosine of the picture and the mean direction of its prompts (`prompts.PRESENT`). All records
of a corpus with boxes take part, those without an object too. docs/benchmark.md states the protocol in full.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from fusionrs_builder.benchmark.encoding import Source
from fusionrs_builder.benchmark.metrics.average_precision import presence as average_precision
from fusionrs_builder.benchmark.prompts import PRESENT
from fusionrs_builder.benchmark.records import Inputs, Records, shown
from fusionrs_builder.benchmark.result import Result
from fusionrs_builder.benchmark.tasks.classification import class_vectors, unit

TASK, PROTOCOL, HEADLINE = "presence", "presence@1", "mAP"


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
            classes = sorted({label for place in places for label in _objects(records, place)})
            for shows in inputs if classes else ():
                if all(records[place].key(shown(shows)) for place in places):
                    found = _result(records, source, corpus, origin, places, classes, shows, seed)
                    if found is None:
                        return
                    yield found


def _objects(records: Records, place: int) -> set[str]:
    """Classes of the boxes of a record. Boxes of what is no label, such as `DontCare`, are of nothing."""
    record = records[place]
    return {str(box["label"]) for box in record.boxes} & set(record.labels)


def _result(
    records: Records, source: Source, corpus: str, origin: str, places: list[int], classes: list[str], shows: Inputs,
    seed: int,
) -> Result | None:  # fmt: skip
    pictures, vectors = source.views(shown(shows), places), class_vectors(source, classes, PRESENT)
    if pictures is None or vectors is None:
        return None
    scores = unit(pictures.embeddings) @ unit(vectors).T
    truth = np.array([[name in _objects(records, place) for name in classes] for place in places])
    found = average_precision(scores, truth, classes, pictures.failed, seed)
    return Result(
        task=TASK,
        protocol=PROTOCOL,
        dataset=f"{records.dataset}/{corpus}",
        model=source.name,
        pretrained=source.pretrained,
        inputs=shows,
        origin=origin,
        band="+".join(sorted({records[place].ir_band or "none" for place in places})),
        headline=HEADLINE,
        estimates={HEADLINE: found.mean} | {f"AP {name}": one for name, one in found.classes.items()},
        counts={"images": found.images, "classes": len(classes), "failed": found.failed},
        detail={"share": {name: float(truth[:, n].mean()) for n, name in enumerate(classes)}},
    )
