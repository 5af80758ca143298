"""A release of real imagery without its pixels, and the same with them, by the commands a user types."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.e2e.conftest import COMMAND, Call
from tests.release.conftest import contents

CLOSED = {
    "hit-uav": "hit-uav/normal_xml",
    "eurosat-ms-small": "s2-eotdl/tutorials/notebooks/example_data/EuroSAT-small",
    "eurosat-rgb-small": "s2-eotdl/tutorials/notebooks/example_data/EuroSAT-RGB-small",
}
"""Infrared only; measured by 16 bits, with a stretch; and visible, of which the infrared view is drawn. Published as if
their licences did not allow it."""

LIMIT = "8"
"""Items of each corpus."""

OPEN = {"landsat7-thermal": "landsat7-thermal-opengeotutorial/example"}


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for path in folder.glob("data/*.parquet") for row in pq.read_table(path).to_pylist()}


def run(*arguments: str) -> None:
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def built(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with `release/fusionrs`, which lacks pixels, and `release/whole`, which has them."""
    ws = str(tmp_path_factory.mktemp("built") / "ws")
    for name, folder in {**CLOSED, **OPEN}.items():
        closed = ["--no-redistributable"] if name in CLOSED else []
        run("download", name, "--from", str(samples / folder), "--limit", LIMIT, "-w", ws, *closed)
    run("translate", "--translator", "gray", "-w", ws)
    run("caption", "-w", ws)
    run("curate", "-w", ws)
    run("push", "-w", ws, "--name", "whole", "--license-policy", "any")
    run("push", "-w", ws, "--name", "fusionrs", "--license-policy", "redistributable")
    return Path(ws)


@pytest.fixture
def published(built: Path, tmp_path: Path) -> Path:
    """The release by itself, as it reaches others."""
    return Path(shutil.copytree(built / "release/fusionrs", tmp_path / "published"))


def test_what_was_withheld_comes_back(samples: Path, call: Call, built: Path, published: Path, tmp_path: Path) -> None:
    found, whole = rows(published), rows(built / "release/whole")
    closed = {name for name, row in whole.items() if row["corpus"] in CLOSED}
    assert {whole[name]["corpus"] for name in closed} == set(CLOSED) and len(closed) < len(whole)
    assert any(whole[name]["ir16"] for name in closed)
    files = contents(published)
    for name, row in whole.items():
        for view in ("rgb", "ir", "ir16"):
            assert found[name][view] == (None if name in closed else row[view])
            data = (row[view] or {}).get("bytes")
            assert not data or any(data in text for text in files.values()) == (name not in closed)

    rebuild = ("rebuild", "published", "--to", "full", "--limit", LIMIT)
    missing = json.loads(call(*rebuild, "--dry-run", "--json").stdout)["missing"]
    assert set(missing) == set(CLOSED) and sum(missing.values()) == len(closed)
    first, *others = (f"--from={name}={samples / folder}" for name, folder in CLOSED.items())
    assert "no copy of it is at hand: name yours by --from" in call(*rebuild, first, code=1).stdout
    told = json.loads(call(*rebuild, "--json", *others).stdout)
    assert (told["missing"], told["problems"]) == ({}, [])
    assert rows(tmp_path / "full") == whole
    assert "no problems" in call("check", "full", "--all").stdout
    text = "".join(path.read_text() for path in (published / "recipe").iterdir())
    assert str(samples) not in text and str(built.parent) not in text


MOMENTS = ("full.workspace/rgb/*", "full.workspace/ir/*", "full/text/*", "full/data/*.parquet", "full/recipe/*")
"""A kill falls as soon as there is one."""


def test_killed_it_goes_on(samples: Path, call: Call, built: Path, published: Path, tmp_path: Path) -> None:
    copies = [f"--from={name}={samples / folder}" for name, folder in CLOSED.items()]
    rebuild = ("rebuild", "published", "--to", "full", "--limit", LIMIT, "--workers", "1", *copies)
    killed = 0
    for moment in MOMENTS:
        process = subprocess.Popen([COMMAND, *rebuild], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        while process.poll() is None and not list(tmp_path.glob(moment)):
            time.sleep(0.002)
        process.kill()
        said = process.communicate()[0]
        assert process.returncode in (0, -signal.SIGKILL), said
        killed += process.returncode != 0
    assert killed >= 4
    assert json.loads(call(*rebuild, "--json").stdout)["missing"] == {}
    assert rows(tmp_path / "full") == rows(built / "release/whole")
    assert not list(tmp_path.rglob(".tmp-*"))
    assert "no problems" in call("check", "full").stdout
