"""`python:MODULE:FUNCTION`: a model of the user's own, made by a function of theirs."""

import contextlib
import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fusionrs_builder.benchmark.models.hugging_face import first_line
from fusionrs_builder.benchmark.models.model import EmbeddingModel, Embeddings, Encoders
from fusionrs_builder.errors import FusionError, UsageError


def model(rest: str) -> EmbeddingModel:
    """The model of a spec. It is made here, on the CPU, for what it says about itself.

    Args:
        rest: of the spec, after `python:`. The function takes nothing, or a torch `device` by that name: then it is
            called again where another device than the CPU is wanted. It returns an object with
            `encode_images(list of PIL images) -> float [N, d]` and, as far as it has them,
            `encode_texts(list of str) -> float [N, d]`, `name` (str), `trained_on` (list of corpora) and `identity`
            (str): what embeddings depend on beside the file of the module, such as a sha256 of weights.

    Raises:
        UsageError: there is no such module or function, or what it returns lacks something.
        FusionError: code of the module failed.
    """
    spec = f"python:{rest}"
    make, source = _function(spec, *rest.partition(":")[::2])
    with _explained(spec):
        takes_device = "device" in inspect.signature(make).parameters

    def made(device: str) -> Any:
        with _explained(spec):
            return make(device=device) if takes_device else make()

    held = {"cpu": made("cpu")}
    if not callable(getattr(held["cpu"], "encode_images", None)):
        raise UsageError(f"{spec} returned a {type(held['cpu']).__name__} without encode_images(list of PIL images)")
    name, trained_on = getattr(held["cpu"], "name", rest), getattr(held["cpu"], "trained_on", ())
    if not isinstance(name, str) or isinstance(trained_on, str) or not all(isinstance(one, str) for one in trained_on):
        raise UsageError(f"{spec}: `name` is a str and `trained_on` a list of str, not {name!r} and {trained_on!r}")
    identity = f"python {rest} {hashlib.sha256(source).hexdigest()} {getattr(held['cpu'], 'identity', '')}"

    def open_on(device: str) -> Encoders:
        if takes_device and device not in held:
            held.clear()  # two copies of a large model may not fit
            held[device] = made(device)
        return _encoders(spec, held[device] if device in held else held["cpu"])

    return EmbeddingModel(
        spec=spec,
        name=name,
        pretrained=hashlib.sha256(identity.encode()).hexdigest()[:12],
        identity=identity,
        open=open_on,
        trained_on=tuple(trained_on),
    )


def _function(spec: str, module_name: str, name: str) -> tuple[Callable[..., Any], bytes]:
    """The function, and the file of its module."""
    if not module_name or not name:
        raise UsageError(f"{spec}: name a function as python:MODULE:FUNCTION")
    # At the end: a file here must not take the place of a library that is imported later.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    importlib.invalidate_caches()
    try:
        with _explained(spec):
            module = importlib.import_module(module_name)
    except FusionError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and f"{module_name}.".startswith(f"{cause.name}."):
            raise UsageError(
                f"{spec}: no module {cause.name}; run where {cause.name}.py lies, or install it"
            ) from cause
        raise
    found = getattr(module, name, None)
    file = getattr(module, "__file__", None)
    if not callable(found):
        raise UsageError(f"{spec}: the module ({file or 'built in'}) has no function {name}")
    return found, Path(file).read_bytes() if file else b""


def _encoders(spec: str, of: Any) -> Encoders:
    def images(pictures: Sequence[Image.Image]) -> Embeddings:
        with _explained(spec):
            found = _array(of.encode_images(list(pictures)))
        return _checked(f"{spec}: encode_images", found, len(pictures))

    def texts(captions: Sequence[str]) -> Embeddings:
        with _explained(spec):
            found = _array(of.encode_texts(list(captions)))
        return _checked(f"{spec}: encode_texts", found, len(captions))

    return Encoders(images, texts if callable(getattr(of, "encode_texts", None)) else None)


def _array(found: Any) -> Any:
    """Of a tensor too, wherever it lies and whatever its type."""
    return np.asarray(found.detach().float().cpu() if hasattr(found, "detach") else found)


def _checked(what: str, found: Any, count: int) -> Embeddings:
    if found.ndim != 2 or found.dtype.kind != "f" or len(found) != count:
        raise FusionError(
            f"{what} gave {found.dtype} of the shape {list(found.shape)} for {count} items: "
            f"return floats of the shape [{count}, width]"
        )
    with np.errstate(over="ignore"):  # too large for float32 is infinite, and so a failure of its row
        rows: Embeddings = found.astype(np.float32)
    return rows


@contextlib.contextmanager
def _explained(spec: str) -> Iterator[None]:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what it prints is not among the results
            yield
    except (Exception, SystemExit) as error:  # it is not our code
        raise FusionError(f"{spec} failed ({first_line(error)}); -v shows where") from error
