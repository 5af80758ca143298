"""Finds what draws the infrared view of an RGB image by its name.

    translator = load_translator("nir-small")
    ir = translator.translate(rgb)  # uint8 [N, 3, H, W] -> uint8 [N, 1, H, W]

torch is imported only when a network is loaded; `translator_identity` and the controls do without it.
"""

import difflib
import functools
from pathlib import Path
from typing import Any

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate import checkpoint
from fusionrs_builder.translate.protocol import Array, Identity, Images, Kind, Precision, Translator, check
from fusionrs_builder.translate.translators import command, controls, cyclegan, diffusion, onnx
from fusionrs_builder.translate.translators.controls import CONTROLS
from fusionrs_builder.translate.translators.cyclegan import GeneratorTranslator

__all__ = [
    "CONTROLS", "HUB", "KINDS", "WEIGHTS", "Array", "GeneratorTranslator", "Identity", "Images", "Kind", "Precision",
    "Translator", "check", "checkpoint_of", "embedded", "load_translator", "translator_identity", "translator_params",
]  # fmt: skip

KINDS: tuple[Kind, ...] = (controls, command, onnx, diffusion, cyclegan)
"""Asked in this order whether a spec is theirs."""

WEIGHTS = Path(__file__).parent / "weights"
"""A folder for every translator that comes with the package."""

HUB = "hf://"


def load_translator(spec: str, device: str = "cpu", precision: Precision = "fp32") -> Translator:
    """Load a translator.

    Args:
        spec: `gray`, `gray-inverted`, `duplicate`; `nir-small` (comes with the package); a folder with
            `model.safetensors` and `config.json`, or one of a diffusers pipeline; `FILE.onnx`; `COMMAND.toml`;
            or `hf://ORG/NAME[@REVISION]`.
        device: `cpu`, `cuda`, `cuda:1` or `auto`. Controls are computed on the CPU.
        precision: `fp32` or `bf16`. Controls are exact at either; ONNX networks and commands have their own.

    Raises:
        UsageError: there is no such translator.
        FusionError: its files are damaged or do not fit together, or it cannot be fetched.
    """
    kind, path = _kind(spec)
    return kind.load(spec, path, device, precision)


def translator_identity(spec: str) -> Identity:
    """Who `spec` is, without importing torch. Errors as `load_translator`, but the weights are hashed, not read."""
    kind, path = _kind(spec)
    return kind.describe(spec, path, "fp32")[0]


def translator_params(spec: str, precision: Precision = "fp32") -> dict[str, Any]:
    """All that tells what `spec` draws: its identity, and whatever else changes a pixel. No torch is imported."""
    kind, path = _kind(spec)
    identity, settings = kind.describe(spec, path, precision)
    return {**identity._asdict(), **settings}


def checkpoint_of(spec: str) -> checkpoint.Checkpoint:
    """The weights of a translator that is a ResNet generator, to begin a training with.

    Raises:
        UsageError: it is of another kind, or there is no such translator.
        FusionError: as `load_translator`.
    """
    kind, path = _kind(spec)
    if kind is not cyclegan or path is None:
        raise UsageError(f"{spec} is no generator that could be trained on: name one that `translator train` made")
    return checkpoint.find(path)


def embedded() -> list[str]:
    """Names of the translators that come with the package."""
    return sorted(path.name for path in WEIGHTS.iterdir() if path.is_dir()) if WEIGHTS.is_dir() else []


def _kind(spec: str) -> tuple[Kind, Path | None]:
    """The kind of a translator, and the file or folder it lies in, if any."""
    path = _path(spec)
    for kind in KINDS:
        if kind.claims(spec, path):
            return kind, path
    if path is not None:
        raise UsageError(
            f"translator {spec} is a file of no known kind: name FILE.onnx, COMMAND.toml, or the folder that holds "
            f"{checkpoint.WEIGHTS}; a .pth becomes such a folder by `fusionrs-build translator import`"
        )
    known = [*CONTROLS, *embedded()]
    close = difflib.get_close_matches(spec, known, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(known)}; or a folder, or hf://ORG/NAME"
    raise UsageError(f"no translator {spec!r}: {hint}")


def _path(spec: str) -> Path | None:
    """Where the files of a translator are."""
    if spec.startswith(HUB):
        return _fetched(spec)
    if spec in CONTROLS:
        return None
    path = WEIGHTS / spec if spec in embedded() else Path(spec).expanduser()
    return path if path.exists() else None


@functools.lru_cache(maxsize=16)
def _fetched(spec: str) -> Path:
    """Download a translator's files, once, to the Hugging Face cache."""
    name, _, revision = spec.removeprefix(HUB).partition("@")
    small = [checkpoint.WEIGHTS, checkpoint.CONFIG, checkpoint.CARD, onnx.MODEL + "*", diffusion.INDEX]
    folder = _snapshot(spec, name, revision, small)
    return _snapshot(spec, name, revision, diffusion.FILES) if (folder / diffusion.INDEX).is_file() else folder


def _snapshot(spec: str, name: str, revision: str, files: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=files))
    except HFValidationError:
        raise UsageError(f"{spec} is not the name of a repository: write hf://ORG/NAME or hf://ORG/NAME@REV") from None
    except Exception as error:  # the library's errors, and those of what it stands on, have no common ancestor
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise FusionError(
            f"could not fetch {spec}: {reason}: check the name, the network and your login (`hf auth login`), or "
            "download the folder and name its path"
        ) from error
