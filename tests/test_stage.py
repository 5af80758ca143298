from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from fusionrs_builder.errors import FusionError
from fusionrs_builder.shards import Row
from fusionrs_builder.stage import Reject, Stage, Task, Worker, digest, is_done, make
from fusionrs_builder.workspace import Workspace


class Source(Stage):
    """Writes `count` rows; every seventh item is refused."""

    name = "download"
    version = 1
    writes = "rgb"

    def __init__(self, count: int = 10) -> None:
        self.count = count

    def params(self) -> Mapping[str, Any]:
        return {"count": self.count}

    def tasks(self, workspace: Workspace) -> list[Task]:
        return [Task("a-00000", self.fingerprint(), self.count)]

    def open(self, device: str) -> Worker:
        def worker(workspace: Workspace, task: Task) -> Iterator[Row | Reject]:
            for i in range(self.count):
                yield {"id": f"a/{i}"} if i % 7 else Reject(f"{i}", "seventh", "each seventh falls", (f"{i}.jpg",))

        return worker


class Next(Stage):
    """Keeps every row; refuses one, in its place."""

    name = "translate"
    version = 1
    reads = ("rgb",)
    writes = "ir"

    def params(self) -> Mapping[str, Any]:
        return {}

    def open(self, device: str) -> Worker:
        def worker(workspace: Workspace, task: Task) -> Iterator[Row | Reject]:
            for i, row in enumerate(workspace.rows("rgb", task.shard, ["id"])):
                yield {**row, "reason": "dark: too dark" if i == 0 else None}

        return worker


def run(ws: Workspace, stage: Stage) -> None:
    for task in stage.tasks(ws):
        make(ws, stage, stage.open("cpu"), task)


def test_items_are_good_plus_refused(ws: Workspace) -> None:
    run(ws, Source(15))
    footer = ws.footer("rgb", "a-00000")
    assert footer is not None
    assert (footer.items, footer.good, footer.rows, footer.refused) == (15, 12, 12, {"seventh": 3})
    rejects = list(ws.rows("rejects", "a-00000"))
    assert [row["key"] for row in rejects] == ["0", "7", "14"]
    assert rejects[1] == {"key": "7", "reason": "seventh", "message": "each seventh falls", "files": ["7.jpg"]}


def test_a_later_stage_keeps_the_row_and_its_reason(ws: Workspace) -> None:
    run(ws, Source(8))
    run(ws, Next())
    footer = ws.footer("ir", "a-00000")
    assert footer is not None
    assert (footer.items, footer.rows, footer.refused) == (6, 6, {"dark": 1})
    assert ws.shards("rejects") == ["a-00000"], "the rejects of download stay"


def test_done_means_standing_with_todays_fingerprint(ws: Workspace) -> None:
    (task,) = Source().tasks(ws)
    assert not is_done(ws, Source(), task)
    run(ws, Source())
    assert is_done(ws, Source(), task)
    (other,) = Source(11).tasks(ws)
    assert not is_done(ws, Source(), other)


def test_a_layer_follows_the_content_of_the_one_above(ws: Workspace) -> None:
    run(ws, Source())
    before = Next().tasks(ws)
    run(ws, Source())
    assert Next().tasks(ws) == before, "made again with the same rows: nothing below is outdated"
    run(ws, Source(11))
    assert Next().tasks(ws) != before


def test_a_stale_input_says_what_to_run(ws: Workspace) -> None:
    class Third(Next):
        reads = ("rgb", "ir")
        writes = "captions"

    run(ws, Source())
    with pytest.raises(FusionError, match="ir/a-00000 is missing: run `fusionrs-build translate` first"):
        Third().tasks(ws)
    run(ws, Next())
    assert len(Third().tasks(ws)) == 1
    run(ws, Source(11))
    with pytest.raises(FusionError, match="ir/a-00000 is out of date"):
        Third().tasks(ws)


def test_a_worker_that_loses_an_item_is_found_out(ws: Workspace) -> None:
    with pytest.raises(FusionError, match="11 items of shard a-00000 gave 10 answers"):
        make(ws, Source(), Source().open("cpu"), Task("a-00000", "f", 11))
    assert ws.shards("rgb") == []


def test_rejects_vanish_when_all_is_well(ws: Workspace) -> None:
    run(ws, Source(8))
    assert ws.shards("rejects") == ["a-00000"]

    class Clean(Source):
        def open(self, device: str) -> Worker:
            return lambda workspace, task: iter([{"id": "x"}] * self.count)

    run(ws, Clean(8))
    assert ws.shards("rejects") == []


def test_digest_is_canonical() -> None:
    assert digest({"b": 1, "a": [1, 2]}) == digest({"a": [1, 2], "b": 1}) != digest({"a": [2, 1], "b": 1})
