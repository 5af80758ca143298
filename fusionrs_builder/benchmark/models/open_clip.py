"""`open_clip:ARCH/PRETRAINED`: models of open_clip, with weights of a tag, of a file, or of nobody."""

import difflib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from fusionrs_builder.benchmark.models.hugging_face import (
    file_sha256,
    first_line,
    folder_sha256,
    hub_commit,
    versions,
)
from fusionrs_builder.benchmark.models.model import EmbeddingModel, Embeddings, Encoders
from fusionrs_builder.errors import FusionError, UsageError

SEED = 0
"""Of the weights of a model that was not trained."""

CONFIG = "open_clip_config.json"


class _Chosen(NamedTuple):
    """What is loaded.

    Attributes:
        architecture, pretrained: as `open_clip.create_model` takes them.
        name, label: of the model and its weights in results.
        weights: what tells them from others.
        quick_gelu: whether they were trained with this activation.
    """

    architecture: str
    pretrained: str | None
    name: str
    label: str
    weights: str
    quick_gelu: bool = False


def model(rest: str) -> EmbeddingModel:
    """The model of a spec: its weights are at hand, and not loaded.

    Args:
        rest: of the spec, after `open_clip:`. `ARCH/TAG` of open_clip; `ARCH/PATH` of a file of weights, so an absolute
            path follows two slashes; `ARCH` alone for weights drawn by `SEED`; `hf-hub:ORG/NAME`; `local-dir:FOLDER`.

    Raises:
        UsageError: there is no such architecture, tag, file or folder, or open_clip is not installed.
        FusionError: the weights cannot be fetched.
    """
    spec = f"open_clip:{rest}"
    library = _library()
    kind, _, place = rest.partition(":")
    if kind == "hf-hub":
        commit = hub_commit(place, CONFIG, spec)
        chosen = _Chosen(rest, None, place, commit[:12], commit)
    elif kind == "local-dir":
        chosen = _of_folder(spec, Path(place).expanduser())
    else:
        chosen = _of_architecture(spec, rest, library)
    return EmbeddingModel(
        spec=spec,
        name=chosen.name,
        pretrained=chosen.label,
        identity=f"open_clip {chosen.name} {chosen.weights} {versions('open_clip_torch', 'timm')}",
        open=lambda device: _open(spec, chosen, device),
    )


def _library() -> Any:
    try:
        import open_clip
    except ImportError:
        raise UsageError("open_clip is not installed: pip install 'fusionrs-builder[bench]'") from None
    return open_clip


def _of_folder(spec: str, folder: Path) -> _Chosen:
    if not (folder / CONFIG).is_file():
        raise UsageError(f"{spec}: no {CONFIG} in {folder}: name a folder that holds it, weights and tokenizer")
    weights = folder_sha256(folder)
    return _Chosen(f"local-dir:{folder}", None, folder.resolve().name, weights[:12], weights)


def _of_architecture(spec: str, rest: str, library: Any) -> _Chosen:
    architecture, slash, pretrained = rest.partition("/")
    known = {name.lower(): name for name in library.list_models()}
    if architecture not in known.values():
        near = [known[name] for name in difflib.get_close_matches(architecture.lower(), known, 3, 0.4)]
        raise UsageError(
            f"{spec}: open_clip has no architecture {architecture or 'of that name'}{_or(near)}; "
            "`open_clip.list_models()` lists them"
        )
    config = json.dumps(library.get_model_config(architecture), sort_keys=True)
    made = f"config:{hashlib.sha256(config.encode()).hexdigest()}"
    if not slash:
        return _Chosen(architecture, None, architecture, "untrained", f"{made} seed:{SEED}")
    tags = library.list_pretrained_tags_by_model(architecture)
    path = Path(pretrained).expanduser()
    if pretrained in tags:
        told = library.get_pretrained_cfg(architecture, pretrained)
        found = file_sha256(_fetched(spec, architecture, told, library))
        quick = bool(told.get("quick_gelu", False))
        weights = f"{made} {pretrained}:{found} quick_gelu:{quick}"
        return _Chosen(architecture, pretrained, architecture, pretrained, weights, quick)
    if path.is_file():
        found = file_sha256(path)
        return _Chosen(architecture, str(path), architecture, f"{path.stem}@{found[:12]}", f"{made} file:{found}")
    if Path(f"/{pretrained}").is_file():
        raise UsageError(f"{spec}: an absolute path follows two slashes: open_clip:{architecture}//{pretrained}")
    near = difflib.get_close_matches(pretrained, tags, 3, 0.4)
    raise UsageError(
        f"{spec}: {pretrained!r} is neither a file nor a tag of {architecture}{_or(near)}; "
        f"its tags: {', '.join(tags) or 'none'}"
    )


def _or(near: Sequence[str]) -> str:
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _fetched(spec: str, architecture: str, tag: Any, library: Any) -> Path:
    try:
        return Path(library.download_pretrained(tag))
    except Exception as error:  # of HTTP, of sockets, of the file system: they have no common ancestor
        raise FusionError(
            f"{spec}: its weights cannot be fetched ({first_line(error)}): check the network, or name a file that "
            f"holds them: open_clip:{architecture}/PATH"
        ) from error


def _open(spec: str, chosen: _Chosen, device: str) -> Encoders:
    import torch

    library = _library()
    trained = chosen.label != "untrained"
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(SEED)
            network, _, preprocess = library.create_model_and_transforms(
                chosen.architecture, chosen.pretrained, precision="fp32", force_quick_gelu=chosen.quick_gelu,
                pretrained_text=False, require_pretrained=trained,
            )  # fmt: skip
        tokenize = library.get_tokenizer(chosen.architecture)
    except Exception as error:  # of torch, pickle, safetensors, timm, transformers: they have no common ancestor
        raise FusionError(
            f"{spec} cannot be loaded ({_shortened(error)}): name the architecture that the weights were trained as, "
            "and weights that hold tensors only"
        ) from error
    network.to(device).eval()

    def images(pictures: Sequence[Image.Image]) -> Embeddings:
        with torch.inference_mode():
            found = network.encode_image(torch.stack([preprocess(picture) for picture in pictures]).to(device))
        rows: Embeddings = found.float().cpu().numpy()
        return rows

    def texts(captions: Sequence[str]) -> Embeddings:
        with torch.inference_mode():
            found = network.encode_text(tokenize(list(captions)).to(device))
        rows: Embeddings = found.float().cpu().numpy()
        return rows

    return Encoders(images, texts)


def _shortened(error: Exception) -> str:
    """The kind of an error and 200 characters: that of weights of another model lists each of their tensors."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
