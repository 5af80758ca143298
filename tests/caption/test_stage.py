import pickle
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from fusionrs_builder import schema
from fusionrs_builder.caption.grounded import Phrases
from fusionrs_builder.caption.stage import CaptionStage
from fusionrs_builder.settings import CaptionSettings
from fusionrs_builder.shards import Footer, Row
from fusionrs_builder.stage import make
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture

from .scenes import box, flat, square

SHARD = "demo-00000"


def image(data: bytes | None) -> dict[str, Any] | None:
    return None if data is None else {"bytes": data, "path": "x.png"}


def record(key: str, rgb: bytes | None, ir: bytes | None, **more: Any) -> tuple[Row, Row]:
    """Rows of the rgb and of the ir layer."""
    name = f"demo/{key}"
    seen = {"ir_origin": "translated", "ir_band": "nir", "reason": None}
    seen |= {k: v for k, v in more.items() if k in ("ir_origin", "ir_band", "reason")}
    base = {"labels": [], "boxes": [], "publisher_captions": []} | {k: v for k, v in more.items() if k not in seen}
    # The rgb layer's own `ir` is another picture, so that reading it would show.
    return {"id": name, "rgb": image(rgb), "ir": image(b"not this one"), **base}, {"id": name, "ir": image(ir), **seen}


@pytest.fixture
def rows() -> list[tuple[Row, Row]]:
    rgb, ir = encoded(picture(1)), encoded(picture(2, channels=1))
    square_ir = encoded(square(flat(60), 40, 40, 52, 52, 220))
    return [
        record("a", rgb, ir, labels=["Forest"], gsd_m=10.0),
        record("b", None, square_ir, labels=["Car"], boxes=[box("Car", 40, 40, 52, 52)], ir_origin="measured",
               ir_band="lwir"),
        record("c", rgb, None, labels=["River"], reason="translator_failed: out of memory"),
        record("d", b"broken", ir),
        record("e", rgb, b""),
        record("f", None, None, reason="gone: no image"),
        record("h", rgb, ir, reason="suspect: blank"),
        record("g", rgb, ir, publisher_captions=["A forest beside a wide river."], labels=None, boxes=None),
    ]  # fmt: skip


@pytest.fixture
def laid(ws: Workspace, rows: list[tuple[Row, Row]]) -> Workspace:
    with ws.writer("rgb", SHARD) as writer:
        for rgb, _ in rows:
            writer.write(rgb)
        content = writer.commit(Footer("download", "f", items=len(rows))).content
    with ws.writer("ir", SHARD) as writer:
        for _, ir in rows:
            writer.write(ir)
        writer.commit(Footer("translate", "f", inputs={"rgb": content}, items=len(rows)))
    return ws


def run(ws: Workspace, **settings: Any) -> dict[str, Row]:
    stage = pickle.loads(pickle.dumps(CaptionStage(CaptionSettings(**settings), seed=7)))
    (task,) = stage.tasks(ws)
    make(ws, stage, stage.open("cpu"), task)
    return {row["id"].removeprefix("demo/"): row for row in ws.rows("captions", SHARD)}


def test_a_row_for_every_record_in_order(laid: Workspace) -> None:
    found = run(laid)
    assert list(found) == list("abcdefhg")
    footer = laid.footer("captions", SHARD)
    assert footer is not None
    assert (footer.items, footer.refused) == (8, {"no_infrared": 3, "unreadable_image": 2})
    whole = found["a"]
    assert (len(whole["scene_captions"]), len(whole["ir_captions"]), whole["reason"]) == (2, 2, None)
    assert whole["caption_source"] == {
        "scene": ["grounded@v1"] * 2,
        "ir": ["grounded@v1"] * 2,
        "prompt_sha256": Phrases.load().sha256,
        "checks": ["forbidden_words", "no_colour_in_ir", "length", "unique"],
        "failed": [],
    }
    assert any("forest" in text.lower() for text in whole["scene_captions"])
    assert set(whole) == set(schema.arrow_schema("captions").names)


def test_infrared_alone_and_its_boxes(laid: Workspace) -> None:
    row = run(laid, ir_captions=3)["b"]
    assert len(row["ir_captions"]) == 3
    assert "a car" in row["scene_captions"][0].lower()
    assert "the car in the centre" in row["ir_captions"][0].lower()


def test_failures_keep_their_row(laid: Workspace) -> None:
    found = run(laid)
    assert found["c"]["reason"] == "no_infrared: translator_failed: out of memory"
    assert (len(found["c"]["scene_captions"]), found["c"]["ir_captions"]) == (2, [])
    assert found["c"]["caption_source"]["ir"] == []
    assert (found["h"]["reason"], found["h"]["ir_captions"]) == ("no_infrared: suspect: blank", [])
    for key, reason in (("d", "unreadable_image: not an image"), ("e", "unreadable_image: the image is empty")):
        assert found[key]["reason"].startswith(reason)
        assert (found[key]["scene_captions"], found[key]["ir_captions"], found[key]["caption_source"]) == (None,) * 3
    assert (found["f"]["reason"], found["f"]["scene_captions"]) == ("no_infrared: gone: no image", None)


def test_metres_are_said_where_known(laid: Workspace) -> None:
    found = run(laid, scene_captions=5)
    assert any(re.search(r"\b(480 m|10 m)\b", text) for text in found["a"]["scene_captions"])
    assert not any(re.search(r"\d m\b", text) for text in found["g"]["scene_captions"])


def test_publisher_captions(laid: Workspace) -> None:
    row = run(laid)["g"]
    assert row["scene_captions"][0] == "A forest beside a wide river."
    assert row["caption_source"]["scene"] == ["publisher", "grounded@v1"]


def test_what_changes_the_captions_changes_the_fingerprint() -> None:
    first = CaptionStage(CaptionSettings(), seed=0)
    others = [CaptionStage(CaptionSettings(), seed=1), CaptionStage(CaptionSettings(ir_captions=3), seed=0),
              CaptionStage(CaptionSettings(scene_captions=3), seed=0)]  # fmt: skip
    assert len({stage.fingerprint() for stage in (first, *others)}) == 4
    assert CaptionStage(CaptionSettings(), seed=0).fingerprint() == first.fingerprint()
    assert first.params()["prompt_sha256"] == Phrases.load().sha256


def test_rows_stream_and_only_what_is_needed_is_read(laid: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, set[str]] = {}
    taken: list[str] = []
    true_rows = Workspace.rows

    def spy(self: Workspace, layer: str, shard: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
        asked[layer] = set(columns or ())
        for row in true_rows(self, layer, shard, columns):
            taken.append(layer)
            yield row

    monkeypatch.setattr(Workspace, "rows", spy)
    stage = CaptionStage(CaptionSettings(), seed=0)
    (task,) = stage.tasks(laid)
    next(iter(stage.open("cpu")(laid, task)))
    assert taken == ["rgb", "ir"]
    assert asked == {
        "rgb": {
            *("id", "rgb", "labels", "boxes", "gsd_m"),
            *("publisher_captions", "model_captions", "template_captions"),
        },
        "ir": {"id", "ir", "ir_origin", "ir_band", "reason"},
    }
