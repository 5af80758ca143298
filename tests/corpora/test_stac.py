import json
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from fusionrs_builder.errors import FusionError, UsageError
from tests.corpora.stac_place import UTM, scene, sentinel
from tests.corpora.stac_server import StacServer, box_of, write_cog


def test_a_request_that_stands_asks_nothing_again(catalogue: StacServer) -> None:
    scene(catalogue, "S2_1")
    scene(catalogue, "S2_2")
    place = sentinel(catalogue)
    first = place.fetch()
    assert (first.fetched_files, first.kept_files) == (2, 0)
    again = place.fetch()
    assert not catalogue.requests
    assert (again.fetched_files, again.kept_files, again.sha256) == (0, 2, first.sha256)


def test_what_a_killed_run_left_is_taken_up(catalogue: StacServer) -> None:
    for number in (1, 2, 3):
        scene(catalogue, f"S2_{number}")
    place = sentinel(catalogue)
    catalogue.fail["/data/S2_3/B08.tif"] = [404] * 9
    with pytest.raises(FusionError, match=r"scene S2_3: http://[^?]*B08.tif: HTTP response code: 404"):
        place.fetch()
    files = place.folder / "files"
    (files / "S2_2.json").unlink()  # killed between the two
    (files / ".tmp-0").write_bytes(b"half")
    catalogue.fail.clear()
    report = place.fetch()
    read = {path.split("/")[2] for path in catalogue.requests if path.startswith("/data")}
    assert read == {"S2_2", "S2_3"}
    assert (report.fetched_files, report.kept_files, report.files) == (2, 1, 3)
    assert sorted(path.name for path in files.iterdir()) == [
        f"S2_{number}.{kind}" for number in (1, 2, 3) for kind in ("json", "tif")
    ]


RUN = """
import sys, json, pathlib
from fusionrs_builder.settings import CorpusSettings
from fusionrs_builder.corpora.registry import Stac
from fusionrs_builder.corpora.stac import fetch_scenes
name, source, settings, folder = json.loads(sys.argv[1])
fetch_scenes(name, Stac(**source), CorpusSettings.model_validate(settings), pathlib.Path(folder))
"""


def test_a_killed_process_loses_no_scene_it_finished(catalogue: StacServer) -> None:
    for number in (1, 2, 3):
        scene(catalogue, f"S2_{number}")
    place = sentinel(catalogue)
    catalogue.fail["/data/S2_3/B08.tif"] = [503] * 99  # it waits there, the other bands being read
    settings = place.settings.model_dump(mode="json", exclude_unset=True)
    request = json.dumps([place.name, place.source.model_dump(mode="json"), settings, str(place.folder)])
    with subprocess.Popen([sys.executable, "-c", RUN, request]) as process:
        deadline = time.monotonic() + 60
        while not catalogue.requests["/data/S2_3/B08.tif"] and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    files = place.folder / "files"
    assert sorted(path.name for path in files.glob("*.tif")) == ["S2_1.tif", "S2_2.tif"]
    catalogue.fail.clear()
    report = place.fetch()
    assert {path.split("/")[2] for path in catalogue.requests if path.startswith("/data")} == {"S2_3"}
    assert (report.fetched_files, report.kept_files) == (1, 2)
    assert not list(files.glob(".tmp-*"))


def test_another_request_replaces_what_it_does_not_share(catalogue: StacServer) -> None:
    scene(catalogue, "S2_2021", "2021-07-01T10:00:00Z")
    scene(catalogue, "S2_2022", "2022-07-01T10:00:00Z")
    place = sentinel(catalogue)
    before = place.fetch().sha256
    place.ask(year=2022)
    assert list(place.fetch().sha256) == ["S2_2022.tif"]
    assert not (place.folder / "files/S2_2021.tif").exists()
    place.ask(bbox=box_of(catalogue.folder / "S2_2021/B04.tif", (30, 30, 100, 90)), year=2021)
    report = place.fetch()
    assert list(report.sha256) == list(before) and report.sha256 != before
    with rasterio.open(place.image()) as cut:
        assert cut.shape == (90, 100)


def test_beside_a_scene_it_is_said_what_it_is(catalogue: StacServer) -> None:
    scene(catalogue, "S2_1", **{"s2:processing_baseline": "04.00"})
    place = sentinel(catalogue)
    place.fetch()
    beside = json.loads((place.folder / "files/S2_1.json").read_text())
    assert (beside["item"], beside["acquired"], beside["window"]) == (
        "S2_1",
        "2021-07-01T10:00:00Z",
        [100, 100, 64, 64],
    )
    assert beside["bands"][0]["href"].endswith("/data/S2_1/B04.tif")
    assert beside["bands"][0]["offset"] == pytest.approx(-0.1)


def test_the_place_must_be_given(catalogue: StacServer) -> None:
    scene(catalogue, "S2_1")
    with pytest.raises(UsageError, match="--bbox W,S,E,N"):
        sentinel(catalogue, bbox=None).fetch()


def test_a_scene_without_data_in_the_box_is_noted(catalogue: StacServer) -> None:
    scene(catalogue, "S2_1", values=0)
    place = sentinel(catalogue)
    with pytest.raises(FusionError, match="no scene has data in the box"):
        place.fetch()
    scene(catalogue, "S2_2")
    report = place.fetch()
    assert list(report.sha256) == ["S2_2.tif"]
    assert report.notes == ["S2_1: left out, no pixel has data in the box"]
    assert not list((place.folder / "files").glob("*1*"))


def test_scenes_whose_files_do_not_fit_are_noted(catalogue: StacServer) -> None:
    scene(catalogue, "S2_1")
    block = np.full((1, 256, 256), 9, "uint16")
    write_cog(catalogue.folder / "S2_1/B03.tif", block, UTM @ Affine.translation(40, 0), nodata=0)
    scene(catalogue, "S2_2")
    report = sentinel(catalogue).fetch()
    assert report.files == 1
    assert "S2_1: left out, B03.tif is 256x256" in report.notes[0]
