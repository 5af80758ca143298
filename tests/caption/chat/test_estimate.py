from typing import Any

import pytest

from fusionrs_builder import pipeline
from fusionrs_builder.caption.chat.captioner import Said
from fusionrs_builder.caption.chat.estimate import reckoned
from fusionrs_builder.caption.chat.ledger import Answer
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.settings import CaptionSettings, Price
from fusionrs_builder.workspace import Workspace

from .chat_server import Body, ChatServer, captions
from .test_captioner import caption, lay


@pytest.fixture(autouse=True)
def above_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "ORDER", ("caption", "curate", "push"))


def test_what_a_pilot_tells() -> None:
    settings = CaptionSettings(captioner="chat", model="m", concurrency=10, prices={"m": Price(input=1, output=10)})
    said = [Said((), (), (), (Answer("", "stop", 1000, 100, None, 2.0),) * (1 + n % 2)) for n in range(20)]
    found = reckoned(said, 10_000, settings)
    assert (found.answers_a_record, found.tokens_in, found.tokens_out) == (1.5, 15_000_000, 1_500_000)
    assert found.usd == pytest.approx(30.0)
    assert found.batch_usd == pytest.approx(15.0)
    assert found.usd_interval is not None
    assert 22 < found.usd_interval[0] < 30 < found.usd_interval[1] < 38
    assert found.hours == pytest.approx(10_000 * 3.0 / 10 / 3600)
    assert "online $30.00" in "\n".join(found.lines())
    assert reckoned(said, 10_000, settings.model_copy(update={"prices": {}})).usd is None


def test_an_estimate_is_near_the_truth_and_its_answers_are_kept(ws: Workspace) -> None:
    def answer(body: Body) -> Any:
        text = body["messages"][-1]["content"][0]["text"]
        once_more = "Your last answer had faults" in text
        return captions(body) if once_more or len(text) % 3 else "no JSON"

    lay(ws, 10, 30)
    with ChatServer(answer=answer) as server:
        given: dict[str, Any] = {"captioner": "chat", "base_url": server.url, "model": "m"}
        found = pipeline.caption_estimate(ws, **given)
        assert (found.records, found.pilot) == (300, 20)
        assert not ws.shards("captions")
        asked = server.counts.asked.total()
        caption(ws, server)
        usd = (server.counts.tokens_in + 2 * server.counts.tokens_out) / 1e6
        assert max(server.counts.answered.values()) == 1
        assert server.counts.asked.total() > asked
    assert found.usd_interval is not None
    assert found.usd_interval[0] <= usd <= found.usd_interval[1] or found.usd == pytest.approx(usd, rel=0.25)


def test_what_cannot_be_estimated(ws: Workspace) -> None:
    lay(ws, 1, 2)
    with pytest.raises(UsageError, match="only answers of a server have a price"):
        pipeline.caption_estimate(ws)
    with ChatServer() as server:
        caption(ws, server)
        with pytest.raises(FusionError, match="nothing to estimate"):
            pipeline.caption_estimate(ws, captioner="chat", base_url=server.url, model="m", timeout=2.0, patience=30.0)
