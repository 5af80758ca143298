import json
from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.workspace import Workspace
from tests.corpora.reading import build, by_key, captions, faults, peak, put_images, put_json, reader


def entry(filename: str, *sentences: str, split: str = "train", **more: Any) -> dict[str, Any]:
    """One of `images`, as dataset_rsicd.json has it."""
    said = [
        {"tokens": raw.lower().split(), "raw": raw, "imgid": 0, "sentid": number}
        for number, raw in enumerate(sentences)
    ]
    return {"filename": filename, "imgid": 0, "split": split, "sentids": [0], "sentences": said, **more}


def dataset(root: Path, *entries: Any, name: str = "dataset_rsicd.json") -> None:
    put_json(root / name, {"images": list(entries), "dataset": "rsicd"})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put_images(tmp_path / "RSICD_images", "airport_1.jpg", "00623.jpg", "beach_7.jpg")
    dataset(
        tmp_path,
        entry("airport_1.jpg", "Many planes are parked .", "many planes are parked.", "Two runways.", "Two runways ."),
        entry("00623.jpg", "A meadow.", split="val"),
        entry("beach_7.jpg", "A beach.", split="test"),
    )
    return tmp_path


def test_images_are_found_and_repeated_sentences_count_once(root: Path) -> None:
    found = reader(root, "karpathy")
    items = by_key(found.items())
    assert {key: item.split for key, item in items.items()} == {
        "RSICD_images/airport_1": "train",
        "RSICD_images/00623": "validation",
        "RSICD_images/beach_7": "test",
    }
    assert captions(found, items["RSICD_images/airport_1"]) == ["Many planes are parked .", "Two runways."]
    assert found.read(items["RSICD_images/00623"]).rgb == (root / "RSICD_images/00623.jpg").read_bytes()


def test_whoever_wrote_them_is_kept_apart(root: Path) -> None:
    found = reader(root, "karpathy", caption_origin="model")
    sample = found.read(by_key(found.items())["RSICD_images/00623"])
    assert (sample.captions, sample.model_captions) == ([], ["A meadow."])


def test_every_record_of_no_use_is_counted(root: Path) -> None:
    put_images(root / "RSICD_images", "port_1.jpg", "port_2.jpg", "port_3.jpg", "port_4.jpg")
    good = json.loads((root / "dataset_rsicd.json").read_text())["images"]
    no_raw = entry("port_3.jpg", "A port.")
    del no_raw["sentences"][0]["raw"]
    dataset(
        root,
        *good,
        entry("airport_1.jpg", "Another thing.", split="test"),  # 3
        entry("port_1.jpg", "A port.", " "),  # 4
        entry("port_2.jpg"),  # 5
        no_raw,  # 6
        {"imgid": 7, "split": "train", "sentences": [{"raw": "What?"}]},  # 7
        {"filename": "port_4.jpg", "split": "train"},  # 8
        entry("gone.jpg", "Gone."),  # 9
        "text",  # 10
        entry("", "No name."),  # 11
        entry("gone_too.jpg"),  # 12
    )
    put_images(root, "unnamed/extra.tif")
    items = by_key(reader(root, "karpathy").items())
    place = "dataset_rsicd.json#"
    assert faults(items.values()) == {
        f"{place}3": "duplicate_filename",
        f"{place}4": "empty_caption",
        f"{place}5": "empty_caption",
        f"{place}6": "missing_key",
        f"{place}7": "missing_key",
        f"{place}8": "missing_key",
        f"{place}9": "missing_image",
        f"{place}10": "missing_key",
        f"{place}11": "missing_key",
        f"{place}12": "empty_caption",
        "unnamed/extra": "missing_annotation",
    }
    assert items[f"{place}3"].files == ("RSICD_images/airport_1.jpg",)
    assert items["RSICD_images/airport_1"].split == "test", "named in train and in test: never trained on"


def test_a_whole_corpus(root: Path, ws: Workspace) -> None:
    put_images(root, "RSICD_images/extra.jpg")
    rows, refused = build(ws, root, "karpathy", captions="dataset_*.json")
    assert refused == {"missing_annotation": 1}
    assert rows["RSICD_images/airport_1"]["publisher_captions"] == ["Many planes are parked .", "Two runways."]
    assert rows["RSICD_images/beach_7"]["corpus_split"] == "test"


def test_a_byte_order_mark_is_no_fault(root: Path) -> None:
    path = root / "dataset_rsicd.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(by_key(reader(root, "karpathy").items())) == 3


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"images": [{"filename": "a.jpg", "sentences": [{"raw": "a"}]}, {"filena', "ends in the middle"),
        ('{"images": [{"filename": "ä.jpg", "sentences": []}]}'.encode("latin-1"), "not UTF-8"),
        (b'{"images": [{"filename": "a.jpg", "sentences": NaN}]}', "not valid JSON"),
    ],
)
def test_a_file_that_is_broken_is_named(root: Path, data: bytes, said: str) -> None:
    (root / "dataset_rsicd.json").write_bytes(data)
    with pytest.raises(FusionError, match=f"dataset_rsicd.json.*{said}"):
        list(reader(root, "karpathy").items())


def test_which_file_must_be_clear(root: Path) -> None:
    put_json(root / "info.json", {"about": "nothing"})
    put_json(root / "boxes.json", {"images": [{"file_name": "a.jpg"}], "annotations": []})
    assert len(by_key(reader(root, "karpathy").items())) == 3, "other JSON is not taken for captions"
    dataset(root, entry("airport_1.jpg", "Other words."), name="dataset_other.json")
    with pytest.raises(UsageError, match="which of dataset_other.json, dataset_rsicd.json"):
        list(reader(root, "karpathy").items())
    assert len(faults(reader(root, "karpathy", captions="dataset_rsicd.json").items())) == 0
    with pytest.raises(UsageError, match="info.json is not of the shape"):
        list(reader(root, "karpathy", captions="info.json").items())
    with pytest.raises(UsageError, match="holds no file .* looked at boxes.json"):
        list(reader(root, "karpathy", captions="*none*.json").items())


def test_two_images_of_one_name(tmp_path: Path) -> None:
    put_images(tmp_path, "train/1.png", "test/1.png", "a/2.png", "b/2.png")
    dataset(
        tmp_path,
        entry("1.png", "Train.", filepath="train"),
        entry("1.png", "Test.", split="test", filepath="test"),
        entry("2.png", "Which?"),
    )
    found = reader(tmp_path, "karpathy")
    items = by_key(found.items())
    assert captions(found, items["train/1"]) == ["Train."]
    assert captions(found, items["test/1"]) == ["Test."]
    assert faults(items.values()) == {
        "dataset_rsicd.json#2": "ambiguous_image",
        "a/2": "missing_annotation",
        "b/2": "missing_annotation",
    }
    (said,) = [item.fault[1] for item in items.values() if item.fault and item.fault[0] == "ambiguous_image"]
    assert "2.png may be a/2.png or b/2.png; leave one out" in said


def test_captions_of_a_change_are_given_to_neither_image(tmp_path: Path) -> None:
    put_images(tmp_path, "images/train/A/train_1.png", "images/train/B/train_1.png")
    changed = entry("train_1.png", " a house appears .", filepath="train", changeflag=1)
    dataset(tmp_path, changed, name="LevirCCcaptions.json")
    with pytest.raises(UsageError, match="LevirCCcaptions.json tells what changed between two images"):
        list(reader(tmp_path, "karpathy").items())


def test_memory_does_not_grow_with_the_records(tmp_path: Path) -> None:
    count = 60_000
    put_images(tmp_path, "images/0.jpg")
    for number in range(1, 200):
        (tmp_path / f"images/{number}.jpg").touch()
    with (tmp_path / "dataset.json").open("w") as handle:
        handle.write('{"images": [')
        for number in range(count):
            text = f'{{"filename": "{number}.jpg", "split": "train", "sentences": [{{"raw": "Sentence {number}."}}]}}'
            handle.write(("," if number else "") + text)
        handle.write('], "dataset": "x"}')
    found = reader(tmp_path, "karpathy")
    next(found.items())  # what is imported at first use is not counted
    with peak(4e6):
        assert sum(1 for _ in found.items()) == count, "200 records, and 59,800 refused"
