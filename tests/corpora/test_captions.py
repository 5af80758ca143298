from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.corpora import captions
from fusionrs_builder.corpora.image_index import ImageIndex
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.errors import UsageError
from tests.corpora.reading import put_images, reader

SENTENCES = st.lists(st.sampled_from(["Two planes.", "two planes", "Two  planes !", "Ein Fluß", "Ein Fluss", "a", "b"]))


@given(SENTENCES)
def test_equal_sentences_count_once_and_the_first_stands(sentences: list[str]) -> None:
    kept = captions.distinct(sentences)
    folded = [captions.fold(sentence) for sentence in sentences]
    assert [captions.fold(sentence) for sentence in kept] == list(dict.fromkeys(folded))
    assert all(sentences[folded.index(captions.fold(sentence))] == sentence for sentence in kept)
    assert captions.distinct(kept) == kept


def test_folding_keeps_words_of_every_script() -> None:
    assert captions.fold(" Many  Planes, parked!") == "many planes parked"
    assert captions.fold("机场上有飞机。") == "机场上有飞机"
    assert captions.fold(" . ") == ""


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty_caption"),
        ([], "empty_caption"),
        ("", "empty_caption"),
        (" .", "empty_caption"),
        (["a field", ""], "empty_caption"),
        (["a field", None], "empty_caption"),
        (float("nan"), "empty_caption"),
        ("caf\udce9", "bad_encoding"),
    ],
)
def test_what_is_no_caption_is_refused(value: object, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        captions.checked(value)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("json/ChatEarthNet_caps_35_train.json", "train"),
        ("ChatEarthNet_caps_4v_val.json", "validation"),
        ("SkyScript_test_30K_filtered_by_CLIP_openai.csv", "test"),
        ("data/train-00000-of-00002.parquet", "train"),
        ("Annotations_val/P0000_1.json", "validation"),
        ("train/test.json", "test"),
        ("train_val.json", ""),
        ("constraint.json", ""),
        ("dataset.json", ""),
    ],
)
def test_the_split_is_a_word_of_the_name(path: str, split: str) -> None:
    assert captions.split_in(path) == split


def test_an_image_of_two_splits_is_kept_from_training() -> None:
    assert captions.strictest(["train", "test", "val"]) == "test"
    assert captions.strictest(["train", "", "val"]) == "validation"
    assert captions.strictest(["train", "bench"]) == "bench"
    assert captions.strictest([]) == ""


PATHS = ["a/1.jpg", "a/2.tif", "b/1.jpg", "train/A/3.png", "train/B/3.png", "S2_10.5_x.png", "4.jpg", "4.png"]


@pytest.mark.parametrize(
    ("named", "path"),
    [
        ("2.tif", "a/2.tif"),
        ("2", "a/2.tif"),
        ("b/1.jpg", "b/1.jpg"),
        ("/home/author/b/1.jpg", "b/1.jpg"),
        ("..\\a\\1.jpg", "a/1.jpg"),
        ("A/train/3.png", "train/A/3.png"),
        ("S2_10.5_x", "S2_10.5_x.png"),
        ("4.png", "4.png"),
        ("1.jpg", "ambiguous_image"),
        ("train/3.png", "ambiguous_image"),
        ("4", "ambiguous_image"),
        ("2.jpg", "missing_image"),
        ("../../etc/passwd", "missing_image"),
        ("", "missing_image"),
    ],
)
def test_an_image_is_found_by_its_name(named: str, path: str) -> None:
    with ImageIndex(PATHS) as index:
        if path in PATHS:
            assert index.find(named) == path
        else:
            with pytest.raises(Refused) as caught:
                index.find(named)
            assert caught.value.reason == path


@pytest.mark.parametrize(
    "format", ["karpathy", "class-json", "caption-json", "caption-csv", "conversations", "parquet", "webdataset"]
)
def test_captions_of_a_scene_are_not_given_to_its_tiles(tmp_path: Path, format: str) -> None:
    put_images(tmp_path, "a.jpg")
    with pytest.raises(UsageError, match=f"tile: captions describe a whole image.*{format}"):
        reader(tmp_path, format, tile=32)
