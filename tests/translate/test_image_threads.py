import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from fusionrs_builder.translate import image_threads
from fusionrs_builder.translate.image_threads import each_alone
from fusionrs_builder.translate.inference import centred, prepared
from tests.translate.conftest import tiny
from tests.translate.test_inference import image


@contextmanager
def threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def test_one_thread_an_image_and_those_of_others_as_they_were():
    with threads(3):
        counts = each_alone(lambda _: torch.tensor(torch.get_num_threads()), [torch.zeros(1)] * 12)
        assert {int(count) for count in counts} == {1}
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as later:
            assert later.submit(torch.get_num_threads).result() == 3


def test_as_many_at_once_as_there_are_threads_in_order():
    met = threading.Barrier(3)

    def draw(x):
        met.wait(20)  # breaks if fewer than three come
        return x + 1

    with threads(3):
        assert [int(each) for each in each_alone(draw, [torch.tensor(n) for n in range(6)])] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_how_many_threads_there_are_changes_no_bit(precision):
    network = prepared(tiny(ngf=32), torch.device("cpu"), precision)
    x = centred(image(3, 96, 96), precision)
    drawn = []
    for count in (1, 2, 3):
        with threads(count):
            drawn.append(torch.cat(each_alone(network, x[:, None])))
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0], drawn[2])


def test_after_an_error_none_is_at_work():
    done = []

    def draw(x):
        if x == 0:
            raise MemoryError("of the first")
        time.sleep(0.3)
        done.append(int(x))
        return x

    with threads(2), pytest.raises(MemoryError, match="of the first"):
        each_alone(draw, [torch.tensor(n) for n in range(8)])
    count = len(done)
    time.sleep(0.5)
    assert len(done) == count < 7  # what was not begun is not, what was begun has ended


def test_threads_that_cannot_start_are_an_error_and_leave_none_waiting(monkeypatch):
    start, begun = threading.Thread.start, []

    def refused(thread):
        if begun:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    with threads(4), pytest.raises(RuntimeError, match="can't start new thread"):
        image_threads._started(4)
    begun[0].join(20)
    assert not begun[0].is_alive()


def test_a_fork_has_threads_of_its_own():
    program = """
import os, torch
from fusionrs_builder.translate.image_threads import each_alone
torch.set_num_threads(2)
def drawn():
    return [int(x) for x in each_alone(lambda x: x + 1, [torch.tensor(n) for n in range(4)])]
assert drawn() == [1, 2, 3, 4]
child = os.fork()
if not child:
    os._exit(0 if drawn() == [1, 2, 3, 4] else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, env={**os.environ, "PYTHONPATH": root})
