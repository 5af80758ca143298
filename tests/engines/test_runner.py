import os
import time
from collections.abc import Iterator

import pytest

from fusionrs_builder.engines.progress import Progress
from fusionrs_builder.engines.runner import Run, run_stage
from fusionrs_builder.errors import FusionError
from fusionrs_builder.shards import Row
from fusionrs_builder.stage import Reject, Stage, Task, Worker
from fusionrs_builder.workspace import Workspace


class Source(Stage):
    """Shards of ten items of which `bad` are refused."""

    name = "download"
    version = 1
    writes = "rgb"

    def __init__(self, shards: int = 3, bad: int = 0, corpus: str = "a") -> None:
        self.shards, self.bad, self.corpus = shards, bad, corpus

    def params(self) -> dict[str, int]:
        return {"bad": self.bad}

    def tasks(self, workspace: Workspace) -> list[Task]:
        return [Task(f"{self.corpus}-{i:05d}", self.fingerprint(), 10) for i in range(self.shards)]

    def owns(self, shard: str) -> bool:
        return shard.startswith(self.corpus)

    def open(self, device: str) -> Worker:
        def worker(workspace: Workspace, task: Task) -> Iterator[Row | Reject]:
            for i in range(10):
                yield Reject(str(i), "bad", "is bad") if i < self.bad else {"id": f"{task.shard}/{i}"}

        return worker


def go(ws: Workspace, stage: Stage, **run: object) -> dict[str, object]:
    return run_stage(ws, stage, Run(workers=1, **run), 0.05).as_dict()  # type: ignore[arg-type]


def test_only_the_missing_is_made(ws: Workspace) -> None:
    first = go(ws, Source())
    assert (first["made"], first["kept"], first["items"], first["good"]) == (3, 0, 30, 30)
    ws.remove("rgb", "a-00001")
    again = go(ws, Source())
    assert (again["made"], again["kept"], again["items_made"], again["items"]) == (1, 2, 10, 30)
    assert go(ws, Source())["made"] == 0


def test_limit_makes_whole_shards_and_leaves_the_rest_waiting(ws: Workspace) -> None:
    result = go(ws, Source(), limit=11)
    assert (result["made"], result["waiting"]) == (2, 1)
    assert go(ws, Source(), limit=1)["made"] == 1


def test_a_dry_run_does_nothing(ws: Workspace) -> None:
    result = go(ws, Source(), dry_run=True)
    assert (result["waiting"], result["items"], result["dry_run"]) == (3, 30, True)
    assert ws.shards("rgb") == []
    assert not ws.exists("fusionrs.lock")


def test_too_many_refused_is_a_problem_every_time(ws: Workspace) -> None:
    for _ in range(2):
        (problem,) = go(ws, Source(bad=1))["problems"]  # type: ignore[misc]
        assert "corpus a: 3 of 30 items refused (bad 3), more than build.max_reject_rate = 0.05" in problem
        assert "rejects/a-*.parquet" in problem
    assert run_stage(ws, Source(bad=1), Run(workers=1), 0.1).problems == []


def test_a_corpus_of_no_records_is_always_a_problem(ws: Workspace) -> None:
    assert "no record at all out of 30 items" in run_stage(ws, Source(bad=10), Run(workers=1), 1.0).problems[0]


def test_shards_that_no_longer_belong_are_removed(ws: Workspace) -> None:
    go(ws, Source(shards=3, bad=1))
    go(ws, Source(corpus="b"))
    result = go(ws, Source(shards=1, bad=1))
    assert result["removed"] == 2
    assert ws.shards("rgb") == ["a-00000", "b-00000", "b-00001", "b-00002"], "another corpus is left alone"
    assert ws.shards("rejects") == ["a-00000"]


def test_nothing_to_work_on_says_what_to_run_first(ws: Workspace) -> None:
    class Later(Source):
        reads = ("rgb",)
        writes = "ir"
        tasks = Stage.tasks

    with pytest.raises(FusionError, match="nothing to work on.*run `fusionrs-build download` first"):
        go(ws, Later())


def test_the_lock_file_says_what_it_was_built_from(ws: Workspace) -> None:
    go(ws, Source(bad=1))
    lock = ws.read_json("fusionrs.lock", {})
    assert lock["stages"] == {"download": {"params": {"bad": 1}, "version": 1}}
    assert lock["workspace_version"] == 1


def test_progress_is_a_plain_line_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with Progress("download", 100) as progress:
        progress(5)
        assert capsys.readouterr().err == ""
        now[0] = 30.0
        progress(10)
    assert capsys.readouterr().err == "download: 15 of 100 items, 0.5/s, about 170 s left\n"


class Network(Source):
    """Says which device it was opened on, and in which process."""

    parallel = False

    def open(self, device: str) -> Worker:
        def worker(workspace: Workspace, task: Task) -> Iterator[Row | Reject]:
            time.sleep(0.2)  # long enough for the others to come
            for i in range(10):
                yield {"id": f"{task.shard}/{i}", "corpus": device, "corpus_key": str(os.getpid())}

        return worker


@pytest.mark.parametrize(
    ("device", "workers", "devices", "processes"),
    [("cpu", None, {"cpu"}, 1), ("cuda:0,cuda:1", None, {"cuda:0", "cuda:1"}, 2), ("cuda:0,cuda:1", 1, {"cuda:0"}, 1)],
)
def test_a_network_gets_a_process_a_device(
    ws: Workspace, device: str, workers: int | None, devices: set[str], processes: int
) -> None:
    run_stage(ws, Network(shards=4), Run(workers=workers, device=device), 0.05)
    rows = [row for shard in ws.shards("rgb") for row in ws.rows("rgb", shard)]
    assert {row["corpus"] for row in rows} == devices
    assert len({row["corpus_key"] for row in rows}) == processes
    assert len(rows) == 40
