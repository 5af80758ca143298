import os
import signal
import time

import pytest

from fusionrs_builder.caption.chat.measuring import Measuring
from fusionrs_builder.caption.chat.prompt import Prompt
from fusionrs_builder.caption.chat.question import Questions
from fusionrs_builder.caption.chat.rounds import measured
from fusionrs_builder.errors import FusionError
from fusionrs_builder.settings import CaptionSettings
from fusionrs_builder.workspace import Workspace

from .test_captioner import lay


@pytest.fixture
def questions() -> Questions:
    return Questions(CaptionSettings(captioner="chat", model="m"), Prompt.load("fused"))


def test_the_same_records_as_in_this_process_in_order(ws: Workspace, questions: Questions) -> None:
    lay(ws, 2, 70)
    process = Measuring(ws, questions)
    try:
        for shard in ("demo-00000", "demo-00001"):
            found = list(process.shard(shard))
            assert [each and each.question for each in found] == [
                each and each.question for each in measured(ws, questions, shard)
            ]
    finally:
        process.close()


def test_a_shard_that_cannot_be_read_is_said_here(ws: Workspace, questions: Questions) -> None:
    lay(ws, 1, 2)
    process = Measuring(ws, questions)
    try:
        with pytest.raises(FusionError, match="cannot be read"):
            list(process.shard("demo-00009"))
        assert len(list(process.shard("demo-00000"))) == 2
    finally:
        process.close()


def test_a_process_that_died_is_said(ws: Workspace, questions: Questions) -> None:
    lay(ws, 1, 2)
    process = Measuring(ws, questions)
    try:
        assert len(list(process.shard("demo-00000"))) == 2
        assert process._process.pid is not None
        os.kill(process._process.pid, signal.SIGKILL)
        with pytest.raises(FusionError, match="measures records was killed"):
            list(process.shard("demo-00000"))
    finally:
        process.close()


def test_it_ends_in_the_middle_of_a_shard(ws: Workspace, questions: Questions) -> None:
    lay(ws, 1, 200)
    process = Measuring(ws, questions)
    next(iter(process.shard("demo-00000")))
    process.close()
    assert not process._process.is_alive()


def test_a_process_that_is_killed_while_it_writes_is_said_too(ws: Workspace, questions: Questions) -> None:
    lay(ws, 1, 300)
    process = Measuring(ws, questions)
    try:
        found = process.shard("demo-00000")
        next(found)
        time.sleep(1)  # the queue is full, and the pipe
        assert process._process.pid is not None
        os.kill(process._process.pid, signal.SIGKILL)
        with pytest.raises(FusionError, match="measures records was killed"):
            list(found)
    finally:
        process.close()
