import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionrs_builder.corpora import json_stream
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.errors import FusionError
from tests.corpora.reading import peak

GOOD = '[{"a": "Größe", "n": 1.5}, {"a": "b"}]'


@pytest.mark.parametrize(
    "data", [GOOD.encode(), GOOD.encode("utf-8-sig"), b"\n " + GOOD.encode(), json.dumps(json.loads(GOOD)).encode()]
)
def test_records_come_one_by_one(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.json").write_bytes(data)
    assert list(json_stream.records(tmp_path / "a.json", "a.json")) == json.loads(GOOD)
    assert json_stream.opens_with(tmp_path / "a.json", "a.json") == "["


def test_a_record_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n{"a": 2}\n')
    assert list(json_stream.records(tmp_path / "a.jsonl", "a.jsonl")) == [{"a": 1}, {"a": 2}]


def test_the_list_under_a_key(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"dataset": "x", "images": [{"a": [1, {"b": 2}]}], "images2": [3]}')
    assert list(json_stream.records(tmp_path / "a.json", "a.json", "images.item")) == [{"a": [1, {"b": 2}]}]


VALUES = st.text(max_size=3) | st.lists(st.integers(0, 9)) | st.dictionaries(st.text(max_size=2), st.booleans())
RECORDS = st.dictionaries(st.text(max_size=4), st.lists(st.dictionaries(st.text(max_size=3), VALUES)), max_size=4)


@settings(max_examples=40)
@given(RECORDS)
def test_records_of_every_key(value: dict[str, list[dict[str, object]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        path.write_text(json.dumps({**value, "about": {"a": [{"no": "record"}]}, "version": 1}))
        expected = [(key, record) for key, several in value.items() for record in several]
        assert list(json_stream.records_by_key(path, "a.json")) == expected


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'[{"a": "b"}, {"a"', "a.json ends in the middle.*fetch it again"),
        (b"", "a.json ends in the middle"),
        ('[{"a": "Größe"}]'.encode("latin-1"), "a.json: it is not UTF-8; convert it, e.g. iconv"),
        (GOOD.encode("utf-16"), "a.json: it is UTF-16; convert it"),
        (b'[{"a": NaN}]', "a.json is not valid JSON .*NaN"),
        (b"<html>not found</html>", "a.json is not valid JSON"),
        (b'[{"a": 1},]', "a.json is not valid JSON"),
    ],
)
def test_a_bad_file_is_named_with_what_to_do(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(FusionError, match=said):
        list(json_stream.records(tmp_path / "a.json", "a.json"))
    with pytest.raises(FusionError, match=said):
        list(json_stream.records_by_key(tmp_path / "a.json", "a.json"))
    with pytest.raises(Refused, match="malformed_annotation: a.json"):
        json_stream.whole(tmp_path / "a.json", "a.json")


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=re.escape("a.json cannot be read: No such file")):
        list(json_stream.records(tmp_path / "a.json", "a.json"))


def test_what_no_stack_holds(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(Refused, match="malformed_annotation"):
        json_stream.whole(tmp_path / "a.json", "a.json")


@pytest.mark.parametrize("start", ['{"images": ', '{"images": [{"a": '])
def test_a_bomb_of_lists_is_named_before_it_fills_the_memory(tmp_path: Path, start: str) -> None:
    (tmp_path / "a.json").write_text(start + "[" * 20_000)
    for read in (lambda *file: json_stream.records(*file, "images.item"), json_stream.records_by_key):
        with peak(5e6), pytest.raises(FusionError, match="a.json: lists or objects lie more than 64 deep"):
            list(read(tmp_path / "a.json", "a.json"))
