"""A diffusers pipeline that edits images by an instruction (InstructPix2Pix; Brooks et al., CVPR 2023), as DiffV2IR.

A folder, or a repository, with `model_index.json` and weights in safetensors; pickled weights are never loaded. A
`config.json` beside it says what it draws, and how; all but the band may be left out:

    {"name": "diffv2ir", "band": "lwir", "diffusion": {"prompt": "turn the visible image into infrared",
     "steps": 50, "guidance": 7.5, "image_guidance": 1.5, "seed": 0}}
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusionrs_builder import devices
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate.checkpoint import PICKLES
from fusionrs_builder.translate.protocol import (
    Array,
    ArrayTranslator,
    Identity,
    Precision,
    grown,
    name_and_band,
    sha256_of,
)

INDEX, CONFIG = "model_index.json", "config.json"

FILES = ["*.json", "*/*.json", "*/*.txt", "*/*.model", "*/*.safetensors"]
"""What a pipeline is made of, as patterns of paths in its folder."""

PIPELINE = "StableDiffusionInstructPix2PixPipeline"


@dataclass(frozen=True)
class Recipe:
    """How an image is drawn: the table `diffusion` of `config.json`.

    Attributes:
        prompt: the instruction.
        steps: of denoising.
        guidance: weight of the instruction.
        image_guidance: weight of the image.
        seed: of the noise. Every image starts from the same noise, so what is drawn depends on the image alone.
    """

    prompt: str = "turn the visible image into infrared"
    steps: int = 50
    guidance: float = 7.5
    image_guidance: float = 1.5
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = [] if isinstance(self.prompt, str) else [f"prompt = {self.prompt!r}"]
        for name, kind, lowest in (
            ("steps", int, 1),
            ("guidance", float, 0),
            ("image_guidance", float, 1),
            ("seed", int, 0),
        ):
            value = getattr(self, name)
            if not isinstance(value, int | kind) or value < lowest:
                wrong.append(f"{name} = {value!r}")
        if wrong:
            raise ValueError(f"not a recipe: {', '.join(wrong)}")


def claims(spec: str, path: Path | None) -> bool:
    """A folder that holds `model_index.json`."""
    return path is not None and (path / INDEX).is_file()


def describe(spec: str, path: Path | None, precision: Precision) -> tuple[Identity, Mapping[str, Any]]:
    """The sha256 is of every file of the pipeline; the recipe stands beside it."""
    assert path is not None
    name, band, recipe = _configured(path)
    return _identity(path, name, band), {"diffusion": asdict(recipe), "precision": precision}


def load(spec: str, path: Path | None, device: str, precision: Precision) -> ArrayTranslator:
    """The pipeline is read from its folder alone: nothing is fetched, no code of it is run."""
    assert path is not None
    name, band, recipe = _configured(path)
    pipeline = Pipeline(path, recipe, device, precision)
    return ArrayTranslator(name, _identity(path, name, band), pipeline.draw)


def _identity(path: Path, name: str, band: str) -> Identity:
    files = {file for pattern in FILES for file in path.glob(pattern) if file != path / CONFIG}
    return Identity.of(name, band, sha256_of((file.relative_to(path).as_posix(), file) for file in files))


def _configured(path: Path) -> tuple[str, str, Recipe]:
    """Name, band and recipe.

    Raises:
        UsageError: there is no `config.json`, or the weights are pickled.
        FusionError: it is not what it should be, or the folder holds another pipeline.
    """
    config = path / CONFIG
    if not config.is_file():
        raise UsageError(f'{path} has no {CONFIG}: write one that says what it draws, such as {{"band": "lwir"}}')
    try:
        values, index = (json.loads((path / name).read_text()) for name in (CONFIG, INDEX))
        name, band = name_and_band(values, config, path.resolve().name)
        recipe = Recipe(**values.get("diffusion", {}))
        kind = index["_class_name"]
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise FusionError(f"{config} or {INDEX} is not what it should be ({error!r})") from None
    if kind != PIPELINE:
        raise FusionError(f"{path / INDEX} names {kind}: only {PIPELINE} can be used; wrap another in a COMMAND.toml")
    for pickled in sorted(file for suffix in PICKLES for file in path.glob(f"*/*{suffix}")):
        if pickled.parent.name != "safety_checker" and not list(pickled.parent.glob("*.safetensors")):
            raise UsageError(
                f"{pickled} is a pickle, which is never loaded: load the pipeline where you trust it, and save it with "
                "pipeline.save_pretrained(FOLDER, safe_serialization=True)"
            )
    return name, band, recipe


class Pipeline:
    """A pipeline that is ready. Images go through it one at a time, from the same noise each.

    The three channels of what it draws are averaged: a latent decoder never gives three that are equal.
    """

    MULTIPLE = 64
    """Height and width are grown to multiples of this: eight for the latents, eight for the network on them."""

    def __init__(self, path: Path, recipe: Recipe, device: str, precision: Precision) -> None:
        try:
            import torch
            from diffusers import StableDiffusionInstructPix2PixPipeline
        except ImportError:
            raise UsageError(f"{path} needs diffusers: pip install 'fusionrs-builder[diffusion]'") from None
        self._path, self._recipe, chosen = path, recipe, devices.chosen(device)
        try:
            pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(  # type: ignore[no-untyped-call]
                path,
                use_safetensors=True,
                local_files_only=True,
                safety_checker=None,  # it blackens pictures
                feature_extractor=None,
                requires_safety_checker=False,
            )
            self._pipeline = pipeline.to(chosen, torch.bfloat16 if precision == "bf16" else torch.float32)
        except Exception as error:  # the errors of diffusers, transformers and safetensors have no common ancestor
            raise FusionError(f"{path} could not be loaded as a diffusers pipeline: {error}: fetch it again") from None
        self._pipeline.set_progress_bar_config(disable=True)

    def draw(self, rgb: Array) -> Array:
        """uint8 [N, 3, H, W] -> uint8 [N, H, W]."""
        return np.stack([self._one(image) for image in rgb]) if len(rgb) else np.empty((0, *rgb.shape[2:]), np.uint8)

    def _one(self, rgb: Array) -> Array:
        import torch

        height, width = rgb.shape[1:]
        drawn = self._pipeline(
            self._recipe.prompt,
            torch.from_numpy(grown(rgb, self.MULTIPLE)).float()[None] / 255,
            num_inference_steps=self._recipe.steps,
            guidance_scale=self._recipe.guidance,
            image_guidance_scale=self._recipe.image_guidance,
            generator=torch.Generator("cpu").manual_seed(self._recipe.seed),
            output_type="np",
        ).images[0][:height, :width]
        if drawn.shape != (height, width, 3) or not np.isfinite(drawn).all():
            raise FusionError(f"{self._path} gives {list(drawn.shape)} or values that are not finite: try fp32")
        ir: Array = np.rint(drawn.mean(axis=2) * 255).clip(0, 255).astype(np.uint8)
        return ir
