from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.corpora.item_list import ItemList, cut
from fusionrs_builder.corpora.reader import Item
from fusionrs_builder.errors import FusionError
from fusionrs_builder.settings import BuildSettings
from fusionrs_builder.workspace import Workspace

ITEMS = [Item(f"k{n}", (f"{n}.jpg",), bytes=600_000, window=(0, 0, 4, 4), labels=("a", "b")) for n in range(7)]


def test_shards_are_bounded_in_items_and_bytes() -> None:
    assert [len(part) for part in cut(ITEMS, BuildSettings(shard_mb=1))] == [1] * 7
    assert [len(part) for part in cut(ITEMS, BuildSettings(shard_records=3))] == [3, 3, 1]


@given(st.permutations(ITEMS))
def test_items_come_back_whole_and_in_order(items: list[Item]) -> None:
    made = ItemList.of(items, "key", BuildSettings(shard_records=3))
    assert [item for number in range(made.shards) for item in made.shard(number)] == ITEMS


def test_a_second_item_of_a_key_is_a_fault() -> None:
    again = Item("k1", ("z.jpg",))
    made = ItemList.of([again, *ITEMS], "key", BuildSettings(), limit=4)
    faults = {item.files: item.fault for item in made.shard(0)}
    assert faults == {
        ("0.jpg",): None,
        ("1.jpg",): None,
        ("z.jpg",): ("duplicate_key", "k1 is already taken by 1.jpg"),
        ("2.jpg",): None,
    }


def test_an_item_found_unusable_takes_no_key_from_a_sound_one() -> None:
    faulty = Item("k1", ("a.jpg",), fault=("missing_label", "a.jpg lies in no class folder"))
    made = ItemList.of([faulty, *ITEMS], "key", BuildSettings(), limit=3)
    faults = {item.files: item.fault for item in made.shard(0)}
    assert faults == {("0.jpg",): None, ("a.jpg",): faulty.fault, ("1.jpg",): None}


def test_a_kept_list_is_known_by_its_key(ws: Workspace) -> None:
    ItemList.of(ITEMS, "key", BuildSettings()).keep(ws, "raw/c/items.parquet")
    assert ItemList.key_of(ws, "raw/c/items.parquet") == "key"
    assert ItemList.kept(ws, "raw/c/items.parquet", 0) == ITEMS
    assert ItemList.key_of(ws, "raw/other/items.parquet") is None
    Path(ws.path("raw/c/items.parquet")).write_bytes(b"PAR1")
    assert ItemList.key_of(ws, "raw/c/items.parquet") is None
    with pytest.raises(FusionError, match="delete it and run again"):
        ItemList.kept(ws, "raw/c/items.parquet", 0)


def test_a_name_that_no_file_of_ours_can_hold_is_a_fault() -> None:
    (item,) = ItemList.of([Item("A/b\udcff", ("A/b\udcff.png",), bytes=7)], "key", BuildSettings()).shard(0)
    assert (item.key, item.files, item.bytes) == ("A/b\\udcff", (), 7)
    assert item.fault
    assert item.fault[0] == "bad_name"
    assert "A/b\\udcff" in item.fault[1]
    told = Item("k", fault=("missing_image", "no image \ud800"))
    assert ItemList.of([told], "key", BuildSettings()).shard(0)[0].fault == ("missing_image", "no image \\ud800")
