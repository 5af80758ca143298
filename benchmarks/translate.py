"""Images/s of `translate`: the network alone, the whole stage (Parquet in, Parquet out), and the way reference scripts
do it (one image at a time: decode, fp32 network, encode, one file each), on the same images in the same run.

    python -m benchmarks.translate [--device cuda] [--images 128]

Contestants are `nir-small` and, with random weights, the usual 9 blocks at ngf 64; on a GPU the latter alone, at 256
and at 512 px, with its roofline and where the time goes.
"""

import argparse
import json
import math
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
from fusionrs_builder import devices, pixels
from fusionrs_builder.corpora.procedural import render
from fusionrs_builder.settings import TranslateSettings
from fusionrs_builder.shards import Footer
from fusionrs_builder.stage import make
from fusionrs_builder.translate import checkpoint
from fusionrs_builder.translate.networks import GeneratorConfig, ResnetGenerator
from fusionrs_builder.translate.stage import TranslateStage
from fusionrs_builder.translate.translator import WEIGHTS, Precision, Translator, load_translator
from fusionrs_builder.translate.translators import cyclegan
from fusionrs_builder.workspace import Workspace

ROUNDS = 3
"""Each contestant runs so often, in turn; the median counts."""

FEW = 32
"""On a GPU the reference scripts see one image in so many: they are so much slower."""

BATCH = {"cpu": 4, "cuda": 64}

USUAL = GeneratorConfig(ngf=64, n_blocks=9)
"""`resnet_9blocks` of the reference implementation, 3 -> 1 channel."""

PEAK_TFLOPS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0}
"""Dense bf16, as NVIDIA states it (SXM where there are several)."""

MATMUL = 8192
"""Side of the square bf16 product that tells what the card attains."""

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
        stage = TranslateStage(TranslateSettings(translator=case.spec, precision=precision))
        (task,) = (task for task in stage.tasks(workspace) if task.shard == shard)
        made[f"stage {precision}"] = case.images, partial(make, workspace, stage, stage.open(device), task)
    return made


def _batch(device: str) -> int:
    return BATCH[device.split(":")[0]]


def measured(case: Case, workspace: Workspace, device: str, precisions: Sequence[Precision]) -> dict[str, Any]:
    """Rates of all contestants, in turn, round by round."""
    runs = contestants(case, workspace, device, precisions)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(ROUNDS + 1):
        for name, (_, run) in runs.items():
            started = time.perf_counter()
            run()
            if round_:  # the first warms up, and compiles
                seconds[name].append(time.perf_counter() - started)
    rates = {name: round(runs[name][0] / float(np.median(found)), 2) for name, found in seconds.items()}
    base = rates["reference scripts"]
    return {
        "images": case.images,
        "images_of_reference": runs["reference scripts"][0],
        "side_px": case.side,
        "images_per_s": rates,
        "times_reference": {name: round(rate / base, 2) for name, rate in rates.items()},
        "stage_share_of_network": {p: round(rates[f"stage {p}"] / rates[f"network {p}"], 2) for p in precisions},
    }


def flops(side: int) -> int:
    """Of one image through the usual network, a multiplication and an addition counted as two. Nothing is computed."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        ResnetGenerator(USUAL).eval()(torch.empty(1, 3, side, side))
    return int(counter.get_total_flops())


def roofline(case: Case, images_per_s: float, device: str) -> dict[str, Any]:
    """What the network attains of the card's peak, and of what a large product attains."""
    a = torch.randn(MATMUL, MATMUL, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    torch.cuda.synchronize(device)
    started = time.perf_counter()
    for _ in range(10):
        a @ a
    torch.cuda.synchronize(device)
    product = 10 * 2 * MATMUL**3 / (time.perf_counter() - started) / 1e12
    card = torch.cuda.get_device_name(device)
    peak = next((value for name, value in PEAK_TFLOPS.items() if name in card.split("-")[0].split()), None)
    attained = images_per_s * flops(case.side) / 1e12
    return {
        "gflop_per_image": round(flops(case.side) / 1e9, 1),
        "attained_tflops": round(attained, 1),
        "product_tflops": round(product, 1),
        "peak_tflops": peak,
        "share_of_product": round(attained / product, 3),
        "share_of_peak": None if peak is None else round(attained / peak, 3),
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


def profile(case: Case, device: str) -> list[dict[str, Any]]:
    """The ten kernels that take most of one batch in bf16: name, calls, milliseconds, share of all."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    translator = load_translator(case.spec, device, "bf16")
    batch = torch.randint(0, 256, (BATCH["cuda"], 3, case.side, case.side), dtype=torch.uint8, device=device)
    for _ in range(3):
        translator.translate(batch)
    torch.cuda.synchronize(device)
    with profiler(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        translator.translate(batch)
        torch.cuda.synchronize(device)
    events = sorted(found.key_averages(), key=lambda event: event.self_device_time_total, reverse=True)
    total = sum(event.self_device_time_total for event in events) or 1.0
    return [
        {
            "kernel": event.key[:100],
            "calls": event.count,
            "ms": round(event.self_device_time_total / 1e3, 3),
            "share": round(event.self_device_time_total / total, 3),
        }
        for event in events[:10]
    ]


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=64, help="of a run; an eighth of it for ngf 64 on a CPU")
    chosen = parser.parse_args(arguments)
    some = -(-chosen.images // _batch(chosen.device)) * _batch(chosen.device)
    on_gpu = chosen.device.startswith("cuda")
    # Without such instructions bf16 is emulated, some twenty times slower than fp32: nothing to learn from it.
    precisions: Sequence[Precision] = ("bf16",) if on_gpu else ("fp32", "bf16") if devices.fast_bf16() else ("fp32",)
    result: dict[str, Any] = {"machine": machine.facts(chosen.device)}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder) / "ws", create=True)
        torch.manual_seed(0)
        usual = str(checkpoint.save(ResnetGenerator(USUAL), Path(folder) / "usual", "usual", "lwir", "", {}))
        cases = [
            Case("nir-small at 256 px", "nir-small", 256, some),
            Case("9 blocks, ngf 64 at 256 px", usual, 256, max(1, some // 32) * BATCH["cpu"]),
        ]
        if on_gpu:
            sides = {256: some, 512: max(_batch(chosen.device), some // 4)}
            cases = [Case(f"9 blocks, ngf 64 at {side} px", usual, side, count) for side, count in sides.items()]
        for case in cases:
            torch.compiler.reset()  # as in a process of its own
            result[case.name] = found = measured(case, workspace, chosen.device, precisions)
            if on_gpu:
                found["roofline"] = roofline(case, found["images_per_s"]["network bf16"], chosen.device)
                found["kernels"] = profile(case, chosen.device)
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
