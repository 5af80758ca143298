"""A model in this process: a tiny Qwen2-VL through transformers, through the whole stage."""

from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder import pipeline
from fusionrs_builder.caption.chat.ledger import Ledger
from fusionrs_builder.errors import UsageError
from fusionrs_builder.workspace import Workspace

from .test_captioner import lay
from .tiny_vlm import save_tiny_vlm


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_vlm(tmp_path_factory.mktemp("tiny-vlm"))


@pytest.fixture(autouse=True)
def above_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "ORDER", ("caption", "curate", "push"))


def caption(ws: Workspace, model: Path | str, **more: Any) -> Any:
    given = {"captioner": "chat", "offline": True, "model": str(model), "max_tokens": 16, **more}
    return pipeline.caption(ws, **given)


def test_its_noise_is_refused_and_the_grounded_writer_fills_in(ws: Workspace, model: Path) -> None:
    summary = caption(lay(ws, 1, 5), model)
    assert "10 answers of" in summary.notes[0]  # each was asked again with what was wrong
    rows = list(ws.rows("captions", "demo-00000"))
    for row in rows:
        assert row["caption_source"]["ir"] == ["grounded@v1"] * 2
        assert row["caption_source"]["failed"]
        assert row["caption_source"]["failed"][0].startswith("malformed")
    with Ledger(Path(ws.path("ledger.sqlite"))) as ledger:
        assert ledger.spent().answers == 10
        assert all(
            row["via"] == "offline" and row["tokens_in"] > 100 and row["reply"] is not None for row in ledger.rows()
        )
    ws.remove("captions", "demo-00000")
    assert "0 answers of" in caption(ws, model).notes[0]
    assert list(ws.rows("captions", "demo-00000")) == rows


def test_a_model_that_is_not_there(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be loaded by transformers"):
        caption(lay(ws, 1, 1), tmp_path / "none")
