from collections.abc import Callable
from pathlib import Path

import pytest

from fusionrs_builder.corpora.formats import reader
from fusionrs_builder.errors import FusionError
from fusionrs_builder.settings import CorpusSettings
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture
from tests.corpora.reading import build, put_images


def test_the_folder_is_the_label(class_folders: Callable[..., Path]) -> None:
    root = class_folders(4)
    (root / "loose.jpg").write_bytes(encoded(picture(9), "JPEG"))
    (root / "Forest" / "notes.txt").write_text("no image")
    found = reader(root, CorpusSettings(format="class-folders"), "c")
    items = {item.key: item for item in found.items()}
    assert items["Forest/00001"].labels == ("Forest",)
    assert items["loose"].fault == ("missing_label", "loose.jpg lies in no class folder")
    assert len(items) == 5
    assert found.read(items["River/00000"]).rgb == (root / "River/00000.jpg").read_bytes()


def test_infrared_folders(class_folders: Callable[..., Path]) -> None:
    root = class_folders(1)
    found = reader(root, CorpusSettings(format="class-folders", modality="ir", band="mwir", sensor="cam"), "c")
    sample = found.read(next(found.items()))
    assert (sample.rgb, sample.band, sample.source) == (None, "mwir", "cam mwir")


def test_include_chooses_files(class_folders: Callable[..., Path]) -> None:
    root = class_folders(4)
    keys = [i.key for i in reader(root, CorpusSettings(format="class-folders", include="Forest/*"), "c").items()]
    assert keys == ["Forest/00001", "Forest/00003"]


def test_large_images_are_tiled(class_folders: Callable[..., Path]) -> None:
    root = class_folders(1, size=(100, 70))
    keys = [i.key for i in reader(root, CorpusSettings(format="class-folders", tile=32), "c").items()]
    assert keys == [f"River/00000_x{x:05d}_y{y:05d}" for y in (0, 32) for x in (0, 32, 64)]


def test_the_real_eurosat_sample(samples: Path) -> None:
    root = samples / "s2-eotdl/tutorials/notebooks/example_data/EuroSAT-RGB-small"
    items = list(reader(root, CorpusSettings(format="class-folders"), "c").items())
    assert len(items) == 100
    assert len({item.labels for item in items}) == 10


def test_the_nearest_of_nested_folders_is_the_class(tmp_path: Path) -> None:
    put_images(tmp_path, "train/agriculture_land/arable_land/dry_field/P1.jpg", "train/commercial_land/P2.jpg")
    found = reader(tmp_path, CorpusSettings(format="class-folders", split_pattern="^(?P<split>train|val)/"), "c")
    assert {item.key.rpartition("/")[2]: (item.labels, item.split) for item in found.items()} == {
        "P1": (("dry_field",), "train"),
        "P2": (("commercial_land",), "train"),
    }


def test_a_class_by_a_pattern(tmp_path: Path) -> None:
    put_images(tmp_path, "Images/airport_1.jpg", "Images/1.jpg")
    found = reader(tmp_path, CorpusSettings(format="class-folders", label_pattern=r"(?P<label>[a-z]+)_\d+\.jpg$"), "c")
    items = {item.key: item for item in found.items()}
    assert items["Images/airport_1"].labels == ("airport",)
    assert items["Images/1"].fault == ("missing_label", "label_pattern finds no label in Images/1.jpg")


def test_lists_tell_the_split_and_what_they_lack_or_have_too_much(tmp_path: Path, ws: Workspace) -> None:
    put_images(tmp_path, "Images/beach/beach00.tif", "Images/beach/beach01.tif", "Images/river/river07.tif")
    (tmp_path / "train.txt").write_text("beach00.tif\nbeach99.tif\n")
    (tmp_path / "test.txt").write_text("river07.jpg\r\n")
    rows, refused = build(ws, tmp_path, "class-folders", splits={"train": "train.txt", "test": "test.txt"})
    assert {key: (row["corpus_split"], row["labels"]) for key, row in rows.items()} == {
        "Images/beach/beach00": ("train", ["beach"]),
        "Images/beach/beach01": (None, ["beach"]),
        "Images/river/river07": ("test", ["river"]),
    }
    assert refused == {"missing_image": 1}


def test_a_name_in_two_classes_is_told_by_its_folder_only(tmp_path: Path) -> None:
    put_images(tmp_path, "beach/1.jpg", "river/1.jpg")
    found = reader(tmp_path, CorpusSettings(format="class-folders", splits={"train": "train.txt"}), "c")
    (tmp_path / "train.txt").write_text("river/1.jpg\n")
    assert {item.labels: item.split for item in found.items()} == {("beach",): "", ("river",): "train"}
    (tmp_path / "train.txt").write_text("1.jpg\n")
    with pytest.raises(FusionError, match=r"1.jpg of train.txt#0 may be river/1.jpg or another image"):
        list(found.items())
    (tmp_path / "train.txt").unlink()
    with pytest.raises(FusionError, match=r"train.txt cannot be read"):
        list(found.items())
