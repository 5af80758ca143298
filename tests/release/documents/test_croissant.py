import hashlib
import json
import logging
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rdflib

from fusionrs_builder import pixels, schema
from fusionrs_builder.release import sums
from fusionrs_builder.release.documents import croissant, datasheet, facts, notice
from fusionrs_builder.release.documents.datasheet import Publisher
from fusionrs_builder.release.layout import FOLDERS, SPLITS
from fusionrs_builder.workspace import Workspace

from ..conftest import picture, record
from .test_notice import EVIL, FOLDER, LAYER, released, three

DATED = Publisher(published="2026-11-20")

Records = dict[str, list[dict[str, Any]]]
Json = dict[str, Any]


def described(workspace: Workspace, records: Records, publisher: Publisher = DATED, title: str = "FusionRS") -> Path:
    """Write a release and its description. Returns the place of the latter."""
    shards = released(workspace, records)
    counted, holdings, composition = (module.gather(workspace, LAYER, shards) for module in (facts, notice, datasheet))
    files = [
        sums.hashed(workspace, FOLDER, path) for path in sums.paths(workspace, FOLDER) if path.endswith(".parquet")
    ]
    found = croissant.croissant(title, counted, holdings, composition, publisher, files)
    workspace.write_json(f"{FOLDER}/{croissant.NAME}", found)
    return Path(workspace.path(FOLDER, croissant.NAME))


def rich() -> Records:
    """A record with everything, one with nothing but infrared, one whose pixels are kept back; two splits."""
    sixteen = {"bytes": pixels.encode_png(picture("16", 8, 1).astype(np.uint16) * 257), "path": "a-16.png"}
    full = record(
        "full",
        ir16=sixteen,
        ir_origin="measured",
        ir_band="nir",
        ir_quality={"edge_agreement": 0.5, "saturation": None, "entropy": 7.0, "polarity": None},
        scene_captions=["a ship", "Schiffe, größer"],
        labels=["ship", "harbour"],
        boxes=[
            {"label": "ship", "x0": 1.0, "y0": 2.0, "x1": 3.0, "y1": 4.0, "polygon": [1.0, 2.0, 3.0, 4.0]},
            {"label": None, "x0": 0.0, "y0": 0.0, "x1": 9.0, "y1": 9.0, "polygon": []},
        ],
        crs="EPSG:32614",
        bbox=[-97.75, 30.25, -97.7, 30.3],
        gsd_m=0.5,
        acquired="2022-06-01T10:00:00Z",
        stretch=[{"band": "nir", "low": 0.0, "high": 1.0, "scale": 1.0, "offset": 0.0}],
        source_url="https://x.org/set",
        source_revision="v2",
        ir_phash=2**63 + 1,
    )
    infrared = record("infrared", "test", rgb=None, labels=[], boxes=[], stretch=[], ir_phash=5)
    kept_back = record("back", rgb=None, ir=None, redistributable=False, boxes=[], stretch=[], ir_phash=7)
    return {"a": [full, kept_back], "b": [infrared]}


def records(place: Path, record_set: str, **filters: str) -> list[Json]:
    return list(mlcroissant.Dataset(place).records(record_set, filters=filters or None))


def rows(place: Path, folder: str) -> dict[str, Json]:
    files = sorted((place.parent / folder).iterdir())
    return {row["id"]: row for file in files for row in pq.read_table(file).to_pylist()}


def plainly(value: Any, name: str = "") -> Any:
    """What mlcroissant yields, as Parquet has it: names without their record set, text, pixels of pictures."""
    if isinstance(value, dict):
        return {key.rsplit("/", 1)[-1]: plainly(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [plainly(each, name) for each in value]
    if isinstance(value, bytes):
        return value.decode()
    return np.asarray(value).tolist() if hasattr(value, "getpixel") else value


def as_read(row: Json) -> Json:
    """A row of Parquet: pixels for pictures, and a struct that is null is one of nulls."""
    quality = dict.fromkeys(("edge_agreement", "saturation", "entropy", "polarity"))
    made_from = dict.fromkeys(("shard", "rgb", "ir"))
    row = {**row, "ir_quality": row["ir_quality"] or quality, "made_from": row["made_from"] or made_from}
    for name in {"rgb", "ir", "ir16"} & row.keys():
        row[name] = row[name] and np.asarray(pixels.decode(row[name]["bytes"])).tolist()
    return row


@pytest.mark.parametrize("make", [three, rich])
def test_it_is_valid_without_a_warning(workspace: Workspace, make: Any, caplog: pytest.LogCaptureFixture) -> None:
    place = described(workspace, make())
    with caplog.at_level(logging.WARNING):
        issues = mlcroissant.Dataset(place).metadata.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    assert not caplog.records


def test_the_command_validates_it(workspace: Workspace) -> None:
    place = described(workspace, rich())
    program = "import sys; from mlcroissant.scripts.cli import main; main()"
    command = [sys.executable, "-c", program, "validate", "--jsonld", str(place)]
    good = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (good.returncode, "Done." in good.stderr) == (0, True), good.stderr
    place.write_text(place.read_text().replace('"cr:FileSet"', '"cr:Fileset"'))
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("config", ["default", "text"])
def test_every_row_is_read_as_it_is(workspace: Workspace, config: str) -> None:
    place = described(workspace, rich())
    expected = rows(place, FOLDERS[config])
    assert len(expected) == 3
    found = {row["id"]: row for row in map(plainly, records(place, config))}
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert found[key] == as_read(row), key
    if config == "default":
        assert (found["a/back"]["rgb"], found["a/back"]["ir"], found["b/infrared"]["rgb"]) == (None, None, None)
        assert np.max(found["a/full"]["ir16"]) > 255
    else:
        assert not {"rgb", "ir", "ir16"} & found["a/full"].keys()


@pytest.mark.parametrize("config", ["default", "text"])
def test_one_split_reads_only_its_files(workspace: Workspace, config: str, caplog: pytest.LogCaptureFixture) -> None:
    place = described(workspace, rich())
    for file in (place.parent / FOLDERS[config]).glob("train-*"):
        file.write_bytes(b"not read")
    with caplog.at_level(logging.WARNING):
        (found,) = records(place, config, **{f"{config}/split": "test"})
    assert (found[f"{config}/id"], found[f"{config}/split"]) == (b"b/infrared", b"test")
    assert not caplog.records


def test_what_the_library_does_not_do(workspace: Workspace) -> None:
    """The limits that the module tells of; where one is gone, the text is to follow."""
    rows = [record("a", boxes=None, ir_phash=2**63 + 1), record("b", ir_phash=None)]
    found = {row["id"]: row for row in map(plainly, records(described(workspace, {"x": rows}), "default"))}
    assert found["x/a"]["boxes"] == [dict.fromkeys(("label", "x0", "y0", "x1", "y1", "polygon"))]
    assert found["x/a"]["ir_phash"] == 2**63
    assert found["x/a"]["phash"] == 2**64 - 1
    description = json.loads(described(workspace, {"x": rows}).read_text())
    for field in description["recordSet"][1]["field"]:
        if field["name"] == "split":
            field["references"] = {"@id": "splits/name"}
    with pytest.raises(AttributeError):
        mlcroissant.Dataset(description)


def test_every_column_is_a_field(workspace: Workspace) -> None:
    found = json.loads(described(workspace, three()).read_text())
    sets = {each["@id"]: {field["name"]: field for field in each["field"]} for each in found["recordSet"]}
    names = [column.name for column in schema.COLUMNS if column.release]
    assert list(sets["default"]) == names
    assert list(sets["text"]) == [name for name in names if name not in ("rgb", "ir", "ir16")]
    for column in schema.COLUMNS:
        field = sets["default"].get(column.name, {})
        if field:
            assert field.get("isArray", False) is pa.types.is_list(column.type)
            assert ("subField" in field) is (
                pa.types.is_struct(getattr(column.type, "value_type", column.type)) and (column.type != schema.IMAGE)
            )
    assert sets["default"]["rgb"]["dataType"] == "sc:ImageObject"
    assert [field["name"] for field in sets["default"]["boxes"]["subField"]] == [f.name for f in schema.BOX]


def test_files_are_told_with_size_and_hash(workspace: Workspace) -> None:
    place = described(workspace, rich())
    found = json.loads(place.read_text())
    told = {each["@id"]: each for each in found["distribution"] if each["@type"] == "cr:FileObject"}
    standing = {
        f"{folder}/{split}-00000-of-00001.parquet" for folder in ("data", "text") for split in ("train", "test")
    }
    assert told.keys() == standing
    for path, each in told.items():
        content = (place.parent / path).read_bytes()
        assert (each["contentUrl"], each["contentSize"]) == (path, f"{len(content)} B")
        assert each["sha256"] == hashlib.sha256(content).hexdigest()


def test_same_files_same_bytes_and_other_files_another_version(workspace: Workspace) -> None:
    first = described(workspace, rich()).read_bytes()
    assert described(workspace, rich()).read_bytes() == first
    other = rich()
    other["a"][0]["labels"] = ["boat"]
    versions = [json.loads(text)["version"] for text in (first, described(workspace, other).read_bytes())]
    assert versions[0] != versions[1]
    assert all(version.startswith("1.0.0+") for version in versions)


def test_place_and_time_in_the_words_of_geocroissant(workspace: Workspace) -> None:
    graph = rdflib.Graph().parse(data=described(workspace, rich()).read_text(), format="json-ld")
    geo, sc = rdflib.Namespace("http://mlcommons.org/croissant/geo/"), rdflib.Namespace("https://schema.org/")
    dataset = graph.value(predicate=rdflib.RDF.type, object=sc.Dataset)
    assert str(graph.value(dataset, geo.coordinateReferenceSystem)) == "EPSG:4326"
    resolution = graph.value(dataset, geo.spatialResolution)
    assert (graph.value(resolution, sc.value).toPython(), str(graph.value(resolution, sc.unitText))) == (0.5, "m")
    shape = graph.value(graph.value(dataset, sc.spatialCoverage), sc.geo)
    assert str(graph.value(shape, sc.box)) == "30.25 -97.75 30.3 -97.7"
    assert str(graph.value(dataset, sc.temporalCoverage)) == "2022-06-01"
    assert {int(n) for n in graph.objects(None, geo.totalBands)} == {1, 3}
    conforms = {str(each) for each in graph.objects(dataset, rdflib.DCTERMS.conformsTo)}
    assert conforms == {croissant.CROISSANT, croissant.RAI, croissant.GEO}
    assert {str(name) for name in graph.objects(None, geo.bandNameList)} == {"red", "green", "blue", "infrared"}


def test_every_word_is_one_of_a_vocabulary(workspace: Workspace) -> None:
    """A name that the context misses, or sends elsewhere, is lost to whoever reads the vocabulary."""
    graph = rdflib.Graph().parse(data=described(workspace, rich()).read_text(), format="json-ld")
    words: dict[str, set[str]] = defaultdict(set)
    for vocabulary, word in (str(predicate).rsplit("/", 1) for predicate in graph.predicates()):
        words[vocabulary].add(word)
    croissant_words = {"arrayShape", "citeAs", "column", "data", "dataType", "equivalentProperty", "extract", "field"}
    croissant_words |= {"fileProperty", "fileSet", "includes", "isArray", "isLiveDataset", "jsonPath", "key"}
    croissant_words |= {"recordSet", "references", "regex", "source", "subField", "transform"}
    assert words["http://mlcommons.org/croissant"] == croissant_words
    assert words["https://schema.org"] >= {"value", "unitText", "box", "geo", "contentSize", "sha256", "license"}
    assert words["http://mlcommons.org/croissant/geo"] == {
        *("coordinateReferenceSystem", "spatialResolution", "bandConfiguration", "totalBands", "bandNameList"),
    }


def test_a_range_of_resolutions_and_no_place(workspace: Workspace) -> None:
    rows = [record("a", gsd_m=0.3), record("b", gsd_m=10.0)]
    found = json.loads(described(workspace, {"x": rows}).read_text())
    resolution = found["geocr:spatialResolution"]
    assert (resolution["minValue"], resolution["maxValue"]) == (0.3, 10.0)
    assert not {"spatialCoverage", "temporalCoverage", "geocr:coordinateReferenceSystem"} & found.keys()
    nowhere = json.loads(described(workspace, {"x": [record("a", acquired="2020")]}).read_text())
    assert nowhere["temporalCoverage"] == "2020"
    assert nowhere["conformsTo"] == [croissant.CROISSANT, croissant.RAI]
    assert "geocr:spatialResolution" not in nowhere


@pytest.mark.parametrize(
    ("bands", "name"), [(["nir", "nir"], "nir"), (["nir", None], "infrared"), ([None], "infrared")]
)
def test_the_infrared_band_is_named_where_all_have_the_same(workspace: Workspace, bands: list[str], name: str) -> None:
    rows = [record(str(number), ir_band=band) for number, band in enumerate(bands)]
    found = json.loads(described(workspace, {"x": rows}).read_text())
    fields = {field["name"]: field for field in found["recordSet"][1]["field"]}
    assert fields["ir"]["geocr:bandConfiguration"]["geocr:bandNameList"] == [name]


def test_terms_sources_and_who_wrote(workspace: Workspace) -> None:
    found = json.loads(
        described(workspace, three(), Publisher(creators=("Ann", "Bob"), maintenance="yearly")).read_text()
    )
    assert [(each["name"], each.get("url")) for each in found["license"]] == [
        ("CC-BY-4.0", None),
        ("CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
        ("MIT", None),
    ]
    assert [each["name"] for each in found["prov:wasDerivedFrom"]] == ["eurosat", "hit-uav", "naip"]
    assert [each["name"] for each in found["creator"]] == ["Ann", "Bob"]
    assert "author = {Ann and Bob}" in found["citeAs"]
    assert found["rai:machineAnnotationTools"] == ["grounded@v1"]
    assert found["rai:dataReleaseMaintenancePlan"] == "yearly"
    assert len(found["rai:dataLimitations"]) == 2
    assert "rgb in 10" in found["rai:dataCollectionMissingData"]
    assert "infrared of 25, a translator drew that of 20" in found["description"]


def test_what_nobody_said_is_left_out(workspace: Workspace) -> None:
    place = described(workspace, {"x": [record("a")]}, Publisher())
    found = json.loads(place.read_text())
    assert not {"url", "datePublished", "rai:dataReleaseMaintenancePlan"} & found.keys()
    assert found["creator"] == [{"@type": "sc:Organization", "name": "not stated"}]
    (warning,) = mlcroissant.Dataset(place).metadata.issues.warnings
    assert "datePublished" in warning


@pytest.mark.parametrize("count", [0, 1])
def test_few_records(workspace: Workspace, count: int) -> None:
    place = described(workspace, {"x": [record(str(number), "validation") for number in range(count)]})
    assert mlcroissant.Dataset(place).metadata.issues.errors == set()
    splits = [row["splits/name"] for row in records(place, "splits")]
    assert splits == (["validation"] if count else list(SPLITS))
    if count:
        assert [row["default/split"] for row in records(place, "default")] == [b"validation"]


def test_strangers_text_is_only_text(workspace: Workspace) -> None:
    strangers = ["license", "license_url", "source_url", "source_revision", "ir_source", "crs", "acquired"]
    row = record("x", **dict.fromkeys(strangers, EVIL))
    row["caption_source"]["scene"] = [EVIL]
    place = described(workspace, {"a": [row]}, title=f'}} "{EVIL}" {{')
    assert mlcroissant.Dataset(place).metadata.issues.errors == set()
    found = json.loads(place.read_text())
    assert found["citeAs"].count("{") == found["citeAs"].count("}")
    assert "url" not in found["license"][0]
    (read,) = records(place, "default")
    assert read["default/license"] == EVIL.encode()
