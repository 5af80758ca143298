"""Small releases to push, laid out as the exporter lays out its own."""

import hashlib
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
SCHEMA = pa.schema({"id": pa.string(), "rgb": IMAGE, "ir": IMAGE, "ir16": IMAGE, "split": pa.string()})
TYPES = {"id": "string", "rgb": "image", "ir": "image", "ir16": "image", "split": "string"}
IMAGES = ("rgb", "ir", "ir16")

SPLITS = {"train": 3, "validation": 1, "test": 1}
"""Files a split."""


def write(
    folder: Path,
    seed: int,
    splits: Mapping[str, int] = SPLITS,
    rows: int = 6,
    image: int = 200,
    policy: str = "redistributable",
) -> Path:
    """Write a release that the seed determines.

    Args:
        folder: new or empty.
        seed: of its ids and pictures, and so of its mark.
        splits: files a split.
        rows: a file.
        image: bytes a picture.
        policy: that its recipe tells.
    """
    chance = random.Random(seed)
    for split, files in splits.items():
        for number in range(files):
            name = f"{split}-{number:05d}-of-{files:05d}.parquet"
            table = pa.Table.from_pylist(
                [_row(f"{seed}/{split}/{number}/{row}", split, chance, image) for row in range(rows)], schema=SCHEMA
            )
            for config in ("data", "text"):
                (folder / config).mkdir(parents=True, exist_ok=True)
                pq.write_table(table.drop_columns(list(IMAGES)) if config == "text" else table, folder / config / name)
    (folder / "examples").mkdir()
    for number in range(2):
        (folder / "examples" / f"{number:03d}-rgb.jpg").write_bytes(chance.randbytes(image))
    (folder / "recipe").mkdir()
    (folder / "recipe" / "report.json").write_text(json.dumps({"settings": {"license_policy": policy}}))
    (folder / "NOTICE").write_text(f"Notices of release {seed}.\n")
    (folder / "DATASHEET.md").write_text(f"# Datasheet of release {seed}\n")
    (folder / "croissant.json").write_text(json.dumps(_croissant(folder), indent=1))
    (folder / "README.md").write_text(card(seed, list(splits)))
    return folder


def mark(seed: int) -> str:
    return hashlib.sha256(f"release {seed}".encode()).hexdigest()


def card(seed: int, splits: list[str]) -> str:
    """README.md, written last."""
    lines = ["---", "license: mit", "configs:"]
    for config, place in (("default", "data"), ("text", "text")):
        lines += [f"- config_name: {config}", "  data_files:"]
        lines += [f"  - split: {split}\n    path: {place}/{split}-*.parquet" for split in splits]
    lines += ["dataset_info:"]
    for config in ("default", "text"):
        lines += [f"- config_name: {config}", "  features:"]
        shown = {name: kind for name, kind in TYPES.items() if config == "default" or name not in IMAGES}
        lines += [f"  - name: {name}\n    dtype: {kind}" for name, kind in shown.items()]
    told = f"<!-- fusionrs-builder release {mark(seed)} -->"
    return "\n".join([*lines, "---", told, f"# Release {seed}", "![](examples/000-rgb.jpg)", ""])


def contents(folder: Path) -> dict[str, str]:
    """sha256 by path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _row(key: str, split: str, chance: random.Random, size: int) -> dict[str, Any]:
    pictures = {name: {"bytes": chance.randbytes(size), "path": f"{name}.png"} for name in ("rgb", "ir")}
    return {"id": key, "split": split, **pictures, "ir16": None}


def _croissant(folder: Path) -> dict[str, Any]:
    files = [
        {
            "@type": "cr:FileObject",
            "@id": path.name,
            "contentUrl": path.relative_to(folder).as_posix(),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.glob("data/*.parquet"))
    ]
    return {"distribution": [*files, {"@type": "cr:FileSet", "@id": "text", "includes": "text/*.parquet"}]}
