"""Images/s, decoded, that a release gives to training, against the `webdataset` library on tars of the same rows.

    python -m benchmarks.release_read [--records 2000]

Rows are shuffled in all three ways: by index (`load_dataset`), through a buffer (`load_dataset(streaming=True)`), and
through a buffer of the same size by `webdataset`. All come through a `DataLoader`, read the visible and the infrared
view only, and decode them by Pillow; `decoding alone` is what is left when nothing is read.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
import webdataset
from datasets import load_dataset
from PIL import Image
from torch.utils.data import DataLoader

from benchmarks import machine
from fusionrs_builder import pixels
from fusionrs_builder.corpora.procedural import render
from fusionrs_builder.release.image_folder import write_image_folder
from fusionrs_builder.release.webdataset import write_webdataset
from fusionrs_builder.workspace import Workspace
from tests.release.conftest import lay, push, record

ROUNDS = 3
"""Each contestant runs so often, in turn; the median counts."""

PASSES = 3
"""Over all rows, each time: an epoch of a real training is long beside the start of its workers."""

SIDE = 256
"""Of an image, pixels."""

SCENES = 64
"""Rendered; records share them."""

BATCH = 32

BUFFER = 500
"""Rows among which the next is drawn."""

FILE_MB = 16
"""A tenth of the records a file, or less: workers share files out."""

COLUMNS = ["rgb", "ir"]

BASE = "webdataset"


def build(folder: Path, records: int) -> Path:
    """A release of rendered scenes: JPEGs of the visible and of the near infrared view."""
    scenes = [render(seed, SIDE) for seed in range(min(records, SCENES))]
    views = [(pixels.encode_jpeg(scene.rgb), pixels.encode_jpeg(scene.nir)) for scene in scenes]
    workspace = Workspace.open(folder / "ws", create=True)
    shards = {}
    for start in range(0, records, 250):
        shards[f"bench-{start // 250:05d}"] = [
            record(
                f"{n:06d}",
                rgb={"bytes": views[n % len(views)][0], "path": f"{n}.jpg"},
                ir={"bytes": views[n % len(views)][1], "path": f"{n}.jpg"},
                width=SIDE,
                height=SIDE,
            )
            for n in range(start, min(start + 250, records))
        ]
    lay(workspace, shards)
    push(workspace, file_mb=FILE_MB)
    return Path(workspace.path("release", "fusionrs"))


def decode(data: bytes) -> Image.Image:
    """As `datasets` does it: each image in its own mode."""
    image = Image.open(BytesIO(data))
    image.load()
    return image


def of_dicts(rows: list[dict[str, Any]]) -> int:
    """A batch of `datasets`, which decodes a row as it is taken; how many images it holds."""
    return of_tuples([tuple(row[name] for name in COLUMNS) for row in rows])


def of_tuples(rows: list[tuple[Image.Image, ...]]) -> int:
    """How many images a batch holds."""
    return sum(isinstance(image, Image.Image) for row in rows for image in row)


def loader(dataset: Any, workers: int, collate: Callable[[Any], int], **options: Any) -> Iterable[int]:
    return DataLoader(
        dataset, BATCH, num_workers=workers, persistent_workers=workers > 0, collate_fn=collate, **options
    )


def random_access(dataset: Any, seed: int, workers: int) -> Iterable[int]:
    order = torch.Generator().manual_seed(seed)
    return loader(dataset, workers, of_dicts, shuffle=True, generator=order)


def streamed(dataset: Any, seed: int, workers: int) -> Iterable[int]:
    """One file at a time fills the buffer, as with `webdataset`; after several at once `datasets` sleeps 5 s."""
    shuffled = dataset.shuffle(seed=seed, buffer_size=BUFFER, max_buffer_input_shards=1)
    return loader(shuffled, workers, of_dicts)


def by_webdataset(tars: list[str], seed: int, workers: int) -> Iterable[int]:
    """Other files of a record are passed over, as the other columns are by the others."""
    dataset = (
        webdataset.WebDataset(tars, shardshuffle=len(tars), seed=seed, select_files=lambda name: name.endswith("jpg"))
        .shuffle(BUFFER)
        .decode(webdataset.handle_extension("jpg", decode))
        .to_tuple("jpg", "ir.jpg")
    )
    return loader(dataset, workers, of_tuples)


class Encoded(torch.utils.data.Dataset[tuple[Image.Image, ...]]):
    """All images in memory."""

    def __init__(self, release: Path) -> None:
        files = sorted((release / "data").glob("*.parquet"))
        rows = (row for file in files for row in pq.read_table(file, columns=COLUMNS).to_pylist())
        self.rows = [tuple(row[name]["bytes"] for name in COLUMNS) for row in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Image.Image, ...]:
        return tuple(map(decode, self.rows[index]))


def in_memory(encoded: Encoded, seed: int, workers: int) -> Iterable[int]:
    return loader(encoded, workers, of_tuples)


def measured(contestants: dict[str, Callable[[int, int], Iterable[int]]], count: int, workers: int) -> dict[str, Any]:
    """Images/s of each contestant, by the clock and by the seconds its processes computed: medians of the rounds."""
    clock: dict[str, list[float]] = {name: [] for name in contestants}
    computed: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(ROUNDS + 1):
        for name, contestant in contestants.items():
            started, before = time.perf_counter(), spent()
            batches = contestant(round_, workers)
            found = sum(sum(batches) for _ in range(PASSES))
            seconds = time.perf_counter() - started
            del batches  # its workers end
            if found != count:
                raise SystemExit(f"{name} gave {found} images of {count}")
            if round_:  # the first warms the page cache
                clock[name].append(seconds)
                computed[name].append(spent() - before)
    rates = {name: round(count / statistics.median(found), 1) for name, found in clock.items()}
    per_cpu_s = {name: round(count / statistics.median(found), 1) for name, found in computed.items()}
    return {
        "workers": workers,
        "images_per_s": rates,
        "times_webdataset": {name: round(rate / rates[BASE], 2) for name, rate in rates.items()},
        "images_per_cpu_s": per_cpu_s,
        "times_webdataset_by_cpu": {name: round(rate / per_cpu_s[BASE], 2) for name, rate in per_cpu_s.items()},
    }


def spent() -> float:
    """Seconds computed by this process and by its children that have ended."""
    return sum(os.times()[:4])


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    found = work()
    return found, round(time.perf_counter() - started, 2)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=2000)
    records = parser.parse_args(arguments).records
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        release = build(folder, records)
        options = {"path": str(release), "split": "train", "columns": COLUMNS, "cache_dir": str(folder / "cache")}
        _, tar_s = timed(lambda: write_webdataset(release, folder / "tars"))
        _, folder_s = timed(lambda: write_image_folder(release, folder / "images"))
        mapped, open_s = timed(lambda: load_dataset(**options))
        stream = load_dataset(**options, streaming=True)
        tars = sorted(map(str, (folder / "tars" / "data").glob("*.tar")))
        encoded = Encoded(release)
        contestants: dict[str, Callable[[int, int], Iterable[int]]] = {
            "random access": lambda seed, workers: random_access(mapped, seed, workers),
            "streaming": lambda seed, workers: streamed(stream, seed, workers),
            BASE: lambda seed, workers: by_webdataset(tars, seed, workers),
            "decoding alone": lambda seed, workers: in_memory(encoded, seed, workers),
        }
        # Workers first: memory that this process read into before is copied page by page into its forks.
        runs = [measured(contestants, 2 * records * PASSES, workers) for workers in (2, 0)]
        result = {
            "records": records,
            "side_px": SIDE,
            "files": len(tars),
            "megabytes": round(sum(Path(tar).stat().st_size for tar in tars) / 1e6),
            "convert_s": {"webdataset": tar_s, "folder": folder_s},
            "first_open_s": open_s,
            "load": os.getloadavg()[1],
            "runs": runs,
            "machine": machine.facts("cpu"),
        }
    for run in runs:
        print(f"{run['workers']} workers")
        for name, rate in run["images_per_s"].items():
            ratios = run["times_webdataset"][name], run["times_webdataset_by_cpu"][name]
            print(f"  {name:16} {rate:8.1f} images/s  {ratios[0]:5.2f} x webdataset, {ratios[1]:.2f} x by CPU time")
    print(machine.save("release_read", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
