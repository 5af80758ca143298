from pathlib import Path

import pytest

from fusionrs_builder.corpora.annotated_images import lines_of, number
from fusionrs_builder.corpora.reader import Refused
from tests.corpora.reading import by_key, faults, put_images, reader


def put(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_the_nearest_file_of_the_name_is_the_annotation(tmp_path: Path) -> None:
    put_images(tmp_path, "a/images/1.png", "b/images/1.png", "b/images/deep/2.png", "1.png")
    put(tmp_path, "a/labels/1.txt", "b/labels/1.txt", "b/2.txt")
    items = by_key(reader(tmp_path, "dota").items())
    assert {key: item.annotations for key, item in items.items()} == {
        "a/images/1": ("a/labels/1.txt",),
        "b/images/1": ("b/labels/1.txt",),
        "b/images/deep/2": ("b/2.txt",),
        "1": (),  # each of that name is nearer to another image
    }
    assert faults(items.values()) == {"1": "missing_annotation"}


def test_two_views_share_an_annotation(tmp_path: Path) -> None:
    put_images(tmp_path, "visible/train/1.jpg", "infrared/train/1.jpg")
    put(tmp_path, "Annotations/1.xml")
    items = by_key(reader(tmp_path, "voc").items())
    assert {item.annotations for item in items.values()} == {("Annotations/1.xml",)}
    assert set(items) == {"visible/train/1", "infrared/train/1"}


def test_a_template_finds_no_file_outside_the_corpus(tmp_path: Path) -> None:
    put_images(tmp_path / "corpus", "1.png")
    put(tmp_path, "1.txt")
    (item,) = reader(tmp_path / "corpus", "dota", annotations="../{stem}.txt").items()
    assert item.fault == ("missing_annotation", "no ../1.txt for 1.png")


def test_lines_and_numbers() -> None:
    assert list(lines_of("\ufeff a \r\n\r\n b".encode(), "x.txt")) == [("x.txt#0", "a"), ("x.txt#2", "b")]
    assert [number(text, "x") for text in ("1", " -2.5", "1e3")] == [1, -2.5, 1000]
    for text in ("", "a", "nan", "inf", "1,5"):
        with pytest.raises(Refused, match="x#1: .* is no number"):
            number(text, "x#1")
