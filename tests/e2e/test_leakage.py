"""Copies planted among real tiles, through every command: none may be in train while its original is in test."""

import io
import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fusionrs_builder.pipeline import Run, Workspace, caption, curate, download, push, translate
from tests.conftest import encoded

Picture = NDArray[np.uint8]

TILES = 90


def jpeg(picture: Picture) -> Picture:
    return np.asarray(Image.open(io.BytesIO(encoded(picture, "JPEG", quality=70))))


def resized(picture: Picture) -> Picture:
    return np.asarray(Image.fromarray(picture).resize((170, 170), Image.Resampling.BICUBIC))


COPIES: dict[str, Callable[[Picture], Any]] = {
    "flipped": lambda picture: picture[:, ::-1],
    "rotated": np.rot90,
    "reencoded": jpeg,
    "resized": resized,
    "cropped": lambda picture: picture[3:-3, 3:-3],
}


@pytest.fixture
def planted(samples: Path, tmp_path: Path) -> Path:
    """Tiles of one corpus, copies of each in another, and pairs of other tiles that share a caption."""
    paths = sorted(samples.glob("oam-buildings-hotosm/**/*.png"))
    step = len(paths) // (2 * TILES)
    tiles = [np.asarray(Image.open(path).convert("RGB")) for path in paths[: 2 * TILES * step : step]]
    for number, tile in enumerate(tiles[:TILES]):
        kind = list(COPIES)[number % len(COPIES)]
        for corpus, picture in (("originals", tile), ("copies", COPIES[kind](tile))):
            path = tmp_path / corpus / "tile" / f"{number:03d}-{kind}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(np.ascontiguousarray(picture)))
    images = []
    (tmp_path / "captioned" / "images").mkdir(parents=True)
    for number, tile in enumerate(tiles[TILES:]):
        (tmp_path / "captioned" / "images" / f"{number:03d}.png").write_bytes(encoded(tile))
        said = f"Roofs of village number {number // 2}" + "." * (number % 2)
        images.append({"filename": f"{number:03d}.png", "split": "", "sentences": [{"raw": said}]})
    (tmp_path / "captioned" / "dataset.json").write_text(json.dumps({"images": images}))
    return tmp_path


def test_planted_copies(planted: Path, samples: Path, ws: Workspace) -> None:
    run = Run(workers=1)
    for corpus in ("originals", "copies"):
        folder = str(planted / corpus)
        download(ws, corpus, from_=folder, format="class-folders", license="CC0-1.0", redistributable=True, run=run)
    download(
        ws, "captioned", from_=str(planted / "captioned"), format="karpathy", captions="dataset.json",
        license="CC0-1.0", redistributable=True, run=run,
    )  # fmt: skip
    naip = str(samples / "naip-opengeos" / "naip")
    download(ws, "naip-opengeos", from_=naip, tile=256, overlap=64, run=run)
    translate(ws, translator="gray", run=run)
    caption(ws, run=run)
    curate(ws, split="0.5,0.25,0.25", run=run)

    rows = {
        row["id"]: row
        for shard in ws.shards("curation")
        for row in ws.zip(shard, {"rgb": ["bbox", "acquired"], "curation": ["group_id", "split", "keep", "reason"]})
    }
    assert all(row["keep"] for row in rows.values())
    splits: dict[str, set[str]] = {}
    for row in rows.values():
        splits.setdefault(row["group_id"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "validation", "test"}

    originals = [name for name in rows if name.startswith("originals/")]
    apart = [name for name in originals if rows[name]["split"] != rows[name.replace("originals", "copies")]["split"]]
    assert not apart
    for number in range(0, TILES, 2):
        one, other = (rows[f"captioned/images/{each:03d}"] for each in (number, number + 1))
        assert one["group_id"] == other["group_id"]
    assert len({rows[name]["group_id"] for name in originals}) >= 0.9 * TILES, "strangers are not joined"

    placed = [row for name, row in rows.items() if name.startswith("naip-opengeos/")]
    assert len(placed) > 50
    for one, other in combinations(placed, 2):
        (w, s, e, n), (w2, s2, e2, n2) = one["bbox"], other["bbox"]
        share = max(0, min(e, e2) - max(w, w2)) * max(0, min(n, n2) - max(s, s2)) / ((e - w) * (n - s))
        assert share < 0.05 or one["split"] == other["split"]
    report = ws.read_json("curation/report.json", {})
    assert report["leakage"]["groups_across_splits"] == 0
    assert not push(ws, run=run).problems
