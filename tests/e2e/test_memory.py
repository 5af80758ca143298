"""Peak memory does not grow with the number of records."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import encoded
from tests.e2e.conftest import COMMAND

FEW, MANY = 300, 3000
SIDE = 256


def peak(*arguments: str) -> float:
    """Megabytes a command needed at most."""
    pid = os.spawnv(os.P_NOWAIT, COMMAND, [COMMAND, *arguments])
    _, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, arguments
    return usage.ru_maxrss / 1024


@pytest.fixture
def corpora(tmp_path: Path) -> dict[int, Path]:
    """Noise compresses badly: each file has some 80 kB, so that a shard kept in memory would be seen."""
    noise = np.random.default_rng(0).integers(0, 256, (10, SIDE, SIDE, 3), np.uint8)
    files = []
    for i, pixels in enumerate(noise):
        files.append(tmp_path / f"{i}.jpg")
        files[-1].write_bytes(encoded(pixels, "JPEG", quality=85))
    folders = {}
    for count in (FEW, MANY):
        folders[count] = tmp_path / str(count)
        (folders[count] / "Noise").mkdir(parents=True)
        for i in range(count):
            os.link(files[i % 10], folders[count] / "Noise" / f"{i:05d}.jpg")
    return folders


def test_memory_is_flat(tmp_path: Path, corpora: dict[int, Path]) -> None:
    needed: dict[str, dict[int, float]] = {"download": {}, "translate": {}, "caption": {}}
    for count, folder in corpora.items():
        ws = ["-w", str(tmp_path / f"ws{count}"), "--workers", "1"]
        source = ["--from", str(folder), "--name", "noise", "--format", "class-folders", "--license", "MIT"]
        needed["download"][count] = peak("download", *source, *ws)
        needed["translate"][count] = peak("translate", "--translator", "gray", *ws)
        needed["caption"][count] = peak("caption", *ws)
    print({command: {n: round(mb) for n, mb in by.items()} for command, by in needed.items()})
    for command, by in needed.items():
        assert by[MANY] <= 1.15 * by[FEW], f"{command}: {by[FEW]:.0f} MB for {FEW} records, {by[MANY]:.0f} for {MANY}"
