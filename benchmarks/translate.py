"""Images/s of `translate`: the network alone, the whole stage (Parquet in, Parquet out), and the way reference scripts
do it (one image at a time: decode, fp32 network, encode, one file each), on the same images in the same run.

    python -m benchmarks.translate [--device cuda] [--images 128]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks import machine
from fusionrs_builder import pixels
from fusionrs_builder.config import TranslateSettings
from fusionrs_builder.corpora.procedural import render
from fusionrs_builder.shards import Footer
from fusionrs_builder.stage import make
from fusionrs_builder.translate.stage import TranslateStage
from fusionrs_builder.translate.translator import fast_bf16, load_translator
from fusionrs_builder.workspace import Workspace

ROUNDS = 3
"""Each contestant runs so often, in turn; the median counts."""


def layer(workspace: Workspace, count: int) -> list[bytes]:
    """An rgb layer of rendered scenes, and its JPEGs."""
    scenes = [pixels.encode_jpeg(render(seed).rgb) for seed in range(min(count, 32))]
    images = [scenes[i % len(scenes)] for i in range(count)]
    with workspace.writer("rgb", "bench-00000") as writer:
        for i, data in enumerate(images):
            writer.write({"id": f"bench/{i}", "corpus_key": str(i), "rgb": {"bytes": data, "path": f"{i}.jpg"}})
        writer.commit(Footer("bench", "bench", items=count))
    return images


def reference(images: list[bytes], device: str, folder: Path) -> None:
    """One image at a time, eager, fp32, as test scripts of published translators do."""
    network = load_translator("nir-small", device)._network  # type: ignore[attr-defined]
    for i, data in enumerate(images):
        image = torch.from_numpy(np.array(Image.open(BytesIO(data)).convert("RGB"))).permute(2, 0, 1)[None]
        with torch.no_grad():
            drawn = network(image.to(device).float() / 127.5 - 1)
        Image.fromarray(((drawn[0, 0] + 1) * 127.5).byte().cpu().numpy()).save(folder / f"{i}.jpg", quality=95)


def network(images: list[bytes], device: str, precision: Any) -> None:
    """The network alone, on decoded images."""
    translator = load_translator("nir-small", device, precision)
    batch = np.stack([np.asarray(Image.open(BytesIO(data))).transpose(2, 0, 1) for data in images[:16]])
    for _ in range(len(images) // 16):
        translator.translate(batch)


def stage(workspace: Workspace, device: str, precision: Any) -> None:
    """The whole stage."""
    made = TranslateStage(TranslateSettings(translator="nir-small", precision=precision))
    (task,) = made.tasks(workspace)
    make(workspace, made, made.open(device), task)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=128)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder) / "ws", create=True)
        images = layer(workspace, chosen.images)
        files = Path(folder) / "reference"
        files.mkdir()
        # Without such instructions bf16 is emulated, some twenty times slower than fp32: nothing to learn from it.
        bf16 = chosen.device.startswith("cuda") or fast_bf16()
        precisions = ("fp32", "bf16") if bf16 else ("fp32",)
        contestants: dict[str, Callable[[], None]] = {
            "reference, one at a time": lambda: reference(images, chosen.device, files),
            **{f"network {p}": partial(network, images, chosen.device, p) for p in precisions},
            **{f"stage {p}": partial(stage, workspace, chosen.device, p) for p in precisions},
        }
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for round_ in range(ROUNDS + 1):
            for name, run in contestants.items():
                started = time.perf_counter()
                run()
                if round_:  # the first warms up
                    seconds[name].append(time.perf_counter() - started)
    rates = {name: round(chosen.images / float(np.median(found)), 1) for name, found in seconds.items()}
    base = rates["reference, one at a time"]
    result = {
        "images": chosen.images,
        "side_px": 256,
        "images_per_s": rates,
        "times_reference": {name: round(rate / base, 2) for name, rate in rates.items()},
        "stage_share_of_network": {p: round(rates[f"stage {p}"] / rates[f"network {p}"], 2) for p in precisions},
        "machine": machine.facts(chosen.device),
    }
    path = machine.save(f"translate-{chosen.device.split(':')[0]}", result)
    for name, rate in rates.items():
        print(f"{name:26} {rate:8.1f} images/s  {rate / base:5.2f} x reference")
    print(path, file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
