"""The loop closed: a model tuned on a release, behind a real server, is the captioner of the next build."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder import pipeline
from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.caption.report import report
from fusionrs_builder.corpora import registry
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.release.load import load_split
from fusionrs_builder.workspace import Workspace
from tests.caption.chat.tiny_vlm import save_tiny_vlm
from tests.e2e.conftest import Call
from tests.e2e.test_chat_server import serving
from tests.train.conftest import Release, pair, released
from train.vlm import train
from train.vlm_rows import Settings
from train.vlm_stage import CaptionStage

__all__ = ["released"]

SCENE = ["An overhead image of the ground seen from above.", "The ground lies below in this view from above."]
IR = ["An infrared-style view of the ground seen from above.", "This infrared-style view shows the ground from above."]
"""True of any record, so that whatever was learnt of how to answer shows."""

RECORDS = 3
"""A sentence that stands in more of a shard is left out of all of them."""


@pytest.fixture(scope="module")
def tuned(released: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that learnt to answer the caption stage; untuned its words are noise."""
    made = {"scene_captions": SCENE, "ir_captions": IR, "ir_origin": "translated"}
    data = released("tuned", [pair(number, **made) for number in range(8)])
    stage = CaptionStage(Records(load_split(data, "train"), "tuned", "train"))
    row: dict[str, Any] = stage.row(0)
    (system, asked), (said,) = row["prompt"], row["completion"]
    folder = tmp_path_factory.mktemp("tuned")
    words = [system["content"], asked["content"][0]["text"], said["content"]]
    base = save_tiny_vlm(folder / "base", words, vocabulary=1200, spread=0.5)
    settings = Settings(str(data), str(base), str(folder / "run"), steps=300, batch_size=2, learning_rate=1e-2)
    train(replace(settings, questions=0, caption_stage=1, device="cpu"))
    return folder / "run" / "model"


def test_a_tuned_model_behind_a_server_captions_records(tuned: Path, tmp_path: Path, samples: Path, call: Call) -> None:
    ws = Workspace.open(tmp_path / "built", create=True)
    name = "oam-buildings"
    entry = registry.entry(name)
    assert entry is not None and entry.samples is not None
    pipeline.download(ws, name, from_=str(samples / entry.samples.folder), run=Run(1, limit=RECORDS))
    pipeline.translate(ws, translator="gray", run=Run(1))
    with serving(tuned) as (url, model, _):
        call("caption", "--captioner", "chat", "--base-url", url, "--model", model, "-w", ws.url)
    rows = [row for shard in ws.shards("captions") for row in ws.rows("captions", shard)]
    assert len(rows) == RECORDS
    writers = Counter(w for row in rows for w in (*row["caption_source"]["scene"], *row["caption_source"]["ir"]))
    assert writers == {f"chat:{model}": 4 * RECORDS}
    assert all((row["scene_captions"], row["ir_captions"]) == (SCENE, IR) for row in rows)
    found = report(ws)
    assert (found.of_model, found.filled_in, found.refused) == (RECORDS, 0, 0)
