"""The device that networks run on, by the name a user gives."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal

from fusionrs_builder.errors import UsageError

if TYPE_CHECKING:
    import torch


def chosen(name: str) -> "torch.device":
    """The device of a name.

    Args:
        name: as torch has it; `auto`: a GPU where there is one, else the CPU.

    Raises:
        UsageError: there is no such device.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without CUDA
        raise UsageError(f"device {name}: {str(error).splitlines()[0]}: give auto, cpu or cuda") from None
    return device


def fast_bf16() -> bool:
    """Whether this CPU computes in bf16; without such instructions it is emulated, tens of times slower than fp32."""
    import torch

    return any(torch.cpu.get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def precision(device: "torch.device") -> Literal["bf16", "fp32"]:
    """What networks are trained in on a device: bf16 where it is fast."""
    return "bf16" if device.type == "cuda" or fast_bf16() else "fp32"


def autocast(device: "torch.device", asked: Literal["auto", "bf16", "fp32"] = "auto") -> "torch.autocast":
    """Computes in what is asked for, `auto`: in `precision`; norms and losses take care of fp32 themselves."""
    import torch

    chosen = precision(device) if asked == "auto" else asked
    return torch.autocast(device.type, torch.bfloat16, enabled=chosen == "bf16")


def attention(device: "torch.device") -> AbstractContextManager[None]:
    """Attention by plain products on a CPU, on which torch's fused kernel is slow backwards: a step of a CLIP of 64 px
    takes 0.20 s of a core with these and 0.30 s with that, one of ViT-B/32 1.34 and 1.48 s.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    if device.type != "cpu":
        return nullcontext()
    kernel: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return kernel
