"""Small rgb, ir and captions layers, and a run of the stage over them."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fusionrs_builder.curate.stage import CurateStage
from fusionrs_builder.pixels import described, look, phash64
from fusionrs_builder.settings import CurateSettings
from fusionrs_builder.shards import Footer
from fusionrs_builder.stage import is_done, make
from fusionrs_builder.workspace import Workspace

Records = Mapping[str, Iterable[dict[str, Any]]]
Rows = dict[str, dict[str, Any]]


def sha(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def noise(name: object, side: int = 32) -> NDArray[np.uint8]:
    """A picture that resembles no other: uint8 [side, side]."""
    coarse = np.random.default_rng(int(sha(name)[:8], 16)).integers(0, 256, (16, 16), dtype=np.uint8)
    return np.kron(coarse, np.ones((side // 16, side // 16), np.uint8))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "ws", create=True)


@pytest.fixture
def lay(workspace: Workspace) -> Callable[[Records], None]:
    """Write the three input layers: shards of records `{"key": ..}`, with what is special about each beside it."""

    def write(layer: str, shard: str, rows: list[dict[str, Any]], inputs: dict[str, str]) -> str:
        with workspace.writer(layer, shard) as writer:
            for row in rows:
                writer.write(row)
            return writer.commit(Footer("test", "f", inputs=inputs, items=len(rows))).content

    def do(shards: Records) -> None:
        for shard, records in shards.items():
            corpus = shard.rsplit("-", 1)[0]
            rows = []
            for record in records:
                name = f"{corpus}/{record['key']}"
                pixels = record.get("pixels", name)
                seen = noise(pixels)
                ready = {
                    "id": name,
                    "corpus": corpus,
                    "pixel_sha256": sha(pixels),
                    "phash16": described(seen)["phash16"],
                    "look": look(seen),
                    "rgb_quality": {"entropy": 7.0, "saturation": 0.0, "nodata": None},
                    "width": 256,
                    "height": 256,
                    "ir_sha256": sha(f"ir of {pixels}"),
                    "ir_phash": phash64(noise(f"ir of {pixels}")),
                    "ir_look": look(noise(f"ir of {pixels}")),
                    "ir_origin": "translated",
                    "scene_captions": ["a field"],
                    "ir_captions": ["a bright field"],
                }
                rows.append(ready | {name: value for name, value in record.items() if name not in ("key", "pixels")})
            rgb = write("rgb", shard, [{**row, "reason": None} for row in rows], {})
            ir = write("ir", shard, [{**row, "reason": row.get("ir_reason")} for row in rows], {"rgb": rgb})
            said = [{**row, "reason": row.get("caption_reason")} for row in rows]
            write("captions", shard, said, {"rgb": rgb, "ir": ir})

    return do


class Curator:
    """Runs the stage where it is not done.

    Attributes:
        made: shards made by the last call.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.made: list[str] = []

    def __call__(self, split: tuple[float, float, float] = (0.8, 0.1, 0.1), seed: int = 0, **settings: Any) -> Rows:
        """Returns the rows of the whole layer, by id."""
        stage = CurateStage(CurateSettings(split=split, **settings), seed)
        stage.check(self.workspace)
        pending = [task for task in stage.tasks(self.workspace) if not is_done(self.workspace, stage, task)]
        for task in stage.prepare(self.workspace, pending) if pending else []:
            make(self.workspace, stage, stage.open("cpu"), task)
        stage.finish(self.workspace)
        self.made = [task.shard for task in pending]
        shards = self.workspace.shards("curation")
        return {row["id"]: row for shard in shards for row in self.workspace.rows("curation", shard)}


@pytest.fixture
def curate(workspace: Workspace) -> Curator:
    return Curator(workspace)
