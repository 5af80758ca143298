"""Small workspaces with all four layers, and a run of the stage over them."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionrs_builder import pixels, schema
from fusionrs_builder.release.stage import ReleaseStage
from fusionrs_builder.settings import PushSettings
from fusionrs_builder.shards import Footer, refused_by_reason
from fusionrs_builder.stage import is_done, make
from fusionrs_builder.workspace import Workspace

Record = dict[str, Any]
Records = Mapping[str, Iterable[Record]]

MEASURED = {"ir_origin": "measured", "ir_band": "nir", "ir_source": "NAIP nir"}


def picture(key: str, side: int, channels: int) -> pixels.Array:
    """Noise that the key determines: no two pictures are alike, and none compresses away."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
    shape = (side, side, 3) if channels == 3 else (side, side)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def record(key: str, split: str = "train", side: int = 16, **special: Any) -> Record:
    """A record that may be released. `special` replaces any column; `rgb=None` takes the visible view away."""
    rgb, ir = picture(key, side, 3), picture("ir" + key, side, 1)
    return {
        "key": key,
        "rgb": {"bytes": pixels.encode_png(rgb), "path": f"{key}.png"},
        "ir": {"bytes": pixels.encode_png(ir), "path": f"{key}-ir.png"},
        "ir_origin": "translated",
        "ir_source": "gray@0123456789ab",
        "scene_captions": [f"a scene called {key}"],
        "ir_captions": [f"{key} seen in infrared"],
        "caption_source": {
            "scene": ["grounded@v1"],
            "ir": ["grounded@v1"],
            "prompt_sha256": "ab",
            "checks": ["no-heat"],
            "failed": [],
        },
        "labels": ["field"],
        "boxes": [{"label": "ship", "x0": 1.0, "y0": 2.0, "x1": 3.0, "y1": 4.0, "polygon": []}],
        "width": side,
        "height": side,
        "license": "MIT",
        "redistributable": True,
        "phash": 2**64 - 1,
        "pixel_sha256": pixels.pixel_sha256(rgb),
        "publisher_captions": ["never released"],
        "split": split,
        "keep": True,
        **special,
    }


def lay(workspace: Workspace, shards: Records, run: str = "f") -> None:
    """Write all four layers. `run` is the fingerprint of the curation."""
    for shard, records in shards.items():
        corpus = shard.rsplit("-", 1)[0]
        inputs: dict[str, str] = {}
        writers = {layer: workspace.writer(layer, shard) for layer in schema.LAYERS}
        count, reasons = 0, []
        for given in records:
            name = f"{corpus}/{given['key']}"
            row = {"id": name, "corpus": corpus, "corpus_key": given["key"], "group_id": f"group:{name}", **given}
            for layer in ("ir", "captions"):
                writers[layer].write({**row, "reason": None})
            # What is released must be the ir layer's infrared, not the measured one that the rgb layer keeps.
            writers["rgb"].write({**row, "ir": None, "ir_source": "wrong"})
            writers["curation"].write(row)
            reasons += [row["reason"]] if row.get("reason") else []
            count += 1
        for layer, writer in writers.items():
            footer = Footer("test", "f", inputs=dict(inputs), items=count)
            if layer == "curation":
                footer = replace(footer, fingerprint=run, refused=refused_by_reason(reasons))
            inputs[layer] = writer.commit(footer).content


def push(workspace: Workspace, **settings: Any) -> list[str]:
    """Run the stage to its end, in this process: all pixels, unless told otherwise. Returns the files made."""
    stage = ReleaseStage(PushSettings(**{"license_policy": "any", **settings}))
    pending = [task for task in stage.tasks(workspace) if not is_done(workspace, stage, task)]
    for task in stage.prepare(workspace, pending) if pending else []:
        make(workspace, stage, stage.open("cpu"), task)
    stage.finish(workspace)
    return [task.shard for task in pending]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` keeps what it read by path and time: each test has a cache of its own."""
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "ws", create=True)


def three_corpora() -> Iterator[tuple[str, list[Record]]]:
    """Two shards of visible and drawn infrared, one of measured, one of infrared only: 48 records, 45 kept."""

    def split(number: int) -> str:
        return {8: "validation", 9: "test"}.get(number % 10, "train")

    for part in (0, 1):
        keys = [f"{10 * part + number:03d}" for number in range(10)]
        yield f"eurosat-{part:05d}", [record(key, split(int(key))) for key in keys]
    cc0 = {"license": "CC0-1.0", "license_url": "https://creativecommons.org/publicdomain/zero/1.0/", **MEASURED}
    yield (
        "naip-00000",
        [
            *(record(f"{number:03d}", split(number), **cc0) for number in range(15)),
            *(record(f"dropped{number}", keep=False, reason="duplicate: same", **cc0) for number in range(3)),
        ],
    )
    terms = {"license": "CC-BY-4.0", "attribution": "HIT-UAV | authors", "redistributable": False}
    thermal = {"ir_origin": "measured", "ir_band": "lwir", "ir_source": "FLIR lwir", "rgb": None, **terms}
    yield "hit-uav-00000", [record(f"{number:03d}", split(number), **thermal) for number in range(10)]


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    lay(workspace, dict(three_corpora()))
    return workspace


@pytest.fixture
def release(filled: Workspace) -> Path:
    push(filled)
    return Path(filled.path("release", "fusionrs"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
