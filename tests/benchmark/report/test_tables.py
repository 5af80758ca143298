import csv as csv_module
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.benchmark.report.merge import merged
from fusionrs_builder.benchmark.report.tables import (
    LENGTH,
    METRICS,
    csv,
    escaped,
    markdown,
    number,
    plain,
    scored,
    tables,
)
from fusionrs_builder.benchmark.result import Result
from tests.benchmark.report.test_merge import FACTS, put, result, values

DIRECTIONS = ("rgb->text", "text->rgb", "ir->text", "text->ir", "rgb->ir", "ir->rgb")


def saved(found: Result, **facts: Any) -> dict[str, Any]:
    """As it is read back."""
    return found.as_dict({**FACTS, **facts})


def exactly(level: float, n: int = 10) -> np.ndarray:
    """Zeros and ones of this mean."""
    return (np.arange(n) < level * n).astype(float)


def lines(text: str) -> list[dict[str, str]]:
    return list(csv_module.DictReader(io.StringIO(text, newline="")))


def test_measured_and_translated_never_share_a_table(tmp_path):
    for origin in ("translated", "measured"):
        for model in ("a", "b"):
            put(tmp_path, *(result(origin=origin, model=model, inputs=inputs) for inputs in ("gray", "infrared")))
    found = tables(merged([tmp_path]))
    assert [table.group.origin for table in found] == ["measured", "translated"]
    for table in found:
        assert len(table.rows) == 4
        assert {each["origin"] for each in table.results} == {table.group.origin}
        assert f"{table.group.origin} infrared" in table.title


def test_splits_seeds_and_protocols_never_share_a_table_and_can_be_told_apart():
    found = tables(
        [
            saved(result()),
            saved(result(), seed=1),
            saved(result(), split_sha256="cd" * 32),
            saved(result(protocol="presence@2")),
            saved(result(band="nir")),
        ]
    )
    assert [len(table.rows) for table in found] == [1] * 5
    assert len({table.title for table in found}) == 5
    assert {table.title for table in found if "seed" not in table.title} == {
        "fusionrs/hit-uav, measured infrared (lwir): presence@2",
        "fusionrs/hit-uav, measured infrared (nir): presence@1",
    }
    assert "split test (sha256 ab12ab12ab12), seed 1." in found[1].notes[0] + found[2].notes[0]


def test_models_stand_by_their_infrared_rows_and_controls_last():
    def row(model: str, inputs: str, level: float, pretrained: str = "w") -> dict[str, Any]:
        return saved(result(model=model, pretrained=pretrained, inputs=inputs, metrics={"mAP": exactly(level)}))

    (table,) = tables(
        [
            row("low", "duplicate", 1.0),
            row("majority", "infrared", 0.9, "control"),
            row("low", "infrared", 0.2),
            row("best", "pair", 0.1),
            row("best", "gray", 0.0),
            row("best", "gray-inverted", 0.0),
            row("best", "infrared", 0.8),
            row("two", "pair", 0.5),
            row("two", "gray", 1.0),
            row("random", "infrared", 0.9, "control"),
        ]
    )
    assert [row[:2] for row in table.rows] == [
        ("best (w)", "infrared"),
        ("best (w)", "gray"),
        ("best (w)", "gray-inverted"),
        ("best (w)", "pair"),
        ("two (w)", "gray"),
        ("two (w)", "pair"),
        ("low (w)", "infrared"),
        ("low (w)", "duplicate"),
        ("majority (control)", "infrared"),
        ("random (control)", "infrared"),
    ]
    assert table.firsts == [True, False, False, False, True, False, True, False, True, True]


def test_shares_are_percentages_and_cider_is_not():
    assert scored("Mean R", 0.1234, 0.101, 0.1449) == "12.3 (10.1 to 14.5)"
    assert scored("CIDEr-D", 1.234, 1.01, 1.45) == "1.23 (1.01 to 1.45)"
    assert number("CLIPScore", 0.751) == "0.75"
    assert number("acc1", -0.0004, "+") == "+0.0"
    assert number("acc1", 0.05, "+") == "+5.0"
    assert number("acc1", float("nan")) == "–"


def test_a_table_says_what_is_needed_to_read_it():
    leakage = {"declared": ["rsicd", "hit-uav"], "unknown": ["rsicd"], "groups": 3, "records": 7, "of": 30}
    metrics = {"CIDEr-D": 3 * exactly(0.5), "BLEU-1": exactly(0.4)}
    found = [
        saved(result("CIDEr-D", metrics, failed=4, model="learnt"), leakage=leakage),
        saved(result("CIDEr-D", metrics, model="clean"), leakage={**leakage, "records": 0, "unknown": []}),
        saved(result("CIDEr-D", {"CIDEr-D": 3 * exactly(0.5, 20)}, model="other")),
    ]
    (table,) = tables(found)
    assert table.heads == ("model", "inputs", "n", "CIDEr-D (95 % interval)", "BLEU-1", "failed")
    low, high = found[0]["intervals"]["CIDEr-D"]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["learnt (openai) †"] == ("infrared", "10", f"1.50 ({low:.2f} to {high:.2f})", "40.0", "4")
    assert rows["clean (openai)"][-2:] == ("40.0", "0")
    assert rows["other (openai)"][-2:] == ("–", "0")
    notes = "\n".join(table.notes)
    assert "Protocol presence@1, n = 10 to 20, split test (sha256 ab12ab12ab12), seed 0." in notes
    assert "percentages, but for CIDEr-D (0 to 10)" in notes
    assert "every denominator" in notes
    assert "learnt (openai) says that it learnt from rsicd, hit-uav" in notes
    assert "7 of 30 records, in 3 groups" in notes
    assert "0 of 30 records" in notes and "† clean" not in notes


def test_of_many_metrics_r_at_1_is_shown_and_all_are_in_the_csv():
    metrics = {f"{way} R@{k}": exactly(0.5) for way in DIRECTIONS for k in (1, 5, 10)} | {"Mean R": exactly(0.4)}
    found = saved(result("Mean R", metrics))
    (table,) = tables([found])
    assert table.heads[3:-1] == tuple(f"{way.replace('->', '→')} R@1" for way in DIRECTIONS)
    assert any("12 further metrics" in note for note in table.notes)
    assert {line["metric"] for line in lines(csv([found]))} == set(metrics)
    classes = {"mAP": exactly(0.5)} | {f"AP {n}": exactly(0.5) for n in range(20)}
    (table,) = tables([saved(result("mAP", classes))])
    assert table.heads[3:-1] == tuple(f"AP {n}" for n in range(METRICS))


def test_the_csv_holds_every_number_as_it_was_saved():
    found = [
        saved(result(metrics={"mAP": values(1), "AP a": values(2)}, failed=2), seconds=1.5, images_per_s=20.25),
        saved(result(origin="translated", metrics={"mAP": values(3)})),
    ]
    read = lines(csv(found))
    assert [(line["origin"], line["metric"], line["is_headline"]) for line in read] == [
        ("measured", "mAP", "1"),
        ("measured", "AP a", "0"),
        ("translated", "mAP", "1"),
    ]
    assert [float(read[0][key]) for key in ("value", "low", "high")] == [
        found[0]["metrics"]["mAP"],
        *found[0]["intervals"]["mAP"],
    ]
    assert [read[0][key] for key in ("n", "failed", "seconds", "images_per_s")] == ["30", "2", "1.5", "20.25"]
    assert read[2]["seconds"] == ""
    assert csv(found[::-1]) == csv(found)
    assert csv(found).count("\r\n") == 4


@pytest.mark.parametrize("name", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1"])
def test_a_spreadsheet_takes_no_text_for_a_formula(name):
    (line,) = lines(csv([saved(result(model=name, origin="-", band="-"))]))
    assert line["model"] == f"'{name}"
    assert line["origin"] == "-"


@given(st.text(max_size=20), st.text(min_size=1, max_size=20))
def test_any_name_can_be_read_from_the_csv(model, metric):
    found = saved(result(metric, {metric: exactly(0.5)}, model=model))
    (line,) = lines(csv([found]))
    assert line["model"] in (model, f"'{model}")
    assert line["metric"] in (metric, f"'{metric}")
    assert len(line["model"]) < 2 or line["model"][0] not in "=+-@"


@given(st.text(max_size=200))
def test_any_name_stays_in_its_cell(model):
    (table,) = tables([saved(result(model=model, pretrained="")), saved(result(model=model, inputs="gray"))][:1])
    text = table.markdown()
    (row,) = [line for line in text.split("\n") if line.startswith("| ") and "| infrared |" in line]
    assert row.count("|") == len(table.heads) + 1
    assert "<" not in text
    assert len(table.rows[0][0]) <= LENGTH


def test_names_mean_nothing_but_themselves():
    assert escaped("a|b <i> *x* [y](z) `c` $d$ a_b _e_") == (
        r"a&#124;b &lt;i> \*x\* \[y\](z) \`c\` &#36;d&#36; a_b \_e\_"
    )
    assert plain("a\nb\u202ec\x00d") == "a b c d"
    long = plain("a" * 100 + "b" * 100)
    assert len(long) == LENGTH
    assert long.startswith("aa") and long.endswith("bb") and "…" in long


def test_markdown_has_a_heading_for_each_task_once():
    found = tables([saved(result()), saved(result(origin="translated")), saved(result(task="vqa"))])
    text = markdown(found, {found[1].group: "below the second"})
    assert [line for line in text.split("\n") if line.startswith("## ")] == [
        "## Presence of objects",
        "## Visual question answering",
    ]
    assert text.count("\n### ") == 3
    assert text.index("translated") < text.index("below the second") < text.index("## Visual")
