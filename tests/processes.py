"""Two processes of a training, joined by a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from fusionrs_builder.translate import distributed


def two(work: Callable[..., None], *arguments: Any, folder: Path) -> None:
    """Run `work(rank, *arguments)` in both, to the end of Python in each.

    Raises:
        Exception: a process failed, or threads of its group outlived it.
    """
    torch.multiprocessing.spawn(_one, (work, folder, arguments), nprocs=2)


def _one(rank: int, work: Callable[..., None], folder: Path, arguments: tuple[Any, ...]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    work(rank, *arguments)
    distributed.stop(2)
    left = [name for task in Path("/proc/self/task").iterdir() if "gloo" in (name := (task / "comm").read_text())]
    assert not left, f"threads that outlive their group abort the process now and then: {left}"
