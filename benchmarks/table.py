"""How long a table of five models takes on the release of the demo, the first time and from the cache.

    python -m benchmarks.table [--data RELEASE] [--plot FILE.png]

`random`, two untrained architectures of open_clip, a colour histogram of fifteen lines, and embeddings that were made
elsewhere (4 x 4 means of the pixels), on all protocols of retrieval. Without --data the demo is built first.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from fusionrs_builder.benchmark.records import Records, View
from fusionrs_builder.demo import demo
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.release.load import load_split

SHOWN = "zeroshot-retrieval-rgb-ir-pairing-1-*-measured-*.png"
"""The plot that the README shows."""

VIEWS: tuple[View, ...] = ("rgb", "infrared", "gray", "gray-inverted")


def blocks(release: str, file: Path) -> None:
    """Means of 4 x 4 blocks of every view, as embeddings made elsewhere."""
    records = Records(load_split(release, "test"), "demo", "test")
    both = [place for place, record in enumerate(records) if record.key("rgb") and record.key("infrared")]
    arrays = {
        view: np.stack([np.asarray(records.picture(n, view).resize((4, 4)), np.float32).ravel() - 127 for n in both])
        for view in VIEWS
    }
    np.savez(file, ids=np.array([records[place].id for place in both]), **arrays)


def timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a release  [default: that of the demo, built first]")
    parser.add_argument("--plot", type=Path, help="where to copy the plot that the README shows")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        release = chosen.data or str(demo(str(work / "demo"), run=Run(1))[-1].path)
        blocks(release, work / "blocks.npz")
        models = ("random", "open_clip:ViT-B-32", "open_clip:RN50", "python:benchmarks.histogram:load",
                  f"embeddings:{work / 'blocks.npz'}")  # fmt: skip
        command = [str(Path(sys.executable).parent / "fusionrs-build"), "benchmark", "retrieval", "--data", release]
        command += ["--out", str(work / "out"), "--cache-dir", str(work / "cache")]
        command += [part for model in models for part in ("--model", model)]
        first, second = timed(command), timed(command)
        rows = [json.loads(path.read_text()) for path in (work / "out").glob("*.json")]
        if chosen.plot:
            shutil.copy(next((work / "out" / "report" / "plots").glob(SHOWN)), chosen.plot)
    result = {
        "models": [*models[:-1], "embeddings:blocks.npz"],
        "records": max(row["counts"]["images"] for row in rows),
        "results": len(rows),
        "first run, s": round(first, 1),
        "from the cache, s": round(second, 1),
        "Mean R": {
            f"{row['model']}, {row['inputs']}": row["metrics"]["Mean R"]
            for row in rows
            if (row["protocol"], row["origin"]) == ("rgb-ir-pairing@1", "measured")
        },
        "machine": machine.facts("cpu"),
    }
    print(json.dumps(result, indent=1))
    print(machine.save("table", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
