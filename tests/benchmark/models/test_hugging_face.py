import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionrs_builder.benchmark.models import hugging_face
from fusionrs_builder.errors import FusionError, UsageError
from tests.conftest import picture

transformers = pytest.importorskip("transformers")

PICTURES = [Image.fromarray(picture(seed)) for seed in range(3)]
TEXTS = ["a river", "dark roofs of a road " * 10]
WORDS = ("<pad>", "</s>", "<unk>", "a", "river", "road", "field", "of", "dark", "roofs")


def save_tiny(folder: Path, kind: str = "clip", positions: int = 12) -> Path:
    """Write a model of a few thousand weights, `clip` or `siglip`, its tokenizer and image processor."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing("$A </s>", "$A $B </s>", [("</s>", 1)])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    text = {
        "vocab_size": len(WORDS), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": positions, "eos_token_id": 1, "bos_token_id": 3,
        "pad_token_id": 0,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32,
        "patch_size": 16,
    }  # fmt: skip
    torch.manual_seed(0)
    model: Any
    processor: Any
    if kind == "clip":
        model = transformers.CLIPModel(
            transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
        )
        images: Any = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
        processor = transformers.CLIPProcessor(images, tokenizer)
    else:
        model = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))
        images = transformers.SiglipImageProcessor(size={"height": 32, "width": 32})
        processor = transformers.SiglipProcessor(images, tokenizer)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny-clip"))


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny-siglip"), "siglip")


def test_clip_gives_what_its_forward_pass_gives(clip: Path):
    import torch

    found = hugging_face.model(str(clip))
    assert found.name == clip.name and len(found.pretrained) == 12 and found.pretrained in found.identity
    assert f"transformers={transformers.__version__}" in found.identity
    encoders = found.open("cpu")
    images, texts = encoders.images(PICTURES), encoders.texts(TEXTS)
    assert images.shape == (3, 24) and texts.shape == (2, 24) and images.dtype == texts.dtype == np.float32
    processor = transformers.AutoProcessor.from_pretrained(clip)
    inputs = processor(images=PICTURES, text=TEXTS, padding=True, truncation=True, max_length=12, return_tensors="pt")
    with torch.inference_mode():
        outputs = transformers.CLIPModel.from_pretrained(clip).eval()(**inputs)
    for ours, theirs in ((images, outputs.image_embeds), (texts, outputs.text_embeds)):
        lengths = np.linalg.norm(ours, axis=1, keepdims=True)
        assert np.allclose(ours / lengths, theirs.numpy(), atol=1e-5)


def test_a_text_does_not_depend_on_those_beside_it(clip: Path, siglip: Path):
    for folder in (clip, siglip):
        encode = hugging_face.model(str(folder)).open("cpu").texts
        assert np.allclose(encode(TEXTS)[0], encode(TEXTS[:1])[0], atol=1e-6), folder


def test_siglip_reads_texts_padded_to_one_length_and_attends_to_the_padding(siglip: Path):
    import torch

    texts = hugging_face.model(str(siglip)).open("cpu").texts(["a river"])
    model = transformers.SiglipModel.from_pretrained(siglip).eval()
    with torch.inference_mode():
        padded = model.text_model(torch.tensor([[3, 4, 1, *[0] * 9]])).pooler_output.numpy()
        bare = model.text_model(torch.tensor([[3, 4, 1]])).pooler_output.numpy()
    assert np.allclose(texts, padded, atol=1e-6) and not np.allclose(texts, bare, atol=1e-3)


def test_tensors_are_taken_as_older_versions_gave_them():
    import torch

    rows = torch.ones(2, 3, dtype=torch.bfloat16)
    for given in (rows, SimpleNamespace(pooler_output=rows)):
        found = hugging_face._rows("hf:x", given)
        assert found.dtype == np.float32 and (found == 1).all() and found.shape == (2, 3)
    with pytest.raises(UsageError, match="hf:x does not give one embedding an item"):
        hugging_face._rows("hf:x", (rows, rows))


def test_the_identity_follows_weights_and_configuration(clip: Path, tmp_path: Path):
    folder = tmp_path / clip.name
    shutil.copytree(clip, folder)
    before = hugging_face.model(str(clip)).identity
    assert hugging_face.model(str(folder)).identity == before
    (folder / "README.md").write_text("words")
    assert hugging_face.model(str(folder)).identity == before
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        data = bytearray((clip / name).read_bytes())
        (folder / name).write_bytes(data + b" ")
        assert hugging_face.model(str(folder)).identity != before, name
        (folder / name).write_bytes(data)


def test_a_name_on_the_hub_is_known_by_its_commit(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FusionError, match=r"hf:org/tiny is no folder, and config\.json of it cannot be fetched"):
        hugging_face.model("org/tiny")
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--org--tiny"
    shutil.copytree(clip, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    found = hugging_face.model("org/tiny")
    assert (found.name, found.pretrained) == ("org/tiny", commit[:12]) and commit in found.identity
    assert (found.open("cpu").images(PICTURES) == hugging_face.model(str(clip)).open("cpu").images(PICTURES)).all()


@pytest.mark.parametrize("rest", ["-", "a/b/c", "/no/such/folder", "no such name"])
def test_what_is_no_folder_and_no_name(rest: str):
    with pytest.raises(FusionError, match="is no folder, and .* check the name and the network, or name a folder"):
        hugging_face.model(rest)


def test_kinds_that_do_not_embed(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UsageError, match="is a BertModel, which has no get_image_features; use CLIP, SigLIP"):
        hugging_face.model(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2_vl"}))
    with pytest.raises(UsageError, match="which has no get_text_features; use CLIP"):
        hugging_face.model(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "of tomorrow"}))
    with pytest.raises(UsageError, match="no model that transformers knows"):
        hugging_face.model(str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(UsageError, match=r"no config\.json in the folder"):
        hugging_face.model(str(tmp_path))


def test_weights_that_lack_a_part_are_not_filled_up_with_noise(clip: Path, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(clip, tmp_path, dirs_exist_ok=True)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["text_projection.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(FusionError, match=r"lack 1 tensors of CLIPModel, such as text_projection\.weight"):
        hugging_face.model(str(tmp_path)).open("cpu")
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(FusionError, match="cannot be loaded"):
        hugging_face.model(str(tmp_path)).open("cpu")


def test_a_missing_processor(clip: Path, tmp_path: Path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(clip / name, tmp_path / name)
    with pytest.raises(FusionError, match="cannot be loaded|the tokenizer or the image processor is missing"):
        hugging_face.model(str(tmp_path)).open("cpu")
