import pytest

from fusionrs_builder import pipeline
from fusionrs_builder.caption.report import EXAMPLES, report
from fusionrs_builder.errors import FusionError
from fusionrs_builder.workspace import Workspace

from .chat.chat_server import ChatServer
from .chat.test_captioner import caption, lay


@pytest.fixture(autouse=True)
def above_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "ORDER", ("caption", "curate", "push"))


def test_rates_and_examples(ws: Workspace) -> None:
    with ChatServer(["refusal", "other"], rate=0.5, seed=2) as server:
        rows = caption(lay(ws, 2, 15), server)
    found = report(ws)
    failing = [row for row in rows if row["caption_source"]["failed"]]
    filled = [row for row in failing if "grounded@v1" in row["caption_source"]["ir"] + row["caption_source"]["scene"]]
    assert (found.records, found.captioned, found.of_model) == (30, 30, 30)
    assert (found.refused, found.filled_in) == (len(failing), len(filled))
    assert sum(found.captions.values()) == 120
    assert found.failed["malformed"] == sum(
        any(text.startswith("malformed") for text in row["caption_source"]["failed"]) for row in rows
    )
    assert len(found.examples) == EXAMPLES
    assert all(example["failed"] for example in found.examples[: min(len(failing), EXAMPLES)])
    told = "\n".join(found.lines())
    assert "30 records were put to a model" in told
    assert "chat:m" in told
    assert report(ws).lines() == found.lines()
    assert found.as_dict()["captions"][0]["kind"] == "ir"


def test_the_grounded_writer_alone(ws: Workspace) -> None:
    pipeline.caption(lay(ws, 1, 3))
    found = report(ws)
    assert (found.of_model, found.captions[("ir", "grounded@v1")]) == (0, 6)


def test_nothing_to_report(ws: Workspace) -> None:
    with pytest.raises(FusionError, match="no captions yet"):
        report(ws)
