"""Networks that others trained to compare pictures: used where their weights are at hand, never fetched.

The weights are files in the cache of torch.hub (`TORCH_HOME`, else `~/.cache/torch`), where torchvision and
torch-fidelity put them.
"""

from importlib.util import find_spec
from pathlib import Path

from fusionrs_builder.errors import FusionError

ALEXNET = "alexnet-owt-7be5be79.pth"
"""torchvision's AlexNet, which LPIPS stands on."""

INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
"""torch-fidelity's Inception v3, which KID and FID stand on."""


def missing(name: str) -> str | None:
    """Why the network cannot be used; None where it can.

    Args:
        name: of the file.

    Raises:
        FusionError: the file is damaged, or holds more than tensors: such a pickle is never loaded.
    """
    import torch

    absent = [module for module in ("torchmetrics", "torchvision", "torch_fidelity") if find_spec(module) is None]
    if absent:
        return f"{', '.join(absent)} not installed: pip install 'fusionrs-builder[scores]'"
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        return f"weights not at hand: no {path}"
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of pickle, zipfile, torch: they have no common ancestor
        reason = str(error).splitlines()[0]
        raise FusionError(f"{path} is damaged or not plain weights ({reason}): delete it, or fetch it again") from None
    return None
