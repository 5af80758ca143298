import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusionrs_builder.engines import local
from fusionrs_builder.errors import FusionError
from fusionrs_builder.shards import Row
from fusionrs_builder.stage import Reject, Stage, Task, Worker
from fusionrs_builder.workspace import Workspace


class Counting(Stage):
    """`shards` shards of ten rows that hold the process that made them."""

    name = "download"
    version = 1
    writes = "rgb"

    def __init__(self, shards: int, deadly: str = "", slow: float = 0.0) -> None:
        self.shards, self.deadly, self.slow = shards, deadly, slow

    def params(self) -> dict[str, int]:
        return {"shards": self.shards}

    def tasks(self, workspace: Workspace) -> list[Task]:
        return [Task(f"a-{i:05d}", self.fingerprint(), 10) for i in range(self.shards)]

    def open(self, device: str) -> Worker:
        def worker(workspace: Workspace, task: Task) -> Iterator[Row | Reject]:
            for i in range(10):
                time.sleep(self.slow)
                if task.shard == self.deadly:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield {"id": f"{task.shard}/{i}", "corpus": device, "corpus_key": str(os.getpid())}

        return worker


def run(ws: Workspace, stage: Counting, workers: int, devices: tuple[str, ...] = ("cpu",)) -> tuple[int, int]:
    counts: list[int] = []
    resources = local.Resources(workers, devices)
    made = list(local.run(stage, ws, stage.tasks(ws), resources, counts.append))
    return len(made), sum(counts)


@pytest.mark.parametrize("workers", [1, 3])
def test_every_task_is_made_once_and_counted(ws: Workspace, workers: int) -> None:
    assert run(ws, Counting(5), workers) == (5, 50)
    assert [footer.items for footer in ws.footers("rgb").values()] == [10] * 5


def test_workers_are_processes_with_a_device_each(ws: Workspace) -> None:
    run(ws, Counting(6, slow=0.05), 2, ("cuda:0", "cuda:1"))
    rows = [row for shard in ws.shards("rgb") for row in ws.rows("rgb", shard)]
    assert {row["corpus"] for row in rows} == {"cuda:0", "cuda:1"}
    assert len({row["corpus_key"] for row in rows}) == 2
    assert str(os.getpid()) not in {row["corpus_key"] for row in rows}


def test_one_process_is_this_one(ws: Workspace) -> None:
    run(ws, Counting(2), 1)
    assert {row["corpus_key"] for row in ws.rows("rgb", "a-00000")} == {str(os.getpid())}


def test_a_killed_worker_is_said_and_what_was_done_stays(ws: Workspace) -> None:
    with pytest.raises(FusionError, match="a worker process was killed.*fewer --workers"):
        run(ws, Counting(4, deadly="a-00003"), 2)
    assert "a-00003" not in ws.shards("rgb")
    assert run(ws, Counting(4), 2)[0] == 4


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    """Orphans that go on writing would race with the next build, which finds the lock free."""
    code = f"""
from fusionrs_builder.workspace import Workspace
from fusionrs_builder.engines import local
from tests.engines.test_local import Counting
if __name__ == "__main__":
    ws = Workspace.open({str(tmp_path / "ws")!r}, create=True)
    stage = Counting(4, slow=0.5)
    list(local.run(stage, ws, stage.tasks(ws), local.Resources(2), lambda n: print("working", flush=True)))
"""
    script = tmp_path / "run.py"
    script.write_text(code)
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "working\n"
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    assert children
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(_alive(int(child)) for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_alive(int(child)) for child in children)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
