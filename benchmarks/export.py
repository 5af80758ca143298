"""Rows/s and memory of the Parquet export against `datasets`, the same rows in the same run.

    python -m benchmarks.export [--records 5000] [--side 256]

Both start from the four layers of a workspace and end with Parquet files that `load_dataset` opens; ours writes the
texts apart as well. Each runs in a process of its own, in turn, three rounds; the median counts. Memory is the
highest resident size less that after the imports.

- `to_parquet`: the layers joined by `concatenate_datasets(axis=1)`, filtered by split, `Dataset.to_parquet`.
- `from_generator`: the rows given one by one, as scripts do, then `to_parquet`.

`Dataset.push_to_hub` writes the same files by the same calls, and uploads them.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from fusionrs_builder import pixels, schema
from fusionrs_builder.corpora.procedural import render
from fusionrs_builder.release.features import SOURCES, features
from fusionrs_builder.release.stage import ReleaseStage
from fusionrs_builder.settings import PushSettings
from fusionrs_builder.shards import Footer, Row
from fusionrs_builder.stage import make
from fusionrs_builder.workspace import Workspace

ROUNDS = 3

SHARD = 1000
"""Records a shard, as by default."""

SCENES = 64
"""Different pictures; what is written are bytes, whatever they show."""

RELEASED = [column.name for column in schema.COLUMNS if column.release]


def lay(workspace: Workspace, records: int, side: int) -> None:
    """The four layers of rendered scenes."""
    scenes = [render(seed, side) for seed in range(min(SCENES, records))]
    views = [(pixels.encode_jpeg(scene.rgb), pixels.encode_jpeg(scene.lwir)) for scene in scenes]
    for start in range(0, records, SHARD):
        shard = f"bench-{start // SHARD:05d}"
        writers = {layer: workspace.writer(layer, shard) for layer in schema.LAYERS}
        for n in range(start, min(records, start + SHARD)):
            row = _record(n, *views[n % len(views)], side)
            for writer in writers.values():
                writer.write(row)
        inputs: dict[str, str] = {}
        for layer, writer in writers.items():
            footer = Footer("bench", "bench", inputs=dict(inputs), items=writer.rows)
            inputs[layer] = writer.commit(footer).content


def _record(n: int, rgb: bytes, ir: bytes, side: int) -> Row:
    return {
        "id": f"bench/{n:06d}",
        "corpus": "bench",
        "corpus_key": f"{n:06d}",
        "rgb": {"bytes": rgb, "path": f"{n}.jpg"},
        "ir": {"bytes": ir, "path": f"{n}-ir.jpg"},
        "ir_origin": "translated",
        "ir_band": "lwir",
        "scene_captions": ["An overhead image of a river between fields.", "Fields on both sides of a river."],
        "ir_captions": ["The river is dark between brighter fields.", "Dark water, bright fields."],
        "labels": ["river", "field"],
        "boxes": [{"label": "house", "x0": 1.0, "y0": 2.0, "x1": 30.0, "y1": 40.0, "polygon": []}] * 3,
        "width": side,
        "height": side,
        "license": "MIT",
        "redistributable": True,
        "group_id": f"{n:016x}",
        "split": ("train", "train", "train", "validation", "test")[n % 5],
        "keep": True,
    }


def ours(workspace: Workspace, out: Path) -> None:
    """Data and texts by the stage, without what describes them."""
    stage = ReleaseStage(PushSettings(name=out.name))
    tasks = stage.tasks(workspace)
    worker = stage.open("cpu")
    for task in stage.prepare(workspace, tasks):
        make(workspace, stage, worker, task)


def to_parquet(workspace: Workspace, out: Path) -> None:
    """As someone would who knows `datasets` well."""
    from datasets import concatenate_datasets, load_dataset

    columns = {layer: SOURCES[layer] for layer in schema.LAYERS}
    columns["rgb"] = ["id", *columns["rgb"]]
    layers = [
        load_dataset(
            "parquet",
            data_files=str(Path(workspace.root) / layer / "*.parquet"),
            split="train",
            columns=names,
            cache_dir=str(out / "cache"),
        )
        for layer, names in columns.items()
    ]
    joined = concatenate_datasets(layers, axis=1)
    wanted = features()
    joined = joined.cast(type(wanted)({name: wanted[name] for name in joined.column_names}))
    splits = np.array(joined["split"][:])
    for split in ("train", "validation", "test"):
        joined.select(np.flatnonzero(splits == split)).to_parquet(out / f"{split}-00000-of-00001.parquet")


def from_generator(workspace: Workspace, out: Path) -> None:
    """As scripts do."""
    from datasets import Dataset

    wanted = features()
    for split in ("train", "validation", "test"):

        def rows(split: str = split) -> Any:
            for shard in workspace.shards("rgb"):
                for row in workspace.zip(shard, {**SOURCES, "curation": [*SOURCES["curation"], "keep"]}):
                    if row["keep"] and row["split"] == split:
                        yield {name: row.get(name) for name in RELEASED}

        data = Dataset.from_generator(rows, features=wanted, cache_dir=str(out / "cache"))
        data.to_parquet(out / f"{split}-00000-of-00001.parquet")


CONTESTANTS = {"ours": ours, "to_parquet": to_parquet, "from_generator": from_generator}


def alone(name: str, place: str) -> None:
    """One contestant, in this process: prints seconds and megabytes."""
    import datasets  # noqa: F401  # what both import is not what is measured

    workspace = Workspace.open(place)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        out = Path(folder) / "out"
        out.mkdir()
        features()
        before = _resident_mb()
        started = time.perf_counter()
        CONTESTANTS[name](workspace, out)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(seconds, peak - before)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measured(records: int, side: int) -> dict[str, Any]:
    """All contestants in turn, round by round."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder) / "ws", create=True)
        lay(workspace, records, side)
        size = sum(path.stat().st_size for path in Path(workspace.root).rglob("*.parquet"))
        for _ in range(ROUNDS):
            for name in CONTESTANTS:
                command = [sys.executable, "-m", "benchmarks.export", "--alone", name, "--place", workspace.root]
                told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
                found[name].append((float(told[-2]), float(told[-1])))
    rates = {name: round(records / float(np.median([s for s, _ in runs])), 1) for name, runs in found.items()}
    return {
        "records": records,
        "layers_mb": round(size / 1e6, 1),
        "rows_per_s": rates,
        "times_peer": {name: round(rates["ours"] / rate, 2) for name, rate in rates.items() if name != "ours"},
        "peak_mb_above_import": {name: round(max(mb for _, mb in runs)) for name, runs in found.items()},
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--alone", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.alone:
        alone(chosen.alone, chosen.place)
        return {}
    result: dict[str, Any] = {}
    for records in (chosen.records, 4 * chosen.records):
        result[f"{records} records"] = found = measured(records, chosen.side)
        for name, rate in found["rows_per_s"].items():
            print(f"{records:7,} {name:16} {rate:9.1f} rows/s  {found['peak_mb_above_import'][name]:6} MB", flush=True)
    result["machine"] = machine.facts("cpu")
    print(machine.save("export", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
