import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fusionrs_builder.benchmark.prompts import PRESENT
from fusionrs_builder.benchmark.records import INPUTS
from fusionrs_builder.benchmark.tasks.presence import presence
from tests.benchmark.conftest import Given, records, row


def box(label):
    return {"label": label, "x0": 1.0, "y0": 1.0, "x1": 9.0, "y1": 9.0}


def thermal(n, *labels, extra=()):
    return row(
        str(n), n, rgb=False, corpus="hit-uav", labels=sorted(set(labels)), boxes=[box(x) for x in (*labels, *extra)]
    )


def test_map_is_scikit_learns_on_the_same_scores():
    shown = [("Car",), ("Car", "Person"), (), ("Person",), (), ("Car",), ("Bicycle",), ()]
    of = records([thermal(n, *labels) for n, labels in enumerate(shown)])
    source = Given(of)
    (result,) = presence(of, source, INPUTS)
    aps = []
    for name in ("Bicycle", "Car", "Person"):
        vector = np.mean(
            [one / np.linalg.norm(one) for one in (source.vector(p.format(name.lower())) for p in PRESENT)], 0
        )
        scores = [
            float(v @ vector / np.linalg.norm(v)) for v in (source.vector(f"hit-uav/{n} infrared") for n in range(8))
        ]
        aps.append(average_precision_score([name in labels for labels in shown], scores))
        assert result.estimates[f"AP {name}"].value == pytest.approx(aps[-1], abs=1e-9)
    assert result.estimates["mAP"].value == pytest.approx(np.mean(aps), abs=1e-9)
    assert result.counts == {"images": 8, "classes": 3, "failed": 0}
    assert result.detail["share"]["Car"] == 3 / 8
    assert (result.dataset, result.band, result.inputs) == ("fusionrs/hit-uav", "nir", "infrared")


def test_boxes_of_what_is_no_label_are_of_nothing():
    of = records([thermal(0, "Car", extra=("DontCare",)), thermal(1, extra=("DontCare",))])
    (result,) = presence(of, Given(of), ("infrared",))
    assert result.detail["share"] == {"Car": 0.5}


def test_corpora_without_boxes_take_no_part_and_origins_are_apart():
    rows = [thermal(0, "Car"), thermal(1), row("x", 5, labels=["Forest"])]
    rows += [row("t", 7, corpus="oam", labels=["building"], boxes=[box("building")], ir_origin="translated")]
    rows += [row("u", 8, corpus="oam", ir_origin="measured")]
    of = records(rows)
    found = [
        (one.dataset, one.origin, one.inputs, one.counts["images"])
        for one in presence(of, Given(of), ("infrared", "gray"))
    ]
    assert found == [
        ("fusionrs/hit-uav", "measured", "infrared", 2),
        ("fusionrs/oam", "translated", "infrared", 1),
        ("fusionrs/oam", "translated", "gray", 1),
    ]
