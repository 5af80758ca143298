import os
from collections.abc import Iterator

import pytest

from fusionrs_builder.engines import local
from fusionrs_builder.engines import ray as engine
from fusionrs_builder.errors import FusionError
from fusionrs_builder.stage import Task
from fusionrs_builder.workspace import Workspace
from tests.engines.test_local import Counting

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A real Ray on this machine."""
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def test_actors_make_every_task_once(ws: Workspace) -> None:
    counts: list[int] = []
    stage = Counting(5)
    made = list(engine.run(stage, ws, stage.tasks(ws), local.Resources(2), counts.append))
    assert (len(made), sum(counts)) == (5, 50)
    assert len(ws.shards("rgb")) == 5
    rows = [row for shard in ws.shards("rgb") for row in ws.rows("rgb", shard)]
    assert str(os.getpid()) not in {row["corpus_key"] for row in rows}


def test_what_a_worker_raises_arrives(ws: Workspace) -> None:
    stage = Counting(1)
    with pytest.raises(FusionError, match="11 items of shard a-00000 gave 10 answers"):
        list(engine.run(stage, ws, [Task("a-00000", "f", 11)], local.Resources(1), lambda n: None))


def test_a_lost_actor_is_said(ws: Workspace) -> None:
    stage = Counting(2, deadly="a-00001")
    with pytest.raises(FusionError, match="a Ray actor was lost"):
        list(engine.run(stage, ws, stage.tasks(ws), local.Resources(1), lambda n: None))
    assert ws.shards("rgb") == ["a-00000"]
