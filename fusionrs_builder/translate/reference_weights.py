"""Weights of the reference implementation (junyanz/pytorch-CycleGAN-and-pix2pix) made a translator folder.

A `.pth` is a pickle. It is read as tensors only (`torch.load(weights_only=True)`): whatever else it holds is refused
and never run. What the generator looks like is told by the keys and shapes of its `ResnetGenerator`.
"""

import pickle
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate import checkpoint
from fusionrs_builder.translate.protocol import file_sha256

if TYPE_CHECKING:
    from torch import Tensor

    from fusionrs_builder.translate.networks import Norm, ResnetGenerator

FIRST_BLOCK = 10
"""Index of the first residual block: a first layer of 4 modules and two strided ones of 3 stand before it."""

BLOCK = re.compile(r"model\.(\d+)\.conv_block\.(\d+)\.(\w+)")
STATISTICS = re.compile(r".*\.(running_mean|running_var|num_batches_tracked)")

CARD = """\
---
pipeline_tag: image-to-image
library_name: fusionrs-builder
tags: [remote-sensing, infrared, {band}]
---
# {name}: RGB to {band}

Made from `{file}` (sha256 `{sha256}`), a checkpoint of pytorch-CycleGAN-and-pix2pix that others trained.
Weights are kept in fp32.

The ResNet generator of CycleGAN (Zhu et al., ICCV 2017): ngf {ngf}, {n_blocks} residual blocks, norm `{norm}`, 3 -> 1
channels{channel}.

## Data, recipe, licence

Not in the checkpoint: ask whoever trained it, and write it here before you pass this on.

## Scores

None yet: `fusionrs-build translator evaluate` scores it beside the grey controls.

## Limits

- The picture is drawn, not measured. It carries no temperature and no radiance: read no number off its pixels.
- What is not in the RGB image cannot be in the drawn one.
"""


def import_reference(
    path: Path, out: Path, band: str, *, norm: "Norm | None" = None, channel: int | None = None
) -> dict[str, Any]:
    """Make a translator folder of a checkpoint of the reference implementation.

    Args:
        path: `latest_net_G.pth` or the like: the state dict of a `ResnetGenerator`.
        out: folder of the translator; its last part becomes the name.
        band: that it draws.
        norm: as in `read_reference`.
        channel: as in `read_reference`.

    Returns:
        `name`, `band`, `source` and `generator` (its shape).

    Raises:
        UsageError: there is no such file; or as `read_reference`.
        FusionError: as `read_reference`; or `out` cannot be written.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    network = read_reference(path, norm, channel)
    name, sha256, shape = out.resolve().name, file_sha256(path), asdict(network.config)
    said = "" if channel is None else f"; channel {channel} of the three it was trained to draw"
    card = CARD.format(**shape, name=name, band=band, file=path.name, sha256=sha256, channel=said)
    facts = {"imported": {"file": path.name, "sha256": sha256, "channel": channel}}
    found = checkpoint.find(checkpoint.save(network, out, name, band, card, facts, exact=True))
    checkpoint.load(found)
    return {"name": name, "band": band, "source": f"{name}@{found.sha256[:12]}", "generator": shape}


def read_reference(path: Path, norm: "Norm | None" = None, channel: int | None = None) -> "ResnetGenerator":
    """Read the generator of a checkpoint of the reference implementation.

    Known variants: keys with the `module.` of DataParallel; running statistics of instance norms (before torch 0.4),
    which never counted; dropout in the blocks, which shifts their indices; no bias where there is no norm.

    Args:
        path: the state dict of a `ResnetGenerator`.
        norm: that it was trained with; None: as the keys tell. `none` with biases looks like `instance`, so it must be
            said; it is `instance` otherwise.
        channel: which of three output channels to keep, 0 to 2; None: there is one, or all three are equal.

    Returns:
        The generator in fp32, in evaluation mode, 3 -> 1 channels.

    Raises:
        UsageError: `norm` is not that of the weights, or `channel` is needed or there is none to choose.
        FusionError: the file holds code, is damaged, or is no ResNet generator from RGB.
    """
    import torch

    from fusionrs_builder.translate.networks import GeneratorConfig, ResnetGenerator

    state = _plain(path, _tensors(path))
    first, blocks = state["model.1.weight"], {int(found[1]) for key in state if (found := BLOCK.fullmatch(key))}
    if first.shape[1] != 3:
        raise FusionError(f"{path} takes {first.shape[1]} channels: a translator takes RGB, three")
    last = f"model.{FIRST_BLOCK + len(blocks) + 7}"
    state = _one_output(path, state, last, channel)
    norm = _norm(path, state, norm)
    if norm != "batch":
        state = {key: tensor for key, tensor in state.items() if not STATISTICS.fullmatch(key)}
    network = ResnetGenerator(GeneratorConfig(ngf=first.shape[0], n_blocks=max(1, len(blocks)), norm=norm))
    wanted = network.state_dict()
    for key, tensor in wanted.items():
        # The reference has no bias where there is no norm; batch norms before torch 0.4.1 counted no batches.
        unsaid = key.endswith("num_batches_tracked") or (norm == "none" and key.endswith("bias"))
        if unsaid and key not in state and key != f"{last}.bias":
            state[key] = torch.zeros_like(tensor)
    different = checkpoint.differences(_shapes(wanted), _shapes(state))
    if different:
        raise FusionError(
            f"{path} is not the ResnetGenerator of the reference implementation (ngf {first.shape[0]}, {len(blocks)} "
            f"blocks, norm {norm}): {different}"
        )
    broken = [key for key, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise FusionError(f"{path}: {broken[0]} holds values that are not finite: use an earlier checkpoint")
    network.load_state_dict({key: tensor.to(wanted[key].dtype) for key, tensor in state.items()})
    return network.eval().requires_grad_(False)


def _tensors(path: Path) -> dict[str, "Tensor"]:
    """The state dict of a file, nothing of which is run."""
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        if found is None:
            raise FusionError(f"{path} is damaged or no torch checkpoint: fetch it again") from None
        raise FusionError(
            f"{path} is a pickle that wants to run code ({found[1]}), which is never done: load it where you trust it, "
            "and save the tensors alone with torch.save(net.state_dict(), FILE)"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise FusionError(f"{path} is damaged or no torch checkpoint ({error}): fetch it again") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        held = (
            f"a table of {', '.join(map(str, list(state)[:5]))}" if isinstance(state, Mapping) else type(state).__name__
        )
        raise FusionError(f"{path} holds {held}, not the tensors of one generator: save net.state_dict() alone")
    return dict(state)


def _plain(path: Path, state: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    """The keys as a generator without DataParallel and without dropout has them."""
    state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    if any(key.startswith("model.model.") for key in state):
        raise FusionError(f"{path} is a U-Net generator: only ResNet generators are known (--netG resnet_9blocks)")
    if "model.1.weight" not in state or state["model.1.weight"].ndim != 4:
        some = ", ".join(sorted(state)[:3]) or "none at all"
        raise FusionError(f"{path} is no ResNet generator: model.1.weight is not its first convolution (keys: {some})")
    places = {(int(found[2]), found[3]) for key in state if (found := BLOCK.fullmatch(key))}
    convolutions = sorted({place for place, what in places if what == "weight"} - {2, 6, 7})
    if (0, "weight") in places:
        raise FusionError(f"{path} pads its residual blocks with zeros (conv_block.0 is a convolution): not supported")
    if (6, "weight") in places and (5, "weight") not in places and convolutions == [1]:  # dropout stands at 4
        return {_shifted(key): tensor for key, tensor in state.items()}
    return state


def _shifted(key: str) -> str:
    found = BLOCK.fullmatch(key)
    if not found or int(found[2]) < 6:
        return key
    return f"model.{found[1]}.conv_block.{int(found[2]) - 1}.{found[3]}"


def _one_output(path: Path, state: dict[str, "Tensor"], last: str, channel: int | None) -> dict[str, "Tensor"]:
    """Keep one output channel; the last layer is `last`."""
    weight, bias = state.get(f"{last}.weight"), state.get(f"{last}.bias")
    if weight is None or bias is None or weight.ndim != 4:
        return state  # what is missing is said with all else that does not fit
    channels = weight.shape[0]
    if channel is not None and (channels == 1 or not 0 <= channel < channels):
        raise UsageError(f"{path} draws {channels} channels: --channel {channel} is none to choose")
    if channels not in (1, 3):
        raise FusionError(f"{path} draws {channels} channels: infrared has one, or three that are equal")
    if channel is None:
        if (weight != weight[:1]).any() or (bias != bias[:1]).any():
            raise UsageError(
                f"{path} draws three channels by kernels that differ: say which is infrared with --channel 0, 1 or 2"
            )
        channel = 0
    kept = slice(channel, channel + 1)
    return {**state, f"{last}.weight": weight[kept].clone(), f"{last}.bias": bias[kept].clone()}


def _norm(path: Path, state: Mapping[str, "Tensor"], norm: "Norm | None") -> "Norm":
    """The norm that the keys tell."""
    affine, statistics = "model.2.weight" in state, "model.2.running_mean" in state
    if affine and not statistics:
        raise FusionError(f"{path} has instance norms with learnt scales (model.2.weight): not supported")
    told: Norm = "batch" if affine else "instance" if "model.1.bias" in state else "none"
    if norm is None or norm == told or (told, norm) == ("instance", "none"):
        return norm or told
    raise UsageError(f"{path} has norm {told} by its keys, not {norm}: leave --norm away")


def _shapes(state: Mapping[str, "Tensor"]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in state.items()}
