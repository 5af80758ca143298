"""The wheel alone, outside the checkout: everything it needs is in it."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """An environment with the wheel; libraries come from the running one, this checkout does not."""
    wheels = tmp_path / "wheels"
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([environment / "bin/pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    site = next((environment / "lib").glob("python*/site-packages"))
    # A plain path: the .pth files in there, which point at this checkout, are not followed.
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return environment


def test_the_procedural_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = {name: value for name, value in os.environ.items() if name not in ("FUSIONRS_SAMPLES", "PYTHONPATH")}
    env["HF_HOME"] = str(tmp_path / "hf")
    where = subprocess.run(
        [installed / "bin/python", "-c", "import fusionrs_builder; print(fusionrs_builder.__file__)"],
        cwd=elsewhere, env=env, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert str(installed) in where
    cards = ROOT / "fusionrs_builder" / "cards"
    assert {path.name for path in (Path(where.strip()).parent / "cards").glob("*.jinja")} == {
        path.name for path in cards.glob("*.jinja")
    }
    done = subprocess.run(
        [installed / "bin/fusionrs-build", "demo", "--json"], cwd=elsewhere, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "procedurally rendered" in done.stderr
    summaries = json.loads(done.stdout)["stages"]
    assert [summary["command"] for summary in summaries] == ["download", "translate", "caption", "curate", "push"]
    assert summaries[-1]["good"] >= 1500
    check = (
        "from datasets import load_dataset; d = load_dataset('demo/release/fusionrs');"
        "print({s: (len(d[s]), sorted(set(d[s]['ir_origin']))) for s in d})"
    )
    shown = subprocess.run(
        [installed / "bin/python", "-c", check], cwd=elsewhere, env=env, check=True, capture_output=True, text=True
    ).stdout
    splits = eval(shown.strip().splitlines()[-1])
    assert set(splits) == {"train", "validation", "test"}
    assert all(origins == ["measured", "translated"] for _, origins in splits.values())
