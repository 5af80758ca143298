"""`fusionrs-build translator train`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fusionrs_builder.cli.main import main
from fusionrs_builder.translate import checkpoint
from tests.translate.conftest import tiny
from tests.translate.test_train import folders


def train(tmp_path: Path, *more: str) -> tuple[int, str]:
    (visible,), (infrared,) = folders(tmp_path / "data")
    places = ["--visible", str(visible), "--infrared", str(infrared)]
    flags = ["--out", str(tmp_path / "out"), "--band", "lwir", "--steps", "2", "--crop", "32", "--device", "cpu"]
    done = CliRunner().invoke(main, ["translator", "train", *places, *flags, *more])
    return done.exit_code, done.output


def test_start_takes_the_shape_of_another_translator(tmp_path: Path) -> None:
    checkpoint.save(tiny("none", tone=5), tmp_path / "first", "first", "lwir", "", {})
    code, said = train(tmp_path, "--start", str(tmp_path / "first"))
    assert code == 0, said
    made = json.loads((tmp_path / "out" / "config.json").read_text())
    assert made["generator"] == checkpoint.find(tmp_path / "first").generator
    assert made["training"]["start"].startswith("first@")


@pytest.mark.parametrize("flag", [("--ngf", "8"), ("--norm", "instance"), ("--local", "0"), ("--local-share", "0.5")])
def test_a_shape_beside_start_is_refused(flag: tuple[str, str], tmp_path: Path) -> None:
    code, said = train(tmp_path, "--start", "lwir-small", *flag)
    assert (code, f"{flag[0]}: the generator takes the shape of --start lwir-small" in said) == (2, True), said
    assert not (tmp_path / "out").exists()
