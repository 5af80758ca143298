"""The promise of the whole project: `load_dataset` opens the release."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from datasets import Image, load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionrs_builder import pixels
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release.load import load
from fusionrs_builder.release.transforms import Tensors, squared
from fusionrs_builder.workspace import Workspace

from .conftest import lay, picture, push, record

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


BOTH = pytest.mark.parametrize("streaming", [False, True])


@BOTH
def test_load(release: Path, streaming: bool, tmp_path: Path) -> None:
    rows = load(release, "test", streaming=streaming, cache_dir=str(tmp_path / "mine"))
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


TENSORS: dict[str, Any] = {"format": "torch", "image_size": 8}


@BOTH
def test_format(release: Path, streaming: bool) -> None:
    row = next(iter(load(release, "train", streaming=streaming, format="torch")))
    assert torch.equal(row["rgb"], torch.from_numpy(picture("000", 16, 3)).permute(2, 0, 1))
    assert load(release, "train[:10%]", format="numpy")[0]["ir"].shape == (16, 16)


@BOTH
def test_rows_that_have_both_views(release: Path, streaming: bool) -> None:
    found = load(release, streaming=streaming, require=["rgb", "ir"])
    whole = load_dataset(str(release))
    for split, rows in found.items():
        expected = [row["id"] for row in whole[split] if row["rgb"] is not None]
        rows = list(rows)
        assert [row["id"] for row in rows] == expected and len(rows) < COUNTS[split]
        assert np.array_equal(np.asarray(rows[0]["rgb"]), picture(rows[0]["corpus_key"], 16, 3)), "decoded still"
    assert len(list(load(release, "test", streaming=streaming, require=["ir"]))) == COUNTS["test"]


@BOTH
def test_tensors(release: Path, streaming: bool) -> None:
    found = load(release, streaming=streaming, require=["rgb"], **TENSORS)
    assert set(found) == set(COUNTS)
    row = next(iter(found["test"]))
    key = row["id"].split("/")[1]
    assert {name: type(value) for name, value in row.items()} == {
        **{"id": str, "rgb": torch.Tensor, "ir": torch.Tensor, "has_rgb": bool, "has_ir": bool},
        **{"ir_origin": str, "text": list, "ir_text": list},
    }
    assert (row["text"], row["ir_text"]) == ([f"a scene called {key}"], [f"{key} seen in infrared"])
    assert row["has_rgb"] and row["has_ir"]
    for view, channels, name in (("rgb", 3, key), ("ir", 1, "ir" + key)):
        expected = squared(picture(name, 16, channels), 8).reshape(8, 8, channels).transpose(2, 0, 1)
        assert row[view].dtype == torch.float32
        assert np.array_equal(row[view].numpy(), expected.astype(np.float32) / 255)


@BOTH
def test_a_view_that_is_not_there(release: Path, streaming: bool) -> None:
    """It is an error, unless told: nobody learns from black images unknowingly."""
    with pytest.raises(
        FusionError, match=r"hit-uav/000 has no rgb view: .* \(require=\['rgb'\]\), .*allow_missing=True"
    ):
        list(load(release, "train", streaming=streaming, **TENSORS))
    rows = list(load(release, "train", streaming=streaming, allow_missing=True, **TENSORS))
    assert len(rows) == COUNTS["train"]
    for row in rows:
        assert row["has_rgb"] == (not row["id"].startswith("hit-uav"))
        assert row["has_ir"] and row["ir"].any()
        assert row["rgb"].shape == (3, 8, 8) and row["rgb"].any() == row["has_rgb"]


@pytest.mark.parametrize("workers", [0, 2])
@BOTH
def test_data_loader(release: Path, streaming: bool, workers: int) -> None:
    rows = load(release, "train", streaming=streaming, seed=0, require=["rgb"], **TENSORS)
    rows = pickle.loads(pickle.dumps(rows))  # as a worker that is spawned gets it
    batches = list(torch.utils.data.DataLoader(rows, batch_size=8, num_workers=workers))
    assert [len(batch["id"]) for batch in batches] == [8, 8, 8, 5]
    assert batches[0]["rgb"].shape == (8, 3, 8, 8) and batches[0]["ir"].shape == (8, 1, 8, 8)
    assert batches[0]["has_rgb"].dtype == torch.bool and batches[0]["has_rgb"].all()
    assert all(isinstance(text, str) for batch in batches for text in batch["text"] + batch["ir_text"])


def test_streaming_leaves_the_other_columns_where_they_are(release: Path) -> None:
    """...so that 16-bit originals are not fetched to be thrown away."""
    rows = load(release, "train", streaming=True, require=["rgb"], **TENSORS)
    inner = rows._ex_iterable
    while hasattr(inner, "ex_iterable"):
        inner = inner.ex_iterable
    assert "ir16" not in next(iter(inner))[1]


def test_captions_are_drawn_by_the_seed(workspace: Workspace) -> None:
    records = [record(f"{n}", scene_captions=list("abcd"), ir_captions=list("efgh")) for n in range(40)]
    lay(workspace, {"a-00000": [*records, record("mute", scene_captions=[], ir_captions=None)]})
    push(workspace)
    release = workspace.path("release", "fusionrs")

    def drawn(seed: int | None, part: str = "train[:40]", **options: Any) -> list[tuple[Any, Any]]:
        return [(row["text"], row["ir_text"]) for row in load(release, part, seed=seed, **TENSORS, **options)]

    assert drawn(None) == [(list("abcd"), list("efgh"))] * 40
    assert drawn(None, "train[40:]") == [([], [])]
    assert drawn(0) == drawn(0) and drawn(0) != drawn(1)
    assert drawn(0, "train[20:40]") == drawn(0)[20:], "a record's captions do not depend on the others"
    assert {text for text, _ in drawn(0)} == set("abcd") and {text for _, text in drawn(0)} == set("efgh")
    with pytest.raises(FusionError, match=r"a/mute has no scene_captions to draw from: .*seed=None"):
        drawn(0, "train[40:]")


def row(**views: bytes | None) -> dict[str, Any]:
    images = {name: data and {"bytes": data, "path": None} for name, data in views.items()}
    return {"id": "a/1", "ir_origin": "measured", "scene_captions": ["a"], "ir_captions": ["b"], **images}


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"junk", "not an image"), (pixels.encode_png(np.zeros((4, 4), np.uint16)), "more than 8 bits")],
)
def test_a_view_that_cannot_be_read(data: bytes, message: str) -> None:
    with pytest.raises(FusionError, match=f"a/1: its ir view cannot be read: .*{message}"):
        Tensors(8).row(row(rgb=pixels.encode_png(picture("a", 9, 3)), ir=data))


sides = st.integers(1, 60)


@given(height=sides, width=sides, size=st.integers(1, 40), level=st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_squares(height: int, width: int, size: int, level: int) -> None:
    """Any shape and mode gives the one size; a flat view stays what it is."""
    gray = pixels.encode_png(np.full((height, width), level, np.uint8))
    found = Tensors(size).row(row(rgb=gray, ir=gray))
    assert found["rgb"].shape == (3, size, size) and found["ir"].shape == (1, size, size)
    assert torch.equal(found["rgb"], torch.full((3, size, size), level / 255))
    assert torch.equal(found["ir"], found["rgb"][:1])


@pytest.mark.parametrize("shape", [(12, 36), (36, 12)])
@pytest.mark.parametrize("size", [4, 24])
def test_squares_are_resized_and_cropped(shape: tuple[int, int], size: int) -> None:
    array = picture("a", 36, 3)[: shape[0], : shape[1]] // 4 + 96  # nothing is clipped
    scale = size / 12
    whole = PIL.Image.fromarray(array).resize(
        (round(shape[1] * scale), round(shape[0] * scale)), PIL.Image.Resampling.BICUBIC
    )
    left, top = (whole.width - size) // 2, (whole.height - size) // 2
    difference = squared(array, size).astype(int) - np.asarray(whole)[top : top + size, left : left + size]
    assert np.abs(difference).max() <= 1


def test_both_views_keep_to_the_same_ground() -> None:
    """...when one has half the resolution of the other, too."""
    y, x = np.mgrid[:90, :160]
    scene = ((np.sin(x / 17) + np.cos(y / 11) + 2) * 60).astype(np.uint8)
    coarse = scene.reshape(45, 2, 80, 2).mean((1, 3)).astype(np.uint8)
    difference = squared(scene, 32).astype(int) - squared(coarse, 32)
    assert np.abs(difference).max() <= 3
    moved = squared(scene, 32).astype(int) - squared(np.roll(coarse, 1, 1), 32)
    assert np.abs(moved).max() > 6, "one pixel aside would show"


def test_fine_detail_is_averaged() -> None:
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    assert np.abs(squared(checks, 8).astype(int) - 127).max() <= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 8}, "image_size gives tensors: give format='torch' with it"),
        ({"image_size": 8, "format": "numpy"}, "give format='torch'"),
        ({"image_size": 0, "format": "torch"}, "image_size=0: give the pixels of a side"),
        ({"seed": 0}, "allow_missing and seed are for tensors"),
        ({"allow_missing": True}, "allow_missing and seed are for tensors"),
        ({"require": ["ir16"]}, "require 'ir16': give a list of views, of rgb, ir"),
        ({"require": "rgb"}, "give a list of views"),
        ({"config": "text", "require": ["rgb"]}, "config 'text' has no images"),
        ({"config": "text", **TENSORS}, "config 'text' has no images"),
    ],
)
def test_options_that_do_not_go_together(release: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(release, "train", **options)
