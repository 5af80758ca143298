import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder import schema
from fusionrs_builder.errors import FusionError
from fusionrs_builder.release import record_files
from fusionrs_builder.release.features import IMAGES


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_key_is_a_safe_name_and_one_to_one(one: str, other: str) -> None:
    found = record_files.key(one)
    assert re.fullmatch(record_files.KEY, found)
    assert len(found) <= 77 and found.isascii() and "." not in found
    assert (found == record_files.key(other)) == (one == other)


def test_a_key_is_stable_and_can_be_read() -> None:
    assert record_files.key("eurosat/Forest/1.tif") == "eurosat_Forest_1_tif-9265b41027e79192"


def test_extensions_come_from_the_bytes() -> None:
    starts = {"jpg": b"\xff\xd8\xff\xe0", "png": b"\x89PNG\r\n", "webp": b"RIFF....WEBP"}
    assert {name: record_files.extension(start, "a", "rgb") for name, start in starts.items()} == {n: n for n in starts}
    with pytest.raises(FusionError, match="ir of corpus/1 is neither JPEG, PNG nor WebP"):
        record_files.extension(b"II*\x00", "corpus/1", "ir")


def test_plain_columns_fit_their_schema() -> None:
    arrow = schema.arrow_schema("release")
    row = dict.fromkeys(arrow.names) | {"id": "a/1", "phash": 2**64 - 1, "ir_phash": 10, "labels": []}
    found = record_files.plain(row, arrow)
    assert not set(found) & set(IMAGES)
    assert (found["phash"], found["ir_phash"], found["labels"]) == ("f" * 16, "000000000000000a", [])
    assert record_files.plain(row | {"phash": None}, arrow)["phash"] is None
    table = pa.Table.from_pylist([found], schema=record_files.plain_schema(arrow))
    assert table.to_pylist() == [found]
