"""SIGKILL at random moments: nothing is lost, nothing is made twice, and the release comes out the same."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fusionrs_builder import config, pipeline
from fusionrs_builder.stage import is_done
from fusionrs_builder.workspace import Workspace
from tests.corpora.formats.test_geotiff import ramp, write
from tests.e2e.conftest import COMMAND

KILLS = int(os.environ.get("FUSIONRS_KILLS", "3"))
"""Kills a command; `make torture` asks for 20."""

Stamps = dict[str, tuple[int, int]]

CONFIG = """
[build]
shard_records = 8
[corpora.scenes]
from = "{folder}"
format = "class-folders"
license = "MIT"
[corpora.naip]
from = "{raster}"
format = "geotiff"
bands = {{ red = "1", green = "2", blue = "3", nir = "4" }}
tile = 64
license = "public-domain"
[translate]
translator = "nir-small"
[push]
file_mb = 1
"""


@pytest.fixture
def settings(tmp_path: Path, class_folders: Callable[..., Path]) -> str:
    folder = class_folders(60, "scenes", (192, 192))
    for i in range(3):
        write(
            tmp_path / "raster" / f"{i}.tif", (ramp(4, 192, 256).astype("uint16") * (i + 1) % 251 + 1).astype("uint8")
        )
    return CONFIG.format(folder=folder, raster=tmp_path / "raster")


def fresh(path: Path, settings: str) -> Workspace:
    path.mkdir()
    (path / "fusionrs.toml").write_text(settings)
    return Workspace.open(path)


def release(ws: Workspace) -> dict[str, str]:
    root = Path(ws.path("release"))
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def done(ws: Workspace, command: str) -> tuple[Stamps, int]:
    """Inode and time of every finished shard of a command, and how many are still waiting."""
    stage = pipeline.stage_of(ws, command, config.load(ws))
    stamps = {}
    tasks = stage.tasks(ws)
    for task in tasks:
        if is_done(ws, stage, task):
            status = Path(ws.path(ws.shard_path(stage.writes, task.shard))).stat()
            stamps[task.shard] = (status.st_ino, status.st_mtime_ns)
    return stamps, len(tasks) - len(stamps)


def start(ws: Workspace, command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [COMMAND, command, "-w", ws.root], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def finish(ws: Workspace, command: str) -> float:
    """Run a command to its end; returns the seconds it took."""
    started = time.monotonic()
    process = start(ws, command)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said.decode()
    return time.monotonic() - started


def test_killed_builds_end_as_if_nothing_had_happened(tmp_path: Path, settings: str) -> None:
    calm, killed = fresh(tmp_path / "calm", settings), fresh(tmp_path / "killed", settings)
    seconds = {command: finish(calm, command) for command in pipeline.ORDER}
    chance = random.Random(0)
    in_the_middle = 0
    for command in pipeline.ORDER:
        stage = pipeline.stage_of(killed, command, config.load(killed))
        seen: Stamps = {}
        for kill in range(KILLS):
            process = start(killed, command)
            time.sleep(chance.uniform(0.2, 1.0) * seconds[command])
            if kill % 2:  # the parent alone: its workers must follow
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            time.sleep(0.3)
            stamps, waiting = done(killed, command)
            assert stamps.items() >= seen.items(), f"{command}: a finished shard was lost or made again"
            seen = stamps
            if not waiting and kill < KILLS - 1:  # it was through before the kill: begin again
                shutil.rmtree(killed.path(*stage.writes.split("/")))
                seen = {}
            in_the_middle += bool(waiting)
        finish(killed, command)
        stamps, waiting = done(killed, command)
        assert waiting == 0
        assert stamps.items() >= seen.items(), f"{command}: a finished shard was made again"
        assert not [p for p in Path(killed.root).rglob(".tmp-*") if "data" not in str(p.relative_to(killed.root))]
    assert in_the_middle >= len(pipeline.ORDER) * KILLS // 3, "most kills must fall into the work"
    assert release(killed) == release(calm)
    assert list(Path(killed.root).rglob(".tmp-*")) == []
    print(f"\n{len(pipeline.ORDER)} commands, {KILLS} kills each, {in_the_middle} with shards still to be made")
