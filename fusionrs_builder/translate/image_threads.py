"""On a CPU: one thread an image, as many images at once as torch has threads.

Threads that share the work of one image wait for each other in every layer, which costs up to half of their time (more
where other processes are busy), and how a layer is shared out shows in the last bits of what it gives.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import torch
from torch import Tensor

_lock = threading.Lock()
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def each_alone(draw: Callable[[Tensor], Tensor], images: Sequence[Tensor]) -> list[Tensor]:
    """`draw` of each, all at once as far as there are threads; none is at work any more when this ends.

    Raises:
        Exception: the first that a `draw` raises.
    """

    def without_gradients(image: Tensor) -> Tensor:
        with torch.no_grad():  # which each thread has for itself
            return draw(image)

    pool = _pool()
    futures = [pool.submit(without_gradients, image) for image in images]
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()
        wait(futures)  # what goes on being drawn holds the memory that a smaller batch is to have


def _pool() -> ThreadPoolExecutor:
    """The threads of this process; a fork has none of those of its parent."""
    count = torch.get_num_threads()
    with _lock:
        if (os.getpid(), count) not in _pools:
            _pools[os.getpid(), count] = _started(count)
        return _pools[os.getpid(), count]


def _started(count: int) -> ThreadPoolExecutor:
    started = threading.Barrier(count)

    def alone(_: int) -> None:
        torch.get_num_threads()  # whose first call in a thread sets the default, and would do so later
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(count, "image")
    try:
        list(pool.map(alone, range(count)))
    except BaseException:
        started.abort()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        # Each sets its own number, and the default of threads to come, which so is what it is in this one.
        torch.set_num_threads(count)
    return pool
