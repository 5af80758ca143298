"""Time and memory of recall at 1, 5 and 10, both ways, beside CLIP_benchmark's on the same embeddings and cores.

1. Ours, CLIP_benchmark's in batches of 64 (what its command line takes) and in batches of 256, ours again, in one run.
   The recalls of all must be equal to 1e-6.
2. Ours at a size at which the matrix of scores alone is 40 GB: time and peak memory.

Each is measured in a process of its own. Seconds are those of the recalls, peak memory that of the process, libraries
and embeddings included. The embeddings are random: texts are images with noise, of which about two thirds come first.

    python -m benchmarks.recall --peer .peers/clip_benchmark [--items 20000] [--large 100000] [--width 512]
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

CUTS = (1, 5, 10)
Recalls = dict[str, float]
Work = Callable[[torch.Tensor, torch.Tensor, str, int], Recalls]


def embeddings(items: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and a text of each, float32 [items, width] of length 1."""
    random = torch.Generator().manual_seed(0)
    images = torch.nn.functional.normalize(torch.randn(items, width, generator=random), dim=1)
    texts = torch.randn(items, width, generator=random).mul_(5 / width**0.5).add_(images)
    return images, torch.nn.functional.normalize(texts, dim=1)


def ours(images: torch.Tensor, texts: torch.Tensor, peer: str, batch: int) -> Recalls:
    from fusionrs_builder.benchmark.metrics.ranks import Side
    from fusionrs_builder.benchmark.metrics.recall import retrieve

    numbers = np.arange(len(images))
    found = retrieve(Side("image", images, numbers, numbers), Side("text", texts, numbers, numbers))
    return {f"{way} R@{k}": found[way].recall(k) for way in ("text->image", "image->text") for k in CUTS}


def theirs(images: torch.Tensor, texts: torch.Tensor, peer: str, batch: int) -> Recalls:
    """As `evaluate` of CLIP_benchmark's zeroshot_retrieval.py, once the embeddings are there."""
    sys.path.insert(0, peer)
    from clip_benchmark.metrics.zeroshot_retrieval import batchify, recall_at_k

    scores = texts @ images.t()
    positive = torch.zeros_like(scores, dtype=torch.bool)
    positive[torch.arange(len(scores)), list(range(len(images)))] = True
    directions = {"text->image": (scores, positive), "image->text": (scores.T, positive.T)}
    return {
        f"{way} R@{k}": (batchify(recall_at_k, *pair, batch, "cpu", k=k) > 0).float().mean().item()
        for way, pair in directions.items()
        for k in CUTS
    }


def _child(send: Connection, work: Work, items: int, width: int, peer: str, batch: int) -> None:
    images, texts = embeddings(items, width)
    started = time.perf_counter()
    found = work(images, texts, peer, batch)
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text()  # getrusage tells the peak of the process it was started from
    send.send((found, seconds, int(status.split("VmHWM:")[1].split()[0])))


def measured(work: Work, items: int, width: int, peer: str = "", batch: int = 0) -> dict[str, Any]:
    """Recalls, seconds and peak memory of one piece of work, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(send, work, items, width, peer, batch))
    process.start()
    send.close()  # so that a child that dies ends the wait
    found, seconds, peak_kb = receive.recv()
    process.join()
    return {"recalls": found, "seconds": round(seconds, 2), "peak_mb": round(peak_kb / 1024)}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    from benchmarks import machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, help="folder that holds the package clip_benchmark")
    parser.add_argument("--items", type=int, default=20_000, help="images, and texts, of the comparison")
    parser.add_argument("--large", type=int, default=100_000, help="of the large run")
    parser.add_argument("--width", type=int, default=512)
    given = parser.parse_args(arguments)
    size = given.items, given.width
    runs: dict[str, Any] = {}
    print(f"{'':36} {'seconds':>9} {'peak MB':>8}")

    def told(name: str, found: dict[str, Any]) -> dict[str, Any]:
        print(f"{name:36} {found['seconds']:9.2f} {found['peak_mb']:8,}", flush=True)
        return found

    runs["ours"] = told(f"ours, {given.items:,}", measured(ours, *size))
    for batch in (64, 256):
        name = f"clip_benchmark, batches of {batch}"
        runs[name] = told(name, measured(theirs, *size, given.peer, batch))
    runs["ours again"] = told("ours again", measured(ours, *size))
    large = told(f"ours, {given.large:,}", measured(ours, given.large, given.width))
    wanted = runs["ours"]["recalls"]
    off = max(abs(run["recalls"][name] - value) for run in runs.values() for name, value in wanted.items())
    if off > 1e-6:
        sys.exit(f"the recalls differ by {off}")
    slower = max(runs["ours"]["seconds"], runs["ours again"]["seconds"])
    result = {
        "items": given.items,
        "width": given.width,
        **runs,
        "times_clip_benchmark": {
            batch: round(runs[f"clip_benchmark, batches of {batch}"]["seconds"] / slower, 1) for batch in (64, 256)
        },
        "recalls_differ_by": off,
        "large": {"items": given.large, **large},
        "machine": machine.facts("cpu"),
    }
    print(f"times CLIP_benchmark's: {result['times_clip_benchmark']}; recalls differ by {off:.1e} at most")
    print(machine.save("recall", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
