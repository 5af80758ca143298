import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.corpora.reader import stem, walk, windows
from fusionrs_builder.errors import FusionError


@given(st.integers(1, 300), st.integers(1, 300), st.integers(16, 128), st.integers(0, 15))
def test_tiles_lie_in_the_image_and_share_only_the_overlap(width: int, height: int, tile: int, overlap: int) -> None:
    found = list(windows(width, height, tile, overlap))
    if width <= tile or height <= tile:
        assert found == [(0, 0, width, height)]
        return
    assert all(c + w <= width and r + h <= height and w == h == tile for c, r, w, h in found)
    columns = sorted({c for c, _, _, _ in found})
    assert all(b - a == tile - overlap for a, b in itertools.pairwise(columns))
    assert width - (columns[-1] + tile) < tile - overlap, "no further tile would have fitted"
    assert len(found) == len(set(found))


def test_naip_scenes_give_the_counts_of_their_note() -> None:
    assert len(list(windows(934, 724, 128, 0))) == 35
    assert len(list(windows(934, 724, 256, 0))) == 6


def test_walk_is_sorted_and_leaves_out_hidden_files(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "a/1.jpg", ".git/x.jpg", "a/.DS_Store", "c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert list(walk(tmp_path)) == ["c.jpg", "a/1.jpg", "b/2.jpg"]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(FusionError, match=r"cannot list .*locked: Permission denied"):
        list(walk(tmp_path))


def test_stem() -> None:
    assert [stem(p) for p in ("a.b/c.d.jpg", "a.b/c", "c.jpg")] == ["a.b/c.d", "a.b/c", "c"]
