"""Against the definitions of the protocols, written down once more in a few plain lines."""

import numpy as np
import pytest

from fusionrs_builder.benchmark.records import INPUTS
from fusionrs_builder.benchmark.tasks.retrieval import fused, retrieval
from fusionrs_builder.captions import normalised
from tests.benchmark.conftest import Given, records, row


def found(of, source, inputs=("infrared",)):
    return {(one.protocol, one.origin, one.inputs, one.dataset): one for one in retrieval(of, source, inputs, "cpu")}


def plain_recall(queries, gallery, positives, k):
    """Share of queries with a positive among the k most alike; without ties, as random vectors have none."""
    a, b = (np.stack(side) for side in (queries, gallery))
    a, b = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (a, b))
    order = np.argsort(-(a @ b.T), axis=1)[:, :k]
    return np.mean([bool(set(best) & set(right)) for best, right in zip(order.tolist(), positives, strict=True)])


def test_rc4_is_one_record_a_caption_and_the_mean_of_four_directions():
    rows = [row(str(n), n, scene_captions=[f"Caption {n % 9}!", "another"]) for n in range(30)]
    of = records(rows)
    source = Given(of)
    result = found(of, source)["fusionrs-rc4@1", "measured", "infrared", "fusionrs"]
    ids = [f"eurosat/{n}" for n in range(9)]  # of 30 records 9 have captions of their own, the first of each
    sides = {
        "rgb": [source.vector(f"{id} rgb") for id in ids],
        "ir": [source.vector(f"{id} infrared") for id in ids],
        "text": [source.vector(f"Caption {n}!") for n in range(9)],
    }
    assert result.counts == {"images": 9, "texts": 9, "failed": 0, "failed rgb": 0, "failed ir": 0, "failed text": 0}
    expected = {
        f"{a}->{b} R@{k}": plain_recall(sides[a], sides[b], [[n] for n in range(9)], k)
        for a in sides
        for b in sides
        if a != b
        for k in (1, 5, 10)
    }
    assert {name: one.value for name, one in result.estimates.items() if name != "Mean R"} == pytest.approx(expected)
    four = [value for name, value in expected.items() if "ir" in name.split(" ")[0].split("->")]
    assert len(four) == 12
    assert result.estimates["Mean R"].value == pytest.approx(np.mean(four))


def test_captions_are_compared_as_fusionrs_does():
    assert normalised("Two  Ｓhips, near-shore…") == "two ships nearshore"
    assert normalised("STRASSE") == normalised("straße")


def test_remoteclip_has_all_captions_by_people_and_a_hit_by_any():
    rows = [
        row(
            str(n),
            n,
            scene_captions=[f"first of {n}", f"second of {n}", f"by a model {n}"],
            caption_source={"scene": ["publisher", "publisher", "grounded@v1"], "ir": []},
        )
        for n in range(12)
    ]
    of = records(rows)
    source = Given(of)
    result = found(of, source)["remoteclip@1", "-", "rgb", "fusionrs/eurosat"]
    images = [source.vector(f"eurosat/{n} rgb") for n in range(12)]
    texts = [source.vector(f"{which} of {n}") for n in range(12) for which in ("First", "Second")]
    for k in (1, 5, 10):
        to_text = plain_recall(images, texts, [[2 * n, 2 * n + 1] for n in range(12)], k)
        to_image = plain_recall(texts, images, [[n // 2] for n in range(24)], k)
        assert result.estimates[f"text_retrieval_recall@{k}"].value == pytest.approx(to_text)
        assert result.estimates[f"image_retrieval_recall@{k}"].value == pytest.approx(to_image)
    assert result.counts["texts"] == 24
    assert result.estimates["Mean R"].n == 12


def test_a_caption_an_image_is_enough_for_remoteclip():
    of = records([row(str(n), n) for n in range(3)])
    assert found(of, Given(of))["remoteclip@1", "-", "rgb", "fusionrs/eurosat"].counts["texts"] == 3


def test_measured_and_translated_infrared_are_never_in_one_result():
    rows = [row(str(n), n, ir_origin="measured" if n % 3 else "translated") for n in range(12)]
    of = records(rows)
    results = found(of, Given(of), INPUTS)
    counts = {key[1]: one.counts["images"] for key, one in results.items() if key[0] == "fusionrs-rc4@1"}
    assert counts == {"measured": 8, "translated": 4}
    assert {key[2] for key in results if key[0] == "rgb-ir-pairing@1"} == set(INPUTS)


def test_controls_show_something_else_as_infrared():
    of = records([row(str(n), n) for n in range(12)])
    results = found(of, Given(of), INPUTS)
    pairing = {shows: results["rgb-ir-pairing@1", "measured", shows, "fusionrs"] for shows in INPUTS}
    assert pairing["duplicate"].estimates["rgb->ir R@1"].value == 1
    assert pairing["gray"].estimates["rgb->ir R@1"].value < 1
    values = {shows: one.estimates["ir->rgb R@5"].value for shows, one in pairing.items()}
    assert len(set(values.values())) > 1


def test_thermal_records_are_searched_with_captions_alone_and_have_no_controls():
    rows = [row(str(n), n, rgb=False, corpus="hit-uav", ir_band="lwir") for n in range(8)]
    of = records(rows)
    results = found(of, Given(of), INPUTS)
    assert {key[:3] for key in results} == {
        ("ir-text@1", "measured", "infrared"),
        ("ir-text-ir-captions@1", "measured", "infrared"),
    }
    assert next(iter(results.values())).band == "lwir"


def test_what_failed_stays_in_the_denominator():
    of = records([row(str(n), n) for n in range(10)])
    source = Given(of, has_text=False)
    for n in range(10):
        source.known[f"eurosat/{n}", "infrared"] = source.vector(f"eurosat/{n} rgb")
    source.failing = {("eurosat/3", "infrared"), ("eurosat/4", "infrared")}
    result = found(of, source)["rgb-ir-pairing@1", "measured", "infrared", "fusionrs"]
    assert result.estimates["rgb->ir R@1"].value == result.estimates["ir->rgb R@1"].value == 0.8
    assert (result.counts["failed ir"], result.counts["failed"], result.counts["images"]) == (2, 2, 10)


def test_a_model_without_text_has_no_results_with_text():
    of = records([row(str(n), n) for n in range(5)])
    assert {key[0] for key in found(of, Given(of, has_text=False))} == {"rgb-ir-pairing@1"}


def test_equal_pictures_are_one_image():
    of = records([row(str(n), n // 2) for n in range(8)])
    assert found(of, Given(of))["rgb-ir-pairing@1", "measured", "infrared", "fusionrs"].counts["images"] == 4


def test_a_fused_query_lies_between_both():
    of = records([row(str(n), n) for n in range(2)])
    source = Given(of)
    a, b = source.views("rgb", [0, 1]), source.views("infrared", [0, 1])
    both = fused(a, b).embeddings.astype(np.float64)
    for side in (a, b):
        unit = side.embeddings / np.linalg.norm(side.embeddings, axis=1, keepdims=True)
        cosine = (unit * both).sum(1) / np.linalg.norm(both, axis=1)
        between = (
            1
            + (a.embeddings * b.embeddings).sum(1) / np.prod([np.linalg.norm(x.embeddings, axis=1) for x in (a, b)], 0)
        ) / 2
        assert cosine == pytest.approx(np.sqrt(between), abs=1e-6)
    opposite = a._replace(embeddings=-a.embeddings)
    assert fused(a, opposite).failed.all()


def test_chance_is_what_random_embeddings_score_on_average():
    rows = [
        row(str(n), n, scene_captions=[f"{n} a", f"{n} b"][: 1 + n % 2], caption_source={"scene": ["publisher"] * 2})
        for n in range(20)
    ]
    of = records(rows)
    scores = {}
    for seed in range(60):
        for key, result in found(of, Given(of, salt=str(seed))).items():
            scores.setdefault(key, []).append((result.estimates["Mean R"].value, result.detail["chance"]))
    for key in (
        ("fusionrs-rc4@1", "measured", "infrared", "fusionrs"),
        ("remoteclip@1", "-", "rgb", "fusionrs/eurosat"),
    ):
        values = np.array(scores[key])
        assert values[:, 0].mean() == pytest.approx(values[0, 1], abs=0.02)
    small = records(rows[:5])
    result = found(small, Given(small))["rgb-ir-pairing@1", "measured", "infrared", "fusionrs"]
    assert result.detail["chance"] == pytest.approx((1 / 5 + 1 + 1) / 3)
