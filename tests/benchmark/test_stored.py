import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.benchmark.stored import Stored
from fusionrs_builder.errors import FusionError

from .conftest import records, row

ROWS = np.arange(1, 13, dtype=np.float32).reshape(4, 3)
IDS = ["eurosat/a", "eurosat/b", "eurosat/c", "eurosat/d"]


@pytest.fixture
def of() -> Records:
    return records([row(key, at) for at, key in enumerate("abcde")])


def saved(path: Path, **arrays: Any) -> Path:
    """Embeddings of four records and of two texts, but for what is given; None leaves an array out."""
    whole = {
        "ids": np.array(IDS), "rgb": ROWS, "infrared": ROWS + 100, "texts": np.array(["Scene number b.", "a river"]),
        "text": ROWS[:2] / 2, **arrays,
    }  # fmt: skip
    np.savez(path, **{name: array for name, array in whole.items() if array is not None})
    return path


def test_rows_are_found_by_ids_and_by_texts_whatever_their_order(of: Records, tmp_path: Path):
    path = saved(tmp_path / "mine.npz", ids=np.array(IDS[::-1]), **{"gray-inverted": ROWS.astype(np.int64)})
    source = Stored(path, of)
    assert (source.spec, source.name, source.trained_on) == (f"embeddings:{path}", "mine", ())
    assert (
        source.pretrained == hashlib.sha256(path.read_bytes()).hexdigest()[:12] and source.pretrained in source.identity
    )
    found = source.views("infrared", [1, 3, 0, 1])
    assert found is not None and (found.embeddings == ROWS[[2, 0, 3, 2]] + 100).all() and not found.failed.any()
    inverted = source.views("gray-inverted", [3])
    assert inverted is not None and inverted.embeddings.dtype == np.float32 and (inverted.embeddings == ROWS[:1]).all()
    texts = source.texts(["a river", "Scene number b."])
    assert texts is not None and (texts.embeddings == ROWS[[1, 0]] / 2).all()
    assert source.views("gray", [0]) is None


def test_what_has_no_usable_row_is_a_failure(of: Records, tmp_path: Path):
    rgb = ROWS.astype(np.float64)
    rgb[1, 1], rgb[2], rgb[3, 0] = np.nan, 0, 1e300
    source = Stored(saved(tmp_path / "mine.npz", rgb=rgb), of)
    found = source.views("rgb", [4, 3, 2, 0, 1])  # e has no row
    assert found is not None and found.failed.tolist() == [True, True, True, False, True]
    assert (found.embeddings[3] == ROWS[0]).all() and (found.embeddings[found.failed] == 0).all()
    texts = source.texts(["a river", "another"])
    assert texts is not None and texts.failed.tolist() == [False, True] and (texts.embeddings[1] == 0).all()
    with pytest.raises(FusionError, match=r"none of 2 rows of `rgb` is finite and longer than 0"):
        source.views("rgb", [1, 2, 4])


def test_a_part_of_the_split_that_is_not_in_the_file_is_a_view_that_there_is_not(of: Records, tmp_path: Path):
    source = Stored(saved(tmp_path / "mine.npz"), of)
    assert source.views("rgb", [4]) is None
    assert source.texts(["a prompt", "another"]) is None  # it holds a caption of the split
    assert Stored(saved(tmp_path / "silent.npz", texts=None, text=None), of).texts(["a river"]) is None


def test_texts_that_are_no_captions_are_prompts_or_misspelt(of: Records, tmp_path: Path):
    source = Stored(saved(tmp_path / "mine.npz", texts=np.array(["scene number b", "a river"])), of)
    assert source.texts(["a river"]) is not None
    with pytest.raises(
        FusionError, match=r"no caption of fusionrs:test, nor .*'Scene number b\.': write them letter for"
    ):
        source.texts(["Scene number b.", "Scene number a."])


def test_a_text_that_stands_twice_has_its_first_row(of: Records, tmp_path: Path):
    texts = Stored(saved(tmp_path / "mine.npz", texts=np.array(["a river", "a river"])), of).texts(["a river"])
    assert texts is not None and (texts.embeddings == ROWS[:1] / 2).all()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"ids": np.array([*IDS[:3], "eurosat/z"])}, r"1 of 4 ids are not in fusionrs:test: eurosat/z; name the split"),
        ({"ids": np.array([*IDS[:3], "eurosat/a"])}, r"1 ids stand twice or more: eurosat/a; keep one row"),
        ({"ids": np.array(IDS[:3])}, r"4 rows of `rgb` for 3 of `ids`"),
        ({"ids": None}, "write `ids` and one or more of rgb, infrared, gray, gray-inverted, duplicate; it holds rgb"),
        ({"rgb": None, "infrared": None}, "it holds ids, text"),
        ({"ids": np.array([], str), "rgb": ROWS[:0], "infrared": None}, "`ids` is empty"),
        ({"ids": np.array(IDS, object)}, r"no npz without pickles \(ValueError: .*arrays of dtype str"),
        ({"ids": np.array(IDS, bytes)}, r"`ids` is \|S9 of the shape \[4\]: write one dimension of dtype str"),
        ({"ids": np.arange(4)}, "`ids` is int64"),
        ({"rgb": ROWS[0]}, r"`rgb` is float32 of the shape \[3\]: write numbers of the shape \[rows, width\]"),
        ({"rgb": ROWS.astype(str)}, "`rgb` is <U32 of the shape"),
        ({"rgb": ROWS > 2}, "`rgb` is bool"),
        ({"rgb": ROWS.astype(complex)}, "`rgb` is complex128"),
        ({"rgb": ROWS.astype(object)}, "no npz without pickles"),
        ({"infrared": ROWS[:3]}, r"3 rows of `infrared` for 4 of `ids`"),
        ({"infrared": ROWS[:, :2]}, r"`infrared` is 2 wide and `rgb` 3: write embeddings of one space"),
        ({"text": ROWS[:2, :2]}, r"`text` is 2 wide and `rgb` 3"),
        ({"text": ROWS}, r"4 rows of `text` for 2 of `texts`"),
        ({"text": None}, "go together: write both or neither"),
        ({"texts": None}, "go together: write both or neither"),
        ({"texts": np.zeros((2, 2))}, r"`texts` is float64"),
        ({"ir": ROWS}, r"unknown array ir: the infrared view is named `infrared`"),
        ({"infared": ROWS}, r"unknown array infared: known are ids, rgb, infrared, gray"),
    ],
)  # fmt: skip
def test_what_does_not_fit(arrays: dict[str, Any], message: str, of: Records, tmp_path: Path):
    path = saved(tmp_path / "mine.npz", **arrays)
    with pytest.raises(FusionError, match=message) as caught:
        Stored(path, of)
    assert str(caught.value).startswith(str(path))


def test_only_the_first_five_ids_are_told(of: Records, tmp_path: Path):
    ids = [f"eurosat/{n}" for n in range(9)]
    path = saved(tmp_path / "mine.npz", ids=np.array(ids), rgb=np.ones((9, 3)), infrared=None)
    with pytest.raises(FusionError, match=r"9 of 9 ids .*: eurosat/0, eurosat/1, .*eurosat/4 \.\.\.; name the split"):
        Stored(path, of)


@pytest.mark.parametrize("data", [b"", b"no npz", b"PK\x03\x04 damaged", None])
def test_a_file_that_is_no_npz(data: bytes | None, of: Records, tmp_path: Path):
    path = tmp_path / "mine.npz"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(FusionError, match=r"mine\.npz is no npz without pickles"):
        Stored(path, of)


def test_an_npy_is_no_npz(of: Records, tmp_path: Path):
    with (tmp_path / "mine.npz").open("wb") as handle:
        np.save(handle, ROWS)
    with pytest.raises(FusionError, match="is no npz without pickles"):
        Stored(tmp_path / "mine.npz", of)
