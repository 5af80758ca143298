"""Time and memory of curation, for 10,000, 100,000 and 1,000,000 records: two tables.

1. Near-duplicates among as many hashes, each in 16 variants, from candidates to groups, beside the same search by
   faiss' binary multi-hash index, which compares hashes alone. The hashes are those of crops of the sample tiles (of
   rendered scenes where there are none); above 100,000, also of crops with twelve of their bits flipped, since a
   million crops take long to make.
2. The whole stage over a workspace of as many records, with captions, footprints and publishers' splits.

Each is measured in a process of its own. Peak memory is that of the process, libraries included.

    python -m benchmarks.curate [--records 10000,100000,1000000]
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from fusionrs_builder import pixels
from fusionrs_builder.curate import groups, near_duplicates
from fusionrs_builder.curate.stage import CurateStage
from fusionrs_builder.settings import CurateSettings
from fusionrs_builder.shards import Footer
from fusionrs_builder.stage import make
from fusionrs_builder.workspace import Workspace

RADIUS = 4
CROPS, SMALLEST, FLIPPED_BITS = 100_000, 40, 12
SHARD = 1000


def publish(count: int, folder: Path) -> None:
    """Write hashes of `count` crops, uint64 [count, 16], and their looks, uint8 [count, 256]."""
    from benchmarks.tiles import tiles

    shown = [tile for _, tile in tiles()]
    random = np.random.default_rng(0)
    real = min(count, CROPS)
    found, looks = np.empty((real, 16), np.uint64), np.empty((real, 256), np.uint8)
    for number in range(real):
        tile = shown[int(random.integers(len(shown)))]
        side = int(random.integers(SMALLEST, min(tile.shape[:2]) + 1))
        row, column = (int(random.integers(0, length - side + 1)) for length in tile.shape[:2])
        described = pixels.described(np.ascontiguousarray(tile[row : row + side, column : column + side]))
        found[number] = described["phash16"]
        looks[number] = np.frombuffer(described["look"], np.uint8)
    sharp = np.flatnonzero(~near_duplicates.is_plain(looks))
    drawn = sharp[np.arange(count) % len(sharp)]
    flips = np.zeros(count, np.uint64)
    for _ in range(FLIPPED_BITS):
        flips ^= np.uint64(1) << random.integers(0, 64, count).astype(np.uint64)
    flips[: len(sharp)] = 0
    np.save(folder / "hashes.npy", found[drawn] ^ flips[:, None])
    np.save(folder / "looks.npy", looks[drawn])


def published(folder: Path, count: int) -> tuple[groups.Keys, Any]:
    """The first `count` hashes, and looks left on disk."""
    return np.load(folder / "hashes.npy", mmap_mode="r")[:count].copy(), np.load(folder / "looks.npy", mmap_mode="r")


def by_us(folder: Path, count: int) -> int:
    """Number of groups."""
    found, looks = published(folder, count)
    links = near_duplicates.links(found, lambda some: np.asarray(looks[some]), RADIUS)
    return len(np.unique(groups.connected(count, [links])))


def by_faiss(folder: Path, count: int) -> int:
    """Number of groups by hashes alone: looks are not compared."""
    import faiss

    found, _ = published(folder, count)
    index = faiss.IndexBinaryMultiHash(64, 3, 21)
    index.nflip = 1  # three parts of 21 bits: of four bits that differ, one part has one at most
    index.add(np.ascontiguousarray(found[:, :1]).view(np.uint8).reshape(-1, 8))
    links = []
    for turn in range(found.shape[1]):
        asked = np.ascontiguousarray(found[:, turn : turn + 1]).view(np.uint8).reshape(-1, 8)
        limits, _, near = index.range_search(asked, RADIUS + 1)
        links.append(np.stack([np.repeat(np.arange(count), np.diff(limits).astype(np.int64)), near], axis=1))
    return len(np.unique(groups.connected(count, links)))


def lay(folder: Path, count: int) -> int:
    """Write the three layers that curate reads, of records that look like the published ones."""
    found, looks = published(folder, count)
    workspace = Workspace.open(folder / f"ws-{count}", create=True)
    random = np.random.default_rng(1)
    for number, start in enumerate(range(0, count, SHARD)):
        shard, inputs = f"bench-{number:05d}", {}
        rows = [_row(n, found[n], looks[n].tobytes(), count, random) for n in range(start, min(start + SHARD, count))]
        for layer in ("rgb", "ir", "captions"):
            with workspace.writer(layer, shard) as writer:
                for row in rows:
                    writer.write(row)
                inputs[layer] = writer.commit(Footer("bench", "f", inputs=dict(inputs), items=len(rows))).content
    return count


def _row(record: int, turned: groups.Keys, look: bytes, count: int, random: np.random.Generator) -> dict[str, Any]:
    west, south = random.uniform(-120, 120), random.uniform(-60, 60)
    sha256 = f"{int(random.integers(1 << 62)):016x}" * 4
    return {
        "id": f"bench/{record:08d}",
        "corpus": "bench",
        "corpus_split": ("train", "validation", "test")[record % 3] if record % 10 == 0 else None,
        "publisher_captions": [f"{word} number {int(random.integers(count))}" for word in "abcde"],
        "pixel_sha256": sha256,
        "phash16": turned.tolist(),
        "look": look,
        "rgb_quality": {"entropy": 6.0, "saturation": 0.0, "nodata": None, "cloud": None},
        "width": 256,
        "height": 256,
        "bbox": [west, south, west + 0.002, south + 0.002],
        "gsd_m": 0.6,
        "ir_sha256": sha256,
        "ir_phash": int(turned[1]),
        "ir_look": look,
        "ir_origin": "translated",
        "scene_captions": ["a field", "a field by a road"],
        "ir_captions": ["a bright field", "bright field, dark road"],
        "reason": None,
    }


def stage(folder: Path, count: int) -> int:
    """Number of groups; curate as the command runs it."""
    workspace = Workspace.open(folder / f"ws-{count}")
    curate = CurateStage(CurateSettings(), 0)
    work = curate.open("cpu")
    for task in curate.prepare(workspace, curate.tasks(workspace)):
        make(workspace, curate, work, task)
    curate.finish(workspace)
    return int(workspace.read_json("curation/report.json", {})["groups"]["count"])


def _child(send: Connection, work: Callable[[Path, int], int], folder: Path, count: int) -> None:
    started = time.perf_counter()
    found = work(folder, count)
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text()  # getrusage tells the peak of the process it was started from
    send.send((found, seconds, int(status.split("VmHWM:")[1].split()[0])))


def measured(work: Callable[[Path, int], int], folder: Path, count: int) -> dict[str, Any]:
    """Seconds and peak memory of one piece of work, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(send, work, folder, count))
    process.start()
    send.close()  # so that a child that dies ends the wait
    found, seconds, peak_kb = receive.recv()
    process.join()
    return {"groups": found, "seconds": round(seconds, 2), "peak_mb": round(peak_kb / 1024)}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    from benchmarks import machine

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", default="10000,100000,1000000")
    counts = [int(count) for count in parser.parse_args(arguments).records.split(",")]
    contestants = {"search": by_us, "search by faiss": by_faiss, "whole stage": stage}
    result: dict[str, Any] = {name: {} for name in contestants}
    print(f"{'records':>10} {'':16} {'seconds':>9} {'peak MB':>8} {'groups':>9}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        publish(max(counts), folder)
        for count in counts:
            measured(lay, folder, count)
            for name, work in contestants.items():
                found = result[name][count] = measured(work, folder, count)
                print(
                    f"{count:10,} {name:16} {found['seconds']:9.2f} {found['peak_mb']:8,} {found['groups']:9,}",
                    flush=True,
                )
            ours, theirs = (result[name][count]["seconds"] for name in ("search", "search by faiss"))
            result["search"][count]["times_faiss"] = round(theirs / ours, 1)
    result["machine"] = machine.facts("cpu")
    print(machine.save("curate", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
