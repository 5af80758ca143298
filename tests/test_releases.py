"""`push` that withholds pixels and `rebuild` that brings them back, over every stage between."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi, constants

from fusionrs_builder import config
from fusionrs_builder.cli.main import main
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.pipeline import Run, Workspace, caption, curate, download, push, translate
from fusionrs_builder.release import publish
from fusionrs_builder.release.hub.push import push_to_hub
from fusionrs_builder.releases import rebuild
from fusionrs_builder.translate.translator import WEIGHTS
from tests.conftest import encoded, picture
from tests.corpora.formats.test_fusionrs_index import put_index, records
from tests.corpora.formats.test_fusionrs_index import sources as sources
from tests.hub import clients
from tests.hub.server import HubServer, serving

ONE = Run(workers=1)


def scenes(folder: Path, first: int, count: int) -> Path:
    for number in range(first, first + count):
        path = folder / ("Forest" if number % 2 else "River") / f"{number} of many.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(number), "JPEG", quality=90))
    return folder


def build(folder: Path, translator: str) -> SimpleNamespace:
    """A release of two corpora that hold no pixels, the same with all of them, and copies of the corpora."""
    copies = {"a": str(scenes(folder / "a", 0, 12)), "b": str(scenes(folder / "the other", 50, 4))}
    workspace = Workspace.open(folder / "ws", create=True)
    workspace.write_bytes("fusionrs.toml", b"[build]\nshard_records = 5\n")
    for name, licence in (("a", "unknown"), ("b", "CC-BY-NC-4.0")):
        download(workspace, name, from_=copies[name], format="class-folders", license=licence, run=ONE)
    translate(workspace, translator=translator, run=ONE)
    caption(workspace, run=ONE)
    curate(workspace, run=ONE)
    push(workspace, name="whole", license_policy="any", run=ONE)
    push(workspace, name="fusionrs", license_policy="redistributable", run=ONE)
    found = {name: Path(workspace.path("release", name)) for name in ("fusionrs", "whole")}
    return SimpleNamespace(workspace=workspace, copies=copies, release=str(found["fusionrs"]), whole=found["whole"])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    return build(tmp_path_factory.mktemp("built with spaces"), "gray")


@pytest.fixture
def copies(built: SimpleNamespace, tmp_path: Path) -> dict[str, str]:
    """To be changed."""
    return {name: str(shutil.copytree(path, tmp_path / name)) for name, path in built.copies.items()}


def rows(folder: Path) -> list[dict[str, Any]]:
    found = [row for path in sorted(folder.glob("data/*.parquet")) for row in pq.read_table(path).to_pylist()]
    return sorted(found, key=lambda row: str(row["id"]))


def test_all_comes_back(built: SimpleNamespace, tmp_path: Path) -> None:
    found = rebuild(built.release, str(tmp_path / "to"), built.copies, run=ONE)
    assert (found.filled, found.missing, found.problems) == ({"a": 12, "b": 4}, {}, [])
    assert rows(tmp_path / "to") == rows(built.whole)
    assert all(row["rgb"] and row["ir"] for row in rows(tmp_path / "to"))
    assert not any(row["rgb"] or row["ir"] for row in rows(Path(built.release)))
    shutil.rmtree(tmp_path / "to.workspace")
    again = rebuild(built.release, str(tmp_path / "to"), built.copies, run=ONE)
    assert (again.filled, again.missing, again.problems) == ({}, {}, [])


def test_one_corpus_after_the_other(built: SimpleNamespace, tmp_path: Path) -> None:
    to = tmp_path / "to"
    first = rebuild(built.release, to, {"b": built.copies["b"]}, run=ONE)
    assert (first.filled, first.missing) == ({"b": 4}, {"a": 12})
    assert first.problems == ["a: no copy of it is at hand: name yours by --from a=PATH"]
    second = rebuild(built.release, to, {"a": built.copies["a"]}, run=ONE)
    assert (second.filled, second.missing, second.problems) == ({"a": 12}, {}, [])
    assert rows(to) == rows(built.whole)


def test_a_copy_that_was_changed_is_told_record_by_record(
    built: SimpleNamespace, copies: dict[str, str], tmp_path: Path
) -> None:
    changed, broken, gone = (Path(copies["a"]) / f"River/{n} of many.jpg" for n in (0, 2, 4))
    changed.write_bytes(encoded(picture(99), "JPEG", quality=90))
    broken.write_bytes(b"no image")
    gone.unlink()
    to = tmp_path / "to"
    found = rebuild(built.release, to, copies, run=ONE)
    assert (found.filled, found.missing) == ({"a": 9, "b": 4}, {"a": 3})
    assert [line for line in found.problems if "a/River/0 of many has other pixels in your copy of a" in line]
    assert [line for line in found.problems if "a/River/2 of many cannot be read in your copy of a: " in line]
    assert [line for line in found.problems if "a/River/4 of many is not in your copy of a" in line]
    second = rebuild(built.release, to, {"a": built.copies["a"]}, run=ONE)
    assert (second.filled, second.missing, second.problems) == ({"a": 3}, {}, [])
    assert rows(to) == rows(built.whole)


def test_what_is_asked_wrongly_leaves_no_trace(built: SimpleNamespace, tmp_path: Path) -> None:
    to = tmp_path / "to"
    wrong: list[tuple[str, str, dict[str, str], str]] = [
        (built.release, str(to), {"c": "/"}, "--from c: the release has no corpus c; it has a, b"),
        (built.release, str(to), {"a.RSICD": "/"}, "a is one copy: --from a=PATH"),
        (built.release, str(to), {}, "pictures of a, b are missing: name a copy by --from a=PATH"),
        (built.release, "s3://bucket/to", built.copies, "--to s3://bucket/to is no local folder"),
        (built.release, built.release, built.copies, "is the release itself"),
        (built.workspace.url, str(to), built.copies, "is a workspace, which has all pictures"),
        (str(tmp_path / "nothing"), str(to), built.copies, "no such folder"),
    ]
    for release, target, copies, words in wrong:
        with pytest.raises(UsageError, match=words):
            rebuild(release, target, copies, run=ONE)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match=r"corpus a: /nowhere is not a folder"):
        rebuild(built.release, to, {"a": "/nowhere"}, run=ONE)
    assert not to.exists()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    clients.use(monkeypatch, tmp_path / "cache")
    with serving() as server:
        for name in ("ENDPOINT", "HUGGINGFACE_CO_URL_TEMPLATE"):
            known = getattr(constants, name)
            monkeypatch.setattr(constants, name, known.replace("https://huggingface.co", server.url))
        monkeypatch.setenv("HF_TOKEN", server.account("ada", orgs=["org"]))
        yield server
    assert clients.STRANGE == []


def test_a_release_of_the_hub(server: HubServer, built: SimpleNamespace, tmp_path: Path) -> None:
    push_to_hub(Path(built.release), "org/data", tag="v1", endpoint=server.url)
    to = tmp_path / "to"
    found = rebuild("org/data", to, {"b": built.copies["b"]}, run=ONE)
    assert (found.filled, found.missing) == ({"b": 4}, {"a": 12})
    # At the tag it is the same, though main went on.
    HfApi(endpoint=server.url).delete_file("data/test-00000-of-00001.parquet", "org/data", repo_type="dataset")
    found = rebuild("org/data@v1", to, built.copies, run=ONE)
    assert (found.filled, found.problems) == ({"a": 12}, [])
    assert rows(to) == rows(built.whole)
    HfApi(endpoint=server.url).upload_file(
        path_or_fileobj=(built.whole / "data/train-00000-of-00001.parquet").read_bytes(),
        path_in_repo="data/train-00000-of-00001.parquet",
        repo_id="org/data",
        repo_type="dataset",
    )
    with pytest.raises(FusionError, match="train-00000-of-00001.parquet is not what SHA256SUMS says"):
        rebuild("org/data", tmp_path / "another", built.copies, run=ONE)


def test_a_dry_run_tells_what_is_missing(built: SimpleNamespace, tmp_path: Path) -> None:
    found = rebuild(built.release, tmp_path / "to", {}, run=replace(ONE, dry_run=True))
    assert (found.filled, found.missing, found.problems) == ({}, {"a": 12, "b": 4}, [])
    assert list(tmp_path.iterdir()) == []


def test_a_whole_release_lacks_nothing(built: SimpleNamespace, tmp_path: Path) -> None:
    found = rebuild(str(built.whole), tmp_path / "to", {}, run=ONE)
    assert (found.path, found.missing) == (str(built.whole), {})
    assert list(tmp_path.iterdir()) == []


def test_ones_own_translator_has_to_be_named(tmp_path: Path) -> None:
    mine = shutil.copytree(WEIGHTS / "nir-small", tmp_path / "of ada" / "mine")
    built = build(tmp_path / "built", str(mine))
    assert 'translator = "mine"' in (Path(built.release) / "recipe/fusionrs.toml").read_text()
    to = tmp_path / "to"
    with pytest.raises(UsageError, match="no translator 'mine'.*were drawn by mine: name your copy by --translator"):
        rebuild(built.release, to, built.copies, run=ONE)
    other = rebuild(built.release, to, built.copies, "gray", ONE)
    assert other.missing == {"a": 12, "b": 4} and "drawn otherwise: by another translator" in other.problems[0]
    found = rebuild(built.release, to, built.copies, str(mine), ONE)
    assert (found.filled, found.problems) == ({"a": 12, "b": 4}, [])
    assert rows(to) == rows(built.whole)


def test_measured_views_need_no_translator(tmp_path: Path) -> None:
    """One that nobody else has is no hindrance where nothing was drawn."""
    folder = tmp_path / "warm"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(encoded(picture(number, channels=1)))
        note = f"<annotation><filename>{number}.png</filename></annotation>"
        (folder / f"{number}.xml").write_text(note)
    workspace = Workspace.open(tmp_path / "ws", create=True)
    flags = {"format": "voc", "modality": "ir", "band": "lwir", "sensor": "FLIR", "license": "unknown"}
    download(workspace, "warm", from_=str(folder), run=ONE, **flags)
    mine = shutil.copytree(WEIGHTS / "nir-small", tmp_path / "mine")
    translate(workspace, translator=str(mine), run=ONE)
    for step in (caption, curate, push):
        step(workspace, run=ONE)
    found = rebuild(workspace.path("release/fusionrs"), tmp_path / "to", {"warm": str(folder)}, run=ONE)
    assert (found.filled, found.problems) == ({"warm": 3}, [])
    assert all(row["rgb"] is None and row["ir"] for row in rows(tmp_path / "to"))


def test_push_tells_whose_pixels_it_left_out(built: SimpleNamespace) -> None:
    (note,) = push(built.workspace, run=ONE).notes
    assert note.startswith("without pixels, for their licence (redistributable): a 12, b 4 records; ")


def test_all_pixels_are_not_made_public(built: SimpleNamespace, tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws", create=True)
    for flags in ({"license_policy": "any"}, {}):
        with pytest.raises(UsageError, match="--public is not for a release with license_policy = any"):
            push(workspace, repo_id="org/data", public=True, run=ONE, **flags)
        assert config.load(workspace).push.license_policy == "redistributable" or not flags
        config.update(workspace, ("push",), {"license_policy": "any"})  # in the file it is the same
    assert not workspace.exists("release")


def test_nothing_changes_while_it_is_published(
    built: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*_: Any) -> list[str]:
        with pytest.raises(FusionError, match="is in use by `fusionrs-build push`"):
            translate(built.workspace, translator="gray-inverted", run=ONE)
        return ["published"]

    monkeypatch.setattr(publish, "publish", meanwhile)
    assert push(built.workspace, to=tmp_path / "to", run=ONE).notes[-1] == "published"


def test_the_command_line(built: SimpleNamespace, tmp_path: Path) -> None:
    def call(*arguments: str, code: int = 0) -> Any:
        done = CliRunner().invoke(main, ["rebuild", built.release, "--to", str(tmp_path / "to"), *arguments])
        assert done.exit_code == code, done.output
        return done

    for arguments, words in (
        (("--from", "a"), "'a' is not CORPUS=PATH"),
        (("--from", "a="), "'a=' is not CORPUS=PATH"),
        (("--from", "=b"), "'=b' is not CORPUS=PATH"),
        (("--from", "a=/x", "--from", "a=/y"), "a is named twice"),
    ):
        assert words in call(*arguments, code=2).output
    assert "without pictures: a 12, b 4" in call("--dry-run").stdout
    done = call("--from", f"b={built.copies['b']}", "--workers", "1", "--json", code=1)
    told = json.loads(done.stdout)
    assert (told["filled"], told["missing"], told["path"]) == ({"b": 4}, {"a": 12}, str(tmp_path / "to"))
    lines = call("--from", f"a={built.copies['a']}", "--workers", "1").stdout.splitlines()
    assert lines[-3:] == ["filled in: a 12", "without pictures: none", str(tmp_path / "to")]


def test_an_index_into_other_corpora(sources: dict[str, str], tmp_path: Path) -> None:
    """What the data set of the paper is: of it nobody may publish a pixel, and each source is one's own copy."""
    index = put_index(tmp_path / "index.jsonl.gz", records())
    workspace = Workspace.open(tmp_path / "ws", create=True)
    download(workspace, "fusionrs-rc4", index=str(index), sources=sources, run=ONE)
    translate(workspace, translator="gray", run=ONE)
    for step in (caption, curate):
        step(workspace, run=ONE)
    push(workspace, name="whole", license_policy="any", run=ONE)
    push(workspace, name="fusionrs", license_policy="redistributable", run=ONE)
    whole = {row["id"]: row for row in rows(Path(workspace.path("release/whole")))}
    release = workspace.path("release/fusionrs")
    text = "".join(path.read_text() for path in Path(release, "recipe").iterdir())
    assert str(tmp_path) not in text and "index.jsonl.gz" not in text

    own = {f"fusionrs-rc4.{name}": path for name, path in sources.items()}
    some = dict(list(own.items())[:2])
    first = rebuild(release, tmp_path / "to", {"fusionrs-rc4": str(index), **some}, run=ONE)
    assert 0 < first.filled.total() < len(whole) == first.filled.total() + first.missing.total()
    second = rebuild(release, tmp_path / "to", {"fusionrs-rc4": str(index), **own}, run=ONE)
    assert (second.missing, second.problems) == ({}, [])
    assert {row["id"]: row for row in rows(tmp_path / "to")} == whole
