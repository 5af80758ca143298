"""Linear probe: how well a linear classifier on top of a model's embeddings tells the classes of a corpus.

Multinomial logistic regression (scikit-learn, L2, C = 1) on embeddings of length 1 whose components are standardised,
fitted on the train split of the same release and scored as zero-shot classification is.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from fusionrs_builder.benchmark.encoding import Source
from fusionrs_builder.benchmark.records import Inputs, Records
from fusionrs_builder.benchmark.result import Result
from fusionrs_builder.benchmark.tasks.classification import Classes, is_scene, result, subsets, unit

TASK, PROTOCOL = "linear_probe", "linear-probe@1"

STEPS = 2000
"""Of the solver, at most."""


def linear_probe(
    records: Records, source: Source, train: Records, train_source: Source, inputs: Sequence[Inputs], classes: Classes,
    seed: int = 0,
) -> Iterator[Result]:  # fmt: skip
    """A result for each of those of `classification` whose corpus the train split has two classes of.

    A class that the train split does not show is never predicted; records of it count as wrong. Pictures that failed
    are not learnt from.

    Args:
        records: what is scored.
        source: of its embeddings.
        train: what is learnt from; views of the same kind, band and origin as what is scored.
        train_source: of its embeddings, by the same model.
        inputs: what is shown as infrared, in both.
        classes: see `Classes`.
        seed: of the bootstrap.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    for corpus, names, shows, places in subsets(records, inputs, classes):
        kind = records[places[0]].ir_origin, records[places[0]].ir_band
        learnt = [
            place
            for place, record in enumerate(train)
            if record.corpus == records[places[0]].corpus and is_scene(record) and record.key(shows)
            and (shows == "rgb" or (record.ir_origin, record.ir_band) == kind)
        ]  # fmt: skip
        truth = np.array([train[place].labels[0] for place in learnt])
        if len(set(truth.tolist())) < 2:
            continue
        known, scored = train_source.views(shows, learnt), source.views(shows, places)
        if known is None or scored is None:
            continue
        usable = ~known.failed
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=STEPS))
        model.fit(unit(known.embeddings)[usable], truth[usable])
        scores = np.full((len(places), len(names)), -np.inf)
        scores[:, [names.index(name) for name in model.classes_]] = model.predict_log_proba(unit(scored.embeddings))
        yield result(records, places, names, shows, scores, scored.failed, f"{records.dataset}/{corpus}", seed, {
            "model": source.name, "pretrained": source.pretrained, "task": TASK, "protocol": PROTOCOL
        })  # fmt: skip
