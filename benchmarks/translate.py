"""Images/s of `translate`: the network alone, the whole stage (Parquet in, Parquet out), and the way reference scripts
do it (one image at a time: decode, fp32 network, encode, one file each), on the same images in the same run.

    python -m benchmarks.translate [--device cuda] [--images 128] [--workers 8]

Contestants are `nir-small`, with both of its experts drawing every image and with the local one alone, as of images
unlike those the ResNet learnt from, and, with random weights, the usual 9 blocks at ngf 64; on a GPU the latter alone,
at 256 and at 512 px, with its roofline and where the time goes, and the stage run by several processes that share the
card. The reference scripts always draw by both.
"""

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks import machine
from benchmarks.roofline import USUAL, profile, roofline
from fusionrs_builder import devices, pixels
from fusionrs_builder.corpora.procedural import render
from fusionrs_builder.engines import local
from fusionrs_builder.settings import TranslateSettings
from fusionrs_builder.shards import Footer
from fusionrs_builder.stage import make
from fusionrs_builder.translate import checkpoint
from fusionrs_builder.translate.networks import DOUBT, ResnetGenerator
from fusionrs_builder.translate.stage import TranslateStage
from fusionrs_builder.translate.translator import WEIGHTS, Precision, Translator, load_translator
from fusionrs_builder.translate.translators import cyclegan
from fusionrs_builder.workspace import Workspace

ROUNDS = 3
"""Each contestant runs so often, in turn; the median counts."""

FEW = 32
"""On a GPU the reference scripts see one image in so many: they are so much slower."""

BATCH = {"cpu": max(4, torch.get_num_threads()), "cuda": 64}

SHARDS_EACH = 6
"""Of a process that shares a GPU with others."""

LEAST_S = 4.0
"""Of the time it is measured in: how much is done is told every fifth of a second."""

BUSY = 0.4, 0.9
"""Shares of the images between which all processes are at work."""

Run = tuple[int, Callable[[], Any]]
"""Images of a run, and what runs."""


@dataclass(frozen=True)
class Case:
    """One network on images of one size.

    Attributes:
        name: in the results.
        spec: of the translator.
        side: of an image, pixels.
        images: of a run.
    """

    name: str
    spec: str
    side: int
    images: int


def layer(workspace: Workspace, shard: str, side: int, count: int) -> list[bytes]:
    """An rgb shard of rendered scenes, and its JPEGs."""
    scenes = [pixels.encode_jpeg(render(seed, side).rgb) for seed in range(min(count, 32))]
    images = [scenes[i % len(scenes)] for i in range(count)]
    with workspace.writer("rgb", shard) as writer:
        for i, data in enumerate(images):
            row = {"id": f"bench/{i}", "corpus_key": str(i), "width": side, "height": side}
            writer.write({**row, "rgb": {"bytes": data, "path": f"{i}.jpg"}})
        writer.commit(Footer("bench", "bench", items=count))
    return images


def judged(folder: Path, odds: float) -> str:
    """`nir-small` with gates that say the same log odds of every image."""
    network = checkpoint.load(checkpoint.find(WEIGHTS / "nir-small"))
    assert network.gate is not None
    with torch.no_grad():
        network.gate[-1].weight.zero_()
        network.gate[-1].bias.fill_(odds)  # type: ignore[operator]
    return str(checkpoint.save(network, folder, folder.name, "nir", "", {}))


def reference_network(spec: str, device: str) -> nn.Module:
    """The generator as the reference implementation builds it: with `nn.InstanceNorm2d`, in NCHW."""
    network = checkpoint.load(checkpoint.find(WEIGHTS / spec if (WEIGHTS / spec).is_dir() else Path(spec)))
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, nn.InstanceNorm2d(child.num_channels))
    return network.to(device).to(memory_format=torch.contiguous_format).eval()


def by_scripts(network: nn.Module, images: list[bytes], device: str, folder: Path) -> None:
    """One image at a time, eager, fp32, a PNG each, as `test.py` of the reference implementation does."""
    for i, data in enumerate(images):
        image = np.array(Image.open(BytesIO(data)).convert("RGB"))
        x = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous().float().div(255).sub(0.5).div(0.5)
        with torch.no_grad():
            drawn = network(x.to(device))
        Image.fromarray(((drawn[0, 0].cpu().float().numpy() + 1) / 2 * 255).astype(np.uint8)).save(folder / f"{i}.png")


def by_network(translator: Translator, batch: torch.Tensor, count: int) -> None:
    """The network alone, on decoded images that lie on the device."""
    for _ in range(count // len(batch)):
        drawn = translator.translate(batch)
    if drawn.device.type == "cuda":
        torch.cuda.synchronize(drawn.device)


def contestants(case: Case, workspace: Workspace, device: str, precisions: Sequence[Precision]) -> dict[str, Run]:
    """Name and function of each; what a real run loads once is loaded here."""
    shard = f"bench{case.side}-{case.images:05d}"
    images = layer(workspace, shard, case.side, case.images)
    folder = Path(tempfile.mkdtemp(dir=workspace.root))
    some = images[:: FEW if device.startswith("cuda") else 1]
    scripts = partial(by_scripts, reference_network(case.spec, device), some, device, folder)
    made: dict[str, Run] = {"reference scripts": (len(some), scripts)}
    decoded = [np.asarray(Image.open(BytesIO(data))).transpose(2, 0, 1) for data in images[: _batch(device)]]
    batch = torch.tensor(np.stack(decoded)).to(device)
    for precision in precisions:
        translator = load_translator(case.spec, device, precision)
        made[f"network {precision}"] = case.images, partial(by_network, translator, batch, case.images)
        if device.startswith("cuda"):
            continue  # one process does not keep a GPU busy
        stage = TranslateStage(TranslateSettings(translator=case.spec, precision=precision))
        (task,) = (task for task in stage.tasks(workspace) if task.shard == shard)
        made[f"stage {precision}"] = case.images, partial(make, workspace, stage, stage.open(device), task)
    return made


def by_processes(case: Case, workspace: Workspace, device: str, precision: Precision, workers: int) -> float:
    """Images/s of the whole stage while all of its processes are at work, when they have started and compiled."""
    for number in range(SHARDS_EACH * workers):
        layer(workspace, f"shared{case.side}-{number:05d}", case.side, max(BATCH["cuda"], case.images // 4))
    stage = TranslateStage(TranslateSettings(translator=case.spec, precision=precision))
    tasks = [task for task in stage.tasks(workspace) if task.shard.startswith(f"shared{case.side}-")]
    total = sum(task.items for task in tasks)
    done, told = 0, [(0, time.perf_counter())]

    def progress(count: int) -> None:
        nonlocal done
        done += count
        told.append((done, time.perf_counter()))

    for _ in local.run(
        stage, workspace, stage.prepare(workspace, tasks), local.Resources(workers, (device,)), progress
    ):
        pass
    (n, since), *_, (m, until) = [at for at in told if BUSY[0] * total <= at[0] <= BUSY[1] * total]
    if until - since < LEAST_S:
        raise SystemExit(f"all processes were at work for {until - since:.1f} s only: give more --images")
    return round((m - n) / (until - since), 2)


def _batch(device: str) -> int:
    return BATCH[device.split(":")[0]]


def measured(
    case: Case, workspace: Workspace, device: str, precisions: Sequence[Precision], workers: int
) -> dict[str, Any]:
    """Rates of all contestants, in turn, round by round; of a stage of several processes once, behind them."""
    runs = contestants(case, workspace, device, precisions)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(ROUNDS + 1):
        for name, (_, run) in runs.items():
            started = time.perf_counter()
            run()
            if round_:  # the first warms up, and compiles
                seconds[name].append(time.perf_counter() - started)
    rates = {name: round(runs[name][0] / float(np.median(found)), 2) for name, found in seconds.items()}
    for precision in precisions:
        if f"stage {precision}" not in rates:
            rates[f"stage {precision}"] = by_processes(case, workspace, device, precision, workers)
    base = rates["reference scripts"]
    return {
        "images": case.images,
        "images_of_reference": runs["reference scripts"][0],
        "side_px": case.side,
        "workers": workers,
        "images_per_s": rates,
        "times_reference": {name: round(rate / base, 2) for name, rate in rates.items()},
        "stage_share_of_network": {p: round(rates[f"stage {p}"] / rates[f"network {p}"], 2) for p in precisions},
    }


def checks(spec: str, device: str, side: int = 1088) -> dict[str, dict[str, float]]:
    """How far a scene in fp32 is from itself drawn again, in bf16, on the CPU, and in strips: grey levels."""
    scene = torch.from_numpy(np.ascontiguousarray(render(0, side).rgb.transpose(2, 0, 1)))[None]
    large = torch.cat([torch.cat([scene, scene.flip(3)], 3), torch.cat([scene.flip(2), scene], 3)], 2)
    exact, rough = (load_translator(spec, device, precision) for precision in ("fp32", "bf16"))

    def apart(drawn: torch.Tensor, other: torch.Tensor) -> dict[str, float]:
        off = (drawn.cpu().int() - other.cpu().int()).abs().float()
        return {"max": float(off.max()), "mean": round(float(off.mean()), 4)}

    drawn, in_strips = exact.translate(scene), exact.translate(large)
    found = {
        "again": apart(drawn, exact.translate(scene)),
        "bf16": apart(drawn, rough.translate(scene)),
        "cpu": apart(drawn, load_translator(spec, "cpu").translate(scene)),
    }
    exact._compiled = exact._network  # to compile it for one scene would take longer than all
    with mock.patch.object(cyclegan, "FULL_FRAME", math.inf):
        found["strips"] = apart(in_strips, exact.translate(large))
    return found


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=64, help="of a run; an eighth of it for ngf 64 on a CPU")
    parser.add_argument(
        "--workers", type=int, help="processes of the stage on a GPU; half as many as cores unless given"
    )
    chosen = parser.parse_args(arguments)
    some = -(-chosen.images // _batch(chosen.device)) * _batch(chosen.device)
    on_gpu = chosen.device.startswith("cuda")
    workers = (chosen.workers or max(1, len(os.sched_getaffinity(0)) // 2)) if on_gpu else 1
    # Without such instructions bf16 is emulated, some twenty times slower than fp32: nothing to learn from it.
    precisions: Sequence[Precision] = ("bf16",) if on_gpu else ("fp32", "bf16") if devices.fast_bf16() else ("fp32",)
    result: dict[str, Any] = {"machine": machine.facts(chosen.device)}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder) / "ws", create=True)
        torch.manual_seed(0)
        usual = str(checkpoint.save(ResnetGenerator(USUAL), Path(folder) / "usual", "usual", "lwir", "", {}))
        cases = [
            Case("nir-small, both experts, at 256 px", judged(Path(folder) / "both", DOUBT), 256, some),
            Case("nir-small, local expert, at 256 px", judged(Path(folder) / "local", -DOUBT), 256, some),
            Case("9 blocks, ngf 64 at 256 px", usual, 256, max(1, some // 32) * BATCH["cpu"]),
        ]
        if on_gpu:
            sides = {256: some, 512: max(_batch(chosen.device), some // 4)}
            cases = [Case(f"9 blocks, ngf 64 at {side} px", usual, side, count) for side, count in sides.items()]
        for case in cases:
            torch.compiler.reset()  # as in a process of its own
            result[case.name] = found = measured(case, workspace, chosen.device, precisions, workers)
            if on_gpu:
                found["roofline"] = roofline(case.side, found["images_per_s"]["network bf16"], chosen.device)
                found["kernels"] = profile(case.spec, case.side, BATCH["cuda"], chosen.device)
            print(case.name)
            for name, rate in found["images_per_s"].items():
                print(
                    f"  {name:20} {rate:8.2f} images/s  {found['times_reference'][name]:5.2f} x reference", flush=True
                )
            if on_gpu:
                print(json.dumps([found["roofline"], found["kernels"]], indent=1), flush=True)
            path = machine.save(f"translate-{chosen.device.split(':')[0]}", result)
    if on_gpu:
        result["nir-small, grey levels apart"] = checks("nir-small", chosen.device)
        print(json.dumps(result["nir-small, grey levels apart"]))
        path = machine.save(f"translate-{chosen.device.split(':')[0]}", result)
    print(path, file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
