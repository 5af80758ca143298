"""What draws the infrared view of an RGB image: the grey controls and the trained generators, behind one protocol.

    translator = load_translator("nir-small")
    ir = translator.translate(rgb)  # uint8 [N, 3, H, W] -> uint8 [N, 1, H, W]

torch is imported only when a network is loaded; `translator_identity` and the controls do without it.
"""

import difflib
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate import checkpoint

if TYPE_CHECKING:
    import torch

Array = NDArray[np.uint8]
Images = TypeVar("Images", Array, "torch.Tensor")
Precision = Literal["fp32", "bf16"]

WEIGHTS = Path(__file__).parent / "weights"
"""A folder for every translator that comes with the package."""

HUB = "hf://"

log = logging.getLogger(__name__)


class Identity(NamedTuple):
    """What tells one translator from another.

    Attributes:
        source: value of the column `ir_source`: name `@` first 12 digits of the weights' sha256; a control's name.
        band: that it draws; None for a control.
        sha256: of the weights; None for a control.
    """

    source: str
    band: str | None
    sha256: str | None


class Translator(Protocol):
    """Draws one channel from three. `translate` takes and returns numpy arrays or torch tensors alike.

    Attributes:
        name: as in `load_translator`, or as its configuration has it.
        band: that it draws; None for a control.
        sha256: of the weights; None for a control.
        source: value of the column `ir_source`.
    """

    @property
    def name(self) -> str: ...

    @property
    def band(self) -> str | None: ...

    @property
    def sha256(self) -> str | None: ...

    @property
    def source(self) -> str: ...

    def translate(self, rgb: Images) -> Images:
        """Draw the infrared view.

        Args:
            rgb: uint8 [N, 3, H, W], any size; a tensor may lie on any device.

        Returns:
            uint8 [N, 1, H, W] of the same kind (and on the same device). Row n depends on row n only.

        Raises:
            ValueError: `rgb` has another shape or dtype.
        """
        ...


@dataclass(frozen=True)
class Control:
    """A grey view by a fixed formula: what a translator must beat.

    Attributes:
        name: of the control.
        draw: uint8 [N, 3, H, W] -> uint8 [N, H, W].
    """

    name: str
    draw: Callable[[Array], Array]
    band: None = None
    sha256: None = None

    @property
    def source(self) -> str:
        return self.name

    def translate(self, rgb: Images) -> Images:
        check(rgb)
        if isinstance(rgb, np.ndarray):
            return self.draw(rgb)[:, None]
        import torch

        return torch.from_numpy(self.draw(rgb.cpu().numpy())[:, None]).to(rgb.device)


def _gray(rgb: Array) -> Array:
    """ITU-R BT.601 luma in Pillow's 16-bit fixed point: 0.299 R + 0.587 G + 0.114 B, rounded to nearest."""
    r, g, b = (rgb[:, channel].astype(np.uint32) for channel in range(3))
    return ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16).astype(np.uint8)


def _gray_inverted(rgb: Array) -> Array:
    """255 - gray: as near infrared has it where water is bright and crops are dark in the visible."""
    return 255 - _gray(rgb)


def _duplicate(rgb: Array) -> Array:
    """The RGB image itself standing in for the infrared one.

    One channel has to hold it: (R + G + B) / 3, rounded to nearest. Every channel alike; `gray` weighs them as the
    eye does.
    """
    total = rgb.astype(np.uint16).sum(axis=1, dtype=np.uint16)
    mean: Array = ((total + 1) // 3).astype(np.uint8)
    return mean


CONTROLS = {
    control.name: control
    for control in (Control("gray", _gray), Control("gray-inverted", _gray_inverted), Control("duplicate", _duplicate))
}


def check(rgb: Any) -> None:
    """Raise ValueError unless uint8 [N, 3, H, W]."""
    if len(rgb.shape) != 4 or rgb.shape[1] != 3 or str(rgb.dtype).removeprefix("torch.") != "uint8":
        raise ValueError(f"a translator takes uint8 [N, 3, H, W], got {rgb.dtype} {list(rgb.shape)}")


class GeneratorTranslator:
    """A ResNet generator with its weights.

    Args:
        found: the checkpoint.
        device: `cpu`, `cuda`, `cuda:1`, or `auto` (a GPU when there is one).
        precision: of the convolutions; normalisation and output are fp32 at either.
    """

    def __init__(self, found: checkpoint.Checkpoint, device: str = "cpu", precision: Precision = "fp32") -> None:
        import torch

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.name = found.name
        self.source, self.band, self.sha256 = _identity(found)
        self._device = torch.device(device)
        self._bf16 = precision == "bf16"
        if self._bf16 and self._device.type == "cpu" and not fast_bf16():
            log.warning("this processor has no bf16 arithmetic: precision bf16 is many times slower here than fp32")
        self._network = checkpoint.load(found).to(self._device).to(memory_format=torch.channels_last)

    def translate(self, rgb: Images) -> Images:
        check(rgb)
        if isinstance(rgb, np.ndarray):
            import torch

            return self._draw(torch.tensor(rgb)).cpu().numpy()
        return self._draw(rgb).to(rgb.device)

    def _draw(self, rgb: "torch.Tensor") -> "torch.Tensor":
        import torch

        height, width = rgb.shape[-2:]
        x = rgb.to(self._device).float().div_(127.5).sub_(1)
        x = _padded(x).contiguous(memory_format=torch.channels_last)
        # Neither TF32 nor algorithms chosen by a race: the same pixels from run to run.
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.no_grad(), exact, torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            # On a CPU one image at a time is as fast, and keeps the result free of what else is in the batch.
            groups = x[:, None] if self._device.type == "cpu" else (x,)
            y = torch.cat([self._network(group) for group in groups])
        y = y[..., :height, :width].float()
        return y.add_(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def fast_bf16() -> bool:
    """Whether this CPU computes in bf16; without such instructions it is emulated, tens of times slower than fp32."""
    import torch

    return any(torch.cpu.get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _padded(x: "torch.Tensor") -> "torch.Tensor":
    """Grow right and down to multiples of 4, at least 16: by reflection, by repetition where that is too far."""
    import torch.nn.functional as F

    from fusionrs_builder.translate.networks import MULTIPLE

    right, below = (max(16, -(-side // MULTIPLE) * MULTIPLE) - side for side in (x.shape[3], x.shape[2]))
    if not right and not below:
        return x
    mode = "reflect" if right < x.shape[3] and below < x.shape[2] else "replicate"
    return F.pad(x, (0, right, 0, below), mode=mode)


def load_translator(spec: str, device: str = "cpu", precision: Precision = "fp32") -> Translator:
    """Load a translator.

    Args:
        spec: `gray`, `gray-inverted`, `duplicate`; `nir-small` (comes with the package); a folder with
            `model.safetensors` and `config.json`; or `hf://ORG/NAME[@REVISION]`.
        device: `cpu`, `cuda`, `cuda:1` or `auto`. Controls are computed on the CPU.
        precision: `fp32` or `bf16`. Controls are exact at either.

    Raises:
        UsageError: there is no such translator.
        FusionError: its files are damaged or do not fit together, or it cannot be fetched.
    """
    if spec in CONTROLS:
        return CONTROLS[spec]
    return GeneratorTranslator(checkpoint.find(_folder(spec)), device, precision)


def translator_identity(spec: str) -> Identity:
    """Who `spec` is, without importing torch. Errors as `load_translator`, but the weights are hashed, not read."""
    return Identity(spec, None, None) if spec in CONTROLS else _identity(checkpoint.find(_folder(spec)))


def translator_params(spec: str) -> dict[str, Any]:
    """All that tells what `spec` draws: its identity, and the shape of its generator (None for a control).

    The weights alone do not tell: with another `norm` in the configuration the same weights draw another picture.
    """
    generator = None if spec in CONTROLS else dict(checkpoint.find(_folder(spec)).generator)
    return {**translator_identity(spec)._asdict(), "generator": generator}


def _identity(found: checkpoint.Checkpoint) -> Identity:
    return Identity(f"{found.name}@{found.sha256[:12]}", found.band, found.sha256)


def embedded() -> list[str]:
    """Names of the translators that come with the package."""
    return sorted(path.name for path in WEIGHTS.iterdir() if path.is_dir()) if WEIGHTS.is_dir() else []


def _folder(spec: str) -> Path:
    """Where the files of a trained translator are."""
    if spec.startswith(HUB):
        return _fetched(spec)
    if spec in embedded():
        return WEIGHTS / spec
    path = Path(spec).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise UsageError(f"translator {spec} is a file: name the folder that holds {checkpoint.WEIGHTS}")
    known = [*CONTROLS, *embedded()]
    close = difflib.get_close_matches(spec, known, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(known)}; or a folder, or hf://ORG/NAME"
    raise UsageError(f"no translator {spec!r}: {hint}")


@functools.lru_cache(maxsize=16)
def _fetched(spec: str) -> Path:
    """Download a translator's files, once, to the Hugging Face cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    name, _, revision = spec.removeprefix(HUB).partition("@")
    files = [checkpoint.WEIGHTS, checkpoint.CONFIG, checkpoint.CARD]
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
