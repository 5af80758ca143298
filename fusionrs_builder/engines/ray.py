"""Runs the tasks of a stage on a Ray cluster: actors that keep their worker open, on as many machines as there are.

The workspace must be reachable from every machine: a shared folder or an fsspec URL. RAY_ADDRESS names the cluster;
without it, Ray starts one on this machine.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fusionrs_builder.engines.local import Resources
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.shards import Footer
from fusionrs_builder.stage import Stage, Task, Worker, make
from fusionrs_builder.workspace import Workspace

RESTARTS = 1
"""Times a task is tried again when its machine is lost: a stage is safe to repeat."""


def run(
    stage: Stage, workspace: Workspace, tasks: Sequence[Task], resources: Resources, progress: Callable[[int], None]
) -> Iterator[Footer]:
    """Make the shards of `tasks`, and yield the footer of each as it is finished.

    As `local.run`, with `resources.workers` actors, a GPU each where one is asked for; progress is told by shard.
    """
    try:
        import ray
        from ray.exceptions import RayActorError
        from ray.util import ActorPool
    except ImportError:
        raise UsageError("--engine ray needs Ray: pip install 'fusionrs-builder[ray]'") from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    gpus = 1 if any(device.startswith("cuda") for device in resources.devices) else 0
    device = "cuda" if gpus else resources.devices[0]
    actor = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=RESTARTS, max_task_retries=RESTARTS)(Actor)
    actors: list[Any] = [actor.remote(stage, workspace, device) for _ in range(min(resources.workers, len(tasks)))]
    try:
        for footer in ActorPool(actors).map_unordered(lambda one, task: one.make.remote(task), list(tasks)):
            progress(footer.items)
            yield footer
    except FusionError as error:  # Ray's own subclass, whose text is a traceback
        raise getattr(error, "cause", error) from None
    except RayActorError as error:
        raise FusionError(
            f"{stage.name}: a Ray actor was lost, most likely for want of memory ({error}): "
            "run again with fewer --workers, or a lower build.shard_mb"
        ) from None
    finally:
        for one in actors:
            ray.kill(one)


class Actor:
    """A process somewhere that keeps its worker."""

    def __init__(self, stage: Stage, workspace: Workspace, device: str) -> None:
        self.stage, self.workspace = stage, workspace
        self.worker: Worker = stage.open(device)

    def make(self, task: Task) -> Footer:
        """Make one shard."""
        return make(self.workspace, self.stage, self.worker, task)
