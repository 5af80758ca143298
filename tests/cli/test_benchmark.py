"""benchmark, as it is typed wrongly, and its reports."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fusionrs_builder.cli.main import main
from fusionrs_builder.workspace import Workspace
from tests.release.conftest import lay, push, record


@pytest.fixture
def release(tmp_path: Path) -> Path:
    workspace = Workspace.open(tmp_path / "ws", create=True)
    rows = [
        record(f"a {n}", "validation" if n % 2 else "test", ir_sha256=f"{n:064x}", ir_band="nir", boxes=[])
        for n in range(50)
    ]
    lay(workspace, {"eurosat-00000": rows})
    push(workspace)
    return Path(workspace.path("release", "fusionrs"))


def call(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["benchmark", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--model", "clip:ViT"), "no such kind of model; known: chat, copy-nearest, embeddings, hf, hf-vlm, majority"),
        (("--model", "random", "--model", "random"), "--model random is named twice"),
        (("--model", "chat:http://localhost:1/v1#x"), "it does captioning, vqa, not retrieval"),
        (("--model", "copy-nearest"), "it does captioning, vqa, not retrieval"),
        (("--model", "majority"), "it does captioning, classification, vqa, not retrieval"),
        (("--model", "random", "--inputs", "infra"), "'infra' is none of infrared, gray"),
        (("--model", "random", "--inputs", ","), "name one or more of infrared, gray"),
        (("--model", "random", "--trained-on", "hit-uav"), "'hit-uav' is not SPEC=CORPUS"),
        (("--model", "random", "--trained-on", "other=hit-uav"), "--trained-on other: no such --model"),
        (("--model", "embeddings:none.npz"), "embeddings:none.npz: no such file"),
        (("--model", "python:nowhere:load"), "no module nowhere"),
        (("--model", "open_clip:ViT-B-31"), "ViT-B-32"),
        (("--device", "abacus", "--model", "random"), "abacus"),
        ((), "Missing option '--model'"),
    ],
)
def test_wrong_calls(release: Path, tmp_path: Path, given: tuple[str, ...], told: str) -> None:
    assert told in call("retrieval", "--data", release, "--out", tmp_path / "out", *given, code=2).stderr


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("nowhere", "nowhere: no such folder"),
        ("{}:dev", "no such folder"),
        ("{}:test[:0]", 'split test[:0]: Instruction "test[:0]" corresponds to no data'),
        ("{}:train", "has no train split"),
        ("", "give DIR_OR_REPO"),
    ],
)
def test_wrong_data(release: Path, tmp_path: Path, data: str, told: str) -> None:
    arguments = ("all", "--data", data.format(release), "--model", "random", "--out", tmp_path / "out")
    assert told in call(*arguments, code=2).stderr


def test_two_tasks_have_no_predictions_in_one_file(release: Path, tmp_path: Path) -> None:
    (tmp_path / "said.jsonl").write_text('{"id": "eurosat/a 1", "caption": "A field."}\n')
    spec = f"predictions:{tmp_path / 'said.jsonl'}"
    told = call("all", "--data", release, "--model", spec, "--out", tmp_path / "out", code=2).stderr
    assert "run captioning and vqa by themselves" in told


def test_results_of_two_runs_are_one_report(release: Path, tmp_path: Path) -> None:
    for split in ("test", "validation"):
        call("retrieval", "--data", f"{release}:{split}", "--model", "random", "--out", tmp_path / split)
        lines = call("report", tmp_path / split, "--out", tmp_path / "one").stdout.splitlines()
        assert [Path(line).name for line in lines] == ["report.md", "report.csv", "report.html"]
    files = json.loads(
        call("report", tmp_path / "test", tmp_path / "validation", "--out", tmp_path / "r", "--json").stdout
    )
    assert {"report.md", "report.csv", "report.html"} <= set(files)
    text = Path(files["report.md"]).read_text()
    assert "split test" in text and "split validation" in text
    assert "no such file or folder" in call("report", tmp_path / "none", "--out", tmp_path / "r", code=2).stderr


def test_where_there_is_nothing_to_measure_it_says_so(release: Path, tmp_path: Path) -> None:
    told = call("vqa", "--data", release, "--model", "majority", "--out", tmp_path / "out", code=1).stderr
    assert "holds nothing to measure vqa on" in told


def test_two_models_of_one_name_are_refused_before_one_overwrites_the_other(release: Path, tmp_path: Path) -> None:
    specs = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "said.jsonl").write_text('{"id": "eurosat/a 0", "caption": "A field."}\n')
        specs += ["--model", f"predictions:{tmp_path / folder / 'said.jsonl'}"]
    told = call("captioning", "--data", release, *specs, "--out", tmp_path / "out", code=1).stderr
    assert "have one name in results" in told
    (file,) = (tmp_path / "out").glob("*.json")
    assert json.loads(file.read_text())["spec"] == specs[1]
