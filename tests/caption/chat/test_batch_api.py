"""The batch endpoint through the whole stage, and killed between its steps."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder import pipeline
from fusionrs_builder.caption.chat import batch_api
from fusionrs_builder.caption.chat.ledger import CREATED, Ledger
from fusionrs_builder.errors import FusionError
from fusionrs_builder.shards import Row
from fusionrs_builder.workspace import Workspace

from .batch_server import BatchServer
from .test_captioner import lay

STEPS = ("_upload", "_create", "_lost", "_collected", "_keep")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    _set_up(monkeypatch.setattr)


def _set_up(set_: Any) -> None:
    set_(pipeline, "ORDER", ("caption", "curate", "push"))
    set_(batch_api, "POLL_S", 0.01)


def caption(ws: Workspace, url: str, **more: Any) -> list[Row]:
    given = {"captioner": "chat", "batch_api": True, "base_url": url, "model": "m", "timeout": 5.0, "patience": 5.0}
    pipeline.caption(ws, **(given | more))
    return [row for shard in ws.shards("captions") for row in ws.rows("captions", shard)]


def spent(ws: Workspace) -> Any:
    with Ledger(Path(ws.path("ledger.sqlite"))) as ledger:
        return ledger.spent()


def test_all_records_in_one_job_at_half_the_price(ws: Workspace) -> None:
    with BatchServer() as server:
        rows = caption(lay(ws, 2, 4), server.url)
    assert len(server.batches) == 1
    assert set(server.asked.values()) == {1}
    assert all(row["caption_source"]["ir"] == ["chat:m"] * 2 for row in rows)
    found = spent(ws)
    assert (found.answers, found.tokens_in) == (8, server.tokens_in)
    assert found.usd == pytest.approx((server.tokens_in + 2 * server.tokens_out) / 1e6 / 2)


def test_jobs_are_cut_and_only_what_failed_is_sent_again(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_api, "MAX_REQUESTS", 3)
    with BatchServer(fails=lambda number: number in (1, 4)) as server:
        rows = caption(lay(ws, 1, 8), server.url)
    assert len(server.batches) == 4  # 3 + 3 + 2, and the two that failed
    assert sorted(server.asked.values()) == [1] * 6 + [2] * 2
    assert all(row["caption_source"]["ir"] == ["chat:m"] * 2 for row in rows)
    assert spent(ws).failed == 2


def test_what_fails_its_checks_is_asked_in_the_next_round(ws: Workspace) -> None:
    def answer(body: Any) -> Any:
        again = "Your last answer had faults" in body["messages"][-1]["content"][0]["text"]
        return batch_api_captions(body) if again else "no JSON"

    with BatchServer(answer=answer) as server:
        rows = caption(lay(ws, 1, 3), server.url)
    assert len(server.batches) == 2
    assert all(row["caption_source"]["ir"] == ["chat:m"] * 2 for row in rows)


def batch_api_captions(body: Any) -> Any:
    from .chat_server import captions

    return captions(body)


def test_a_batch_that_expired_is_said_and_its_questions_are_sent_by_the_next_run(ws: Workspace) -> None:
    with BatchServer(status="expired", fails=lambda number: number < 2) as server:
        with pytest.raises(FusionError, match=r"batch batch-0 expired.*run again to send what is open"):
            caption(lay(ws, 1, 2), server.url)
        assert not ws.shards("captions")
    with BatchServer() as server:
        rows = caption(ws, server.url)
    assert all(row["caption_source"]["ir"] == ["chat:m"] * 2 for row in rows)


def test_what_the_endpoint_refuses_line_by_line_is_filled_in_for_and_never_asked_online(ws: Workspace) -> None:
    with BatchServer(fails=lambda number: number > 0) as server:
        rows = caption(lay(ws, 1, 3), server.url)
    assert [row["caption_source"]["failed"] for row in rows] == [[], *[["no_answer: not answered"]] * 2]
    assert all(row["caption_source"]["ir"] == ["grounded@v1"] * 2 for row in rows[1:])


def test_an_endpoint_that_refuses_every_line_is_said(ws: Workspace) -> None:
    with (
        BatchServer(fails=lambda number: True) as server,
        pytest.raises(FusionError, match="answers nothing: .*expired"),
    ):
        caption(lay(ws, 1, 3), server.url)
    assert len(server.batches) == 3  # with a schema, as an object, in words
    assert not ws.shards("captions")


def test_what_is_under_way_counts_against_the_cap_of_the_next_run(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(ws, 1, 4)
    with BatchServer() as server:
        with monkeypatch.context() as patch:
            patch.setattr(batch_api.BatchAPI, "_collected", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                caption(ws, server.url)
        lay(ws, 1, 4, labels=["River"])
        with pytest.raises(FusionError, match="higher --max-usd"):
            caption(ws, server.url, max_usd=0.0025)
        assert len(server.batches) == 1
        assert spent(ws).answers == 4


def test_nothing_is_asked_online_while_a_batch_is_under_way(ws: Workspace) -> None:
    lay(ws, 1, 2)
    with Ledger(Path(ws.path("ledger.sqlite"))) as ledger:
        ledger.note_job("j", CREATED, {"file": "f", "batch": "b", "asked": []})
    with pytest.raises(FusionError, match="1 batch jobs of this workspace are under way"):
        caption(ws, "http://127.0.0.1:9/v1", batch_api=False)


def test_a_limit_holds_for_what_is_paid(ws: Workspace) -> None:
    with BatchServer() as server:
        given: dict[str, Any] = {"captioner": "chat", "batch_api": True, "base_url": server.url, "model": "m"}
        pipeline.caption(lay(ws, 4, 3), run=pipeline.Run(limit=3), **given)
        assert server.asked.total() == 3


def test_the_cap_holds(ws: Workspace) -> None:
    with BatchServer() as server, pytest.raises(FusionError, match="go on with a higher --max-usd"):
        caption(lay(ws, 1, 50), server.url, max_usd=0.02)
    assert 0.01 < spent(ws).usd <= 0.02


def _run_and_die(where: str, url: str, step: str, after: bool) -> None:
    def set_(place: Any, name: str, value: Any) -> None:
        setattr(place, name, value)

    _set_up(set_)
    real = getattr(batch_api.BatchAPI, step)

    def dying(self: Any, *arguments: Any) -> Any:
        if after:
            real(self, *arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(batch_api.BatchAPI, step, dying)
    caption(Workspace.open(where), url)


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer() as opened:
        yield opened


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_killed_between_any_two_steps_nothing_is_asked_twice(
    ws: Workspace, server: BatchServer, step: str, after: bool
) -> None:
    lay(ws, 1, 3)
    process = multiprocessing.get_context("spawn").Process(target=_run_and_die, args=(ws.url, server.url, step, after))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    rows = caption(ws, server.url)
    assert all(row["caption_source"]["ir"] == ["chat:m"] * 2 for row in rows)
    assert set(server.asked.values()) == {1}
    assert len(server.batches) == 1
    assert spent(ws).answers == 3


def test_killed_after_a_batch_was_made_and_before_its_id_was_kept(
    ws: Workspace, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(ws, 1, 3)
    real = Ledger.note_job

    def broken(self: Ledger, name: str, state: str, facts: Any) -> None:
        if state == CREATED:
            raise KeyboardInterrupt
        real(self, name, state, facts)

    monkeypatch.setattr(Ledger, "note_job", broken)
    with pytest.raises(KeyboardInterrupt):
        caption(ws, server.url)
    assert len(server.batches) == 1
    monkeypatch.setattr(Ledger, "note_job", real)
    caption(ws, server.url)
    assert len(server.batches) == 1
    assert set(server.asked.values()) == {1}
