"""Triplets/s of `train.clip`, against the training loop of open_clip on the same model, images and batch.

    python -m benchmarks.train [--device cuda --arch ViT-B-32 --batch 1024 --records 20000]

A triplet is a visible image, an infrared view, and their captions. Each contestant encodes the same images, as many a
step, each with one caption: `train.clip` half as many rows of two views under its three terms, from Parquet;
`train_one_epoch` of open_clip as many rows of one image under its one term, from image files and a CSV, through its own
transform.
Both in bf16 where that is fast, AdamW, two workers (a GPU: one a core). Share waited: of the time, for the next batch.
Not timed is the line that a run of `train.clip` writes to its log each step; open_clip logs every 100.
"""

import argparse
import csv
import logging
import os
import statistics
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets.config
import open_clip
import torch
from open_clip_train.data import get_csv_dataset
from open_clip_train.train import train_one_epoch

from benchmarks import machine, release_read
from fusionrs_builder import devices
from fusionrs_builder.release.load import load_split
from train.recipe import Settings
from train.training import Training

ROUNDS = 3
"""Each contestant runs through all images so often, in turn, after once to warm up; the median counts."""

OURS, PEER = "train.clip", "open_clip_train"

Epoch = Callable[[], tuple[float, float]]
"""Trains for one epoch; gives its seconds, and those of them in which it waited for data."""


def ours(release: Path, arch: str, batch: int, workers: int, device: torch.device, out: Path) -> tuple[Epoch, int]:
    """The epoch, and the images in it."""
    settings = Settings(
        data=str(release), out=str(out), arch=arch, batch_size=batch // 2, workers=workers, device=str(device)
    )
    training = Training(settings, 0, 1, device)
    numbers = iter(range(ROUNDS + 1))

    def epoch() -> tuple[float, float]:
        waited, started = 0.0, time.perf_counter()
        batches = iter(training.loader.epoch(next(numbers)))
        for one in _timed(batches):
            waited += one[1]
            training.learn(one[0])
        return _synchronised(device) - started, waited

    return epoch, len(training.loader) * batch


def _timed(batches: Iterator[Any]) -> Iterator[tuple[Any, float]]:
    while True:
        asked = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            return
        yield batch, time.perf_counter() - asked


def theirs(table: Path, arch: str, batch: int, workers: int, device: torch.device) -> tuple[Epoch, int]:
    """The epoch, and the images in it."""
    model, transform, _ = open_clip.create_model_and_transforms(arch, output_dict=True)
    model = model.to(device)
    precision = "amp_bf16" if devices.precision(device) == "bf16" else "fp32"
    args = Namespace(
        device=str(device), precision=precision, distill=False, accum_freq=1, skip_scheduler=True, horovod=False,
        grad_clip_norm=None, log_every_n_steps=100, world_size=1, rank=0, local_rank=0, log_local=False, wandb=False,
        batch_size=batch, workers=workers, distributed=False, train_data=str(table), csv_img_key="filepath",
        csv_caption_key="title", csv_separator="\t", save_logs=False,
    )  # fmt: skip
    data = get_csv_dataset(args, transform, is_train=True, tokenizer=open_clip.get_tokenizer(arch))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-6)
    loss = open_clip.ClipLoss()

    def epoch() -> tuple[float, float]:
        started = time.perf_counter()
        train_one_epoch(model, {"train": data}, loss, 0, optimiser, None, None, None, args)
        return _synchronised(device) - started, float("nan")  # it tells only its log

    return epoch, data.dataloader.num_batches * batch


def _synchronised(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def files(release: Path, folder: Path) -> Path:
    """Every view of the release as a file, with its first caption, in a table that open_clip reads."""
    folder.mkdir()
    table = folder / "train.csv"
    rows = load_split(str(release), "train")
    with table.open("w", newline="", encoding="utf-8") as handle:
        out = csv.writer(handle, delimiter="\t")
        out.writerow(["filepath", "title"])
        for number, row in enumerate(rows):
            for view, captions in (("rgb", "scene_captions"), ("ir", "ir_captions")):
                path = folder / f"{number}-{view}.jpg"
                path.write_bytes(row[view]["bytes"])
                out.writerow([path, row[captions][0]])
    return table


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda")
    parser.add_argument("--arch", default="train/configs/tiny-64.json", help="architecture of open_clip, or a file")
    parser.add_argument("--batch", type=int, default=64, help="images a step")
    parser.add_argument("--records", type=int, default=500, help="rows, of two images each")
    given = parser.parse_args(arguments)
    device = devices.chosen(given.device)
    workers = 2 if device.type == "cpu" else len(os.sched_getaffinity(0))
    logging.disable(logging.WARNING)
    if given.arch.endswith(".json"):
        open_clip.add_model_config(Path(given.arch).parent)
    arch = Path(given.arch).stem
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        datasets.config.HF_DATASETS_CACHE = folder / "cache"
        release = release_read.build(folder, given.records)
        table = files(release, folder / "files")
        epochs = {
            OURS: ours(release, given.arch, given.batch, workers, device, folder / "run"),
            PEER: theirs(table, arch, given.batch, workers, device),
        }
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in epochs}
        for round_ in range(ROUNDS + 1):
            for name, (epoch, _) in epochs.items():
                spent = epoch()
                if round_:
                    seconds[name].append(spent)
    rates = {name: statistics.median(epochs[name][1] / whole for whole, _ in spent) for name, spent in seconds.items()}
    result = {
        "arch": arch,
        "records": given.records,
        "side_px": release_read.SIDE,
        "images_a_step": given.batch,
        "workers": workers,
        "precision": devices.precision(device),
        "images_per_s": {name: round(rate, 1) for name, rate in rates.items()},
        "triplets_per_s": round(rates[OURS] / 2, 1),
        "times_open_clip": round(rates[OURS] / rates[PEER], 2),
        "share_waited": round(statistics.median(waited / whole for whole, waited in seconds[OURS]), 4),
        "load": os.getloadavg()[1],
        "machine": machine.facts(str(device)),
    }
    for name, rate in rates.items():
        print(f"{name:16} {rate:8.1f} images/s")
    print(
        f"{result['triplets_per_s']} triplets/s, {result['times_open_clip']} x open_clip's loop by images; "
        f"{result['share_waited']:.1%} of the time it waits for data"
    )
    print(machine.save(f"train-{device.type}", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
