"""What either view adds: pictures whose colour and whose infrared have a word of the caption each."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.intervals import Score
from tests.benchmark.conftest import records, row
from train import captioner
from train.caption_ablation import Settings, ablate, compared, main

from .test_captioner import data

__all__ = ["data"]


@pytest.fixture
def settings(data: Path, tmp_path: Path) -> Settings:
    return Settings(
        str(data), str(tmp_path / "out"), steps=90, batch_size=8, width=64, learning_rate=3e-3, seeds=1, device="cpu"
    )


def test_both_views_beat_either_on_the_same_images(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ablate(settings)
    found = json.loads(files["captions.json"].read_text())
    assert found["n"] == {"CIDEr-D": 24, "CIDEr-D, measured": 24}
    for shows in ("rgb", "infrared"):
        less = found["differences"][shows]["CIDEr-D"]
        assert 0 < less["low"] <= less["mean"] <= less["high"]
        ours, theirs = (found["scores"][each]["CIDEr-D"]["mean"] for each in ("pair", shows))
        assert less["mean"] == pytest.approx(ours - theirs)
        assert found["by_seed"][shows]["CIDEr-D"] == [pytest.approx(less["mean"])]
        assert f"| pair less {shows} | {Score(**less)} [" in files["captions.md"].read_text()

    def never(*given: object) -> None:
        raise AssertionError("what stands is trained again")

    monkeypatch.setattr(captioner, "learn", never)
    before = files["captions.json"].read_bytes()
    assert ablate(settings)["captions.json"].read_bytes() == before
    with pytest.raises(UsageError, match=r"holds a run of other settings \(.*steps.*\): name another --out"):
        ablate(replace(settings, steps=2))


def test_scores_stand_apart_by_origin() -> None:
    of = records(
        [
            *(row(f"m{n}", n, ir_captions=[f"number {n} in a field"]) for n in range(20)),
            *(row(f"t{n}", 50 + n, ir_captions=[f"view {n} of a town"], ir_origin="translated") for n in range(20)),
        ]
    )
    good = {record.id: record.ir_captions[0] for record in of}
    bad = {id: text if "/m" in id else "view 50 of a lake" for id, text in good.items()}
    same = compared(of, {"bad": [bad], "same": [bad]}, 0)["differences"]["same"]
    assert same["CIDEr-D"] == {"mean": 0, "low": 0, "high": 0}
    found = compared(of, {"good": [good], "bad": [bad]}, 0)["differences"]["bad"]
    assert found["CIDEr-D, measured"]["mean"] == 0
    assert found["CIDEr-D, translated"]["low"] > 1
    assert found["CIDEr-D"]["mean"] == pytest.approx(found["CIDEr-D, translated"]["mean"] / 2)
    halves = compared(of, {"good": [good, bad], "bad": [bad, bad]}, 0)["differences"]["bad"]
    assert halves["CIDEr-D"]["mean"] == pytest.approx(found["CIDEr-D"]["mean"] / 2)


def test_too_few_pairs_are_told() -> None:
    of = records([row(f"m{n}", n) for n in range(5)])
    with pytest.raises(FusionError, match="0 captioned records of test have both views, too few"):
        compared(of, {"a": [{}], "b": [{}]}, 0)


def test_the_command(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data", settings.data, "--out", settings.out, "--steps", "1", "--width", "32", "--device", "cpu"]
    assert main([*flags, "--seeds", "0"]) == main([*flags, "--target", "scene"]) == 2
    assert main([*flags, "--seeds", "2"]) == 0
    assert "| pair less infrared |" in capsys.readouterr().out
    runs = {str(path.parent.relative_to(settings.out)) for path in Path(settings.out).glob("*/*/predictions.jsonl")}
    assert runs == {f"{shows}/{seed}" for shows in ("pair", "rgb", "infrared") for seed in (0, 1)}
