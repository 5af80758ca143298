"""The demo on real imagery, as `make demo` runs it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from datasets import load_dataset

from tests.e2e.conftest import COMMAND


@pytest.fixture(scope="module")
def built(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    subprocess.run([COMMAND, "demo", "--out", str(out), "--samples", str(samples)], check=True)
    return out


def test_it_loads_with_every_promise_kept(built: Path, tmp_path: Path) -> None:
    data = load_dataset(str(built / "release/fusionrs"), cache_dir=str(tmp_path))
    assert set(data) == {"train", "validation", "test"}
    columns = ["ir_origin", "license", "corpus", "scene_captions", "ir_captions", "id", "group_id"]
    rows = [row for split in data.values() for row in split.select_columns(columns)]
    assert len(rows) >= 1500
    assert len({row["corpus"] for row in rows}) >= 4
    assert {row["ir_origin"] for row in rows} == {"measured", "translated"}
    assert all(row["license"] for row in rows)
    assert all(len(row["scene_captions"]) >= 2 and len(row["ir_captions"]) >= 2 for row in rows)
    assert len({row["id"] for row in rows}) == len(rows)
    groups = [set(split["group_id"]) for split in data.values()]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]


def test_it_streams(built: Path) -> None:
    row = next(iter(load_dataset(str(built / "release/fusionrs"), split="train", streaming=True)))
    assert row["ir"].mode == "L"
    assert row["ir_captions"]


def test_it_loads_by_name_from_the_release_folder(built: Path, tmp_path: Path) -> None:
    code = "from datasets import load_dataset; print(load_dataset('fusionrs', split='test').num_rows)"
    env = {**os.environ, "HF_HOME": str(tmp_path)}
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=built / "release", env=env, check=True, capture_output=True, text=True
    )
    assert int(shown.stdout.splitlines()[-1]) > 50


def test_again_it_does_nothing_and_says_so(built: Path) -> None:
    for command in ("download", "translate", "caption", "curate", "push", "status"):
        started = time.monotonic()
        done = subprocess.run([COMMAND, command, "-w", str(built)], check=True, capture_output=True, text=True)
        seconds = time.monotonic() - started
        assert "nothing to do" in done.stdout or command == "status"
        assert seconds < 6, f"{command} took {seconds:.1f} s to find nothing to do (3 s on an idle machine)"


def test_status_adds_up(built: Path) -> None:
    shown = subprocess.run([COMMAND, "status", "--json", "-w", str(built)], check=True, capture_output=True, text=True)
    status = json.loads(shown.stdout)
    assert status["next"] is None
    for command, state in status["layers"].items():
        assert state["items"] == state["good"] + sum(state["refused"].values()), command
        assert state["waiting"] == 0
    layers = status["layers"]
    assert layers["download"]["good"] == layers["translate"]["items"] == layers["caption"]["items"]
    assert layers["curate"]["good"] == layers["push"]["items"]
