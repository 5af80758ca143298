import json

import pyarrow as pa
import pytest
from datasets import Features, Image, List, Value

from fusionrs_builder import schema
from fusionrs_builder.release.features import IMAGES, SOURCES, arrow_schema, features
from fusionrs_builder.release.layout import FOLDERS, Config

RELEASED = [column.name for column in schema.COLUMNS if column.release]


def test_every_released_column_has_one_source() -> None:
    found = ["id", "made_from", *(name for names in SOURCES.values() for name in names)]
    assert sorted(found) == sorted(RELEASED)
    assert "ir" in SOURCES["ir"] and "ir" not in SOURCES["rgb"]
    for layer, names in SOURCES.items():
        assert set(names) <= set(schema.arrow_schema(layer).names)


def test_the_texts_are_all_but_the_pictures() -> None:
    assert IMAGES == ("rgb", "ir", "ir16")
    assert list(features("default")) == RELEASED
    assert list(features("text")) == [name for name in RELEASED if name not in IMAGES]


def test_the_types_are_those_that_readers_know() -> None:
    found = features()
    assert [name for name, feature in found.items() if isinstance(feature, Image)] == list(IMAGES)
    assert found["phash"] == Value("uint64")
    assert found["scene_captions"] == List(Value("string"))
    assert found["boxes"] == List(
        {name: Value("string" if name == "label" else "float32") for name in ("label", "x0", "y0", "x1", "y1")}
        | {"polygon": List(Value("float32"))}
    )


@pytest.mark.parametrize("config", FOLDERS)
def test_datasets_finds_its_features_in_the_schema(config: Config) -> None:
    arrow = arrow_schema(config)
    assert Features.from_arrow_schema(arrow) == features(config)
    assert set(json.loads(arrow.metadata[b"huggingface"])["info"]) == {"features"}
    # What is stored is what the layers store: an image is its bytes and a name.
    assert arrow.remove_metadata() == pa.schema([f for f in schema.arrow_schema("release") if f.name in arrow.names])
