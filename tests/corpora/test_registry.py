"""The registry: every entry is complete and consistent, and CONTRIBUTING's recipe for one more works."""

import re
import tomllib
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fusionrs_builder import pipeline
from fusionrs_builder.corpora import check, formats, registry
from fusionrs_builder.corpora.stage import DownloadStage
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import BuildSettings, CorpusSettings
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture
from tests.corpora.test_stage import run

ENTRIES = {name: entry for name in registry.names() if (entry := registry.entry(name))}

# fmt: off
WANTED = {
    "bigearthnet-txt", "eurosat-ms", "ssl4eo-l-benchmark", "chesapeake-cvpr", "flair", "treesatai", "hit-uav",
    "caltech-rgbt", "chatearthnet", "ssl4eo-s12", "skyscript", "ucmerced", "rs5m", "nwpu-captions", "rsicd",
    "rsitmd", "ucm-captions", "sydney-captions", "aid", "resisc45", "dior", "dior-rsvg", "dota", "visdrone",
    "vrsbench", "loveda", "openearthmap", "vedai", "dronevehicle", "llvip", "kust4k",
}
# fmt: on
"""Corpora that the registry must not lose."""

KNOWN_SCHEMES = ("https", "hf", "s3", "gs")


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_is_complete(name: str) -> None:
    entry = ENTRIES[name]
    settings = entry.settings
    assert settings.format in formats.NAMES
    assert settings.license
    assert settings.attribution
    assert urlsplit(settings.source_url).scheme in ("http", "https")
    assert settings.source_revision or any(re.search("revision|commit", fact) for fact in entry.unverified)
    assert entry.files or entry.stac or entry.manual or settings.format == "fusionrs-index"
    assert entry.bands or settings.format == "fusionrs-index"
    assert all(split in ("train", "validation", "test") for split in (*entry.splits, *settings.splits))
    assert entry.records is None or sum(entry.splits.values()) <= entry.records


@pytest.mark.parametrize("name", ENTRIES)
def test_pixels_are_published_again_only_under_a_licence_that_is_known(name: str) -> None:
    entry = ENTRIES[name]
    unknown = entry.settings.license.lower().startswith("unknown")
    assert not (unknown and entry.settings.redistributable)
    assert not (unknown and entry.redistribution == "yes")
    if unknown or entry.redistribution in ("no", "unclear"):
        assert not entry.settings.redistributable
    if "-NC" in entry.settings.license and not unknown:
        assert entry.redistribution in ("non-commercial", "no")


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry.files])
def test_addresses_can_be_fetched_and_name_what_they_give(name: str) -> None:
    entry = ENTRIES[name]
    places = [(file.into, file.joined or file.name) for file in entry.files]
    alone = [place for place, file in zip(places, entry.files, strict=True) if not file.joined]
    assert len(set(alone)) == len(alone), "two files would lie in one place"
    for file in entry.files:
        for url in (file.url, *file.mirrors):
            parts = urlsplit(url)
            assert parts.scheme in KNOWN_SCHEMES
            assert parts.netloc and parts.path not in ("", "/")
            assert "#" not in url  # %23: the rest would be taken for a fragment
            if parts.scheme == "hf":
                match = check.HUB.fullmatch(url)
                assert match and match["type"] == "datasets"
                assert re.fullmatch("[0-9a-f]{40}", match["revision"]), "pin the address to a full commit"
            if parts.netloc == "huggingface.co" and "/resolve/" in url:
                assert re.search("/resolve/[0-9a-f]{40}/", url) or file.sha256, "pin it to a commit or to a sha256"


def test_shared_images_are_known_on_both_sides_and_are_one_family() -> None:
    for name, entry in ENTRIES.items():
        assert name not in entry.overlaps
        for other in entry.overlaps:
            assert other in ENTRIES, f"{name} overlaps {other}, which is not in the registry"
            assert name in ENTRIES[other].overlaps, f"{other} must name {name} too"
            assert entry.settings.family
            assert entry.settings.family == ENTRIES[other].settings.family


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rsicd", "rsitmd"), ("ucmerced", "ucm-captions"), ("resisc45", "nwpu-captions"), ("dior", "dior-rsvg"),
        ("dior", "vrsbench"), ("dota", "vrsbench"), ("dota", "isaid"), ("bigearthnet", "bigearthnet-txt"),
        ("bigearthnet", "rs5m"), ("vaihingen", "nwpu-vhr10"), ("eurosat-ms", "eurosat-rgb"),
    ],
)  # fmt: skip
def test_known_leaks(one: str, other: str) -> None:
    assert other in ENTRIES[one].overlaps


def test_text_by_models_and_rules_is_not_the_publishers() -> None:
    origin = {name: entry.settings.caption_origin for name, entry in ENTRIES.items()}
    assert {origin[name] for name in ("rs5m", "chatearthnet", "vrsbench", "bigearthnet-txt")} == {"model"}
    assert origin["skyscript"] == "template"
    assert {origin[name] for name in ("rsicd", "rsitmd", "nwpu-captions", "ucm-captions", "sydney-captions")} == {
        "publisher"
    }


def test_the_registry_holds_what_it_is_for() -> None:
    assert not WANTED - set(ENTRIES)
    assert len(ENTRIES) >= 40
    measured = [name for name, entry in ENTRIES.items() if {"nir", "swir", "lwir"} & set(entry.bands)]
    assert len(measured) >= 15


SAMPLED = [name for name, entry in ENTRIES.items() if entry.samples]


OBJECTS = {
    "hit-uav": {"Person": 2072, "Car": 1152, "Bicycle": 883, "OtherVehicle": 18, "DontCare": 17},
    "oam-buildings": {"building": 2876},
    "s2-ships": {"Boat": 77},
    "neon-trees": {"Tree": 340, "Dead": 28, "Alive": 9},
}


@pytest.mark.parametrize("name", SAMPLED)
def test_the_samples_build_with_their_entry(name: str, samples: Path, ws: Workspace) -> None:
    sampled = ENTRIES[name].samples
    assert sampled is not None
    summary = pipeline.download(ws, name, from_=str(samples / sampled.folder), run=Run(workers=2))
    assert (summary.items, summary.good, summary.problems) == (sampled.records, sampled.records, [])
    rows = [row for shard in ws.shards("rgb") for row in ws.rows("rgb", shard, ["boxes", "labels", "gsd_m"])]
    assert Counter(box["label"] for row in rows for box in row["boxes"]) == OBJECTS.get(name, {})
    if name == "eurosat-rgb-small":
        assert len({label for row in rows for label in row["labels"]}) == 10
    if name == "naip-opengeos":
        assert {row["gsd_m"] for row in rows} == {5.0}, "as the file says, not as the programme flies"


@pytest.mark.parametrize(("name", "tiles"), [("naip-opengeos", 315), ("landsat8-tirs", 16), ("landsat8-zion", 88)])
def test_the_samples_hold_the_tiles_of_their_note(name: str, tiles: int, samples: Path) -> None:
    entry = ENTRIES[name]
    assert entry.samples is not None
    settings = entry.settings.model_copy(update={"tile": 128})
    assert len(list(formats.reader(samples / entry.samples.folder, settings, name).items())) == tiles


def test_given_settings_go_over_the_entry() -> None:
    given = CorpusSettings.model_validate({"from": "/x", "tile": 128})
    settings = registry.resolve("naip-opengeos", given)
    assert (settings.tile, settings.source, settings.format) == (128, "/x", "geotiff")
    assert registry.resolve("unknown", given) == given
    assert registry.entry("unknown") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "invalid value"),
        ('title = "T"', "kind"),
        ('title = "T"\nkind = "songs"\nredistribution = "no"\n[settings]', "kind"),
        ('title = "T"\nkind = "pairs"\nredistribution = "yes"\n[settings]', "redistributable"),
        ('title = "T"\nkind = "pairs"\nredistribution = "no"\n[settings]\nformt = "voc"', "formt"),
        (
            'title = "T"\nkind = "pairs"\nredistribution = "no"\nfiles = [{url = "https://x", md5 = "1"}]\n[settings]',
            "md5",
        ),
        (
            'title = "T"\nkind = "pairs"\nredistribution = "no"\nfiles = [{url = "https://x", into = "/"}]\n[settings]',
            "..",
        ),
    ],
)
def test_an_entry_that_is_wrong_names_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(UsageError, match=r"bad\.toml") as raised:
        registry.entry("bad")
    assert message in str(raised.value).lower()


def test_the_recipe_of_contributing_adds_a_corpus(
    tmp_path: Path, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    section = text.split("## Add a corpus")[1].split("\n## ")[0]
    lines = section.split("```toml\n")[1].split("```")[0].strip().split("\n")
    assert len(lines) < 20
    assert len(re.findall(r"^\d\. ", section, re.MULTILINE)) == 7
    example = "\n".join(line.removeprefix("   ") for line in lines)
    entry = registry.Entry.model_validate(tomllib.loads(example))
    folder = tmp_path / "harbours"
    for number in range(entry.records or 0):
        place = folder / ("full" if number % 2 else "empty") / f"{number}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encoded(picture(number), "JPEG"))
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "harbours.toml").write_text(example)
    monkeypatch.setattr(registry, "FOLDER", tmp_path / "registry")
    assert registry.names() == ["harbours"]
    settings = registry.resolve("harbours", CorpusSettings.model_validate({"from": str(folder)}))
    (shard,) = run(ws, DownloadStage({"harbours": settings}, BuildSettings()))
    rows = list(ws.rows("rgb", shard))
    assert len(rows) == entry.records
    assert {row["license"] for row in rows} == {"CC-BY-4.0"}
    assert all(row["redistributable"] and row["source_revision"] == "v1" for row in rows)
    assert {tuple(row["labels"]) for row in rows} == {("full",), ("empty",)}
