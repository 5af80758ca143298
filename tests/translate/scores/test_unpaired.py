import json

import numpy as np
import pytest

from fusionrs_builder import pixels
from fusionrs_builder.translate.scores import c2st
from fusionrs_builder.translate.scores import unpaired as module
from fusionrs_builder.translate.scores.records import Entry, Record, entries
from fusionrs_builder.translate.scores.unpaired import between, central, matched, unpaired, window
from fusionrs_builder.translate.translator import CONTROLS
from tests.translate.conftest import fill, record, scene

BOTH = {name: CONTROLS[name] for name in ("gray-inverted", "gray")}


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setattr(c2st, "TREES", 20)


def entry(n, side=64):
    return Entry("s", n, f"toy/{n}", f"toy/{n}", side, (), 0, True, None)


def frame(seed, height=64, width=70):
    """What an inverting sensor sees: the negative of another scene, with its own noise."""
    rgb = scene(height, width, seed)
    return CONTROLS["gray-inverted"].translate(rgb.transpose(2, 0, 1)[None])[0, 0]


def visible(n=16):
    # Dark scenes, so that grey and its negative differ in brightness.
    return [Record(entry(i), scene(64, 64, 2 * i) // 3, None, ()) for i in range(n)]


def real(n=16):
    frames = [255 - (255 - frame(2 * i + 1).astype(int)) // 3 for i in range(n)]
    return [Record(entry(i), None, each.astype(np.uint8), ()) for i, each in enumerate(frames)]


def test_who_draws_as_the_sensor_sees_is_closer_and_harder_to_tell():
    found = unpaired(BOTH, visible(), real(), 64)
    assert (found["n"], found["window"]) == (16, 64)
    assert found["scores"]["gray-inverted"]["intensity"]["mean"] < 1 < 3 < found["scores"]["gray"]["intensity"]["mean"]
    assert found["differences"]["gray"]["intensity"]["high"] < 0
    assert found["scores"]["gray"]["c2st"]["mean"] > 0.9 > found["scores"]["gray-inverted"]["c2st"]["mean"]
    assert found["differences"]["gray"]["c2st"]["mean"] < 0
    assert found["closer"]["gray"]["of"] == 6
    assert found["closer"]["gray"]["surely"] >= 1
    assert found["frames"]["intensity"]["mean"] > 128
    assert "deep" not in found
    assert json.loads(json.dumps(found)) == found


def test_deep_distances_where_there_are_features():
    pytest.importorskip("torchmetrics")
    extract = lambda view: np.array([view.mean(), view.std()], np.float32)  # noqa: E731
    deep = unpaired(BOTH, visible(), real(), 64, extract)["deep"]
    assert deep["gray-inverted"]["fid"] < deep["gray"]["fid"]


def test_one_group_leaves_the_classifier_out_and_says_so():
    same = [Record(Entry("s", 0, "toy/0", "toy", 64, (), 0, True, None), r.rgb, None, ()) for r in visible()]
    found = unpaired(BOTH, same, real(), 64)
    assert "one group" in found["not_measured"]["c2st"]
    assert "c2st" not in found["scores"]["gray"]


def test_neither_size_nor_coder_tells_views_apart():
    view = frame(0, 100, 90)
    once = pixels.gray_array(pixels.encode_jpeg(central(view, 64)))
    assert matched(central(view, 64)).shape == (32, 32)
    assert np.abs(matched(once).astype(int) - matched(central(view, 64))).max() <= 2
    assert np.array_equal(central(view, 64), view[18:82, 13:77])
    assert window([entry(0, 512), entry(1, 301)]) == 256
    assert window([entry(0, 512), entry(1, 131)]) == 128


def test_a_workspace_is_sampled_evenly(workspace, monkeypatch):
    rows = [record(f"v{n}", scene(64, 64, n)) for n in range(14)] + [record("small", scene(20, 20))]
    fill(workspace, rows + [record(f"r{n}", None, frame(n)) for n in range(12)])
    drawn, frames = entries(workspace, lambda e: e.rgb), entries(workspace, lambda e: not e.rgb)
    found = between(BOTH, workspace, drawn, workspace, frames)
    assert (found["n"], found["window"], found["frames_of"]) == (12, 64, ["toy"])
    assert found == between(BOTH, workspace, drawn, workspace, frames)
    monkeypatch.setattr(module, "MOST", 11)
    assert between(BOTH, workspace, drawn, workspace, frames)["n"] == 11
    assert "14 visible images and 9 real frames" in between(BOTH, workspace, drawn, workspace, frames[:9])
