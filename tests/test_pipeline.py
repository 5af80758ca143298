import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import fusionrs_builder
from fusionrs_builder import config, pipeline
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.pipeline import Run, Workspace, caption, curate, download, push, run_all, status, translate
from fusionrs_builder.settings import Settings
from fusionrs_builder.shards import Footer
from fusionrs_builder.translate.translator import WEIGHTS

Make = Callable[..., Path]
ONE = Run(workers=1)


@pytest.fixture
def built(ws: Workspace, class_folders: Make) -> Workspace:
    """A small dataset, every stage done."""
    ws.write_bytes("fusionrs.toml", b"[build]\nshard_records = 5\n[translate]\ntranslator = 'gray'\n")
    download(ws, "scenes", from_=str(class_folders(12, "scenes")), format="class-folders", license="MIT", run=ONE)
    for step in (translate, caption, curate, push):
        step(ws, run=ONE)
    return ws


def footers(ws: Workspace) -> dict[str, dict[str, Footer]]:
    return {layer: ws.footers(layer) for layer in ("rgb", "ir", "captions", "curation", "release/fusionrs/data")}


def test_the_whole_build_and_its_status(built: Workspace) -> None:
    state = status(built)
    assert state["next"] is None
    for command, layer in state["layers"].items():
        assert layer["items"] == layer["good"] + sum(layer["refused"].values()) == 12, command
        assert layer["waiting"] == 0


def test_again_nothing_is_made(built: Workspace) -> None:
    before = footers(built)
    summaries = run_all(built, ONE)
    assert [summary.made for summary in summaries] == [0] * 5
    assert footers(built) == before


@pytest.mark.parametrize(
    ("step", "flags", "redone"),
    [
        (translate, {"translator": "gray-inverted"}, ["translate", "caption", "curate", "push"]),
        (caption, {"ir_captions": 3}, ["caption", "curate", "push"]),
        (curate, {"split": "0.5,0.25,0.25"}, ["curate", "push"]),
    ],
)
def test_one_changed_parameter_redoes_exactly_what_is_below(
    built: Workspace, step: Any, flags: dict[str, Any], redone: list[str]
) -> None:
    assert step(built, run=ONE, **flags).made > 0
    assert status(built)["next"] == f"fusionrs-build {redone[1]} -w {built.url}"
    assert [summary.command for summary in run_all(built, ONE) if summary.made] == redone[1:]
    assert status(built)["next"] is None


@pytest.mark.parametrize(
    ("table", "key", "value", "redone"),
    [
        ("translate", "translator", "duplicate", ["translate", "caption", "curate", "push"]),
        ("caption", "ir_captions", 3, ["caption", "curate", "push"]),
        ("curate", "split", [0.5, 0.25, 0.25], ["curate", "push"]),
        ("push", "file_mb", 399, []),
    ],
)
def test_a_key_of_the_file_redoes_exactly_what_is_below(
    built: Workspace, table: str, key: str, value: Any, redone: list[str]
) -> None:
    config.update(built, (table,), {key: value})
    assert [summary.command for summary in run_all(built, ONE) if summary.made] == redone


def test_new_images_redo_their_shard_alone(built: Workspace, class_folders: Make) -> None:
    other = class_folders(13, "other")
    shutil.copy(other / "River/00012.jpg", Path(built.root).parent / "scenes" / "River")
    made = {summary.command: summary.made for summary in run_all(built, ONE)}
    assert (made["download"], made["translate"], made["caption"]) == (1, 1, 1)


def test_adding_a_corpus_leaves_the_others_as_they_are(built: Workspace, class_folders: Make) -> None:
    before = footers(built)
    other = class_folders(6, "other", (40, 56))
    download(built, "other", from_=str(other), format="class-folders", license="CC-BY-4.0", run=ONE)
    made = {summary.command: summary.made for summary in run_all(built, ONE)}
    assert (made["translate"], made["caption"]) == (2, 2)
    after = footers(built)
    for layer in ("rgb", "ir", "captions"):
        assert before[layer].items() <= after[layer].items()


def test_a_corpus_dropped_from_the_file_is_dropped_from_every_layer(built: Workspace, class_folders: Make) -> None:
    other = class_folders(6, "other", (40, 56))
    download(built, "other", from_=str(other), format="class-folders", license="MIT", run=ONE)
    run_all(built, ONE)
    text = built.read_bytes("fusionrs.toml").decode()
    built.write_bytes("fusionrs.toml", text[: text.index("[corpora.other]")].encode())
    assert run_all(built, ONE)[0].removed == 2
    for layer in ("rgb", "ir", "captions", "curation"):
        assert {shard.rsplit("-", 1)[0] for shard in built.shards(layer)} == {"scenes"}, layer
    assert status(built)["layers"]["push"]["items"] == 12


def test_workers_write_what_one_process_writes(ws: Workspace, built: Workspace, tmp_path: Path) -> None:
    many = Workspace.open(tmp_path / "many", create=True)
    many.write_bytes("fusionrs.toml", built.read_bytes("fusionrs.toml"))
    run_all(many, Run(workers=2))
    assert footers(many) == footers(built)
    release, same = (Path(each.path("release", "fusionrs")) for each in (built, many))
    files = sorted(path.relative_to(release) for path in release.rglob("*") if path.is_file())
    assert len(files) > 10
    assert [(release / path).read_bytes() for path in files] == [(same / path).read_bytes() for path in files]


def test_stages_out_of_order_say_what_is_missing(ws: Workspace, class_folders: Make) -> None:
    with pytest.raises(FusionError, match="run `fusionrs-build download` first"):
        translate(ws, translator="gray", run=ONE)
    download(ws, "a", from_=str(class_folders(2)), format="class-folders", license="MIT", run=ONE)
    with pytest.raises(FusionError, match="run `fusionrs-build translate` first"):
        caption(ws, run=ONE)
    with pytest.raises(FusionError):
        push(ws, run=ONE)
    assert status(ws)["next"] == f"fusionrs-build translate -w {ws.url}"


def test_a_mistake_is_not_remembered(ws: Workspace, class_folders: Make) -> None:
    wrong: list[tuple[tuple[str, ...], dict[str, Any]]] = [
        (("x",), {"from_": "/nowhere", "format": "voc", "license": "MIT"}),
        (("x",), {"from_": str(class_folders(1)), "format": "class-folders"}),
        (("X y",), {"from_": "/", "format": "voc", "license": "MIT"}),
        (("x", "y"), {"from_": "/", "format": "voc", "license": "MIT"}),
        (("nobody-knows",), {}),
        ((), {}),
    ]
    for names, flags in wrong:
        with pytest.raises(UsageError):
            download(ws, *names, run=ONE, **flags)
    with pytest.raises(FusionError):
        translate(ws, translator="/nowhere", run=ONE)
    assert not ws.exists("fusionrs.toml")


def test_a_dry_run_leaves_no_trace(tmp_path: Path, class_folders: Make) -> None:
    ws = Workspace.open(tmp_path / "none", create=True)
    flags = {"format": "class-folders", "license": "MIT"}
    summary = download(ws, "a", from_=str(class_folders(2)), run=Run(workers=1, dry_run=True), **flags)
    assert (summary.waiting, summary.items, summary.made) == (1, 2, 0)
    assert not (tmp_path / "none").exists()


def test_too_many_refused_stops_the_run(ws: Workspace, class_folders: Make) -> None:
    root = class_folders(4)
    (root / "River" / "bad.jpg").write_bytes(b"")
    download(ws, "a", from_=str(root), format="class-folders", license="MIT", run=ONE)
    (summary,) = run_all(ws, ONE)
    assert "1 of 5 items refused (unreadable_image 1)" in summary.problems[0]
    config.update(ws, ("build",), {"max_reject_rate": 0.2})
    config.update(ws, ("translate",), {"translator": "gray"})
    assert len(run_all(ws, ONE)) == 5


def test_a_release_never_mixes_two_licence_policies(built: Workspace) -> None:
    """Pixels that came in under one policy go with the next one, and the card tells which holds."""
    data = Path(built.path("release", "fusionrs", "data"))

    def pictures() -> set[bool]:
        found = [
            row["ir"] is not None for path in data.iterdir() for row in pq.read_table(path, columns=["ir"]).to_pylist()
        ]
        assert len(found) == 12
        return set(found)

    assert pictures() == {False}  # MIT, but nobody said that the pictures may be published again
    assert push(built, license_policy="any", run=ONE).made == len(list(data.iterdir()))
    assert pictures() == {True} and list((data.parent / "examples").iterdir())
    assert config.load(built).push.license_policy == "any"
    push(built, license_policy="redistributable", run=ONE)
    assert pictures() == {False} and not list((data.parent / "examples").iterdir())


def test_push_copies_the_release(built: Workspace, tmp_path: Path) -> None:
    summary = push(built, to=str(tmp_path / "copy"), run=ONE)
    assert summary.path == str(tmp_path / "copy")
    data = fusionrs_builder.load(str(tmp_path / "copy"), cache_dir=str(tmp_path / "cache"))
    assert sum(split.num_rows for split in data.values()) == 12


def test_every_stage_is_in_order(ws: Workspace) -> None:
    stages = [pipeline.stage_of(ws, command, Settings()) for command in pipeline.ORDER]
    assert [stage.name for stage in stages] == list(pipeline.ORDER)


def test_a_plain_script_may_call_it(tmp_path: Path, class_folders: Make) -> None:
    """Spawned workers must not run the caller's script again."""
    script = tmp_path / "build.py"
    script.write_text(
        f"""
from fusionrs_builder.pipeline import Run, Workspace, download
ws = Workspace.open({str(tmp_path / "ws")!r}, create=True)
ws.write_bytes("fusionrs.toml", b"[build]\\nshard_records = 2\\n")
flags = dict(from_={str(class_folders(6))!r}, format="class-folders", license="MIT")
print(download(ws, "a", run=Run(workers=2), **flags).made)
"""
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr


def test_a_release_never_mixes_two_translators(built: Workspace) -> None:
    translate(built, translator="gray-inverted", run=Run(workers=1, limit=5))
    for step in (caption, curate, push):
        with pytest.raises(FusionError, match="2 shards of ir/ are out of date: run `fusionrs-build translate` first"):
            step(built, run=ONE)


def test_a_trial_does_not_throw_away_what_is_made(built: Workspace, class_folders: Make) -> None:
    with pytest.raises(UsageError, match="--limit would throw away 3 finished shards"):
        download(built, run=Run(workers=1, limit=2))
    assert len(built.shards("rgb")) == 3


def test_a_corpus_that_cannot_be_listed_is_not_remembered(built: Workspace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FusionError, match="nothing found"):
        download(built, "x", from_=str(tmp_path / "empty"), format="voc", license="MIT", run=ONE)
    assert list(config.load(built).corpora) == ["scenes"]


def test_a_dry_run_of_everything_tells_the_plan(ws: Workspace, class_folders: Make) -> None:
    config.update(ws, ("corpora", "a"), {"from": str(class_folders(2)), "format": "class-folders", "license": "MIT"})
    summaries = run_all(ws, Run(workers=1, dry_run=True))
    assert [(summary.command, summary.made) for summary in summaries] == [(command, 0) for command in pipeline.ORDER]
    assert summaries[0].waiting == 1
    assert ws.shards("rgb") == []


def test_a_relative_translator_is_found_from_anywhere(
    built: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(WEIGHTS / "nir-small", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    translate(built, translator="mine", run=Run(workers=1, limit=1))
    assert config.load(built).translate.translator == str(tmp_path / "mine")


def test_a_damaged_shard_is_made_again(built: Workspace) -> None:
    path = Path(built.path("ir", "scenes-00001.parquet"))
    data = bytearray(path.read_bytes())
    data[-300:-8] = bytes(292)
    path.write_bytes(data)
    assert status(built)["layers"]["translate"]["waiting"] == 1
    assert [summary.made for summary in run_all(built, ONE)][:3] == [0, 1, 0]
    shutil.copy(built.path("captions", "scenes-00000.parquet"), built.path("ir", "scenes-00000.parquet"))
    assert status(built)["next"] == f"fusionrs-build translate -w {built.url}"


def test_a_release_without_its_card_is_not_built(built: Workspace) -> None:
    """A push killed between the last file and the card must be found out."""
    Path(built.path("release", "fusionrs", "README.md")).unlink()
    assert status(built)["next"] == f"fusionrs-build push -w {built.url}"
    push(built, run=ONE)
    assert status(built)["next"] is None


def test_what_was_refused_is_said_with_an_example_a_reason(ws: Workspace, class_folders: Make) -> None:
    root = class_folders(3)
    (root / "River/bad.jpg").write_bytes(b"not an image")
    (root / "alone.jpg").write_bytes(b"")
    for _ in range(2):  # made, and found done
        notes = download(ws, "c", from_=str(root), format="class-folders", license="MIT", run=ONE).notes
        assert notes == [
            "c: missing_label, for one alone.jpg lies in no class folder",
            "c: unreadable_image, for one River/bad: no known image format (starts with b'not an i')",
        ]


def test_an_error_names_the_corpus_it_is_about(ws: Workspace, class_folders: Make) -> None:
    root = class_folders(1)
    with pytest.raises(UsageError, match="^corpus c: bands: geotiff needs a band map"):
        download(ws, "c", from_=str(root), format="geotiff", license="MIT", run=ONE)
    (root / "a.json").write_text("[")
    with pytest.raises(FusionError, match="^corpus c: a.json ends in the middle"):
        download(ws, "c", from_=str(root), format="caption-json", license="MIT", run=ONE)


def test_terms_that_changed_stop_a_push(built: Workspace, tmp_path: Path) -> None:
    """Records say what they were made with; nothing is published under other terms."""
    (name,) = config.load(built).corpora
    push(built, run=ONE)
    config.update(built, ("corpora", name), {"license": "CC-BY-NC-4.0"})
    with pytest.raises(FusionError, match=rf"`license` of \[corpora.{name}\] is another .* run `fusionrs-build run`"):
        push(built, to=tmp_path / "copy", run=ONE)
    assert not (tmp_path / "copy").exists()


def test_what_was_damaged_is_not_published(built: Workspace, tmp_path: Path) -> None:
    push(built, run=ONE)
    (data, *_) = Path(built.path("release/fusionrs/data")).iterdir()
    was = data.read_bytes()
    data.write_bytes(was[:100] + bytes([was[100] ^ 1]) + was[101:])
    with pytest.raises(FusionError, match="was changed, damaged or removed .* run the same command again"):
        push(built, to=tmp_path / "copy", run=ONE)
    assert not (tmp_path / "copy").exists()
    push(built, to=tmp_path / "copy", run=ONE)
    assert (tmp_path / "copy" / "data" / data.name).read_bytes() == was
