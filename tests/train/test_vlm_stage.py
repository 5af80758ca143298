"""Rows that ask what the caption stage asks."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fusionrs_builder import pipeline
from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.errors import UsageError
from fusionrs_builder.release.load import load_split
from fusionrs_builder.workspace import Workspace
from tests.benchmark.conftest import records, row
from tests.caption.chat.chat_server import ChatServer
from train.vlm_rows import Rows, Settings
from train.vlm_stage import CaptionStage


def test_it_is_what_a_server_is_asked_word_by_word(tmp_path: Path, class_folders: Callable[..., Path]) -> None:
    ws = Workspace.open(tmp_path / "built", create=True)
    ws.write_bytes("fusionrs.toml", b'[curate]\nsplit = [1.0, 0.0, 0.0]\n[push]\nlicense_policy = "any"\n')
    pipeline.download(ws, "scenes", from_=str(class_folders(6)), format="class-folders", license="MIT")
    pipeline.translate(ws, translator="gray")
    with ChatServer() as server:
        pipeline.caption(ws, captioner="chat", base_url=server.url, model="m")
    for step in (pipeline.curate, pipeline.push):
        step(ws)
    with sqlite3.connect(ws.path("ledger.sqlite")) as ledger:
        asked = dict(ledger.execute("select record, text from answers"))
    of = Records(load_split(ws.path("release", "fusionrs"), "train"), "built", "train")
    stage = CaptionStage(of)
    assert len(stage.places) == len(asked) == 6
    for place in stage.places:
        found = stage.row(place)
        (system, user), (said,) = found["prompt"], found["completion"]
        assert user["content"][0]["text"] == asked[of[place].id]
        assert system["role"] == "system" and "overhead images" in system["content"]
        assert [part["type"] for part in user["content"]] == ["text", "image", "image"]
        assert [image.size for image in found["images"]] == [(of[place].width, of[place].height)] * 2
        answer = json.loads(said["content"])
        assert answer["ir_aware"] == list(of[place].ir_captions) and answer["scene"] == list(of[place].scene_captions)


def test_published_captions_are_facts_and_not_answers() -> None:
    source = {"scene": ["publisher", "grounded@v1"], "ir": ["grounded@v1"]}
    given = {"scene_captions": ["A small harbour.", "Boats by a pier."], "ir_captions": ["Bright boats."]}
    of = records([row("a", 1, **given, caption_source=source)], "train")
    found = CaptionStage(of).row(0)
    text = found["prompt"][1]["content"][0]["text"]
    assert '"published_captions": ["A small harbour."]' in text and "Write 1 different captions of the scene" in text
    assert json.loads(found["completion"][0]["content"])["scene"] == ["Boats by a pier."]


def test_its_share_of_the_rows() -> None:
    of = records([row(f"r{n}", n, ir_captions=["Bright roofs."]) for n in range(4)], "train")
    rows = Rows(of, Settings("d", "m", "o", questions=0.0, caption_stage=0.3))
    kinds = [len(rows[number]["prompt"]) for number in range(400)]
    assert kinds.count(2) / 400 == pytest.approx(0.3, abs=0.06)
    silent = records([row("a", 1, ir_captions=[], scene_captions=["A roof."])], "train")
    rows = Rows(silent, Settings("d", "m", "o", caption_stage=1.0, questions=0.0))
    assert [len(rows[number]["prompt"]) for number in range(4)] == [1] * 4
    with pytest.raises(UsageError, match="questions 0.6 \\+ caption_stage 0.5: 1 at most"):
        Settings("d", "m", "o", questions=0.6, caption_stage=0.5)
