"""A ResNet generator of CycleGAN: a folder with `model.safetensors` and `config.json`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionrs_builder import devices
from fusionrs_builder.translate import checkpoint
from fusionrs_builder.translate.protocol import Identity, Images, Precision, check

if TYPE_CHECKING:
    import torch

FULL_FRAME = 2048 * 2048
"""Pixels of the largest image that goes through the network at once; a larger one does so in strips, without seams."""

OWN_THREAD = 1024 * 1024
"""Pixels of the largest image that is drawn by one thread on a CPU, as many images at once as there are threads (and as
fit a full frame); a larger one is drawn by all of them."""

log = logging.getLogger(__name__)


def claims(spec: str, path: Path | None) -> bool:
    """Any folder that no other kind claims: what it lacks is said when it is read."""
    return path is not None and path.is_dir()


def describe(spec: str, path: Path | None, precision: Precision) -> tuple[Identity, Mapping[str, Any]]:
    """The weights alone do not tell: with another `norm` in the configuration they draw another picture."""
    assert path is not None
    found = checkpoint.find(path)
    return _identity(found), {"generator": dict(found.generator), "precision": precision}


def load(spec: str, path: Path | None, device: str, precision: Precision) -> "GeneratorTranslator":
    """The weights are read and checked."""
    assert path is not None
    return GeneratorTranslator(checkpoint.find(path), device, precision)


def _identity(found: checkpoint.Checkpoint) -> Identity:
    return Identity.of(found.name, found.band, found.sha256)


class GeneratorTranslator:
    """A ResNet generator with its weights.

    Args:
        found: the checkpoint.
        device: `cpu`, `cuda`, `cuda:1`, or `auto` (a GPU when there is one).
        precision: of the convolutions and what they give; statistics of norms and the output are fp32 at either.
    """

    def __init__(self, found: checkpoint.Checkpoint, device: str = "cpu", precision: Precision = "fp32") -> None:
        from fusionrs_builder.translate.inference import prepared

        self.name = found.name
        self.source, self.band, self.sha256 = _identity(found)
        self._device, self._precision = devices.chosen(device), precision
        if precision == "bf16" and self._device.type == "cpu" and not devices.fast_bf16():
            log.warning("this processor has no bf16 arithmetic: precision bf16 is many times slower here than fp32")
        self._network = prepared(checkpoint.load(found), self._device, precision)
        # For the first size as it is, once more for all others: a corpus of many sizes is not compiled for each.
        self._compiled = torch.compile(self._network) if self._device.type == "cuda" else self._network
        self._most: dict[tuple[int, ...], int] = {}

    def translate(self, rgb: Images) -> Images:
        check(rgb)
        if isinstance(rgb, np.ndarray):
            import torch

            return self._draw(torch.tensor(rgb)).cpu().numpy()
        return self._draw(rgb).to(rgb.device)

    def _draw(self, rgb: "torch.Tensor") -> "torch.Tensor":
        import torch

        from fusionrs_builder.translate.image_threads import each_alone
        from fusionrs_builder.translate.inference import centred
        from fusionrs_builder.translate.tiling import draw_in_strips

        height, width = rgb.shape[-2:]
        # Neither TF32 nor algorithms chosen by a race: the same pixels from run to run.
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.no_grad(), exact:
            x = centred(_padded(rgb.to(self._device)), self._precision)
            size = x.shape[2] * x.shape[3]
            if size > FULL_FRAME:
                y = torch.cat([draw_in_strips(self._network, image) for image in x[:, None]])
            elif self._device.type != "cpu":
                y = self._at_once(x)
            # Images by themselves keep the result free of what else is in the batch.
            elif size > OWN_THREAD:
                y = torch.cat([self._network(image) for image in x[:, None]])
            else:
                most = FULL_FRAME // size
                parts = (each_alone(self._network, x[i : i + most, None].unbind()) for i in range(0, len(x), most))
                y = torch.cat([drawn for part in parts for drawn in part])
        return y[..., :height, :width].add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)

    def _at_once(self, x: "torch.Tensor") -> "torch.Tensor":
        import torch

        if self._compiled is self._network:
            return self._compiled(x)  # type: ignore[no-any-return]
        # The last batch is smaller, and would be compiled anew: a few images more cost less.
        n, size = len(x), tuple(x.shape[1:])
        self._most[size] = max(n, self._most.get(size, 0))
        x = torch.cat([x, x[:1].expand(self._most[size] - n, -1, -1, -1)]) if n < self._most[size] else x
        x = x.contiguous(memory_format=torch.channels_last)
        try:
            drawn: torch.Tensor = self._compiled(x)[:n]
        except torch._dynamo.exc.TorchDynamoException as error:
            log.warning("the network could not be compiled and runs as it is, slower: %s", str(error).splitlines()[0])
            self._compiled = self._network
            drawn = self._compiled(x)[:n]
        return drawn


def _padded(rgb: "torch.Tensor") -> "torch.Tensor":
    """Grow right and down to multiples of 4, at least 16: by reflection, by repetition where that is too far."""
    import torch.nn.functional as F

    from fusionrs_builder.translate.networks import MULTIPLE

    right, below = (max(16, -(-side // MULTIPLE) * MULTIPLE) - side for side in (rgb.shape[3], rgb.shape[2]))
    if not right and not below:
        return rgb
    mode = "reflect" if right < rgb.shape[3] and below < rgb.shape[2] else "replicate"
    return F.pad(rgb.float(), (0, right, 0, below), mode=mode)
