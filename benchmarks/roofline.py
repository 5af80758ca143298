"""What the usual generator attains of a GPU, and where its time goes."""

import time
from typing import Any

import torch

from fusionrs_builder.translate.networks import GeneratorConfig, ResnetGenerator
from fusionrs_builder.translate.translator import load_translator

USUAL = GeneratorConfig(ngf=64, n_blocks=9)
"""`resnet_9blocks` of the reference implementation, 3 -> 1 channel."""

PEAK_TFLOPS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0}
"""Dense bf16, as NVIDIA states it (SXM where there are several)."""

MATMUL = 8192
"""Side of the square bf16 product that tells what the card attains."""


def flops(side: int) -> int:
    """Of one image through the usual network, a multiplication and an addition counted as two. Nothing is computed."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        ResnetGenerator(USUAL).eval()(torch.empty(1, 3, side, side))
    return int(counter.get_total_flops())


def roofline(side: int, images_per_s: float, device: str) -> dict[str, Any]:
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
    attained = images_per_s * flops(side) / 1e12
    return {
        "gflop_per_image": round(flops(side) / 1e9, 1),
        "attained_tflops": round(attained, 1),
        "product_tflops": round(product, 1),
        "peak_tflops": peak,
        "share_of_product": round(attained / product, 3),
        "share_of_peak": None if peak is None else round(attained / peak, 3),
    }


def profile(spec: str, side: int, batch: int, device: str) -> list[dict[str, Any]]:
    """The ten kernels that take most of one batch in bf16: name, calls, milliseconds, share of all."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    translator = load_translator(spec, device, "bf16")
    images = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, device=device)
    for _ in range(3):
        translator.translate(images)
    torch.cuda.synchronize(device)
    with profiler(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        translator.translate(images)
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
