import hashlib

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from PIL import Image

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate import checkpoint, translator
from fusionrs_builder.translate.inference import centred
from fusionrs_builder.translate.translator import CONTROLS, load_translator, translator_identity
from tests.translate.conftest import scene, tiny


def images(n=3, height=32, width=48):
    """uint8 [N, 3, H, W]."""
    return np.stack([scene(height, width, seed).transpose(2, 0, 1) for seed in range(n)])


@pytest.fixture
def every_colour():
    """uint8 [1, 3, 64, 4096]: 262,144 colours, the corners of the cube among them."""
    levels = np.linspace(0, 255, 64).round().astype(np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij")).reshape(1, 3, 64, 4096)


def test_gray_is_pillows(every_colour):
    expected = np.asarray(Image.fromarray(every_colour[0].transpose(1, 2, 0)).convert("L"))
    assert (load_translator("gray").translate(every_colour)[0, 0] == expected).all()
    assert (load_translator("gray-inverted").translate(every_colour)[0, 0] == 255 - expected).all()


def test_duplicate_is_the_rounded_mean_and_not_gray(every_colour):
    drawn = load_translator("duplicate").translate(every_colour)[0, 0]
    assert (drawn == np.rint(every_colour[0].astype(float).mean(0))).all()
    assert (drawn != load_translator("gray").translate(every_colour)[0, 0]).mean() > 0.9


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_have_neither_band_nor_weights(name):
    control = load_translator(name)
    assert (control.name, control.source, control.band, control.sha256) == (name, name, None, None)
    assert translator_identity(name) == (name, None, None)


@pytest.mark.parametrize("spec", ["gray", "duplicate", "folder"])
def test_arrays_and_tensors_alike(spec, folder):
    drawer = load_translator(str(folder) if spec == "folder" else spec)
    rgb = images()
    array, tensor = drawer.translate(rgb), drawer.translate(torch.from_numpy(rgb))
    assert isinstance(array, np.ndarray)
    assert isinstance(tensor, torch.Tensor)
    assert (array.shape, array.dtype) == ((3, 1, 32, 48), np.uint8)
    assert tensor.dtype == torch.uint8
    assert (array == tensor.numpy()).all()


def test_a_generator_says_who_it_is(folder):
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    drawer = load_translator(str(folder))
    assert (drawer.name, drawer.band, drawer.sha256) == ("toy", "nir", sha256)
    assert drawer.source == f"toy@{sha256[:12]}"
    assert translator_identity(str(folder)) == (drawer.source, drawer.band, drawer.sha256)


def test_a_generator_draws_what_its_network_gives(folder):
    rgb = images(1)
    network = checkpoint.load(checkpoint.find(folder))
    with torch.no_grad():
        y = network(torch.from_numpy(rgb).float() / 127.5 - 1)
    expected = ((y + 1) * 127.5).round().numpy().astype(np.uint8)
    drawn = load_translator(str(folder)).translate(rgb)
    assert np.abs(drawn.astype(int) - expected).max() <= 1
    assert (drawn == expected).mean() > 0.99
    assert drawn.std() > 10


def test_batch_and_threads_change_no_pixel(folder):
    drawer = load_translator(str(folder))
    rgb = images(7)
    whole = drawer.translate(rgb)
    assert (drawer.translate(rgb) == whole).all()
    assert (np.concatenate([drawer.translate(rgb[i : i + 3]) for i in range(0, 7, 3)]) == whole).all()
    torch.set_num_threads(2)
    try:
        assert (np.concatenate([drawer.translate(rgb[i : i + 1]) for i in range(7)]) == whole).all()
    finally:
        torch.set_num_threads(1)


def test_a_small_last_batch_is_filled_up_and_cut_off(folder):
    """What is compiled for a batch is not compiled anew for the smaller one after it; no pixel changes by that."""
    found, rgb = load_translator(str(folder)), torch.from_numpy(images(5))
    expected = found.translate(rgb)
    network, shapes = found._network, []

    def compiled(x):
        shapes.append(tuple(x.shape))
        return network(x)

    found._compiled = compiled
    drawn = [found._at_once(centred(part, "fp32")) for part in (rgb, rgb[:2])]
    assert [len(each) for each in drawn] == [5, 2]
    assert shapes[0] == shapes[1] and shapes[0][0] == 5
    for each in drawn:
        levels = each.add(1).mul(127.5).round().clamp(0, 255)
        assert (levels - expected[: len(each)]).abs().max() <= 1  # a batch sums in another order than one image


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (34, 31), (9, 40), (1, 1), (3, 50)])
def test_any_size(folder, size):
    rgb = images(2, *size)
    drawn = load_translator(str(folder)).translate(rgb)
    assert drawn.shape == (2, 1, *size)


def test_padding_reflects_and_is_cut_off(folder):
    rgb = images(1, 30, 46)
    by_hand = np.pad(rgb, ((0, 0), (0, 0), (0, 2), (0, 2)), mode="reflect")
    drawer = load_translator(str(folder))
    assert (drawer.translate(rgb) == drawer.translate(by_hand)[..., :30, :46]).all()


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 3, 8, 8), np.float32), np.zeros((3, 8, 8), np.uint8), np.zeros((1, 4, 8, 8), np.uint8)]
)
@pytest.mark.parametrize("spec", ["gray", "folder"])
def test_wrong_images_are_refused(spec, folder, wrong):
    drawer = load_translator(str(folder) if spec == "folder" else spec)
    for images in (wrong, torch.from_numpy(wrong)):
        with pytest.raises(ValueError, match=r"uint8 \[N, 3, H, W\]"):
            drawer.translate(images)


def test_bf16_is_close_to_fp32(folder):
    rgb = images(1, 16, 16)
    exact, rough = (load_translator(str(folder), precision=p).translate(rgb).astype(int) for p in ("fp32", "bf16"))
    assert 0 < np.abs(exact - rough).mean() < 4


def test_unknown_translators_get_a_hint(folder):
    for spec, words in [
        ("grey", "did you mean `gray`"),
        ("/no/such/folder", "known: gray, gray-inverted, duplicate"),
        (str(folder / "model.safetensors"), "or the folder that holds"),
    ]:
        for ask in (load_translator, translator_identity):
            with pytest.raises(UsageError, match=words):
                ask(spec)


def test_a_repository_is_fetched_at_its_revision(folder, monkeypatch):
    asked = []

    def snapshot_download(name, *, revision, allow_patterns):
        asked.append((name, revision, allow_patterns))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    translator._fetched.cache_clear()
    assert load_translator("hf://acme/toy@v1").name == "toy"
    assert translator_identity("hf://acme/toy").source.startswith("toy@")
    files = ["model.safetensors", "config.json", "README.md", "model.onnx*", "model_index.json"]
    assert asked == [("acme/toy", "v1", files), ("acme/toy", None, files)]


def test_a_repository_that_cannot_be_fetched(monkeypatch):
    def snapshot_download(*_, **__):
        raise LocalEntryNotFoundError("Name or service not known\nmore")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    translator._fetched.cache_clear()
    with pytest.raises(FusionError, match=r"could not fetch hf://acme/toy: Name or service not known: check the name"):
        load_translator("hf://acme/toy")


def test_a_repository_name_that_is_none():
    with pytest.raises(UsageError, match="write hf://ORG/NAME"):
        load_translator("hf://a/b/c")


def test_norm_none_sees_the_level_and_instance_norm_hardly(tmp_path):
    rgb, moved = images(1) // 2, {}
    for norm in ("none", "instance"):
        checkpoint.save(tiny(norm), tmp_path / norm, "n", "lwir", "", {})
        drawer = load_translator(str(tmp_path / norm))
        moved[norm] = np.abs(drawer.translate(rgb).astype(int) - drawer.translate(rgb + 60)).mean()
    assert moved["none"] > 3 > 5 * moved["instance"], moved
