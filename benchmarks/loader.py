"""Images/s that `train.data` gives to a training, against the `webdataset` library on tars of the same rows.

    python -m benchmarks.loader [--records 1000]

Both views of each row are decoded, cropped at random, resized, turned and normalised to float32 by the same code, with
two workers. `webdataset` runs twice: as it is commonly used, where each sample is normalised before it is put into a
batch; and with workers that hand over bytes, which are normalised a batch at a time, as `train.data` does it. The ratio
is to the faster of them. They read the first caption of a row, `train.data` draws one of each kind and leaves out the
last incomplete batch.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import datasets.config
import psutil
import torch
import webdataset
from torch import Tensor

from benchmarks import machine, release_read
from fusionrs_builder.release.webdataset import write_webdataset
from train.data import Loader
from train.samples import DataSettings, random_crop, square, turned

ROUNDS = 3
"""Each contestant runs through all rows so often, in turn, after once to warm up; the median counts."""

BATCH, SIZE, WORKERS = 64, 224, 2

BUFFER = 500
"""Encoded samples among which `webdataset` draws the next."""

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Those of CLIP."""

OURS, COMMON, BYTES = "train.data", "webdataset", "webdataset, bytes"

Views = tuple[Tensor, Tensor, Any]
Epoch = Callable[[], Iterable[tuple[Tensor, Tensor]]]


def views(sample: dict[str, Any]) -> Views:
    """uint8 [3, S, S] and [1, S, S], and the caption."""
    crop = random_crop([random.random() for _ in range(4)])
    rgb, infrared = square(sample["jpg"], "RGB", SIZE, crop), square(sample["ir.jpg"], "L", SIZE, crop)
    found = [torch.from_numpy(turned(image, crop.turn).copy()) for image in (rgb, infrared)]
    return found[0], found[1], sample["txt"].decode()


def floats(both: Views) -> Views:
    """uint8 [..., 1 or 3, S, S] -> float32 [..., 3, S, S], as `train.data` does it."""
    made = []
    for view in both[:2]:
        found = torch.empty(*view.shape[:-3], 3, SIZE, SIZE)
        for channel, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
            bytes_, out = view[..., channel % view.shape[-3], :, :], found[..., channel, :, :]
            torch.add(torch.tensor(-mean / std), bytes_, alpha=1 / (255 * std), out=out)
        made.append(found)
    return made[0], made[1], both[2]


def by_webdataset(tars: list[str], common: bool) -> Epoch:
    samples = webdataset.WebDataset(
        tars, shardshuffle=len(tars), select_files=lambda name: name.endswith(("jpg", "txt")), empty_check=False
    )
    samples = samples.shuffle(BUFFER).map(views)
    batches = (samples.map(floats) if common else samples).batched(BATCH)
    loader = webdataset.WebLoader(batches, batch_size=None, num_workers=WORKERS, persistent_workers=True)
    return lambda: (batch[:2] if common else floats(batch)[:2] for batch in loader)


def by_train_data(release: Path) -> Epoch:
    loader = Loader(DataSettings(data=str(release), batch_size=BATCH, image_size=SIZE, workers=WORKERS), MEAN, STD)
    numbers = iter(range(ROUNDS + 1))
    return lambda: ((batch.rgb, batch.infrared) for batch in loader.epoch(next(numbers)))


def measured(contestants: dict[str, Epoch], count: int) -> dict[str, Any]:
    """Images/s by the clock, and by the seconds that all processes computed: medians of the rounds."""
    clock: dict[str, list[float]] = {name: [] for name in contestants}
    computed: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(ROUNDS + 1):
        for name, epoch in contestants.items():
            started, before, found = time.perf_counter(), spent(), 0
            for both in epoch():
                assert all(view.dtype == torch.float32 and view.shape[1:] == (3, SIZE, SIZE) for view in both)
                found += sum(map(len, both))
            if not count - 2 * BATCH < found <= count:
                raise SystemExit(f"{name} gave {found} images of {count}")
            if round_:
                clock[name].append(found / (time.perf_counter() - started))
                computed[name].append(found / (spent() - before))
    return {
        name: {
            "images_per_s": round(statistics.median(clock[name]), 1),
            "images_per_cpu_s": round(statistics.median(computed[name]), 1),
        }
        for name in contestants
    }


def spent() -> float:
    """Seconds computed by this process and by its workers, which live on between epochs."""
    this = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (this, *this.children(recursive=True)))


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1000, help="a multiple of 500: as many tars for each worker")
    records = parser.parse_args(arguments).records
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        datasets.config.HF_DATASETS_CACHE = folder / "cache"
        release = release_read.build(folder, records)
        write_webdataset(release, folder / "tars")
        tars = sorted(map(str, (folder / "tars" / "data").glob("*.tar")))
        contestants = {
            OURS: by_train_data(release),
            COMMON: by_webdataset(tars, common=True),
            BYTES: by_webdataset(tars, common=False),
        }
        found = measured(contestants, 2 * records)
    fastest = {unit: max(found[name][unit] for name in (COMMON, BYTES)) for unit in found[OURS]}
    ratios = {unit: round(rate / fastest[unit], 2) for unit, rate in found[OURS].items()}
    result = {
        "records": records,
        "side_px": release_read.SIDE,
        "image_size": SIZE,
        "batch_size": BATCH,
        "workers": WORKERS,
        "tars": len(tars),
        "contestants": found,
        "times_webdataset": ratios["images_per_s"],
        "times_webdataset_by_cpu": ratios["images_per_cpu_s"],
        "load": os.getloadavg()[1],
        "machine": machine.facts("cpu"),
    }
    for name, rates in found.items():
        print(f"{name:18} {rates['images_per_s']:8.1f} images/s  {rates['images_per_cpu_s']:8.1f} images/s of CPU")
    print(f"{ratios['images_per_s']:.2f} x the faster webdataset, {ratios['images_per_cpu_s']:.2f} x by CPU time")
    print(machine.save("loader", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
