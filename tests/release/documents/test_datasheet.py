import math
import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.release.documents import datasheet, facts, notice
from fusionrs_builder.release.documents.datasheet import Composition, Extent, Publisher
from fusionrs_builder.workspace import Workspace

from ..conftest import lay, record
from .test_notice import EVIL, LAYER, released, three

FUNNEL = [{"layer": "rgb", "items": 53, "good": 48, "refused": {"unreadable": 3, "too_small": 2}}]

Records = dict[str, list[dict[str, Any]]]


def gathered(workspace: Workspace, records: Records) -> Composition:
    return datasheet.gather(workspace, LAYER, released(workspace, records))


def text_of(workspace: Workspace, records: Records, publisher: Publisher | None = None, title: str = "T") -> str:
    files = released(workspace, records)
    return datasheet.render(
        title,
        facts.gather(workspace, LAYER, files),
        notice.gather(workspace, LAYER, files),
        datasheet.gather(workspace, LAYER, files),
        FUNNEL,
        publisher or Publisher(),
    )


def table(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose head begins so."""
    rows = text.split(f"| {first} |", 1)[1].split("\n\n", 1)[0].split("\n")[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def answer(text: str, question: str) -> str:
    """What stands behind a question, to the next one."""
    return text.split(f"**{question}", 1)[1].split("?** ", 1)[1].split("\n- **")[0].split("\n\n")[0].replace("\n ", "")


def place(**values: Any) -> dict[str, Any]:
    return {"bbox": None, "gsd_m": None, "acquired": None, **values}


def extent(*rows: dict[str, Any]) -> Extent:
    found = Extent()
    for row in rows:
        found.widen(Extent.of(place(**row)))
    return found


def test_counted_answers(workspace: Workspace) -> None:
    records = three()
    records["naip"][0].update(bbox=[-97.75, 30.25, -97.7, 30.3], gsd_m=0.6, acquired="2022-06-01T10:00:00Z")
    records["naip"][1].update(bbox=[-97.85, 30.0, -97.8, 30.1], gsd_m=1.0, acquired="2023")
    records["eurosat"][0].update(rgb=None, ir=None, labels=[], boxes=None, redistributable=False)
    text = text_of(workspace, records)
    assert table(text, "corpus | records | with rgb") == [
        ["eurosat", "20", "19", "19", "not stated", "not stated", "not stated"],
        ["hit-uav", "10", "0", "10", "not stated", "not stated", "not stated"],
        ["naip", "15", "15", "15", "30.0 -97.85 30.3 -97.7", "0.6 to 1.0", "2022-06-01/2023"],
    ]
    assert table(text, "layer") == [["rgb", "53", "48", r"unreadable 3, too\_small 2"]]
    assert table(text, "origin") == [
        ["measured", "lwir", "FLIR lwir", "10"],
        ["measured", "nir", "NAIP nir", "15"],
        ["translated", "(none)", "gray@0123456789ab", "20"],
    ]
    assert table(text, "captions of") == [["ir", "grounded@v1", "45"], ["scene", "grounded@v1", "45"]]
    missing = dict(table(text, "column"))
    assert (missing["`rgb`"], missing["`ir`"], missing["`labels`"], missing["`boxes`"]) == ("11", "1", "1", "1")
    assert missing["`acquired`"] == "43"
    assert "`id`" not in missing
    assert answer(text, "Is there a label").startswith("44 records have labels, 44 have boxes (44 in all);")
    assert "44 of 45 records have pixels" in answer(text, "Is it self-contained")
    assert "of 16 pixels a side" in answer(text, "What does each instance")
    assert answer(text, "Over what time") == "2022-06-01/2023; 43 of 45 records carry no date."
    assert "finest picture that states it has 0.6 metres" in answer(text, "Does it hold confidential")
    assert sorted(table(text, "licence")) == [
        ["CC-BY-4.0", "no", "10"],
        ["CC0-1.0", "yes", "15"],
        ["MIT", "no", "1"],
        ["MIT", "yes", "19"],
    ]


def test_sources_are_told_by_revision(workspace: Workspace) -> None:
    rows = [record(str(n), source_url="https://x.org", source_revision="v1" if n else "v0") for n in range(3)]
    assert table(text_of(workspace, {"a": rows}), "corpus | source") == [
        ["a", "https://x.org", "v0", "1"],
        ["a", "https://x.org", "v1", "2"],
    ]


def test_splits_and_groups(workspace: Workspace) -> None:
    rows = [record(str(n), split, group_id=f"g{n % 3}{split}") for split in ("train", "test") for n in range(7)]
    text = text_of(workspace, {"a": [*rows, record("alone", "validation")]})
    assert [row[:4] for row in table(text, "split")] == [
        ["train", "7", "3", "3"],
        ["validation", "1", "1", "1"],
        ["test", "7", "3", "3"],
    ]


def test_captions_that_failed_are_counted(workspace: Workspace) -> None:
    said = {"scene": ["grounded@v1"], "ir": ["chat:m"], "prompt_sha256": "ab", "checks": []}
    rows = [record(str(n), caption_source={**said, "failed": ["no-heat: hot"] * n}) for n in range(3)]
    rows.append(record("none", caption_source=None, ir_captions=None, scene_captions=[]))
    text = text_of(workspace, {"a": rows})
    assert "In 2 records a model's caption failed" in answer(text, "How were captions checked")
    assert "3 records have scene captions, 3 have infrared captions" in answer(text, "Is there a label")


@pytest.mark.parametrize("origin", ["measured", "translated"])
def test_nothing_is_said_of_infrared_that_is_not_there(workspace: Workspace, origin: str) -> None:
    text = text_of(workspace, {"a": [record("x", ir_origin=origin)]})
    assert ("Read no temperature" in text) is (origin == "translated")
    assert ("linear stretch" in text) is (origin == "measured")
    assert ("Compare the brightness" in text) is (origin == "measured")


def test_what_only_the_publisher_can_say(workspace: Workspace) -> None:
    records = {"a": [record("x")]}
    silent = text_of(workspace, records)
    asked = {
        "For what purpose": "purpose",
        "Who funded": "funding",
        "Who can be asked": "contact",
        "Who maintains": "maintenance",
        "How is it distributed": "url",
        "When": "published",
    }
    said = text_of(workspace, records, Publisher(**{name: f"the\n{name}" for name in asked.values()}))
    for question, name in asked.items():
        assert answer(silent, question) == "not stated", question
        assert answer(said, question) == f"the {name}", question
    assert answer(silent, "Who created").startswith("not stated; ")
    assert answer(text_of(workspace, records, Publisher(creators=("A", "B"))), "Who created").startswith("A, B; ")


@pytest.mark.parametrize("count", [0, 1])
def test_few_records(workspace: Workspace, count: int) -> None:
    text = text_of(workspace, {"a": [record(str(number)) for number in range(count)]})
    assert answer(text, "How many are there") == f"{count}, from {count} corpora:"
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == 7
    assert "None" not in text
    assert not re.search(r"\n{3,}", text)


def test_strangers_text_breaks_no_table(workspace: Workspace) -> None:
    strangers = ["license", "source_url", "source_revision", "ir_source", "ir_band", "ir_origin"]
    row = record("x", **dict.fromkeys(strangers, EVIL))
    row["caption_source"]["scene"] = [EVIL]
    text = text_of(workspace, {"a": [row]}, title=EVIL)
    for lines in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in lines.splitlines()}) == 1, lines
    assert text.count("\n# ") + text.startswith("# ") == 1
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert not set(text) & set("\r\u2028\x00\u202e\x1b")


def test_it_is_the_same_each_time_and_tells_its_version(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert text_of(workspace, three()) == text_of(workspace, three())
    before = datasheet.version()
    monkeypatch.setattr(datasheet, "__version__", "9.9.9")
    assert datasheet.version() != before


def test_the_funnel_of_a_workspace_fits(workspace: Workspace) -> None:
    lay(workspace, {"a-00000": [record("x"), record("y", keep=False, reason="duplicate: z")]})
    files = released(workspace, {"a": [record("x")]})
    gathered = (module.gather(workspace, LAYER, files) for module in (facts, notice, datasheet))
    counted, holdings, composition = gathered
    text = datasheet.render("T", counted, holdings, composition, facts.funnel(workspace), Publisher())
    assert table(text, "layer")[-1] == ["curation", "2", "1", "duplicate 1"]


def test_footprints_across_the_antimeridian() -> None:
    assert extent({"bbox": [179.5, -17, -179.5, -16]}).box == "-17 179.5 -16 -179.5"
    assert extent({"bbox": [178, -18, 179, -17]}, {"bbox": [179.5, -17, -179.5, -16]}).box == "-18 178 -16 -179.5"
    assert extent({"bbox": [179, 0, -179, 1]}, {"bbox": [-179, 0, 179, 1]}).box == "0 -180.0 1 180.0"


@pytest.mark.parametrize(
    ("dates", "period"),
    [
        (["2022-06-01T10:00:00Z", "2021-12-31"], "2021-12-31/2022-06-01"),
        (["2019-06", "2019"], "2019"),
        (["2019-06-05", "2019-06"], "2019-06"),
        (["2019:06:05 10:00"], "2019"),
        (["2019-6-5", "long ago", "", "20190605"], ""),
    ],
)
def test_period_is_as_exact_as_the_dates(dates: list[str], period: str) -> None:
    assert extent(*({"acquired": each} for each in dates)).period == period


@given(st.lists(st.dates(date(1960, 1, 1), date(2030, 1, 1)), min_size=1), st.randoms())
def test_period_holds_every_date(days: list[date], random: Any) -> None:
    written = [day.isoformat()[: random.choice([4, 7, 10])] for day in days]
    first, last = (extent(*({"acquired": each} for each in written)).period.split("/") * 2)[:2]
    assert {first, last} <= set(written)
    for day in days:
        assert first <= day.isoformat()[: len(first)]
        assert day.isoformat()[: len(last)] <= last


@given(st.lists(st.tuples(*[st.floats()] * 4), max_size=5), st.lists(st.floats(width=32), max_size=5))
def test_extent_takes_numbers_only(boxes: list[tuple[float, ...]], sizes: list[float]) -> None:
    found = extent(*({"bbox": list(box)} for box in boxes), *({"gsd_m": size} for size in sizes))
    assert bool(found.box) == any(all(map(math.isfinite, box)) for box in boxes)
    assert all(math.isfinite(float(corner)) for corner in found.box.split())
    real = [size for size in sizes if math.isfinite(size)]
    assert found.gsd == (pytest.approx((min(real), max(real)), rel=1e-5) if real else None)
