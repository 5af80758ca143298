import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from fusionrs_builder import pixels
from fusionrs_builder.benchmark.tasks.retrieval import normalised
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release.transforms import squared
from tests.conftest import encoded, picture
from tests.train.conftest import PAIRS, SHAPES, THERMAL, Release, luma, pair
from train.data import Loader
from train.samples import Batch, Crop, DataSettings, chance, random_crop, square, true_to

MEAN, STD = (0.48, 0.45, 0.40), (0.27, 0.26, 0.28)
ROWS = PAIRS + THERMAL


def loader(release: Path, rank: int = 0, world: int = 1, **changed: Any) -> Loader:
    chosen = {"batch_size": 6, "image_size": 16, "workers": 0, **changed}
    return Loader(DataSettings(data=str(release), **chosen), MEAN, STD, rank, world)


def epoch(release: Path, number: int = 0, start: int = 0, **changed: Any) -> list[Batch]:
    return list(loader(release, **changed).epoch(number, start))


def same(ours: list[Batch], theirs: list[Batch]) -> bool:
    def equal(a: Any, b: Any) -> bool:
        return torch.equal(a, b) if isinstance(a, Tensor) else a == b

    return len(ours) == len(theirs) and all(all(map(equal, *both)) for both in zip(ours, theirs, strict=True))


def joined(ranks: list[list[Batch]]) -> list[Batch]:
    """The batches of all ranks, put together."""
    return [
        Batch(
            *(
                torch.cat(part) if isinstance(part[0], Tensor) else list(chain(*part))
                for part in zip(*parts, strict=True)
            )
        )
        for parts in zip(*ranks, strict=True)
    ]


def ids(batches: list[Batch]) -> list[str]:
    return [name for batch in batches for name in batch.ids]


def levels(view: Tensor) -> Tensor:
    """0..255 of what was normalised, float [N, 3, S, S]."""
    shape = (1, 3, 1, 1)
    return (view * torch.tensor(STD).view(shape) + torch.tensor(MEAN).view(shape)) * 255


def grey(rgb: Tensor) -> Tensor:
    """ITU-R 601 luma of levels, float [N, 1, S, S]."""
    return (rgb * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)


@pytest.mark.parametrize("streaming", [False, True])
def test_batches_do_not_depend_on_workers(release: Path, streaming: bool) -> None:
    alone, one, two = (epoch(release, 3, workers=workers, streaming=streaming) for workers in (0, 1, 2))
    assert len(alone) == ROWS // 6 and same(alone, one) and same(alone, two)


@pytest.mark.parametrize("streaming", [False, True])
def test_ranks_share_the_batches_of_one(release: Path, streaming: bool) -> None:
    ranks = [
        list(loader(release, rank, 2, streaming=streaming, infrared="duplicate", captions="mixed").epoch(1))
        for rank in (0, 1)
    ]
    assert all(len(batch.ids) == 3 for rank in ranks for batch in rank)
    assert same(joined(ranks), epoch(release, 1, streaming=streaming, infrared="duplicate", captions="mixed"))


@settings(max_examples=20)
@given(start=st.integers(0, ROWS // 6 + 1), streaming=st.booleans())
def test_an_epoch_goes_on_at_any_batch(release: Path, start: int, streaming: bool) -> None:
    @cache
    def whole(streaming: bool) -> list[Batch]:
        return epoch(release, 2, streaming=streaming)

    assert same(epoch(release, 2, start, streaming=streaming), whole(streaming)[start:])


@pytest.mark.parametrize("workers", [0, 1])
def test_the_chance_of_the_training_is_left_alone(release: Path, workers: int) -> None:
    before = torch.get_rng_state()
    epoch(release, workers=workers)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_stream_that_ends_too_early(release: Path) -> None:
    ours = loader(release, streaming=True)
    ours._source._rows = ours._source._rows.take(20)  # type: ignore[union-attr]
    batches = ours.epoch(0)
    with pytest.raises(FusionError, match=f"ended before the {ROWS} rows"):
        for _ in range(4):
            next(batches)


def test_an_epoch_that_was_left_does_not_leak_into_the_next(release: Path) -> None:
    ours = loader(release, workers=2)
    left = ours.epoch(0)
    next(left)
    left.close()
    assert same(list(ours.epoch(1, 2)), epoch(release, 1)[2:])


@pytest.mark.parametrize("streaming", [False, True])
def test_epochs_and_seeds_differ_and_each_row_comes_once(release: Path, streaming: bool) -> None:
    orders = [
        ids(epoch(release, number, seed=seed, streaming=streaming, batch_size=ROWS // 2))
        for number, seed in ((0, 0), (1, 0), (0, 1))
    ]
    assert len({tuple(order) for order in orders}) == 3
    assert len(set(orders[0])) == ROWS and all(Counter(order) == Counter(orders[0]) for order in orders)


def test_captions_and_crops_vary_over_epochs(release: Path) -> None:
    texts, crops = {}, set()
    for number in range(6):
        for batch in epoch(release, number):
            for name, scene, infrared, view in zip(
                batch.ids, batch.scene, batch.infrared_text, batch.infrared, strict=True
            ):
                texts.setdefault(name, set()).add((scene, infrared))
                if name == "corpus/003":
                    crops.add(view.numpy().tobytes())
    several = [name for name in texts if int(name[-3:]) < 100]
    assert sum(len(texts[name]) > 1 for name in several) > 0.9 * len(several)
    assert len(crops) > 3


def test_views_without_chance_are_the_normalised_centre_square(release: Path) -> None:
    """Against `transforms.squared` and the formula of normalisation in float64."""
    for batch in epoch(release, augment=False):
        for name, rgb, infrared, seen in zip(batch.ids, batch.rgb, batch.infrared, batch.has_rgb, strict=True):
            number = int(name[-3:])
            if seen:
                array = picture(number, *SHAPES[number % len(SHAPES)])
                views = ((rgb, squared(array, 16)), (infrared, squared(luma(array), 16)[..., None]))
            else:
                views = ((infrared, squared(picture(number, 64, 48, 1), 16)[..., None]),)
            for ours, theirs in views:
                wanted = (theirs.astype(np.float64) / 255 - MEAN) / STD
                np.testing.assert_allclose(ours.permute(1, 2, 0).numpy(), wanted, atol=1e-6)


def test_both_views_are_cropped_and_turned_alike(release: Path) -> None:
    plain = {
        name: view
        for batch in epoch(release, augment=False, batch_size=ROWS)
        for name, view in zip(batch.ids, batch.rgb, strict=True)
    }
    moved = 0
    for batch in epoch(release, 5):
        both = batch.has_rgb & batch.has_infrared
        apart = (levels(batch.infrared) - grey(levels(batch.rgb)))[both].abs()
        assert apart.mean() < 0.5 and apart.max() < 5  # what the bicubic filter overshoots is cut off
        moved += sum((view - plain[name]).abs().mean() > 0.1 for name, view in zip(batch.ids, batch.rgb, strict=True))
    assert moved > PAIRS / 2


def test_crops_are_of_the_size_told_and_in_all_turns() -> None:
    crops = [random_crop(chance(0, 0, str(number))) for number in range(2000)]
    areas = [crop.side**2 for crop in crops]
    assert 0.9 <= min(areas) < 0.91 and 0.99 < max(areas) <= 1 and abs(np.mean(areas) - 0.95) < 0.01
    assert set(Counter(crop.turn for crop in crops)) == set(range(8))
    for side in ("left", "top"):
        assert abs(np.mean([getattr(crop, side) for crop in crops]) - 0.5) < 0.03


def test_captions_are_true_of_the_turned_image() -> None:
    for turn in range(8):
        both, crop = ("A bright spot.", "It is brighter on the left."), Crop(0.9, 0.1, 0.1, turn)
        found, said = true_to(both, crop)
        assert found == crop._replace(turn=turn % 4)  # a quarter turn would ask for other words
        assert said == (both[0], "It is brighter on the right." if turn % 2 else both[1])
        assert true_to(("A bright spot.", ""), crop) == (crop, ("A bright spot.", ""))
        found, said = true_to(("Houses to the north.", "upper half"), crop)
        assert (found.turn, said) == (0, ("Houses to the north.", "upper half"))


def test_a_crop_shows_the_same_ground_of_views_of_other_sizes() -> None:
    rgb = picture(1, 160, 120)
    half = np.asarray(Image.fromarray(luma(rgb)).resize((80, 60), Image.Resampling.BOX))
    crop = Crop(0.7, 0.9, 0.1)
    ours, theirs = (square(encoded(array), "L", 16, crop) for array in (rgb, half))
    assert np.abs(np.asarray(ours, float) - np.asarray(theirs, float)).max() < 4


def test_a_fine_jpeg_is_decoded_coarsely_and_looks_the_same() -> None:
    small = np.random.default_rng(2).integers(0, 256, (60, 60, 3), np.uint8)
    array = np.asarray(Image.fromarray(small).resize((512, 512), Image.Resampling.BICUBIC))
    data, crop = pixels.encode_jpeg(array), Crop(0.8, 0.3, 0.6)
    for mode, whole in (("RGB", array), ("L", luma(array))):
        ours, theirs = square(data, mode, 48, crop), square(encoded(whole), mode, 48, crop)
        assert np.abs(np.asarray(ours, float) - np.asarray(theirs, float)).mean() < 3


def test_an_image_held_sideways_is_turned_upright() -> None:
    upright, exif = picture(3, 48, 32), Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    data = encoded(Image.fromarray(np.rot90(upright)), exif=exif)
    assert np.array_equal(square(data, "RGB", 16, Crop(0.5, 0.2)), square(encoded(upright), "RGB", 16, Crop(0.5, 0.2)))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("shown", ["gray", "gray-inverted", "duplicate"])
def test_controls_are_made_of_the_visible_image(release: Path, shown: Any, streaming: bool) -> None:
    ours = loader(release, infrared=shown, streaming=streaming, batch_size=7)
    assert len(ours) == PAIRS // 7
    found = list(ours.epoch(0))
    assert len(set(ids(found))) == PAIRS
    for batch in found:
        assert batch.has_rgb.all() and batch.has_infrared.all()
        rgb, infrared = levels(batch.rgb), levels(batch.infrared)
        if shown == "duplicate":
            assert torch.equal(batch.infrared, batch.rgb)
        else:
            wanted = grey(rgb) if shown == "gray" else 255 - grey(rgb)
            assert (infrared - wanted).abs().max() < 1
            assert (infrared - infrared[:, :1]).abs().max() < 1e-3


def test_controls_leave_the_rest_of_a_batch_as_it_is(release: Path) -> None:
    gray, twice = (epoch(release, infrared=shown) for shown in ("gray", "duplicate"))
    assert same([batch._replace(infrared=batch.rgb) for batch in gray], twice)


def test_thermal_rows_have_zeros_for_the_visible_view(release: Path) -> None:
    count = 0
    for batch in epoch(release, batch_size=ROWS):
        assert batch.has_infrared.all()
        alone = ~batch.has_rgb
        count += int(alone.sum())
        assert [name for name, is_alone in zip(batch.ids, alone.tolist(), strict=True) if is_alone] == [
            name for name in batch.ids if int(name[-3:]) >= 100
        ]
        assert not batch.rgb[alone].any() and (batch.rgb[~alone].abs().amax((1, 2, 3)) > 0).all()
        assert batch.measured.tolist() == [int(n[-3:]) >= 100 or int(n[-3:]) % 4 == 0 for n in batch.ids]
    assert count == THERMAL


def test_tensors_have_the_types_told(release: Path) -> None:
    batch = next(loader(release).epoch(0))
    for view in (batch.rgb, batch.infrared):
        assert view.dtype == torch.float32 and view.shape == (6, 3, 16, 16)
    assert {batch.has_rgb.dtype, batch.has_infrared.dtype, batch.measured.dtype} == {torch.bool}
    assert {batch.scene_group.dtype, batch.infrared_group.dtype} == {torch.int64}


def test_groups_are_equal_where_captions_are(release: Path) -> None:
    groups: dict[str, set[int]] = {}
    for number in range(8):
        for batch in epoch(release, number, captions="mixed"):
            texts, found = batch.scene + batch.infrared_text, torch.cat([batch.scene_group, batch.infrared_group])
            for text, group in zip(texts, found.tolist(), strict=True):
                groups.setdefault(normalised(text), set()).add(group)
                assert (group == -1) == (text == "") and group >= -1
    assert all(len(found) == 1 for found in groups.values())
    assert len(set.union(*groups.values())) == len(groups) > PAIRS


def test_a_row_without_captions_of_a_kind_has_no_text(release: Path) -> None:
    """Row 1 has none of the infrared view; that of row 2 of the scene has no letter."""
    for captions, infrared in (("ir", (True, False)), ("mixed", (False, False)), ("scene", (False, True))):
        found = {}
        for batch in epoch(release, captions=captions, batch_size=ROWS):
            for name, *groups in zip(batch.ids, batch.scene_group.tolist(), batch.infrared_group.tolist(), strict=True):
                found[int(name[-3:])] = [group == -1 for group in groups]
        assert (found[1], found[2]) == ([False, infrared[0]], [True, infrared[1]]), captions
        assert not any(sum(both) for number, both in found.items() if number not in (1, 2))


def test_the_text_of_the_infrared_view_is_as_chosen(release: Path) -> None:
    def chosen(captions: Any) -> list[tuple[str, str]]:
        return [
            both
            for number in range(4)
            for batch in epoch(release, number, captions=captions, infrared="gray")
            for both in zip(batch.scene, batch.infrared_text, strict=True)
            if all(both)
        ]

    assert all(scene == infrared for scene, infrared in chosen("scene"))
    assert all("dark patch" in infrared.lower() or "outlines" in infrared for _, infrared in chosen("ir"))
    mixed = [scene == infrared for scene, infrared in chosen("mixed")]
    assert 0.3 < np.mean(mixed) < 0.7


def test_a_part_of_a_split(release: Path) -> None:
    batches = epoch(release, split="train[:50%]", batch_size=ROWS // 2)
    assert sorted(ids(batches)) == sorted(f"corpus/{number:03d}" for number in range(ROWS // 2))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"batch_size": ROWS + 1}, rf"{ROWS} rows.* {ROWS + 1} of a batch"),
        ({"split": "validation", "infrared": "gray", "batch_size": 9}, r"8 rows.* 9 of a batch"),
        ({"batch_size": 7, "world": 2}, r"batch_size = 7 cannot be shared by 2"),
        ({"batch_size": 0}, r"batch_size = 0"),
        ({"image_size": 0}, r"image_size = 0"),
        ({"workers": -1}, r"workers = -1"),
        ({"seed": -1}, r"seed = -1"),
        ({"infrared": "thermal"}, r"infrared = 'thermal': .*duplicate"),
        ({"captions": "both"}, r"captions = 'both': .*mixed"),
        ({"split": "holdout"}, r"holdout"),
    ],
)
def test_settings_that_are_wrong(release: Path, changed: dict[str, Any], says: str, streaming: bool) -> None:
    with pytest.raises(UsageError, match=says):
        loader(release, **changed, streaming=streaming)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_release_that_is_not_there(tmp_path: Path, streaming: bool) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        loader(tmp_path / "nothing", streaming=streaming)
    with pytest.raises(UsageError, match="not a release"):
        loader(tmp_path, streaming=streaming)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_split_or_a_column_that_is_missing(release: Path, tmp_path: Path, streaming: bool) -> None:
    copy = shutil.copytree(release, tmp_path / "copy")
    file = next((copy / "data").glob("train-*"))
    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["ir_captions"]), file)
    with pytest.raises(FusionError, match="train has no column ir_captions"):
        loader(copy, streaming=streaming)
    file.unlink()
    with pytest.raises(UsageError, match="train"):
        loader(copy, streaming=streaming)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("kind", ["scene_captions", "ir_captions"])
@pytest.mark.parametrize("nothing", [None, []])
def test_captions_that_are_all_null(released: Release, kind: str, nothing: Any, streaming: bool) -> None:
    name = f"{kind}-{nothing}-{streaming}"
    release = released(name, [pair(number, **{kind: nothing}) for number in range(6)])
    with pytest.raises(UsageError, match=f"no row of train has {kind}"):
        loader(release, captions="mixed", streaming=streaming)
    if kind == "ir_captions":
        assert len(epoch(release, captions="scene", streaming=streaming)) == 1


BROKEN = {
    "rgb": (encoded(picture(9))[:-200], pixels.encode_jpeg(picture(9))[:900], b"not an image", b""),
    "ir": (encoded(picture(9, channels=1))[:-200], encoded(np.full((40, 48), 40000, np.uint16))),
}
"""Bytes in the place of a view: cut short, no image, 16 bits a pixel."""


@pytest.mark.parametrize(("view", "data"), [(view, data) for view, datas in BROKEN.items() for data in datas])
def test_an_unreadable_image_is_an_error(release: Path, tmp_path: Path, view: str, data: bytes) -> None:
    copy = shutil.copytree(release, tmp_path / "copy")
    file = next((copy / "data").glob("train-*"))
    table = pq.read_table(file)
    rows = table.to_pylist()
    rows[4][view]["bytes"] = data
    pq.write_table(pa.Table.from_pylist(rows, table.schema), file)
    for workers, streaming in ((0, False), (2, False), (2, True)):
        with pytest.raises(FusionError, match=rf"^corpus/004: its {view} view cannot be read"):
            epoch(copy, workers=workers, streaming=streaming, batch_size=ROWS // 2)


def test_a_worker_that_is_killed(release: Path) -> None:
    before = set(multiprocessing.active_children())
    batches = loader(release, workers=1, batch_size=2).epoch(0)
    next(batches)
    (worker,) = set(multiprocessing.active_children()) - before
    assert worker.pid
    os.kill(worker.pid, signal.SIGKILL)
    time.sleep(0.5)  # nothing is raised in the midst of a step of the training
    with pytest.raises(FusionError, match="worker that reads and decodes died"):
        list(batches)
