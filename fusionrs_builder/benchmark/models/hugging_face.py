"""`hf:ORG/NAME` or `hf:FOLDER`: dual encoders of transformers, such as CLIP, SigLIP and SigLIP 2."""

import hashlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from fusionrs_builder.benchmark.models.model import EmbeddingModel, Embeddings, Encoders
from fusionrs_builder.errors import FusionError, UsageError

KINDS = "CLIP, SigLIP, SigLIP 2, MetaCLIP 2, ALIGN, AltCLIP, Chinese-CLIP and other dual encoders"

SUFFIXES = (".safetensors", ".json", ".txt", ".model")
"""Of the files of a folder that embeddings depend on: weights, configuration, tokenizer."""

LONGEST = 512
"""Tokens of a text for a model that states no length."""


def model(rest: str) -> EmbeddingModel:
    """The model of a spec, weights not loaded.

    Args:
        rest: of the spec, after `hf:`: a folder that `save_pretrained` wrote (model and processor), else a name on the
            Hub, whose newest commit is used; without a network, the one in the cache.

    Raises:
        UsageError: it is neither, or a model that does not embed pictures and texts apart from each other, or
            transformers is not installed.
        FusionError: it cannot be fetched.
    """
    spec = f"hf:{rest}"
    if find_spec("transformers") is None:
        raise UsageError(f"{spec}: transformers is not installed: pip install 'fusionrs-builder[bench]'")
    folder = Path(rest).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UsageError(f"{spec}: no config.json in the folder: name one that `save_pretrained` wrote")
        source, name, commit, weights = str(folder), folder.resolve().name, None, folder_sha256(folder)
    else:
        source = name = rest
        commit = weights = hub_commit(rest, "config.json", spec)
    _refuse_others(spec, source, commit)
    return EmbeddingModel(
        spec=spec,
        name=name,
        pretrained=weights[:12],
        identity=f"hf {name} {weights} {versions('transformers')}",
        open=lambda device: _open(spec, source, commit, device),
    )


def folder_sha256(folder: Path) -> str:
    """Of the names and bytes of the files that lie in a folder and that embeddings depend on, see `SUFFIXES`."""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in SUFFIXES and path.is_file():
            found.update(f"{path.name} {file_sha256(path)}\n".encode())
    return found.hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def versions(*packages: str) -> str:
    """Of packages, and of those that every model here runs on."""
    found = []
    for package in (*packages, "torch", "torchvision"):
        try:
            found.append(f"{package}={version(package)}")
        except PackageNotFoundError:
            found.append(f"{package}=none")
    return " ".join(found)


def hub_commit(repository: str, file: str, spec: str) -> str:
    """The newest commit of a repository on the Hub; without a network, the one in the cache.

    Args:
        repository: `ORG/NAME`.
        file: a small file that it must hold.
        spec: for the error.

    Raises:
        FusionError: there is no such repository or file, or neither a network nor a copy.
    """
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, file)).parent.name  # .../snapshots/COMMIT/FILE
    except Exception as error:  # of HTTP, of the file system, of names: they have no common ancestor
        raise FusionError(
            f"{spec} is no folder, and {file} of it cannot be fetched from the Hub ({first_line(error)}): "
            "check the name and the network, or name a folder that holds the model"
        ) from error


def first_line(error: BaseException) -> str:
    """The kind of an error and how its message begins."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


def _refuse_others(spec: str, source: str, commit: str | None) -> None:
    from transformers import MODEL_MAPPING, AutoConfig

    try:
        config = AutoConfig.from_pretrained(source, revision=commit)
        found: Any = MODEL_MAPPING[type(config)]
    except Exception as error:  # KeyError of the mapping; of a configuration, whatever its class raises
        raise UsageError(f"{spec} is no model that transformers knows ({first_line(error)}); use {KINDS}") from error
    for method in ("get_image_features", "get_text_features"):
        if not hasattr(found, method):
            raise UsageError(f"{spec} is a {found.__name__}, which has no {method}; use {KINDS}")


def _open(spec: str, source: str, commit: str | None, device: str) -> Encoders:
    import torch
    from transformers import AutoModel, AutoProcessor

    load: Any = AutoProcessor.from_pretrained
    try:
        processor = load(source, revision=commit)
        network, told = AutoModel.from_pretrained(
            source, revision=commit, dtype=torch.float32, output_loading_info=True, use_safetensors=True
        )
    except Exception as error:  # of transformers, safetensors, torch, HTTP: they have no common ancestor
        raise FusionError(f"{spec} cannot be loaded ({first_line(error)}): name a whole copy of the model") from error
    if missing := sorted(told["missing_keys"]):
        raise FusionError(
            f"{spec}: its weights lack {len(missing)} tensors of {type(network).__name__}, such as {missing[0]}: "
            "name weights that were saved from this kind of model"
        )
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise FusionError(f"{spec}: the tokenizer or the image processor is missing: save both beside the model")
    network.to(device).eval()
    # SigLIP was trained on texts padded to one length, and attends to the padding.
    siglip = "siglip" in network.config.model_type
    text_config = getattr(network.config, "text_config", network.config)
    length = min(processor.tokenizer.model_max_length, getattr(text_config, "max_position_embeddings", LONGEST))

    def images(pictures: Sequence[Image.Image]) -> Embeddings:
        with torch.inference_mode():
            inputs = processor(images=list(pictures), return_tensors="pt").to(device)
            return _rows(spec, network.get_image_features(**inputs))

    def texts(captions: Sequence[str]) -> Embeddings:
        with torch.inference_mode():
            inputs = processor(
                text=list(captions), return_tensors="pt", truncation=True, max_length=length,
                padding="max_length" if siglip else True,
            ).to(device)  # fmt: skip
            if siglip:
                inputs.pop("attention_mask", None)
            return _rows(spec, network.get_text_features(**inputs))

    return Encoders(images, texts)


def _rows(spec: str, found: Any) -> Embeddings:
    """[N, d] of what a model returned: a tensor, or since transformers 5 an output that holds it."""
    tensor = getattr(found, "pooler_output", found)
    if getattr(tensor, "ndim", None) != 2:
        raise UsageError(f"{spec} does not give one embedding an item; use {KINDS}")
    rows: Embeddings = tensor.float().cpu().numpy()
    return rows
