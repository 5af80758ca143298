import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate.translator import load_translator, translator_identity, translator_params
from tests.translate.conftest import scene

RECIPE = {"band": "lwir", "diffusion": {"steps": 2}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A pipeline of the true shape with random weights, 1 MB in all."""
    folder = tmp_path_factory.mktemp("made")
    words = [
        "<|startoftext|>",
        "<|endoftext|>",
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"{c}</w>" for c in "abcdefghijklmnopqrstuvwxyz"),
    ]
    vocab, merges = str(folder / "vocab.json"), str(folder / "merges.txt")
    Path(vocab).write_text(json.dumps({word: n for n, word in enumerate(words)}))
    Path(merges).write_text("#version: 0.2\n")
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=8, out_channels=4, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8, attention_head_dim=4,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=2, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    text = CLIPTextConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=len(words),
        bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=CLIPTokenizer(vocab, merges, model_max_length=77),
        unet=unet, scheduler=EulerAncestralDiscreteScheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder / "pipeline", safe_serialization=True)
    return folder / "pipeline"


@pytest.fixture
def pipeline(made, tmp_path):
    """A copy of it that a test may change."""
    target = tmp_path / "diffv2ir"
    target.mkdir()
    for path in made.rglob("*"):
        if path.is_file():
            (target / path.relative_to(made)).parent.mkdir(exist_ok=True)
            (target / path.relative_to(made)).write_bytes(path.read_bytes())
    (target / "config.json").write_text(json.dumps(RECIPE))
    return target


def images(n=2, height=64, width=64):
    return np.stack([scene(height, width, seed).transpose(2, 0, 1) for seed in range(n)])


def test_what_is_drawn_depends_on_the_image_alone(pipeline):
    drawer = load_translator(str(pipeline))
    assert (drawer.name, drawer.band) == ("diffv2ir", "lwir")
    rgb = images()
    drawn = drawer.translate(rgb)
    assert (drawn.shape, drawn.dtype) == ((2, 1, 64, 64), np.uint8)
    assert (drawn[0] != drawn[1]).any()
    assert (drawer.translate(rgb[1:]) == drawn[1:]).all(), "not on what was drawn before"
    assert drawn.std() > 1


def test_sizes_that_are_no_multiple_are_grown_and_cut(pipeline):
    drawer = load_translator(str(pipeline))
    rgb = images(1, 50, 70)
    drawn = drawer.translate(rgb)
    assert drawn.shape == (1, 1, 50, 70)
    by_hand = np.pad(rgb, ((0, 0), (0, 0), (0, 14), (0, 58)), mode="reflect")
    assert (drawer.translate(by_hand)[..., :50, :70] == drawn).all()


def test_it_is_the_pipeline_of_diffusers(pipeline):
    rgb = images(1)
    plain = StableDiffusionInstructPix2PixPipeline.from_pretrained(pipeline, safety_checker=None)
    plain.set_progress_bar_config(disable=True)
    expected = plain(
        "turn the visible image into infrared", torch.from_numpy(rgb).float() / 255, num_inference_steps=2,
        guidance_scale=7.5, image_guidance_scale=1.5, generator=torch.Generator().manual_seed(0), output_type="np",
    ).images[0].mean(2)  # fmt: skip
    drawn = load_translator(str(pipeline)).translate(rgb)[0, 0]
    assert np.abs(drawn - expected * 255).max() <= 0.51


def test_the_recipe_changes_the_picture_and_the_fingerprint(pipeline):
    rgb, spec = images(1), str(pipeline)
    before, drawn = translator_params(spec), load_translator(spec).translate(rgb)
    (pipeline / "config.json").write_text(json.dumps({**RECIPE, "diffusion": {"steps": 2, "seed": 1}}))
    after = translator_params(spec)
    assert after["diffusion"] == {**before["diffusion"], "seed": 1}
    assert after["sha256"] == before["sha256"]
    assert (load_translator(spec).translate(rgb) != drawn).any()
    assert translator_params(spec, "bf16") != after


def test_bf16(pipeline):
    drawn = load_translator(str(pipeline), precision="bf16").translate(images(1))
    assert drawn.std() > 1


def test_every_file_counts_and_none_needs_torch_to_be_named(pipeline):
    code = (
        "import sys; from fusionrs_builder.translate.translator import translator_params as p; "
        f"p({str(pipeline)!r}); assert not {{'torch', 'diffusers', 'transformers'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    before = translator_identity(str(pipeline))
    path = pipeline / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text() + "\n")
    assert translator_identity(str(pipeline)) != before


def test_pickled_weights_are_never_loaded(pipeline):
    weights = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), pipeline / "unet" / "diffusion_pytorch_model.bin")
    assert translator_identity(str(pipeline)), "beside safetensors it is left alone"
    weights.unlink()
    with pytest.raises(UsageError, match=r"unet/diffusion_pytorch_model.bin is a pickle, which is never loaded"):
        load_translator(str(pipeline))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, r"band.*\(got None\)"),
        ({"band": "lwir", "diffusion": {"steps": 0}}, "not a recipe: steps = 0"),
        ({"band": "lwir", "diffusion": {"guidance": "strong", "prompt": 3}}, "prompt = 3, guidance = 'strong'"),
        ({"band": "lwir", "diffusion": {"image_guidance": 0.5}}, "image_guidance = 0.5"),
        ({"band": "lwir", "diffusion": {"stride": 2}}, "stride"),
        ([], "not what it should be"),
    ],
)
def test_a_wrong_configuration(pipeline, config, words):
    (pipeline / "config.json").write_text(json.dumps(config))
    with pytest.raises(FusionError, match=words):
        translator_identity(str(pipeline))


def test_what_cannot_be_loaded(pipeline):
    (pipeline / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(FusionError, match="could not be loaded as a diffusers pipeline"):
        load_translator(str(pipeline))
    index = pipeline / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionInstructPix2PixPipeline", "FluxPipeline"))
    with pytest.raises(FusionError, match=r"names FluxPipeline: only StableDiffusionInstructPix2PixPipeline"):
        translator_identity(str(pipeline))
    (pipeline / "config.json").unlink()
    with pytest.raises(UsageError, match=r'has no config.json: write one that says what it draws, such as {"band"'):
        translator_identity(str(pipeline))
