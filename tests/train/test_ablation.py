import json
from dataclasses import replace
from pathlib import Path

import pytest

from fusionrs_builder.benchmark import records
from fusionrs_builder.benchmark.tasks import retrieval
from fusionrs_builder.errors import FusionError, UsageError
from train import ablation, clip
from train.ablation import ROWS, Settings, ablate

from .test_clip import ARCH


@pytest.fixture
def settings(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for module in (ablation, records, retrieval):
        monkeypatch.setattr(module, "FEWEST", 2)
    (tmp_path / "little.json").write_text(json.dumps(ARCH))
    return Settings(
        data=str(release), out=str(tmp_path / "out"), arch=str(tmp_path / "little.json"), batch_size=8, steps=2,
        seeds=2, workers=0, warmup=1, device="cpu",
    )  # fmt: skip


def test_every_row_is_trained_once_and_stands_in_table_and_differences(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    train = clip.train
    monkeypatch.setattr(clip, "train", lambda one: (trained.append(one), train(one)))
    files = ablate(settings)
    assert len(trained) == 2 * len(ROWS) == len({(one.out, one.seed) for one in trained})
    by_row = {Path(one.out).parent.name: one for one in trained}
    assert by_row["rgb-gray"].infrared == "gray" and by_row["without-rgb-ir"].rgb_ir == 0
    assert by_row["rgb-only"].ir_text == by_row["rgb-only"].rgb_ir == 0
    facts = json.loads(files["ablation.json"].read_text())
    assert facts["rows"].keys() == ROWS.keys()
    rc4 = facts["rows"]["rgb-only"]["fusionrs-rc4@1 translated"]
    assert rc4["Mean R"]["value"] == pytest.approx(sum(rc4["seeds"]) / 2)
    of_claims = {(one["row"], one["less"], one["origin"]): one["value"] for one in facts["differences"]}
    other = facts["rows"]["ir-ir-captions"]["fusionrs-rc4@1 translated"]["Mean R"]["value"]
    assert of_claims["ir-ir-captions", "rgb-only", "translated"] == pytest.approx(other - rc4["Mean R"]["value"])
    text = files["ablation.md"].read_text()
    assert "measured infrared" in text and "translated infrared" in text and all(f"| {row} |" in text for row in ROWS)
    before = files["ablation.json"].read_bytes()
    ablate(settings)
    assert len(trained) == 2 * len(ROWS)
    assert before == files["ablation.json"].read_bytes()


def test_runs_of_other_settings_are_not_taken(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation, "ROWS", {"rgb-gray": ROWS["rgb-gray"]})
    monkeypatch.setattr(ablation, "CLAIMS", ())
    ablate(settings)
    with pytest.raises(UsageError, match=r"holds a run of other settings .steps: 2 before, 3 now"):
        ablate(replace(settings, steps=3))


def test_several_processes_and_too_few_images_are_told_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "FEWEST", 1000)
    with pytest.raises(FusionError, match="too few images with infrared"):
        ablate(settings)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="an ablation is one process"):
        ablate(settings)
    assert not Path(settings.out).exists()


def test_the_help_tells_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        ablation.main(["--help"])
    shown = capsys.readouterr().out
    assert "trainings of each row" in shown and "weight of the term of visible images" in shown
