from collections.abc import Callable
from pathlib import Path

from fusionrs_builder.config import CorpusSettings
from fusionrs_builder.corpora.formats import reader
from tests.conftest import encoded, picture


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
