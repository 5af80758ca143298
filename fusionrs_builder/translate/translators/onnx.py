"""A network in ONNX: `FILE.onnx` with `FILE.json` beside it, or a folder with `model.onnx` and `config.json`.

The network takes float32 [N, 3, H, W] in -1..1 and gives [N, 1, H, W] in -1..1 (or three channels that are equal). The
configuration says what it draws: `{"name": "mine", "band": "nir"}`, and, where sides must be a multiple of something,
`"multiple": 256` (4 when not said).
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate.protocol import (
    Array,
    ArrayTranslator,
    Identity,
    Precision,
    grown,
    name_and_band,
    one_channel,
    sha256_of,
)

MODEL, CONFIG = "model.onnx", "config.json"

SUFFIX = ".onnx"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Files:
    """A network whose configuration is sound.

    Attributes:
        model: the ONNX file.
        identity: over it and whatever weights lie beside it.
        name: of the translator.
        multiple: of which height and width must be, pixels.
    """

    model: Path
    identity: Identity
    name: str
    multiple: int


def claims(spec: str, path: Path | None) -> bool:
    """A file that ends in `.onnx`, or a folder that holds `model.onnx`."""
    return path is not None and (path.suffix == SUFFIX if path.is_file() else (path / MODEL).is_file())


def describe(spec: str, path: Path | None, precision: Precision) -> tuple[Identity, Mapping[str, Any]]:
    """Computed in the precision of its weights, whatever is asked for."""
    assert path is not None
    found = _find(path)
    return found.identity, {"multiple": found.multiple}


def load(spec: str, path: Path | None, device: str, precision: Precision) -> ArrayTranslator:
    """A session is opened and its input and output are checked."""
    assert path is not None
    found = _find(path)
    network = Network(found, device)
    return ArrayTranslator(found.name, found.identity, network.draw)


def _find(path: Path) -> Files:
    model, config = (path, path.with_suffix(".json")) if path.is_file() else (path / MODEL, path / CONFIG)
    if not config.is_file():
        raise UsageError(f'{model} has no {config.name} beside it: write one such as {{"name": "mine", "band": "nir"}}')
    try:
        values = json.loads(config.read_text())
    except ValueError as error:
        raise FusionError(f"{config} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise FusionError(f"{config} is no JSON object: it needs name and band")
    name, band = name_and_band(values, config, model.stem)
    multiple = values.get("multiple", 4)
    if not isinstance(multiple, int) or not 1 <= multiple <= 1024:
        raise FusionError(f"{config}: multiple, of which the sides of an image are, must be 1..1024, got {multiple!r}")
    # Large weights lie in files of their own: `model.onnx.data`, `model.onnx_data`.
    parts = [(part.name.removeprefix(model.name), part) for part in model.parent.iterdir()
             if part.is_file() and part.name.startswith(model.name)]  # fmt: skip
    return Files(model, Identity.of(name, band, sha256_of(parts)), name, multiple)


class Network:
    """A session of onnxruntime. Images go through it one at a time: what is drawn never depends on the batch."""

    def __init__(self, files: Files, device: str) -> None:
        try:
            import onnxruntime  # type: ignore[import-untyped]
        except ImportError:
            raise UsageError(f"{files.model} needs onnxruntime: pip install 'fusionrs-builder[onnx]'") from None
        self._files = files
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(files.model), options, providers=_providers(device, onnxruntime.get_available_providers())
            )
        except Exception as error:  # the library's errors have no common ancestor but this one
            raise FusionError(f"{files.model} is damaged or no ONNX network: {_first_line(error)}") from None
        self._input, self._size = self._checked()

    def _checked(self) -> tuple[str, tuple[int | None, int | None]]:
        """Name of the input, and the height and width it is bound to."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            names = (", ".join(each.name for each in of) for of in (inputs, outputs))
            raise FusionError("{} takes {} and gives {}: one input and one output are wanted, an image each".format(
                self._files.model, *names))  # fmt: skip
        (given,), (drawn,) = inputs, outputs
        for what, each, channels in (("input", given, (3,)), ("output", drawn, (1, 3))):
            shape = each.shape
            if (
                each.type != "tensor(float)"
                or len(shape) != 4
                or (isinstance(shape[1], int) and shape[1] not in channels)
            ):
                wanted = " or ".join(f"[N, {number}, H, W]" for number in channels)
                raise FusionError(
                    f"{self._files.model}: {what} {each.name} is {each.type} {shape}, not tensor(float) {wanted}"
                )
        if isinstance(given.shape[0], int) and given.shape[0] != 1:
            raise FusionError(
                f"{self._files.model} is bound to batches of {given.shape[0]}: export it with a free one, or 1"
            )
        height, width = (side if isinstance(side, int) else None for side in given.shape[2:])
        return given.name, (height, width)

    def draw(self, rgb: Array) -> Array:
        """uint8 [N, 3, H, W] -> uint8 [N, H, W]."""
        return np.stack([self._one(image) for image in rgb]) if len(rgb) else np.empty((0, *rgb.shape[2:]), np.uint8)

    def _one(self, rgb: Array) -> Array:
        height, width = rgb.shape[1:]
        for bound, side in zip(self._size, (height, width), strict=True):
            if bound not in (None, side):
                raise FusionError(
                    f"{self._files.model} takes images of {self._size[1]} x {self._size[0]} px only, this one has "
                    f"{width} x {height}: download with --image-size {bound}, or export it with free sides"
                )
        x = (rgb if None not in self._size else grown(rgb, self._files.multiple))[None].astype(np.float32) / 127.5 - 1
        try:
            (y,) = self._session.run(None, {self._input: x})
        except Exception as error:  # as above
            raise FusionError(
                f"{self._files.model} fails on an image of {width} x {height} px: {_first_line(error)}"
            ) from None
        if y.ndim != 4 or len(y) != 1 or y.shape[2:] != x.shape[2:]:
            raise FusionError(f"{self._files.model} made {list(y.shape)} of {list(x.shape)}: sides must be kept")
        if not np.isfinite(y).all():
            raise FusionError(f"{self._files.model} gives values that are not finite: export it in float32")
        drawn = np.rint((y[0, :, :height, :width] + 1) * 127.5).clip(0, 255).astype(np.uint8)
        return one_channel(drawn, f"what {self._files.model} draws")


def _providers(device: str, available: list[str]) -> list[Any]:
    """CUDA where it is asked for and there; `auto` takes it when there."""
    cuda = "CUDAExecutionProvider"
    if device == "cpu" or cuda not in available:
        if device.startswith("cuda"):
            log.warning("this onnxruntime has no CUDA: the network runs on the CPU (pip install onnxruntime-gpu)")
        return ["CPUExecutionProvider"]
    number = device.partition(":")[2] or "0"
    return [(cuda, {"device_id": number, "cudnn_conv_algo_search": "HEURISTIC"}), "CPUExecutionProvider"]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]
