"""caption with a model, and ledger, as they are typed."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fusionrs_builder import pipeline
from fusionrs_builder.cli.main import main
from fusionrs_builder.workspace import Workspace
from tests.caption.chat.chat_server import ChatServer
from tests.caption.chat.test_captioner import lay


@pytest.fixture(autouse=True)
def above_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "ORDER", ("caption", "curate", "push"))


def call(ws: Workspace, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [*arguments, "-w", ws.url])
    assert result.exit_code == code, result.output
    return result


def test_estimate_caption_report_and_ledger(ws: Workspace, tmp_path: Path) -> None:
    lay(ws, 2, 20)
    with ChatServer() as server:
        chat = ["--captioner", "chat", "--base-url", server.url, "--model", "m"]
        estimate = json.loads(call(ws, "caption", *chat, "--estimate", "--json").stdout)
        assert (estimate["records"], estimate["pilot"]) == (40, 20)
        told = call(ws, "caption", "--max-usd", "1").stdout  # the rest is kept in fusionrs.toml
        assert "20 answers of m" in told
        assert server.counts.asked == {"ok": 40}
    assert "40 records were put to a model" in call(ws, "caption", "--report").stdout
    shown: dict[str, Any] = json.loads(call(ws, "ledger", "show", "--json").stdout)
    assert shown["models"]["m"]["answers"] == shown["total"]["answers"] == 40
    assert "tokens out" in call(ws, "ledger", "show").stdout
    file = tmp_path / "answers.jsonl"
    call(ws, "ledger", "export", str(file))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({line["key"] for line in lines}) == 40
    assert all(json.loads(line["reply"])["scene"] for line in lines)
    assert call(ws, "ledger", "export", "-").stdout == file.read_text()


def test_without_a_ledger(ws: Workspace) -> None:
    lay(ws, 1, 1)
    assert "no model was asked yet" in call(ws, "ledger", "show", code=1).output


def test_a_model_must_be_named(ws: Workspace) -> None:
    lay(ws, 1, 1)
    assert "give --model NAME" in call(ws, "caption", "--captioner", "chat", code=2).output
    assert "chat" not in ws.read_bytes("fusionrs.toml").decode()
