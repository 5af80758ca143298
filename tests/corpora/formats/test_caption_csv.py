import csv
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionrs_builder.corpora.captions import distinct, fold
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.workspace import Workspace
from tests.corpora.reading import build, by_key, captions, faults, put_images, reader

SKYSCRIPT = '''filepath,title,title_multi_objects
images2/a198234555_CH_19.jpg,a satellite image of wastewater plant,"wastewater plant, surrounded by grass"
images2/w10_US_18.jpg,"a golf course, ""Old Links""",
'''


@pytest.fixture
def skyscript(tmp_path: Path) -> Path:
    put_images(tmp_path, "images2/a198234555_CH_19.jpg", "images2/w10_US_18.jpg", "images3/n7_S2_20.jpg")
    (tmp_path / "SkyScript_train_top30pct_filtered_by_CLIP_openai.csv").write_text(SKYSCRIPT)
    (tmp_path / "SkyScript_val_5K_filtered_by_CLIP_openai.csv").write_text(
        "filepath,title,title_multi_objects\nimages3/n7_S2_20.jpg,a lake,a lake\n"
    )
    return tmp_path


def test_columns_are_known_by_their_usual_names(skyscript: Path) -> None:
    found = reader(skyscript, "caption-csv", caption_origin="template")
    items = by_key(found.items())
    assert {key: item.split for key, item in items.items()} == {
        "images2/a198234555_CH_19": "train",
        "images2/w10_US_18": "train",
        "images3/n7_S2_20": "validation",
    }
    assert found.read(items["images2/w10_US_18"]).template_captions == ['a golf course, "Old Links"']


def test_several_columns_of_captions(skyscript: Path) -> None:
    columns = {"caption": "title|title_multi_objects"}
    found = reader(skyscript, "caption-csv", columns=columns, captions="SkyScript_*.csv")
    items = by_key(found.items())
    said = captions(found, items["images2/a198234555_CH_19"])
    assert said == ["a satellite image of wastewater plant", "wastewater plant, surrounded by grass"]
    assert captions(found, items["images3/n7_S2_20"]) == ["a lake"], "the same twice counts once"
    assert captions(found, items["images2/w10_US_18"]) == ['a golf course, "Old Links"'], "one may be blank"


def test_columns_by_number_with_or_without_names(tmp_path: Path) -> None:
    put_images(tmp_path, "1.jpg", "2.jpg")
    keys = {"columns": {"image": "0", "caption": "1"}}
    for text in ("1.jpg,A port.\n2.jpg,A field.\n", "img_name,caption\n1.jpg,A port.\n2.jpg,A field.\n"):
        (tmp_path / "rs3_train.csv").write_text(text)
        found = reader(tmp_path, "caption-csv", **keys)
        assert [captions(found, item) for item in found.items()] == [["A port."], ["A field."]]
    with pytest.raises(UsageError, match=r"no column '5' for caption; it has 0, 1"):
        list(reader(tmp_path, "caption-csv", columns={"image": "0", "caption": "5"}).items())


def test_rows_of_one_image_are_put_together_and_labels_and_splits_read(tmp_path: Path) -> None:
    put_images(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "all.tsv").write_text(
        "\ufefffilename\tsplit\tcaption\tclass\n1.jpg\ttrain\tA port.\tport\n2.jpg\tval\tA field.\tfield\n"
        "1.jpg\ttest\tShips.\tport\n1.jpg\ttrain\ta port\tharbour\n",
        encoding="utf-8",
    )
    found = reader(tmp_path, "caption-csv")
    items = by_key(found.items())
    assert captions(found, items["1"]) == ["A port.", "Ships."]
    assert (items["1"].labels, items["1"].split) == (("port", "harbour"), "test")
    assert (items["2"].labels, items["2"].split) == (("field",), "validation")


def test_only_some_rows(tmp_path: Path) -> None:
    put_images(tmp_path, "1.jpg")
    (tmp_path / "a.csv").write_text("image,text,task\n1.jpg,How many?,vqa\n1.jpg,A port.,caption\n")
    found = reader(tmp_path, "caption-csv", columns={"where": "task:caption|cap"})
    assert [captions(found, item) for item in found.items()] == [["A port."]]
    with pytest.raises(UsageError, match="no column 'kind' for where"):
        list(reader(tmp_path, "caption-csv", columns={"where": "kind:caption"}).items())
    with pytest.raises(UsageError, match="where='caption' is not column:value"):
        list(reader(tmp_path, "caption-csv", columns={"where": "caption"}).items())


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    put_images(tmp_path, "1.jpg")
    (tmp_path / "a.csv").write_text(f"filepath{delimiter}title\n1.jpg{delimiter}A port\n")
    found = reader(tmp_path, "caption-csv")
    assert [captions(found, item) for item in found.items()] == [["A port"]]


def test_every_row_of_no_use_is_counted(tmp_path: Path, ws: Workspace) -> None:
    put_images(tmp_path, *(f"{number}.jpg" for number in range(6)))
    text = "filepath,title\n0.jpg,A port.\n1.jpg,\n2.jpg\n,Of what?\n3.jpg,Many planes, all parked\n\ngone.jpg,Gone.\n"
    (tmp_path / "a.csv").write_bytes(text.encode() + "4.jpg,Ein Café\n".encode("latin-1") + b"0.jpg, \n")
    assert faults(reader(tmp_path, "caption-csv").items()) == {
        "a.csv#1": "empty_caption",
        "a.csv#2": "missing_key",
        "a.csv#3": "missing_key",
        "a.csv#4": "malformed_annotation",
        "a.csv#6": "missing_image",
        "a.csv#7": "bad_encoding",
        "a.csv#8": "empty_caption",
        "5": "missing_annotation",
    }
    rows, refused = build(ws, tmp_path, "caption-csv")
    assert list(rows) == ["0"] and rows["0"]["publisher_captions"] == ["A port."]
    assert refused.total() == 8


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a,b\n1.jpg,A port.\n", "which of a.csv is the image.*first row is a, b; name them, e.g. --columns"),
        (b"image,b\n1.jpg,A port.\n", "which of a.csv is the caption"),
        (b"", "which of a.csv is the image"),
        ("filepath,title\n".encode("utf-16"), "a.csv is UTF-16; convert it"),
        (b'filepath,title\n1.jpg,"A port\n2.jpg,A field', "a.csv is not a table.*a quote that is not closed"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    put_images(tmp_path, "1.jpg")
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(FusionError, match=said):
        list(reader(tmp_path, "caption-csv").items())


def test_a_table_must_be_there(tmp_path: Path) -> None:
    put_images(tmp_path, "1.jpg")
    with pytest.raises(UsageError, match="holds no table, .csv or .tsv"):
        list(reader(tmp_path, "caption-csv").items())


LETTERS = st.characters(exclude_categories=["Cs", "Cc"])
CELLS = st.text(LETTERS, max_size=8) | st.sampled_from(['"', ",", "a,b", 'x"y', "z\nz"])


@settings(max_examples=40)
@given(st.lists(CELLS.filter(lambda text: fold(text) != ""), min_size=1, max_size=5))
def test_what_a_writer_quoted_is_read(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    root = tmp_path_factory.mktemp("csv")
    put_images(root, "1.jpg")
    sink = StringIO()
    csv.writer(sink).writerows([("filepath", "title"), *(("1.jpg", text) for text in texts)])
    (root / "a.csv").write_text(sink.getvalue(), encoding="utf-8", newline="")
    found = reader(root, "caption-csv")
    (item,) = found.items()
    assert captions(found, item) == [" ".join(text.split()) for text in distinct(texts)]


def test_records_of_images_left_out_are_not_missed_nor_given_to_others(tmp_path: Path, ws: Workspace) -> None:
    put_images(tmp_path, "US/a.jpg", "CH/a.jpg", "US/b.jpg", "CH/c.jpg")
    (tmp_path / "t.csv").write_text("filepath,title\nUS/a.jpg,one\nCH/a.jpg,two\nb.jpg,three\nCH/c.jpg,\na.jpg,four\n")
    rows, refused = build(ws, tmp_path, "caption-csv", include="US/*")
    assert {key: row["publisher_captions"] for key, row in rows.items()} == {"US/a": ["one", "four"], "US/b": ["three"]}
    assert refused == {}
