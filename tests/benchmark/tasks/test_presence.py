import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fusionrs_builder.benchmark.prompts import PRESENT
from fusionrs_builder.benchmark.records import INPUTS
from fusionrs_builder.benchmark.tasks import presence as tasks
from fusionrs_builder.benchmark.tasks.presence import presence
from tests.benchmark.conftest import Given, records, row


def box(label):
    return {"label": label, "x0": 1.0, "y0": 1.0, "x1": 9.0, "y1": 9.0}


def thermal(n, *labels, extra=()):
    return row(
        str(n), n, rgb=False, corpus="hit-uav", labels=sorted(set(labels)), boxes=[box(x) for x in (*labels, *extra)]
    )


def test_map_is_scikit_learns_on_the_same_scores():
    shown = [("Car",), ("Car", "Person"), ("Person",), ("Person",), ("Bicycle",), ("Car",), ("Bicycle",), ("Person",)]
    of = records([thermal(n, *labels) for n, labels in enumerate(shown)])
    source = Given(of)
    (result,) = presence(of, source, INPUTS)
    aps = []
    for name in ("Bicycle", "Car", "Person"):
        prompts = (source.vector(prompt.format(name.lower())) for prompt in PRESENT)
        vector = np.mean([one / np.linalg.norm(one) for one in prompts], 0)
        pictures = (source.vector(f"hit-uav/{n} infrared") for n in range(8))
        scores = [float(one @ vector / np.linalg.norm(one)) for one in pictures]
        aps.append(average_precision_score([name in labels for labels in shown], scores))
        assert result.estimates[f"AP {name}"].value == pytest.approx(aps[-1], abs=1e-9)
    assert result.estimates["mAP"].value == pytest.approx(np.mean(aps), abs=1e-9)
    assert result.counts == {"images": 8, "classes": 3, "failed": 0}
    assert result.detail["share"] == {"Bicycle": 2 / 8, "Car": 3 / 8, "Person": 4 / 8}
    assert result.detail["chance"] == pytest.approx(3 / 8)
    assert (result.dataset, result.band, result.inputs) == ("fusionrs/hit-uav", "nir", "infrared")


def test_what_boxes_leave_open_is_left_out():
    rows = [thermal(0, "Car"), thermal(1, "Person"), thermal(2, "Car", extra=("DontCare",)), thermal(3)]
    rows += [thermal(4, "Car", "OtherVehicle")]
    (result,) = presence(of := records(rows), Given(of), ("infrared",))
    assert list(result.places) == [0, 1] and result.detail["share"] == {"Car": 0.5, "Person": 0.5}


def test_a_class_that_all_images_show_or_too_few_is_no_part_of_the_mean(monkeypatch):
    of = records([thermal(n, "Car", *(["Person"] if n < 3 else []), *(["Bicycle"] if n < 2 else [])) for n in range(6)])
    monkeypatch.setattr(tasks, "FEWEST_SHOWN", 3)
    (result,) = presence(of, Given(of), ("infrared",))
    assert result.detail["share"] == {"Person": 0.5}


def test_corpora_without_boxes_take_no_part_and_origins_are_apart():
    rows = [thermal(0, "Car"), thermal(1, "Person"), row("x", 5, labels=["Forest"])]
    for n, label in enumerate(("building", "pool")):
        rows += [row(f"t{n}", 7 + n, corpus="oam", labels=[label], boxes=[box(label)], ir_origin="translated")]
    of = records(rows)
    found = presence(of, Given(of), ("infrared", "gray"))
    assert [(one.dataset, one.origin, one.inputs, one.counts["images"]) for one in found] == [
        ("fusionrs/hit-uav", "measured", "infrared", 2),
        ("fusionrs/oam", "translated", "infrared", 2),
        ("fusionrs/oam", "translated", "gray", 2),
    ]


def test_a_view_that_the_source_lacks_stops_no_other():
    rows = [thermal(n, ("Car", "Person")[n % 2]) for n in range(4)]
    rows += [row(f"t{n}", 7 + n, corpus="oam", labels=[f"kind{n}"], boxes=[box(f"kind{n}")]) for n in range(2)]
    of = records(rows)

    class Partly(Given):
        def views(self, view, places):
            return None if of[places[0]].corpus == "hit-uav" else super().views(view, places)

    assert [one.dataset for one in presence(of, Partly(of), ("infrared",))] == ["fusionrs/oam"]
