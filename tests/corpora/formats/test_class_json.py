import re
from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.workspace import Workspace
from tests.corpora.reading import build, by_key, captions, faults, put_images, put_json, reader


def entry(filename: str, *sentences: Any, split: str = "train") -> dict[str, Any]:
    """A record as dataset_nwpu.json has it."""
    raws = {f"raw_{number}" if number else "raw": raw for number, raw in enumerate(sentences)}
    ids = {f"sentids_{number}" if number else "sentids": number for number in range(5)}
    return {"filename": filename, "imgid": 0, "split": split, **raws, **ids}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put_images(tmp_path / "NWPU_images", "airplane/airplane_001.jpg", "airplane/airplane_111.jpg", "lake/lake_001.jpg")
    put_json(
        tmp_path / "dataset_nwpu.json",
        {
            "airplane": [
                entry("airplane_001.jpg", "A plane.", "a plane", "Two planes.", "A runway.", "Grass."),
                entry("airplane_111.jpg", "One sentence only."),  # published without raw_1 to raw_4
            ],
            "lake": [entry("lake_001.jpg", "A lake.", "Water.", split="val")],
        },
    )
    return tmp_path


def test_classes_splits_and_sentences(root: Path) -> None:
    found = reader(root, "class-json")
    items = by_key(found.items())
    assert {key: (item.labels, item.split) for key, item in items.items()} == {
        "NWPU_images/airplane/airplane_001": (("airplane",), "train"),
        "NWPU_images/airplane/airplane_111": (("airplane",), "train"),
        "NWPU_images/lake/lake_001": (("lake",), "validation"),
    }
    said = captions(found, items["NWPU_images/airplane/airplane_001"])
    assert said == ["A plane.", "Two planes.", "A runway.", "Grass."]


def test_a_record_has_the_sentences_it_has(root: Path) -> None:
    found = reader(root, "class-json")
    assert captions(found, by_key(found.items())["NWPU_images/airplane/airplane_111"]) == ["One sentence only."]


def test_a_name_in_two_classes_is_told_by_its_folder(root: Path) -> None:
    put_images(root / "NWPU_images", "lake/1.jpg", "airplane/1.jpg")
    put_json(root / "dataset_nwpu.json", {"lake": [entry("1.jpg", "Water.")], "airplane": [entry("1.jpg", "A plane.")]})
    found = reader(root, "class-json")
    items = by_key(found.items())
    assert captions(found, items["NWPU_images/lake/1"]) == ["Water."]
    assert captions(found, items["NWPU_images/airplane/1"]) == ["A plane."]


def test_every_record_of_no_use_is_counted(root: Path) -> None:
    nameless = entry("", "A plane.")
    del nameless["filename"]
    records = [
        entry("airplane_001.jpg"),
        entry("airplane_001.jpg", "A plane.", ""),
        entry("airplane_001.jpg", "A plane."),
        entry("airplane_001.jpg", "A plane.", split="test"),
        nameless,
        entry("airplane_999.jpg", "Gone."),
        entry("airplane_111.jpg", "A plane.", 5),
    ]
    put_json(root / "dataset_nwpu.json", {"airplane": records})
    items = by_key(reader(root, "class-json").items())
    assert {re.sub(r".*#", "", key): reason for key, reason in faults(items.values()).items()} == {
        "0": "missing_key",
        "1": "empty_caption",
        "3": "duplicate_filename",
        "4": "missing_key",
        "5": "missing_image",
        "6": "empty_caption",
        "NWPU_images/lake/lake_001": "missing_annotation",
    }


def test_a_whole_corpus(root: Path, ws: Workspace) -> None:
    put_images(root, "NWPU_images/lake/lake_002.jpg")
    rows, refused = build(ws, root, "class-json", captions="*dataset_nwpu.json")
    assert refused == {"missing_annotation": 1}
    assert rows["NWPU_images/lake/lake_001"]["labels"] == ["lake"]
    assert rows["NWPU_images/lake/lake_001"]["publisher_captions"] == ["A lake.", "Water."]


def test_a_file_that_is_broken_is_named(root: Path) -> None:
    text = (root / "dataset_nwpu.json").read_bytes()
    (root / "dataset_nwpu.json").write_bytes(text[:-20])
    with pytest.raises(FusionError, match="dataset_nwpu.json ends in the middle"):
        list(reader(root, "class-json").items())
    (root / "dataset_nwpu.json").write_text('{"images": [{"filename": "a.jpg", "sentences": []}]}')
    with pytest.raises(UsageError, match=r"holds no file that is of the shape \{class.*looked at dataset_nwpu.json"):
        list(reader(root, "class-json").items())
