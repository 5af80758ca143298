"""The promise of the whole project: `load_dataset` opens the release."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Image, load_dataset

from fusionrs_builder.errors import UsageError
from fusionrs_builder.release.load import load

from .conftest import picture

COUNTS = {"train": 37, "validation": 4, "test": 4}


def test_load_dataset(release: Path) -> None:
    found = load_dataset(str(release))
    assert {split: len(rows) for split, rows in found.items()} == COUNTS
    assert {name for name, feature in found["train"].features.items() if isinstance(feature, Image)} == {
        *("rgb", "ir", "ir16")
    }
    for row in found["test"]:
        key = row["corpus_key"]
        assert np.array_equal(np.asarray(row["ir"]), picture("ir" + key, 16, 1))
        if row["corpus"] == "hit-uav":
            assert row["rgb"] is None
        else:
            assert np.array_equal(np.asarray(row["rgb"]), picture(key, 16, 3))
    row = found["train"][0]
    assert row["scene_captions"] == [f"a scene called {row['corpus_key']}"]
    assert row["phash"] == 2**64 - 1
    assert row["boxes"] == [{"label": "ship", "x0": 1.0, "y0": 2.0, "x1": 3.0, "y1": 4.0, "polygon": []}]
    assert {row["corpus"] for row in found["train"]} == {"eurosat", "naip", "hit-uav"}


def test_streaming(release: Path) -> None:
    found = load_dataset(str(release), streaming=True)
    rows = {split: list(part) for split, part in found.items()}
    assert {split: len(part) for split, part in rows.items()} == COUNTS
    whole = load_dataset(str(release))
    assert [row["id"] for row in rows["train"]] == whole["train"]["id"]
    assert found["train"].features == whole["train"].features
    seen = next(row for row in rows["validation"] if row["corpus"] == "naip")
    assert np.array_equal(np.asarray(seen["rgb"]), picture(seen["corpus_key"], 16, 3))
    assert any(row["rgb"] is None for row in rows["validation"])


def test_by_name_from_inside(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(release.parent)
    assert {split: len(rows) for split, rows in load_dataset("fusionrs").items()} == COUNTS


def test_the_published_bytes_come_through(release: Path) -> None:
    rows = load_dataset(str(release), split="train").cast_column("rgb", Image(decode=False))
    row = rows[0]
    assert row["rgb"]["path"] == f"{row['corpus_key']}.png"
    assert row["rgb"]["bytes"].startswith(b"\x89PNG")


def test_a_missing_file_is_noticed(release: Path) -> None:
    """The card tells how many records a split has."""
    from datasets.exceptions import DatasetGenerationError
    from datasets.utils.info_utils import NonMatchingSplitsSizesError

    text = (release / "README.md").read_text()
    (release / "README.md").write_text(text.replace("num_examples: 37", "num_examples: 38"))
    with pytest.raises((NonMatchingSplitsSizesError, DatasetGenerationError)):
        load_dataset(str(release))


@pytest.mark.parametrize("streaming", [False, True])
def test_load(release: Path, streaming: bool, tmp_path: Path) -> None:
    rows = load(release, "test", streaming, cache_dir=str(tmp_path / "mine"))
    assert [row["split"] for row in rows] == ["test"] * 4
    assert bool(list((tmp_path / "mine").rglob("*.arrow"))) != streaming


def nothing(release: Path) -> Path:
    return release / "nowhere" / "at" / "all"


def workspace_of(release: Path) -> Path:
    return release.parent.parent


def unfinished(release: Path) -> Path:
    (release / "README.md").unlink()
    return release


def stranger(release: Path) -> Path:
    (release / "README.md").write_text("# mine")
    return release


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (nothing, "no such folder, nor the name of a dataset on the Hub"),
        (workspace_of, r"is not a release: did you mean .*release/fusionrs\?"),
        (unfinished, "not finished: run `fusionrs-build push`"),
        (stranger, "is not a release: name the folder"),
    ],
)
def test_what_is_not_a_release(release: Path, where: Callable[[Path], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(where(release))
