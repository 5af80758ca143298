"""What a translator is, who it is, and what a new kind of them has to say.

A kind is a module of `translators/` with the three functions of `Kind`, named in `translator.KINDS`. It needs torch or
another library only to `load`: a build that has nothing to do must answer at once.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.errors import FusionError

if TYPE_CHECKING:
    import torch

Array = NDArray[np.uint8]
Images = TypeVar("Images", Array, "torch.Tensor")
Precision = Literal["fp32", "bf16"]


BANDS = ("nir", "swir", "mwir", "lwir")


class Identity(NamedTuple):
    """What tells one translator from another.

    Attributes:
        source: value of the column `ir_source`: name `@` first 12 digits of `sha256`; a control's name.
        band: that it draws; None for a control.
        sha256: of the weights, or of all files that decide what is drawn; None for a control.
    """

    source: str
    band: str | None
    sha256: str | None

    @classmethod
    def of(cls, name: str, band: str, sha256: str) -> "Identity":
        return cls(f"{name}@{sha256[:12]}", band, sha256)


class Translator(Protocol):
    """Draws one channel from three. `translate` takes and returns numpy arrays or torch tensors alike.

    Attributes:
        name: as in `load_translator`, or as its configuration has it.
        band: that it draws; None for a control.
        sha256: as in `Identity`.
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
            FusionError: the translator gave something that is no infrared view of `rgb`.
        """
        ...


class Kind(Protocol):
    """The functions of a module of `translators/`."""

    def claims(self, spec: str, path: Path | None) -> bool:
        """Whether the translator named `spec` is of this kind; `path` is the file or folder it lies in, if any."""
        ...

    def describe(self, spec: str, path: Path | None, precision: Precision) -> tuple[Identity, Mapping[str, Any]]:
        """Who it is, and whatever else changes a pixel (JSON values only): both go into a shard's fingerprint.

        Raises:
            UsageError: a file is missing.
            FusionError: its configuration is not what it should be.
        """
        ...

    def load(self, spec: str, path: Path | None, device: str, precision: Precision) -> Translator:
        """Make it ready to draw. Raises as `describe`, and where files are damaged or a library is missing."""
        ...


@dataclass(frozen=True)
class ArrayTranslator:
    """A translator made of a function over arrays.

    Attributes:
        name: as in `Translator`.
        identity: its source, band and sha256.
        draw: uint8 [N, 3, H, W] -> uint8 [N, H, W].
    """

    name: str
    identity: Identity
    draw: Callable[[Array], Array]

    @property
    def source(self) -> str:
        return self.identity.source

    @property
    def band(self) -> str | None:
        return self.identity.band

    @property
    def sha256(self) -> str | None:
        return self.identity.sha256

    def translate(self, rgb: Images) -> Images:
        check(rgb)
        if isinstance(rgb, np.ndarray):
            return self.draw(rgb)[:, None]
        import torch

        return torch.from_numpy(self.draw(rgb.cpu().numpy())[:, None]).to(rgb.device)


def check(rgb: Any) -> None:
    """Raise ValueError unless uint8 [N, 3, H, W]."""
    if len(rgb.shape) != 4 or rgb.shape[1] != 3 or str(rgb.dtype).removeprefix("torch.") != "uint8":
        raise ValueError(f"a translator takes uint8 [N, 3, H, W], got {rgb.dtype} {list(rgb.shape)}")


def name_and_band(values: Mapping[str, Any], where: Path, otherwise: str) -> tuple[str, str]:
    """The entries `name` (`otherwise` where there is none) and `band` of a configuration read from `where`.

    Raises:
        FusionError: they are not what they should be.
    """
    name, band = values.get("name", otherwise), values.get("band")
    if not isinstance(name, str) or not name or band not in BANDS:
        raise FusionError(
            f"{where}: name must be a text (got {name!r}) and band, what the translator draws, one of "
            f"{', '.join(BANDS)} (got {band!r})"
        )
    return name, str(band)


def one_channel(drawn: Array, what: str) -> Array:
    """uint8 [C, H, W] -> uint8 [H, W]: the only channel, or the first of three that are equal.

    Raises:
        FusionError: there is another number of channels, or they are not equal.
    """
    if len(drawn) not in (1, 3):
        raise FusionError(f"{what} has {len(drawn)} channels: an infrared view has one, or three that are equal")
    if (drawn != drawn[0]).any():
        off = int(np.abs(drawn.astype(np.int16) - drawn[0]).max())
        raise FusionError(
            f"{what} has three channels that differ by up to {off} of 255: it is a colour picture, no infrared view; "
            "let the translator give one channel"
        )
    first: Array = drawn[0]
    return first


def grown(rgb: Array, multiple: int) -> Array:
    """uint8 [..., H, W] with height and width grown to multiples, right and down, by reflection."""
    below, right = (-side % multiple for side in rgb.shape[-2:])
    around = [(0, 0)] * (rgb.ndim - 2) + [(0, below), (0, right)]
    return np.pad(rgb, around, mode="reflect") if below or right else rgb


def sha256_of(files: Iterable[tuple[str, Path]]) -> str:
    """sha256 over files: of each, in the order of the names, a line `name sha256`.

    Args:
        files: a name that does not depend on where the file lies, and the file.
    """
    total = hashlib.sha256()
    for name, path in sorted(files):
        total.update(f"{name} {file_sha256(path)}\n".encode())
    return total.hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of one file; remembered as long as its size and time of change are the same."""
    stat = path.stat()
    return _file_sha256(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _file_sha256(path: Path, size: int, changed_ns: int) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
