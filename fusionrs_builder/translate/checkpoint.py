"""A translator on disk: a folder of `model.safetensors`, `config.json` and `README.md` (the card).

Reading the configuration and hashing the weights needs no torch: a build that has nothing to do must answer at once.
Pickles (`.pth`, `.pt`, `.bin`, `.ckpt`) are never loaded.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate.protocol import BANDS, file_sha256

if TYPE_CHECKING:
    from fusionrs_builder.translate.networks import GeneratorConfig, ResnetGenerator

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"

IMPORT = "`fusionrs-build translator import FILE.pth --out DIR --band nir` makes a translator of it"

PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl")


@dataclass(frozen=True)
class Checkpoint:
    """A translator folder whose configuration is sound.

    Attributes:
        folder: where it is.
        name: of the translator, e.g. `nir-small`.
        band: that it draws: one of `BANDS`.
        generator: the fields of `networks.GeneratorConfig`.
        sha256: of `model.safetensors`.
    """

    folder: Path
    name: str
    band: str
    generator: Mapping[str, Any]
    sha256: str


def find(folder: Path) -> Checkpoint:
    """Read the configuration of a translator folder and hash its weights, without torch.

    Raises:
        UsageError: the folder lacks one of the files, or holds pickled weights only.
        FusionError: `config.json` is not what it should be.
    """
    weights, config = folder / WEIGHTS, folder / CONFIG
    if not weights.is_file():
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
        found = f"; {pickles[0]} is a pickle, which is never loaded: {IMPORT}" if pickles else ""
        raise UsageError(f"{folder} has no {WEIGHTS}: a translator folder holds {WEIGHTS} and {CONFIG}{found}")
    if not config.is_file():
        raise UsageError(
            f'{folder} has no {CONFIG}: write one such as {{"name": "mine", "band": "nir", "generator": '
            '{"in_channels": 3, "out_channels": 1, "ngf": 64, "n_blocks": 9, "norm": "instance"}}'
        )
    try:
        values = json.loads(config.read_text())
        name, band, generator = values["name"], values["band"], values["generator"]
    except (ValueError, KeyError, TypeError) as error:
        raise FusionError(
            f"{config} is not a translator configuration ({error!r}): it needs name, band and generator"
        ) from None
    if not isinstance(name, str) or not name or not isinstance(generator, dict) or band not in BANDS:
        raise FusionError(
            f"{config}: name must be a text, band one of {', '.join(BANDS)} (got {band!r}), generator a table"
        )
    return Checkpoint(folder, name, band, generator, file_sha256(weights))


def shape(checkpoint: Checkpoint) -> "GeneratorConfig":
    """Of its generator, as the configuration has it.

    Raises:
        FusionError: it is that of none.
    """
    from fusionrs_builder.translate.networks import GeneratorConfig

    try:
        return GeneratorConfig(**checkpoint.generator)
    except (TypeError, ValueError) as error:
        raise FusionError(f"{checkpoint.folder / CONFIG}: {error}: correct the table `generator`") from None


def load(checkpoint: Checkpoint) -> "ResnetGenerator":
    """The generator in fp32, in evaluation mode, on the CPU, its parameters frozen.

    Raises:
        FusionError: the weights are damaged, of another architecture, not finite, or not RGB to one channel.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from fusionrs_builder.translate.networks import ResnetGenerator

    weights, config = checkpoint.folder / WEIGHTS, checkpoint.folder / CONFIG
    of = shape(checkpoint)
    if (of.in_channels, of.out_channels) != (3, 1):
        raise FusionError(
            f"{config}: a generator of {of.in_channels} -> {of.out_channels} channels; a translator takes RGB "
            "and gives one channel (3 -> 1): train one, or keep the weights of one output channel only"
        )
    try:
        tensors = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise FusionError(f"{weights} is damaged or not safetensors ({error}): fetch it again") from None
    network = ResnetGenerator(of)
    wanted = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    given = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    if wanted != given:
        raise FusionError(
            f"{weights} does not fit {config}: {differences(wanted, given)}; set ngf, n_blocks and norm, and local "
            "and tone where they are not 0, to those the weights were trained with; weights of an earlier version are "
            "trained again"
        )
    broken = [key for key, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise FusionError(f"{weights}: {broken[0]} holds values that are not finite: use an earlier checkpoint")
    network.load_state_dict({key: tensor.float() for key, tensor in tensors.items()})
    return network.eval().requires_grad_(False)


def differences(wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> str:
    """The first key that is missing, unexpected or of another shape, and how many there are; "" where all fits."""
    missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    other = sorted(key for key in wanted.keys() & given.keys() if wanted[key] != given[key])
    said = [
        f"{len(keys)} keys {what} ({keys[0]})" for keys, what in ((missing, "missing"), (extra, "unexpected")) if keys
    ]
    if other:
        key = other[0]
        said.append(f"{len(other)} of another shape ({key} is {list(given[key])}, not {list(wanted[key])})")
    return ", ".join(said)


def save(
    network: "ResnetGenerator",
    folder: Path,
    name: str,
    band: str,
    card: str,
    facts: Mapping[str, Any],
    *,
    exact: bool = False,
) -> Path:
    """Write a translator folder; each file appears whole or not at all, the configuration last.

    Kernels are stored in fp16 (half the size; scores are taken after the rounding), biases and statistics in fp32.

    Args:
        network: to be saved.
        folder: made when missing.
        name: of the translator.
        band: that it draws.
        card: text of `README.md`.
        facts: further entries of `config.json`: recipe and scores. JSON values only.
        exact: store the kernels in fp32 too.

    Returns:
        The folder.

    Raises:
        FusionError: `folder` cannot be written.
    """
    import torch
    from safetensors.torch import save as serialise

    state = network.state_dict()
    tensors = {
        k: t.to(torch.float16 if t.ndim > 1 and not exact else t.dtype).contiguous().cpu() for k, t in state.items()
    }
    config = {"name": name, "band": band, "generator": asdict(network.config), **facts}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / WEIGHTS, serialise(tensors))
        write_whole(folder / CARD, card.encode())
        write_whole(folder / CONFIG, (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise FusionError(f"could not write the translator to {folder}: {error}: name another folder") from error
    return folder


def write_whole(path: Path, data: bytes) -> None:
    """A whole file or none: temporary file beside it, flushed to disk, renamed."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with os.fdopen(handle, "wb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(sink.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
