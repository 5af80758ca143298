import codecs
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.corpora.split_lists import NAME, SplitLists
from fusionrs_builder.errors import FusionError
from tests.corpora.reading import peak, reader


def lists(root: Path, texts: dict[str, str | bytes], **keys: Any) -> SplitLists:
    for split, text in texts.items():
        (root / f"{split}.txt").write_bytes(text.encode() if isinstance(text, str) else text)
    splits = {split: f"{split}.txt" for split in texts}
    return SplitLists(reader(root, "class-folders", splits=splits, **keys))


@pytest.mark.parametrize(
    "line",
    [
        "Forest_1.tif", "Forest_1.jpg", "Forest_1", "Forest/Forest_1.tif", "tif/Forest/Forest_1.jpg", "Forest_1.jpg 3",
        "Forest_1.tif,Forest,3", "./Forest/Forest_1.tif", "Forest\\Forest_1.tif", "/ds/tif/Forest/Forest_1.tif",
        "Forest_1\t-1", "Forest_1,1", "  Forest_1.TIF ", "more/ds/tif/Forest/Forest_1",
    ],
)  # fmt: skip
def test_a_line_lists_an_image_by_path_by_its_end_by_name_or_by_stem(tmp_path: Path, line: str) -> None:
    with lists(tmp_path, {"train": "other.tif\n", "val": f"{line}\n"}) as found:
        assert found.split_of("ds/tif/Forest/Forest_1.tif") == "validation"
        assert [item.key for item in found.missing()] == ["train.txt#0"]


@pytest.mark.parametrize("line", ["River/Forest_1.tif", "Forest_10.tif", "forest_1.tif", "x/Forest/Forest_1.tif"])
def test_a_line_of_another_image_lists_it_not(tmp_path: Path, line: str) -> None:
    with lists(tmp_path, {"train": line}) as found:
        assert found.split_of("tif/Forest/Forest_1.tif") == ""
        (item,) = found.missing()
    assert item.fault == ("missing_image", f"train.txt#0 lists {line}, of which there is no image")
    assert item.annotations == ("train.txt",)


def test_names_may_hold_blanks_commas_and_dots(tmp_path: Path) -> None:
    text = "tile_0,1.tif\npositive image set/001.jpg\nS2A.SAFE.1\na.b\n"
    with lists(tmp_path, {"test": text}) as found:
        for path in ("uar/tile_0,1.tif", "positive image set/001.jpg", "S2A.SAFE.1", "a.b.png"):
            assert found.split_of(path) == "test", path
        assert found.split_of("uar/tile_0,2.tif") == ""
        assert not list(found.missing())


@given(st.from_regex(r"[\w,;-]([\w ,;()-]*[\w,;-])?\.(tif|JPG)", fullmatch=True))
def test_any_name_with_a_suffix_is_taken_whole(name: str) -> None:
    for rest in ("", " 3", ",label", "\t1 2", ";"):
        match = NAME.match(name + rest)
        assert match and match[0] == name


def test_byte_order_mark_line_ends_blank_lines_and_other_alphabets(tmp_path: Path) -> None:
    text = codecs.BOM_UTF8 + "a.tif\r\n\r\nhéllo.tif\r\n".encode() + b"caf\xe9.tif"
    with lists(tmp_path, {"train": text}) as found:
        for path in ("a.tif", "x/héllo.tif", "caf\udce9.tif"):
            assert found.split_of(path) == "train"
        assert not list(found.missing())


def test_an_image_in_two_lists_stays_out_of_training(tmp_path: Path) -> None:
    with lists(tmp_path, {"test": "a.tif\n", "val": "a.tif\nb.tif\n", "train": "a.tif\nb.tif\nb.tif\n"}) as found:
        assert [found.split_of(path) for path in ("a.tif", "b.tif")] == ["test", "validation"]
        assert not list(found.missing())


def test_names_in_several_classes_are_told_by_their_folders(tmp_path: Path) -> None:
    with lists(tmp_path, {"train": "Forest/1.tif\n", "test": "River/1.tif\nd/River/1.tif"}) as found:
        splits = [found.split_of(path) for path in ("c/Forest/1.tif", "c/River/1.tif", "d/River/1.tif", "Lake/1.tif")]
        assert splits == ["train", "test", "test", ""]


def test_one_suffix_of_two_is_told_by_it(tmp_path: Path) -> None:
    with lists(tmp_path, {"train": "1.tif\n", "test": "1.jpg\n"}) as found:
        assert [found.split_of(path) for path in ("1.jpg", "1.tif")] == ["test", "train"]


def test_what_cannot_be_told_is_an_error_rather_than_a_guess(tmp_path: Path) -> None:
    with lists(tmp_path, {"train": "1.tif\n"}) as found:
        assert [found.split_of("Forest/1.tif") for _ in range(2)] == ["train", "train"]  # asked twice
        with pytest.raises(FusionError, match=r"1.tif of train.txt#0 may be River/1.tif or another image.*--include"):
            found.split_of("River/1.tif")
    with (
        lists(tmp_path, {"train": "a/1.tif\n", "test": "b/1.tif\n"}) as found,
        pytest.raises(FusionError, match=r"a/1.tif of train.txt#0 and b/1.tif of test.txt#0 may be 1.tif"),
    ):
        found.split_of("1.tif")


def test_a_list_that_is_not_there_or_no_utf8_is_named(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r"gone.txt cannot be read \(No such file.*as their publisher says; fetch"):
        SplitLists(reader(tmp_path, "class-folders", splits={"train": "gone.txt"}))
    with pytest.raises(FusionError, match=r"train.txt is UTF-16"):
        lists(tmp_path, {"train": "a.tif\n".encode("utf-16")})


def test_images_that_include_leaves_out_are_not_missing(tmp_path: Path) -> None:
    (tmp_path / "River").mkdir()
    (tmp_path / "River/1.tif").touch()
    with lists(tmp_path, {"train": "River/1.tif\nForest/1.tif\nLake/1.tif\n"}, include="Forest/*") as found:
        assert found.split_of("Forest/1.tif") == "train"
        assert [item.key for item in found.missing()] == ["train.txt#2"]


def test_without_a_line_the_path_tells_the_split(tmp_path: Path) -> None:
    pattern = "^(?P<split>[^/]+)/"
    with lists(tmp_path, {"train": "a.tif\n"}, split_pattern=pattern) as found:
        assert [found.split_of(path) for path in ("test/a.tif", "val/b.tif")] == ["train", "validation"]
    with SplitLists(reader(tmp_path, "class-folders", split_pattern=pattern)) as found:
        assert found.split_of("val/b.tif") == "validation"
        assert not list(found.missing())


def test_memory_does_not_grow_with_the_lists(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("".join(f"class_{i % 51}/P{i:07d}.jpg\n" for i in range(20_000)))
    made = reader(tmp_path, "class-folders", splits={"train": "train.txt"})
    with peak(4e6), SplitLists(made) as found:
        assert found.split_of("class_1/P0000001.jpg") == "train"
        assert sum(1 for _ in found.missing()) == 19_999
