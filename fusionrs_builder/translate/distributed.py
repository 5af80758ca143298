"""Training in several processes started by `torchrun`: each draws its own batches, gradients are averaged.

torchrun --nproc-per-node 4 $(which fusionrs-build) translator train ...
"""

import gc
import os
from collections.abc import Iterable
from datetime import timedelta

import torch
import torch.distributed as dist

# Imported while a group stands (as `DistributedDataParallel` does), its defaults hold that group past its destruction,
# and threads of gloo that still run when Python ends abort the process.
import torch.distributed.nn
from torch import nn

LONGEST_WAIT = timedelta(hours=2)
"""For which the others wait while the first process validates and writes; NCCL's own ten minutes are too few."""


def start(device: torch.device) -> tuple[int, int, torch.device]:
    """Join the others, if `torchrun` started this process.

    Args:
        device: asked for; of several GPUs each process takes the one of its number.

    Returns:
        The rank of this process (0 where it is alone), how many there are, and its device.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return 0, 1, device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    return dist.get_rank(), world, device


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return os.environ.get("RANK", "0") == "0"


def average(parameters: Iterable[nn.Parameter], world: int) -> None:
    """Replace each gradient by its mean over the processes. Nothing to do where this one is alone."""
    if world == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world
    for gradient, mean in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def agree(told: bool, device: torch.device, world: int) -> bool:
    """What the first process says, in all; waits for it."""
    if world == 1:
        return told
    flag = torch.tensor(int(told), device=device)
    dist.broadcast(flag, 0)
    return bool(flag)


def stop(world: int) -> None:
    """Leave the others. What holds the group (a `DistributedDataParallel`) is to be let go of before."""
    if world > 1 and dist.is_initialized():
        gc.collect()
        dist.destroy_process_group()
