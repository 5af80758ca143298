"""A tiny architecture, given to open_clip as it takes its own; nothing is fetched."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionrs_builder.benchmark.models import open_clip
from fusionrs_builder.errors import FusionError, UsageError
from tests.conftest import picture

library = pytest.importorskip("open_clip")

CONFIG = {
    "embed_dim": 24,
    # The dropout tells whether the model is in its mode of evaluation.
    "vision_cfg": {
        "image_size": 32,
        "layers": 1,
        "width": 32,
        "head_width": 16,
        "patch_size": 16,
        "patch_dropout": 0.5,
    },
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
PICTURES = [Image.fromarray(picture(seed)) for seed in range(3)]


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("configs")
    wider = {**CONFIG, "embed_dim": 40}
    for name, config in (("fusionrs-tiny", CONFIG), ("fusionrs-wider", wider)):
        (folder / f"{name}.json").write_text(json.dumps(config))
    library.add_model_config(folder)
    yield
    library.factory._MODEL_CONFIG_PATHS.remove(folder)
    for name in ("fusionrs-tiny", "fusionrs-wider"):
        del library.factory._MODEL_CONFIGS[name]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("weights") / "epoch_3.pt"
    torch.save({"state_dict": library.create_model("fusionrs-tiny").state_dict()}, path)
    return path


def test_untrained_weights_are_drawn_by_a_seed_and_leave_the_generator_alone():
    import torch

    found = open_clip.model("fusionrs-tiny")
    assert (found.name, found.pretrained) == ("fusionrs-tiny", "untrained")
    assert f"seed:{open_clip.SEED}" in found.identity and f"open_clip_torch={library.__version__}" in found.identity
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    encoders = found.open("cpu")
    assert torch.rand(1) == expected
    rows = encoders.images(PICTURES)
    assert rows.shape == (3, 24) and rows.dtype == np.float32 and np.isfinite(rows).all()
    torch.manual_seed(2)
    assert (open_clip.model("fusionrs-tiny").open("cpu").images(PICTURES) == rows).all()
    assert open_clip.model("fusionrs-tiny").identity == found.identity
    assert open_clip.model("fusionrs-wider").identity != found.identity


def test_weights_of_a_file_give_what_open_clip_gives(weights: Path):
    import torch

    found = open_clip.model(f"fusionrs-tiny/{weights}")
    assert found.pretrained.startswith("epoch_3@") and found.spec == f"open_clip:fusionrs-tiny/{weights}"
    encoders = found.open("cpu")
    model, _, preprocess = library.create_model_and_transforms("fusionrs-tiny", str(weights))
    model.eval()
    with torch.inference_mode():
        images = model.encode_image(torch.stack([preprocess(each) for each in PICTURES])).numpy()
        texts = model.encode_text(library.get_tokenizer("fusionrs-tiny")(["a river", "a road " * 30])).numpy()
    assert np.allclose(encoders.images(PICTURES), images, atol=1e-6)
    assert encoders.texts is not None
    assert np.allclose(encoders.texts(["a river", "a road " * 30]), texts, atol=1e-6)
    assert not np.allclose(open_clip.model("fusionrs-tiny").open("cpu").images(PICTURES), images, atol=1e-2)


def test_the_identity_follows_the_bytes_of_the_file(weights: Path, tmp_path: Path):
    copy = tmp_path / "epoch_3.pt"
    copy.write_bytes(weights.read_bytes())
    assert open_clip.model(f"fusionrs-tiny/{copy}").identity == open_clip.model(f"fusionrs-tiny/{weights}").identity
    copy.write_bytes(weights.read_bytes() + b"x")
    assert open_clip.model(f"fusionrs-tiny/{copy}").identity != open_clip.model(f"fusionrs-tiny/{weights}").identity


def test_a_path_may_be_relative(weights: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(weights.parent.parent)
    assert open_clip.model(f"fusionrs-tiny/{weights.parent.name}/{weights.name}").pretrained.startswith("epoch_3@")


def test_a_local_folder_brings_its_own_architecture(weights: Path, tmp_path: Path):
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}))
    with pytest.raises(FusionError, match="cannot be loaded.*could not be loaded"):  # no weights: never drawn instead
        open_clip.model(f"local-dir:{tmp_path}").open("cpu")
    (tmp_path / "open_clip_model.pth").write_bytes(weights.read_bytes())
    found = open_clip.model(f"local-dir:{tmp_path}")
    assert found.name == tmp_path.name
    rows = found.open("cpu").images(PICTURES)
    assert np.allclose(rows, open_clip.model(f"fusionrs-tiny/{weights}").open("cpu").images(PICTURES), atol=1e-6)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {"mean": 0.5}}))
    assert open_clip.model(f"local-dir:{tmp_path}").identity != found.identity


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("vit-b-32", r"no architecture vit-b-32 \(did you mean ViT-B-32"),
        ("", "no architecture of that name"),
        (
            "ViT-B-32/laion2b_s34b_b79",
            r"neither a file nor a tag of ViT-B-32 \(did you mean laion2b_s34b_b79k.*; its tags",
        ),
        ("ViT-B-32/", "neither a file nor a tag"),
        ("fusionrs-tiny/none.pt", "its tags: none"),
        ("local-dir:none", r"no open_clip_config\.json in none"),
    ],
)
def test_what_is_not_there(rest: str, message: str):
    with pytest.raises(UsageError, match=message):
        open_clip.model(rest)


def test_an_absolute_path_after_one_slash_is_explained(weights: Path):
    with pytest.raises(UsageError, match=rf"follows two slashes: open_clip:fusionrs-tiny/{weights}"):
        open_clip.model(f"fusionrs-tiny{weights}")


def test_weights_of_another_architecture(weights: Path):
    with pytest.raises(
        FusionError, match=r"open_clip:fusionrs-wider/.* cannot be loaded \(RuntimeError: .*size mismatch"
    ):
        open_clip.model(f"fusionrs-wider/{weights}").open("cpu")


def test_damaged_weights(tmp_path: Path):
    path = tmp_path / "damaged.pt"
    path.write_bytes(b"nothing")
    with pytest.raises(FusionError, match="cannot be loaded"):
        open_clip.model(f"fusionrs-tiny/{path}").open("cpu")


def test_a_pickle_is_not_run(tmp_path: Path):
    import torch

    path = tmp_path / "evil.pt"
    torch.save({"state_dict": _Touch(tmp_path / "touched")}, path)
    with pytest.raises(FusionError, match="cannot be loaded"):
        open_clip.model(f"fusionrs-tiny/{path}").open("cpu")
    assert not (tmp_path / "touched").exists()


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FusionError, match=r"cannot be fetched .*name a file that holds them: open_clip:ViT-B-32/PATH"):
        open_clip.model("ViT-B-32/laion2b_s34b_b79k")
    with pytest.raises(FusionError, match=r"hf-hub:org/name .*cannot be fetched from the Hub"):
        open_clip.model("hf-hub:org/name")


def test_a_tag_is_loaded_with_the_activation_that_it_was_trained_with(weights: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    tags = {"ours": {"file": str(weights), "quick_gelu": True, "mean": (0.5,) * 3, "std": (0.5,) * 3}}
    monkeypatch.setitem(library.pretrained._PRETRAINED, "fusionrs-tiny", tags)
    found = open_clip.model("fusionrs-tiny/ours")
    assert found.pretrained == "ours" and found.identity != open_clip.model(f"fusionrs-tiny/{weights}").identity
    model, _, preprocess = library.create_model_and_transforms("fusionrs-tiny", "ours", force_quick_gelu=True)
    with torch.inference_mode():
        expected = model.eval().encode_image(torch.stack([preprocess(each) for each in PICTURES])).numpy()
    assert np.allclose(found.open("cpu").images(PICTURES), expected, atol=1e-6)
