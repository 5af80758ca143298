"""SIGKILL at a chosen moment: when a given file is about to appear."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from fusionrs_builder.files import Files


def killed(work: Callable[[], object], moment: int) -> bool:
    """Do some work in a process of its own, which dies when file number `moment` is written and not yet in its place.

    Returns:
        Whether it came to that; otherwise the work was done.
    """
    child = os.fork()
    if child == 0:
        _work(work, moment)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert status == 0, "the work failed"
    return False


def _work(work: Callable[[], object], moment: int) -> None:
    usual, written = Files.publish, 0

    def publish(files: Files, temporary: Path, path: str) -> None:
        nonlocal written
        if written == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        written += 1
        usual(files, temporary, path)

    Files.publish = publish  # type: ignore[method-assign]
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)
