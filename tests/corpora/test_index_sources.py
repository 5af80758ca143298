from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.corpora.index_sources import Copy, CopyIndex, Coverage, expanded, folders_of
from fusionrs_builder.corpora.reader import Item, Refused, stem
from fusionrs_builder.errors import FusionError, UsageError
from tests.conftest import encoded, picture
from tests.corpora.formats.test_webdataset import put_tar
from tests.corpora.reading import put_images, put_json


class Listed(Copy):
    """A copy that holds these items."""

    def __init__(self, *items: Item) -> None:
        self.source, self.folder, self.form, self.listed = "RSICD", Path("/copy"), 0, items
        self.reader: Any = self

    def items(self) -> tuple[Item, ...]:
        return self.listed


def holding(*paths: str) -> Listed:
    return Listed(*(Item(stem(path), (path,)) for path in paths))


def found(copy: Copy, locator: str) -> tuple[str, tuple[int, int, int]]:
    with CopyIndex(copy) as index:
        item, closeness = index.find(locator)
    return item.key, closeness


@pytest.mark.parametrize(
    ("locator", "key", "closeness"),
    [
        ("a/b/1.jpg", "a/b/1", (1, 1, 2)),
        ("other/b/1.jpg", "a/b/1", (0, 1, 1)),
        ("dataset://RSICD/a/b/1.jpg", "a/b/1", (0, 1, 2)),
        ("C:\\data\\a\\b\\1.jpg", "a/b/1", (0, 1, 2)),
        ("2.jpg", "a/2", (0, 1, 0)),
        ("x/a/2", "a/2", (0, 0, 1)),
        ("x/2.tif", "a/2", (0, 0, 0)),
        ("3.tif", "a/3", (0, 1, 0)),
        ("v1.0_4.jpg", "a/v1.0_4", (0, 1, 0)),
    ],
)
def test_the_closest_name_is_meant(locator: str, key: str, closeness: tuple[int, int, int]) -> None:
    copy = holding("a/b/1.jpg", "a/c/1.jpg", "a/2.jpg", "a/3.tif", "b/3.png", "a/v1.0_4.jpg")
    assert found(copy, locator) == (key, closeness)


@pytest.mark.parametrize("locator", ["1.jpg", "z/1.jpg", "a/1.jpg", "z/c/1.tif", "1"])
def test_two_that_are_as_close_are_never_guessed(locator: str) -> None:
    with pytest.raises(Refused, match=r"ambiguous_locator: RSICD .* may be ./c/1.jpg or ./c/1.jpg"):
        found(holding("a/c/1.jpg", "b/c/1.jpg"), locator)


@pytest.mark.parametrize("locator", ["4.jpg", "11.jpg", "a/1/", "", "1.jpg.txt", "%"])
def test_what_is_not_there_is_not_found(locator: str) -> None:
    with pytest.raises(Refused, match="not_in_copy: RSICD has no image .* in /copy"):
        found(holding("a/1.jpg"), locator)


def test_within_a_larger_file_the_key_is_the_name() -> None:
    copy = Listed(Item("fmow/1", ("rs3-0000.tar",)), Item("million/1", ("rs3-0000.tar",)), Item("2", ("rs3-0001.tar",)))
    assert found(copy, "images/fmow/1.jpg") == ("fmow/1", (0, 1, 1))
    assert found(copy, "fmow/1.jpg") == ("fmow/1", (1, 1, 1))
    assert found(copy, "any/2.png") == ("2", (0, 1, 0))
    with pytest.raises(Refused, match="ambiguous_locator"):
        found(copy, "other/1.jpg")


def test_an_image_of_no_use_is_found_only_where_no_other_is() -> None:
    bad = ("empty_caption", "dataset.json#1: no caption")
    copy = Listed(
        Item("dataset.json#1", ("a/1.jpg",), fault=bad),
        Item("dataset.json#2", ("a/2.jpg",), fault=bad),
        Item("a/2", ("a/2.jpg",)),
        Item("tar/3", ("rs3.tar",), fault=bad),
    )
    assert found(copy, "a/1.jpg")[0] == "dataset.json#1"
    assert found(copy, "a/2.jpg")[0] == "a/2"
    with pytest.raises(Refused, match="not_in_copy"):
        found(copy, "tar/3.jpg")


PATHS = st.lists(
    st.builds(
        lambda folders, name, suffix: "/".join([*folders, name]) + suffix,
        st.lists(st.sampled_from("ab"), max_size=3),
        st.sampled_from(["1", "2", "x.y"]),
        st.sampled_from([".jpg", ".tif"]),
    ),
    min_size=1,
    unique=True,
)


@given(PATHS, st.data())
def test_a_path_that_is_there_is_always_found_and_another_is_never_taken_for_it(
    paths: list[str], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(paths))
    copy = Listed(*(Item(f"{number}", (each,)) for number, each in enumerate(paths)))
    assert found(copy, path)[0] == str(paths.index(path))
    for prefix in ("", "root/"):
        wanted = prefix + data.draw(st.sampled_from(paths)).partition("/")[2]
        try:
            key, closeness = found(copy, wanted)
        except Refused:
            continue
        got = paths[int(key)]
        assert stem(got).rpartition("/")[2] == stem(wanted).rpartition("/")[2]
        rivals = [each for each in paths if each != got and each.rpartition("/")[2] == wanted.rpartition("/")[2]]
        assert not rivals or closeness[1], "a name with its suffix goes before one without"


def test_an_empty_copy_and_one_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    put_images(tmp_path, "1.jpg")
    with pytest.raises(UsageError, match="sources: RSITMD: captions: .* holds no file"):
        CopyIndex(Copy("RSITMD", tmp_path))
    with pytest.raises(UsageError, match="sources: RS5M: nothing found in .* as webdataset"):
        CopyIndex(Copy("RS5M", tmp_path))
    (tmp_path / "dataset_RSITMD.json").write_text('{"images": [{"filename": "1.jpg", "sentences": [{"raw": "A"}]}, {')
    with pytest.raises(FusionError, match="sources: RSITMD: dataset_RSITMD.json ends in the middle"):
        CopyIndex(Copy("RSITMD", tmp_path))


def test_rsicd_is_read_in_the_form_it_is_had(tmp_path: Path) -> None:
    picture_of = encoded(picture(1), "JPEG")
    row = {"filename": "rsicd_images/airport_1.jpg", "image": {"bytes": picture_of, "path": None}, "captions": ["A."]}
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "data/test-00000-of-00001.parquet")
    copy = Copy("RSICD", tmp_path)
    assert (copy.form, copy.settings.format) == (1, "parquet")
    assert found(copy, "images/rsicd_images/airport_1.jpg") == ("rsicd_images/airport_1", (0, 1, 1))
    put_images(tmp_path / "RSICD_images", "airport_1.jpg")
    said = [{"filename": "airport_1.jpg", "split": "train", "sentences": [{"raw": "Many planes."}]}]
    put_json(tmp_path / "dataset_rsicd.json", {"images": said})
    assert Copy("RSICD", tmp_path).settings.format == "karpathy", "the publisher's own form goes first"
    assert Copy("RSICD", tmp_path, 1).settings.format == "parquet", "as it was when it was listed"


def test_rs5m_is_read_in_the_form_it_is_had(tmp_path: Path) -> None:
    put_images(tmp_path / "images", "fmow_1.jpg")
    (tmp_path / "rs3_train_intermediate.csv").write_text("img_name,caption\nfmow_1.jpg,a port\n")
    copy = Copy("RS5M", tmp_path)
    assert copy.settings.format == "caption-csv"
    assert found(copy, "images/fmow_1.jpg") == ("images/fmow_1", (1, 1, 1))
    (item,) = copy.reader.items()
    assert copy.reader.read(item).model_captions == ["a port"]
    put_tar(tmp_path / "rs3-train-0000.tar", ("1.caption", b"a"), ("1.img_content", b"i"), ("1.img_name", b"f.jpg"))
    assert Copy("RS5M", tmp_path).settings.format == "webdataset"


def test_sources_by_any_case_and_alias(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("n", "s"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert folders_of({"nwpu-captions": "n", "SKYSCRIPT": "$DATA/s", " rsicd": "~/n"}) == {
        "NWPU": tmp_path / "n",
        "SkyScript": tmp_path / "s",
        "RSICD": tmp_path / "n",
    }
    assert expanded("~/x") == tmp_path / "x"


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({}, "where are your copies of NWPU, RS5M, RSICD, RSITMD, SkyScript"),
        ({"UCM": "."}, "no source 'UCM'; it has NWPU"),
        ({"RSICD": "./gone"}, "gone is not a folder; correct --sources RSICD=FOLDER"),
        ({"NWPU": ".", "NWPU-Captions": "."}, "NWPU is given twice"),
    ],
)
def test_sources_that_cannot_be_meant(sources: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=f"sources: .*{said}"):
        folders_of(sources)


def test_coverage_adds_up() -> None:
    coverage = Coverage(["RSICD"])
    coverage.add("RSICD", "train", "found", (1, 1, 1))
    coverage.add("RSICD", "test", "found", (0, 1, 2))
    coverage.add("RSICD", "test", "found", (0, 1, 0))
    coverage.add("RSICD", "test", "found", (0, 0, 0))
    coverage.add("RSICD", "test", "not_in_copy")
    for _ in range(1234):
        coverage.add("RS5M", "train", "not_given")
    report = coverage.report()["sources"]
    assert report["RSICD"]["found_by"] == {"path": 1, "folder": 1, "name": 1, "stem": 1}
    assert (report["RSICD"]["records"], report["RSICD"]["found"], report["RSICD"]["not_in_copy"]) == (5, 4, 1)
    assert report["RSICD"]["splits"]["test"]["records"] == 4
    assert (report["RS5M"]["given"], report["RS5M"]["not_given"]) == (False, 1234)
    lines = coverage.summary()
    assert "RSICD: 4 of 5 records found, 1 not_in_copy" in lines
    assert "RS5M: 1,234 records left out; add --sources RS5M=FOLDER" in lines
