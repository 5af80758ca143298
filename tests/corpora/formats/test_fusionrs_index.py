import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionrs_builder import pipeline
from fusionrs_builder.corpora import formats, registry
from fusionrs_builder.corpora.formats.fusionrs_index import MAX_LINE_BYTES, FusionrsIndex
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.settings import CorpusSettings
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture
from tests.corpora.formats.test_karpathy import dataset, entry
from tests.corpora.formats.test_webdataset import put_tar
from tests.corpora.reading import build, by_key, faults, peak, put_images, put_json

LOCATORS = {
    "NWPU_00001": "NWPU_images/airplane/airplane_001.jpg",
    "NWPU_00002": "NWPU_images/lake/lake_001.jpg",
    "RS5M_00001": "images/fmow_1.jpg",
    "RS5M_00002": "images/laion2b_7_42.jpg",
    "RSICD_00001": "images/rsicd_images/airport_1.jpg",
    "RSICD_00002": "images/rsicd_images/00623.jpg",
    "RSITMD_00001": "images/baseballfield_452.tif",
    "SkyScript_00001": "images2/a198234555_CH_19.jpg",
    "SkyScript_00002": "images3/n7_S2_20.jpg",
}
"""Of all records, as the authors' own tools make them: paths below folders of theirs."""

SPLITS = {"NWPU_00002": "val", "RSICD_00002": "val", "RSITMD_00001": "test", "SkyScript_00002": "test"}


def group(name: str) -> str:
    return "joint-group:" + hashlib.sha256(name.encode()).hexdigest()[:24]


def record(sample_id: str, locator: str, split: str = "train", **over: Any) -> dict[str, Any]:
    """A line of the index, with every key that is published."""
    source = sample_id.rpartition("_")[0]
    return {
        "canonical_component_representative": sample_id,
        "caption_supervision_available_upstream": True,
        "is_canonical_component_representative": True,
        "is_eval_representative": split != "train",
        "joint_group_id": group(sample_id),
        "phash4_component_id": f"singleton_{sample_id}",
        "prior_reused_protected": False,
        "sample_id": sample_id,
        "schema_version": "fusionrs-public-index-v1",
        "source_dataset": source,
        "source_locator": locator,
        "source_record_id": sample_id,
        "source_rights_code": f"{source.lower()}-item-rights-unconfirmed",
        "split": split,
        "translation": {
            "model": "DiffV2IR",
            "output_key": f"{source}/{sample_id}.png",
            "redistribution": "conditional_on_upstream_rights",
        },
        "vlm_train_identity": False,
        **over,
    }


def records() -> list[dict[str, Any]]:
    return [record(name, locator, SPLITS.get(name, "train")) for name, locator in LOCATORS.items()]


def put_index(path: Path, lines: list[Any]) -> Path:
    """An index; a line that is text stands as it is."""
    text = "".join((line if isinstance(line, str) else json.dumps(line, sort_keys=True)) + "\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, str]:
    """The five sources, small, in their true formats."""
    folders = {name: tmp_path / name.lower() for name in ("NWPU", "RS5M", "RSICD", "RSITMD", "SkyScript")}
    put_images(
        folders["NWPU"] / "images", "airplane/airplane_001.jpg", "airplane/airplane_002.jpg", "lake/lake_001.jpg"
    )
    put_json(
        folders["NWPU"] / "dataset_nwpu.json",
        {
            "airplane": [
                {"filename": f"airplane_00{n}.jpg", "split": "test", "raw": "A plane.", "raw_1": f"Plane {n}."}
                for n in (1, 2)
            ],
            "lake": [{"filename": "lake_001.jpg", "split": "train", "raw": "A lake."}],
        },
    )
    put_images(folders["RSICD"] / "RSICD_images", "airport_1.jpg", "00623.jpg", "beach_7.jpg")
    dataset(
        folders["RSICD"],
        entry("airport_1.jpg", "Many planes.", "many planes", split="test"),
        entry("00623.jpg", "A meadow."),
        entry("beach_7.jpg", "A beach."),
    )
    put_images(folders["RSITMD"] / "images", "baseballfield_452.tif")
    dataset(folders["RSITMD"], entry("baseballfield_452.tif", "A diamond."), name="dataset_RSITMD.json")
    put_images(folders["SkyScript"], "images2/a198234555_CH_19.jpg", "images3/n7_S2_20.jpg")
    (folders["SkyScript"] / "SkyScript_train_top30pct_filtered_by_CLIP_openai.csv").write_text(
        "filepath,title,title_multi_objects\n"
        "images2/a198234555_CH_19.jpg,a wastewater plant,plants\nimages3/n7_S2_20.jpg,a lake,a lake\n"
    )
    for tar, numbers in (("rs3-train-0000", {1: "fmow_1", 2: "fmow_2"}), ("pub11-train-0000", {1: "laion2b_7_42"})):
        members = [
            member
            for number, name in numbers.items()
            for member in (
                (f"{number:06d}.caption", f"an aerial view, {name}".encode()),
                (f"{number:06d}.img_content", encoded(picture(40 + number), "JPEG")),
                (f"{number:06d}.img_name", f"{name}.jpg".encode()),
            )
        ]
        put_tar(folders["RS5M"] / f"{tar}.tar", *members)
    return {name: str(folder) for name, folder in folders.items()}


def reader(index: Path, sources: dict[str, str], **keys: Any) -> FusionrsIndex:
    given = CorpusSettings.model_validate({"index": str(index), "sources": sources, **keys})
    found = formats.reader(index.parent, registry.resolve("fusionrs-rc4", given), "fusionrs-rc4")
    assert isinstance(found, FusionrsIndex)
    return found


@pytest.mark.parametrize("name", ["index.jsonl", "index.jsonl.gz"])
def test_ids_splits_and_groups_are_kept(tmp_path: Path, sources: dict[str, str], name: str) -> None:
    found = reader(put_index(tmp_path / name, records()), sources)
    items = by_key(found.items())
    assert not faults(items.values())
    assert set(items) == set(LOCATORS)
    assert {key: item.split for key, item in items.items() if item.split != "train"} == {
        "NWPU_00002": "validation",
        "RSICD_00002": "validation",
        "RSITMD_00001": "test",
        "SkyScript_00002": "test",
    }, "those of the index, not of the publishers"
    assert {key: item.group for key, item in items.items()} == {key: group(key) for key in LOCATORS}
    assert items["NWPU_00001"].labels == ("airplane",)
    for item in items.values():
        assert all((tmp_path / file).is_file() for file in item.files) and item.files and item.bytes


def test_image_text_and_rights_are_the_sources(tmp_path: Path, sources: dict[str, str]) -> None:
    found = reader(put_index(tmp_path / "index.jsonl.gz", records()), sources)
    items = by_key(found.items())
    samples = {key: found.read(item) for key, item in items.items()}
    nwpu, rs5m = samples["NWPU_00001"], samples["RS5M_00001"]
    assert nwpu.rgb == Path(sources["NWPU"], "images/airplane/airplane_001.jpg").read_bytes()
    assert samples["RSITMD_00001"].rgb == Path(sources["RSITMD"], "images/baseballfield_452.tif").read_bytes()
    assert (nwpu.captions, nwpu.template_captions, nwpu.model_captions) == (["A plane.", "Plane 1."], [], [])
    assert samples["RSICD_00001"].captions == ["Many planes."]
    assert (rs5m.captions, rs5m.model_captions) == ([], ["an aerial view, fmow_1"])
    assert rs5m.rgb == encoded(picture(41), "JPEG")
    assert samples["SkyScript_00001"].template_captions == ["a wastewater plant"]
    rights = {key: sample.rights.source_url for key, sample in samples.items() if sample.rights}
    assert rights["RS5M_00002"] == "https://huggingface.co/datasets/omlab/RS5M"
    assert rights["SkyScript_00001"] == "https://github.com/wangzhecheng/SkyScript"
    assert len(rights) == len(items)


def test_a_whole_index(tmp_path: Path, ws: Workspace, sources: dict[str, str]) -> None:
    lost = [record("RSICD_00009", "images/rsicd_images/gone.jpg"), "{broken", record("NWPU_00001", "x.jpg")]
    index = put_index(tmp_path / "index.jsonl.gz", [*records(), *lost])
    rows, refused = build(ws, tmp_path, "fusionrs-index", index=str(index), sources=sources)
    assert set(rows) == set(LOCATORS)
    assert refused == {"not_in_copy": 1, "malformed_record": 1, "duplicate_key": 1}
    assert rows["RSICD_00002"]["id"] == "c/RSICD_00002"
    assert (rows["RSICD_00002"]["corpus_split"], rows["RSICD_00002"]["corpus_group"]) == (
        "validation",
        group("RSICD_00002"),
    )
    assert rows["RSITMD_00001"]["publisher_captions"] == ["A diamond."]
    assert rows["SkyScript_00002"]["template_captions"] == ["a lake"]
    assert rows["RS5M_00002"]["model_captions"] == ["an aerial view, laion2b_7_42"]
    assert not any(row["redistributable"] for row in rows.values())
    assert {key.partition("_")[0]: row["origin_family"] for key, row in rows.items()} == {
        "NWPU": "resisc45",
        "RS5M": "rs5m",
        "RSICD": "rsicd",
        "RSITMD": "rsicd",
        "SkyScript": "skyscript",
    }
    assert rows["RS5M_00001"]["license"].startswith("unknown: mit and cc-by-nc-4.0")
    assert rows["NWPU_00001"]["attribution"].startswith("NWPU-Captions: Cheng")


def test_what_is_missing_is_listed_and_coverage_reported(tmp_path: Path, sources: dict[str, str]) -> None:
    put_images(Path(sources["RSICD"]) / "train", "twin.jpg")
    put_images(Path(sources["RSICD"]) / "test", "twin.jpg")
    put_images(Path(sources["RSICD"]), "bare.jpg")
    dataset(
        Path(sources["RSICD"]),
        entry("airport_1.jpg", "Many planes."),
        entry("00623.jpg"),
        entry("beach_7.jpg", "A beach."),
        entry("twin.jpg", "Twin.", filepath="train"),
        entry("twin.jpg", "Other.", filepath="test"),
    )
    more = [
        record("RSICD_00010", "images/rsicd_images/gone.jpg", "test"),
        record("RSICD_00011", "images/rsicd_images/twin.jpg", "val"),
        record("RSICD_00012", "images/rsicd_images/bare.jpg"),
        record("RSICD_00013", "RSICD_images/beach_7.jpg"),
    ]
    index = put_index(tmp_path / "index.jsonl", [*records(), *more, "", '{"sample_id": 1}', records()[0]])
    given = {name: folder for name, folder in sources.items() if name in ("RSICD", "RSITMD")}
    found = reader(index, {"rsicd": given["RSICD"], "RSITMD": given["RSITMD"]})
    items = by_key(found.items())
    assert faults(items.values()) == {
        "RSICD_00002": "empty_caption",
        "RSICD_00010": "not_in_copy",
        "RSICD_00011": "ambiguous_locator",
        "RSICD_00012": "missing_annotation",
        "index.jsonl:15": "malformed_record",
        "index.jsonl:16": "duplicate_key",
    }
    assert {key for key, item in items.items() if not item.fault} == {"RSICD_00001", "RSICD_00013", "RSITMD_00001"}
    said = {key: item.fault[1] for key, item in items.items() if item.fault}
    assert "RSICD has no image images/rsicd_images/gone.jpg" in said["RSICD_00010"]
    assert "complete the copy, or correct --sources RSICD=FOLDER" in said["RSICD_00010"]
    assert "may be test/twin.jpg or train/twin.jpg" in said["RSICD_00011"]
    assert "NWPU_00001 is already the record of index.jsonl:1" in said["index.jsonl:16"]
    assert items["RSICD_00010"].split == "test" and items["RSICD_00010"].group == group("RSICD_00010")
    report = found.report()
    assert json.loads(json.dumps(report)) == report
    assert {key: report[key] for key in ("index", "records", "malformed_record", "duplicate_key")} == {
        "index": "index.jsonl",
        "records": 15,
        "malformed_record": 1,
        "duplicate_key": 1,
    }
    rsicd = report["sources"]["RSICD"]
    assert {
        key: rsicd[key] for key in ("given", "records", "found", "not_in_copy", "ambiguous_locator", "refused")
    } == {
        "given": True,
        "records": 6,
        "found": 2,
        "not_in_copy": 1,
        "ambiguous_locator": 1,
        "refused": 2,
    }
    assert rsicd["found_by"] == {"path": 1, "folder": 0, "name": 1, "stem": 0}
    assert (rsicd["splits"]["test"]["records"], rsicd["splits"]["test"]["found"]) == (1, 0)
    assert report["sources"]["NWPU"]["not_given"] == 2 and not report["sources"]["NWPU"]["given"]
    counted = sum(source["records"] for source in report["sources"].values())
    assert counted + 2 == report["records"], "every record of the index is counted once"
    assert "NWPU: 2 records left out; add --sources NWPU=FOLDER" in found.summary()
    assert "RSICD: 2 of 6 records found, 1 not_in_copy, 1 ambiguous_locator, 2 refused" in found.summary()


def test_two_runs_give_the_same_list_whatever_the_order_of_lines(tmp_path: Path, sources: dict[str, str]) -> None:
    lines = [*records(), record("RSICD_00009", "gone.jpg")]
    index = put_index(tmp_path / "index.jsonl", lines)
    found = reader(index, sources)
    first, report = by_key(found.items()), found.report()
    assert by_key(found.items()) == first and found.report() == report
    put_index(index, lines[::-1])
    assert by_key(reader(index, sources).items()) == first


def test_no_two_locators_share_an_image(tmp_path: Path, sources: dict[str, str]) -> None:
    lines = [
        record("RSICD_1", "x/RSICD_images/airport_1.jpg"),
        record("RSICD_2", "y/airport_1.jpg"),
        record("RSICD_3", "a/beach_7.jpg"),
        record("RSICD_4", "b/beach_7.jpg"),
        record("RSICD_5", "c/00623.jpg"),
        record("RSICD_6", "c/00623.jpg"),
    ]
    items = by_key(reader(put_index(tmp_path / "index.jsonl", lines), sources).items())
    assert faults(items.values()) == dict.fromkeys(("RSICD_2", "RSICD_3", "RSICD_4"), "ambiguous_locator")
    fault = items["RSICD_3"].fault
    assert fault and "RSICD_images/beach_7 may be a/beach_7.jpg or b/beach_7.jpg" in fault[1]


def test_an_id_of_the_source_is_tried_where_the_locator_fails(tmp_path: Path, sources: dict[str, str]) -> None:
    lines = [
        record("RSICD_1", "gone.jpg", source_record_id="airport_1.jpg"),
        record("RSICD_2", "gone.jpg", source_record_id="also_gone.jpg"),
        record("airport_1", "gone.jpg", source_dataset="RSICD"),
    ]
    items = by_key(reader(put_index(tmp_path / "index.jsonl", lines), sources).items())
    assert faults(items.values()) == {"RSICD_2": "not_in_copy", "airport_1": "not_in_copy"}, (
        "its own id is no name of an image"
    )


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"schema_version": "fusionrs-public-index-v2"}, "schema_version: Input should be"),
        ({"source_dataset": "UCM"}, "source_dataset: Input should be"),
        ({"sample_id": ""}, "sample_id: String should have at least 1"),
        ({"sample_id": 7}, "sample_id: Input should be a valid string"),
        ({"source_locator": None}, "source_locator: Input should be a valid string"),
        ({"split": "dev"}, "split: Input should be"),
        ({"joint_group_id": "joint-group:xyz"}, "joint_group_id: String should match"),
    ],
)
def test_a_line_that_is_wrong_is_counted(
    tmp_path: Path, sources: dict[str, str], over: dict[str, Any], said: str
) -> None:
    index = put_index(tmp_path / "index.jsonl", [*records(), {**record("RSICD_9", "x"), **over}])
    (fault,) = [item.fault for item in reader(index, sources).items() if item.fault]
    assert fault[0] == "malformed_record" and fault[1].startswith(f"index.jsonl:{len(LOCATORS) + 1}: {said}")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "line 1: the line: Invalid JSON.*git lfs pull"),
        (json.dumps(record("RSICD_1", "x", schema_version="v9")).encode(), "schema_version.*public-index-v1 was expec"),
        (b'["a"]\n', "line 1: the line: Input should be an object"),
        (b"\x1f\x8bnot gzip at all", "cannot be read"),
        (json.dumps(record("RSICD_1", "x")).encode() + b"\n" + b'{"sample_id": "RSI', "ends in the middle"),
        (b" " * (MAX_LINE_BYTES + 1), "longer than 1048576 bytes"),
    ],
)
def test_a_file_that_is_no_index_is_named(tmp_path: Path, sources: dict[str, str], data: bytes, said: str) -> None:
    (tmp_path / "index.jsonl").write_bytes(data)
    with pytest.raises(FusionError, match=f"index.jsonl.*{said}"):
        list(reader(tmp_path / "index.jsonl", sources).items())


@settings(max_examples=25)
@given(st.data())
def test_however_a_gzip_index_is_cut_it_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("cut")
    put_images(root / "rsitmd", "baseballfield_452.tif")
    dataset(root / "rsitmd", entry("baseballfield_452.tif", "A diamond."), name="dataset_RSITMD.json")
    index = put_index(root / "index.jsonl.gz", records())
    whole = index.read_bytes()
    index.write_bytes(whole[: data.draw(st.integers(2, len(whole) - 1))])
    with pytest.raises(FusionError, match="index.jsonl.gz"):
        list(reader(index, {"RSITMD": str(root / "rsitmd")}).items())


def test_settings_that_cannot_be_meant(tmp_path: Path, sources: dict[str, str]) -> None:
    index = put_index(tmp_path / "index.jsonl", records())
    for name, keys, said in (
        ("", sources, "index: say which file it is, e.g. --index"),
        (str(tmp_path / "gone.jsonl"), sources, "index: .*gone.jsonl is not a file; correct --index"),
        (str(index), {}, "sources: where are your copies"),
    ):
        given = CorpusSettings.model_validate({"format": "fusionrs-index", "index": name, "sources": keys})
        with pytest.raises(UsageError, match=said):
            formats.reader(tmp_path, given, "c")
    with pytest.raises(UsageError, match="tile: captions describe a whole image"):
        reader(index, sources, tile=64)


def test_paths_are_relative_to_where_one_works(
    tmp_path: Path, sources: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_index(tmp_path / "index.jsonl", records())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERE", str(tmp_path))
    found = reader(Path("index.jsonl"), {"RSICD": "rsicd", "NWPU": "$HERE/nwpu"})
    assert found.roots() == (tmp_path / "index.jsonl", tmp_path / "nwpu", tmp_path / "rsicd")
    assert len([item for item in found.items() if not item.fault]) == 4


def test_a_source_that_moved_is_still_read_and_one_taken_away_is_named(tmp_path: Path, sources: dict[str, str]) -> None:
    index = put_index(tmp_path / "index.jsonl", records())
    items = by_key(reader(index, sources).items())
    Path(sources["RSICD"]).rename(tmp_path / "moved")
    found = reader(index, {"RSICD": str(tmp_path / "moved")})
    assert found.read(items["RSICD_00001"]).captions == ["Many planes."]
    with pytest.raises(Refused, match="not_in_copy: NWPU is given no longer"):
        found.read(items["NWPU_00001"])


def test_memory_does_not_grow_with_the_index_nor_with_the_copy(tmp_path: Path) -> None:
    count = 6_000
    copy = tmp_path / "skyscript"
    (copy / "images2").mkdir(parents=True)
    for number in range(500):
        (copy / f"images2/w{number}_US_18.jpg").touch()
    with (copy / "SkyScript_train.csv").open("w") as handle:
        handle.write("filepath,title\n")
        handle.writelines(f"images2/w{number}_US_18.jpg,a golf course\n" for number in range(count))
    with gzip.open(tmp_path / "index.jsonl.gz", "wt", compresslevel=1) as handle:
        for number in range(count):
            line = record(f"SkyScript_{number:05d}", f"images2/w{number}_US_18.jpg")
            handle.write(json.dumps(line) + "\n")
    found = reader(tmp_path / "index.jsonl.gz", {"SkyScript": str(copy)})
    next(found.items())  # what is imported at first use is not counted
    with peak(2e6):
        good = sum(1 for item in found.items() if not item.fault)
    assert good == 500 and found.report()["sources"]["SkyScript"]["not_in_copy"] == count - 500


def test_groups_and_splits_stand_through_curation(tmp_path: Path, ws: Workspace, sources: dict[str, str]) -> None:
    """Two records of the index show one picture, in two splits, and there is a copy from elsewhere."""
    for name, quality in (("airport_1.jpg", 80), ("00623.jpg", 95)):
        path = Path(sources["RSICD"], "RSICD_images", name)
        path.write_bytes(encoded(picture(77, 200, 200), "JPEG", quality=quality))
    (tmp_path / "mine" / "field").mkdir(parents=True)
    (tmp_path / "mine" / "field" / "copy.png").write_bytes(encoded(picture(77, 200, 200)))
    run = Run(workers=1)
    index = put_index(tmp_path / "index.jsonl", records())
    pipeline.download(ws, "fusionrs-rc4", index=str(index), sources=sources, run=run)
    pipeline.download(ws, "mine", from_=str(tmp_path / "mine"), format="class-folders", license="CC0-1.0", run=run)
    pipeline.translate(ws, translator="gray", run=run)
    pipeline.caption(ws, run=run)
    pipeline.curate(ws, min_side=1, run=run)
    rows = {row["id"]: row for shard in ws.shards("curation") for row in ws.rows("curation", shard)}
    for line in records():
        row = rows[f"fusionrs-rc4/{line['sample_id']}"]
        if row["keep"]:  # the little sources hold equal images
            assert row["split"] == {"val": "validation"}.get(line["split"], line["split"])
        assert row["group_id"] == line["joint_group_id"]
    assert rows["fusionrs-rc4/RSICD_00001"]["split"] == "train"
    assert rows["mine/field/copy"]["split"] == "validation", "it goes with the record that is held out"
    assert rows["mine/field/copy"]["group_id"] == rows["fusionrs-rc4/RSICD_00002"]["group_id"]
