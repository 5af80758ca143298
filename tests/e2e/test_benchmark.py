"""`fusionrs-build benchmark` on a release of real records: any model in one command, and none asked twice."""

import csv
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionrs_builder import pipeline
from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.corpora import registry
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.release.load import load_split
from fusionrs_builder.workspace import Workspace
from tests.caption.chat.tiny_vlm import save_tiny_vlm
from tests.e2e.conftest import COMMAND, Call
from tests.e2e.test_chat_server import serving

HISTOGRAM = """
import numpy as np


class Histogram:
    name = "colour histogram"
    trained_on = ["oam-buildings"]

    def encode_images(self, images):
        counts = [np.asarray(image.resize((64, 64))).reshape(-1, 3) // 64 @ [16, 4, 1] for image in images]
        return np.sqrt(np.stack([np.bincount(one, minlength=64) for one in counts]).astype("float32"))


def load():
    return Histogram()
"""


@pytest.fixture(scope="module")
def release(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thermal frames with boxes, drone tiles with grey infrared views, and scenes of ten classes."""
    ws = Workspace.open(tmp_path_factory.mktemp("built"), create=True)
    ws.write_bytes("fusionrs.toml", b'[curate]\nsplit = [0.5, 0.1, 0.4]\n[push]\nlicense_policy = "any"\n')
    for name in ("hit-uav", "oam-buildings", "eurosat-rgb-small"):
        entry = registry.entry(name)
        assert entry is not None and entry.samples is not None
        pipeline.download(ws, name, from_=str(samples / entry.samples.folder), run=Run(1, limit=120))
    for step in (pipeline.translate, pipeline.caption, pipeline.curate, pipeline.push):
        assert not step(ws, run=Run(1)).problems
    return Path(ws.path("release", "fusionrs"))


@pytest.fixture
def of(release: Path) -> Records:
    return Records(load_split(release, "test"), "fusionrs", "test")


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]


def test_a_table_of_any_models_in_one_command_and_from_the_cache(
    release: Path, of: Records, tmp_path: Path, call: Call
) -> None:
    (tmp_path / "histogram.py").write_text(HISTOGRAM)
    with_rgb = [place for place, record in enumerate(of) if record.key("rgb")]
    views = {
        view: np.stack([np.asarray(of.picture(place, view).resize((4, 4)), np.float32).ravel() for place in with_rgb])
        for view in ("rgb", "infrared", "gray", "gray-inverted")
    }
    np.savez(tmp_path / "blocks.npz", ids=np.array([of[place].id for place in with_rgb]), **views)
    models = ("random", "open_clip:ViT-S-32-alt", "python:histogram:load", "embeddings:blocks.npz")
    command = ["benchmark", "retrieval", "--data", str(release), "--out", "results", "--cache-dir", "cache"]
    command += [part for model in models for part in ("--model", model)]
    command += ["--trained-on", "open_clip:ViT-S-32-alt=hit-uav,hit_uav"]
    first = call(*command)
    assert (
        "nobody knows the corpus hit_uav that it learnt from, so nothing is found of it: did you mean hit-uav?"
        in first.stderr
    )
    assert {row["model"] for row in rows_of(tmp_path / "results")} == {
        *("random", "ViT-S-32-alt", "colour histogram", "blocks")
    }
    before = {path.name: json.loads(path.read_text()) for path in (tmp_path / "results").glob("*.json")}
    cached = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npz")}
    call(*command)
    after = {path.name: json.loads(path.read_text()) for path in (tmp_path / "results").glob("*.json")}
    for name, row in after.items():  # of what is cached, how long it took is told of the run that did the work
        ignored = {"seconds", "images_per_s"} if row["model"] == "random" else set()
        assert {k: v for k, v in row.items() if k not in ignored} == {
            k: before[name][k] for k in row if k not in ignored
        }
    assert cached and cached == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npz")}
    assert all(row["images_per_s"] > 0 for row in after.values() if row["model"] == "colour histogram")
    row = next(row for row in after.values() if row["protocol"] == "fusionrs-rc4@1" and row["inputs"] == "gray")
    # What `translate` draws by default among these corpora is near infrared, so grey is a control and not the view.
    assert row["origin"] == "translated" and row["split_sha256"] == of.sha256 and row["n"] > 10
    assert set(row) >= {"dataset", "model", "pretrained", "task", "metrics", "language", "versions", "device", "seed"}
    leaks = {(row["model"], row["protocol"], row["origin"]): row.get("leakage") for row in after.values()}
    of_histogram = leaks["colour histogram", "rgb-ir-pairing@1", "translated"]
    assert of_histogram["records"] == sum(record.corpus == "oam-buildings" for record in of)
    assert of_histogram["of"] > of_histogram["records"]
    thermal = leaks["ViT-S-32-alt", "ir-text@1", "measured"]
    assert thermal["records"] == thermal["of"] > 20 and thermal["unknown"] == ["hit_uav"]
    assert leaks["ViT-S-32-alt", "ir-text@1", "translated"]["records"] == 0
    assert leaks["blocks", "rgb-ir-pairing@1", "translated"] is None
    report = (tmp_path / "results/report/report.md").read_text()
    assert "measured" in report and "translated" in report and "colour histogram" in report
    with (tmp_path / "results/report/report.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["model"] for line in lines} == {row["model"] for row in after.values()}


def test_classes_objects_and_a_probe(release: Path, of: Records, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "results"
    models = ("--model", "random", "--model", "majority")
    given = call(
        "benchmark", "classification", "--data", str(release), "--out", str(out), "--linear-probe", *models, "--json"
    )
    assert set(json.loads(given.stdout)) >= {"report.md", "report.csv", "report.html"}
    found = {(row["task"], row["model"], row["inputs"]): row for row in rows_of(out)}
    truth = [record.labels[0] for record in of if record.corpus == "eurosat-rgb-small"]
    majority = found["zeroshot_classification", "majority", "rgb"]
    assert majority["metrics"]["acc1"] == max(truth.count(name) for name in truth) / len(truth)
    assert ("linear_probe", "random", "rgb") in found
    told = [
        record for record in of if record.corpus == "hit-uav" and record.labels and "OtherVehicle" not in record.labels
    ]
    told = [record for record in told if {box["label"] for box in record.boxes} == set(record.labels)]
    presence = found["presence", "random", "infrared"]
    if presence["dataset"] == "fusionrs/hit-uav":
        assert presence["counts"]["images"] == len(told)


def test_a_real_server_is_asked_once_though_the_run_is_killed(
    release: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, call: Call
) -> None:
    out = tmp_path / "results"
    with serving(save_tiny_vlm(tmp_path_factory.mktemp("tiny-vlm"))) as (url, model, log):
        command = ["benchmark", "all", "--data", f"{release}:test[:100]", "--out", str(out), "--inputs", "infrared"]
        command += ["--model", f"chat:{url}#{model}", "--model", "majority", "--model", "copy-nearest"]
        running = subprocess.Popen([COMMAND, *command], stderr=subprocess.PIPE, start_new_session=True)
        kept = 0
        for _ in range(1200):
            time.sleep(0.1)
            kept = answers(out)
            if kept >= 20 or running.poll() is not None:
                break
        assert running.poll() is None and kept >= 20, running.communicate()[1].decode()[-2000:]
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        kept = answers(out)
        asked_before = requests(log)
        call(*command)
        total = answers(out)
        assert total > kept
        # Nothing that was on the disk is asked again; only what was under way when it was killed is.
        assert requests(log) - asked_before == total - kept
        again = requests(log)
        call(*command)
        assert requests(log) == again
    found = {(row["task"], row["model"]) for row in rows_of(out)}
    assert found >= {(task, name) for task in ("captioning", "vqa") for name in (model, "majority", "copy-nearest")}
    for row in rows_of(out):
        assert row["counts"]["failed"] == 0
        if row["task"] == "captioning" and row["model"] == model:
            assert row["metrics"]["CIDEr-D"] < 1 and row["metrics"]["faultless"] < 0.2  # noise is told as noise


def answers(out: Path) -> int:
    """How many the store holds."""
    if not (out / "answers.sqlite").exists():
        return 0
    try:
        with sqlite3.connect(out / "answers.sqlite") as base:
            return int(base.execute("SELECT count(*) FROM answers").fetchone()[0])
    except sqlite3.OperationalError:  # not made yet
        return 0


def requests(log: Path) -> int:
    """How many the server answered."""
    return len(re.findall(r"POST /v1/chat/completions", log.read_text()))


def test_the_questions_go_to_lmms_eval(release: Path, tmp_path: Path, call: Call) -> None:
    found = call("benchmark", "lmms-eval", "--data", f"{release}:test[:40]", "--out", str(tmp_path / "tasks"), "--json")
    assert json.loads(found.stdout)["tasks"]
    assert list((tmp_path / "tasks").glob("*.yaml"))
