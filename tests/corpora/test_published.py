"""`download NAME` of an entry of the registry: planned, fetched, kept, checked against what the publisher counts."""

import hashlib
import io
import shutil
import zipfile
from pathlib import Path

import pytest

from fusionrs_builder import pipeline
from fusionrs_builder.corpora import published, registry
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.settings import CorpusSettings
from fusionrs_builder.workspace import Workspace
from tests.conftest import encoded, picture

ONE = Run(workers=1)

ENTRY = """
title = "Harbours of Atlantis"
kind = "classification"
bands = ["rgb"]
records = {records}
redistribution = "yes"
{how}

[settings]
format = "class-folders"
license = "CC-BY-4.0"
attribution = "Harbours of Atlantis"
redistributable = true
source_url = "https://example.org/harbours"
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Four images of two classes."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        for number in range(4):
            made.writestr(f"{'harbour' if number % 2 else 'reef'}/{number}.jpg", encoded(picture(number), "JPEG"))
    path = tmp_path / "publisher" / "harbours.zip"
    path.parent.mkdir()
    path.write_bytes(data.getvalue())
    return path


@pytest.fixture
def enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Writes entries of a registry of its own."""
    folder = tmp_path / "registry"
    shutil.copytree(registry.FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    monkeypatch.setattr(registry, "FOLDER", folder)

    def write(name: str, how: str, records: int = 4) -> None:
        (folder / f"{name}.toml").write_text(ENTRY.format(how=how, records=records))

    return write


def fetched(archive: Path) -> str:
    data = archive.read_bytes()
    sha = hashlib.sha256(data).hexdigest()
    return f'files = [{{ url = "file://{archive}", bytes = {len(data)}, sha256 = "{sha}" }}]'


def test_a_corpus_is_fetched_and_harmonised_in_one_command(ws: Workspace, archive: Path, enter: object) -> None:
    enter("atlantis", fetched(archive))  # type: ignore[operator]
    summary = pipeline.download(ws, "atlantis", run=ONE)
    assert (summary.items, summary.good) == (4, 4)
    assert summary.notes[0].startswith("atlantis: files fetched 1 (")
    rows = list(ws.rows("rgb", "atlantis-00000", ["labels", "license", "redistributable"]))
    assert {row["labels"][0] for row in rows} == {"harbour", "reef"}
    assert {(row["license"], row["redistributable"]) for row in rows} == {("CC-BY-4.0", True)}
    lock = ws.read_json("fusionrs.lock", {})["published"]["atlantis"]
    assert (lock["files"], lock["bytes"], len(lock["sha256"])) == (1, archive.stat().st_size, 64)
    archive.unlink()  # what is here and verified is not asked for again
    again = pipeline.download(ws, "atlantis", run=ONE)
    assert (again.made, again.kept) == (0, 1)
    assert pipeline.status(ws)["layers"]["download"]["done"] == 1


def test_a_dry_run_says_what_would_be_fetched(ws: Workspace, archive: Path, enter: object) -> None:
    enter("atlantis", fetched(archive))  # type: ignore[operator]
    summary = pipeline.download(ws, "atlantis", run=Run(dry_run=True))
    assert summary.notes == ["atlantis: files to fetch 1, 0.0 MB"]
    assert not Path(ws.path("raw")).exists()
    assert not ws.exists("fusionrs.toml")


def test_fewer_images_than_the_publisher_counts_are_said(ws: Workspace, archive: Path, enter: object) -> None:
    enter("atlantis", fetched(archive), records=5)  # type: ignore[operator]
    notes = pipeline.download(ws, "atlantis", run=ONE).notes
    assert notes[-1] == "atlantis: 4 items, where the publisher counts 5"


def test_a_damaged_archive_stops_the_corpus(ws: Workspace, archive: Path, enter: object) -> None:
    enter("atlantis", fetched(archive))  # type: ignore[operator]
    data = bytearray(archive.read_bytes())
    data[100] ^= 0xFF
    archive.write_bytes(bytes(data))
    with pytest.raises(FusionError, match=r"atlantis.*harbours\.zip"):
        pipeline.download(ws, "atlantis", run=ONE)
    assert not ws.shards("rgb")


def test_steps_by_hand_are_told(ws: Workspace, enter: object) -> None:
    enter("atlantis", 'manual = "Fill in the form at example.org, then pass --from."')  # type: ignore[operator]
    with pytest.raises(UsageError, match=r"say where it is with --from[\s\S]*Fill in the form"):
        pipeline.download(ws, "atlantis", run=ONE)


def test_a_remote_workspace_cannot_be_fetched_into(archive: Path, enter: object) -> None:
    enter("atlantis", fetched(archive))  # type: ignore[operator]
    remote = Workspace.open("memory://published", create=True)
    with pytest.raises(UsageError, match="fetch them into a workspace on a disk"):
        pipeline.download(remote, "atlantis", run=ONE)


def test_a_place_is_asked_for(ws: Workspace) -> None:
    with pytest.raises(UsageError, match="--bbox W,S,E,N"):
        pipeline.download(ws, "naip", run=ONE)
    settings = registry.resolve("naip", CorpusSettings(bbox=(-97.8, 30.2, -97.7, 30.3)))
    assert "would cut" in published.planned("naip", settings)
    settings = settings.model_copy(update={"stac_url": "https://me:SECRET@example.org/api?key=SECRET"})
    assert published.planned("naip", settings).endswith("of https://example.org/api")
