import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from fusionrs_builder.translate import checkpoint
from fusionrs_builder.translate.inference import centred, prepared
from fusionrs_builder.translate.tiling import draw_in_strips
from fusionrs_builder.translate.translator import load_translator
from fusionrs_builder.translate.translators import cyclegan
from tests.translate.conftest import scene, tiny

CPU = torch.device("cpu")

LEVELS = 127.5
"""Grey levels for 1 of the network's output."""


def network(norm, seed=0, **shape):
    made = tiny(norm, seed, **shape).requires_grad_(False)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return made


def uneven(height, width, seed=0):
    """float [1, 3, H, W]: flat above, rich in contrast below, so that the parts of a scene have other statistics."""
    x = centred(torch.from_numpy(scene(height, width, seed)).permute(2, 0, 1)[None], "fp32")
    return x * torch.linspace(0.1, 1, height)[:, None]


@settings(max_examples=40)
@given(
    st.sampled_from(
        [("instance", 0, 0), ("instance", 8, 0), ("batch", 0, 5), ("none", 0, 9), ("none", 8, 0), ("instance", 8, 3)]
    ),
    st.integers(4, 30).map(lambda n: 4 * n),
    st.integers(4, 16).map(lambda n: 4 * n),
    st.integers(0, 70),
    st.integers(1, 3),
)
def test_strips_are_the_whole(kind, height, width, rows, n_blocks):
    norm, local, tone = kind
    made, x = network(norm, n_blocks=n_blocks, local=local, tone=tone), uneven(height, width)
    ready = prepared(made, CPU, "fp32")
    with torch.no_grad():
        whole, cut = ready(x), draw_in_strips(ready, x, rows * width + 1)
    assert cut.shape == whole.shape
    assert (cut - whole).abs().max() * LEVELS < 0.02


def test_each_strip_by_itself_would_have_seams():
    """What the statistics of the whole scene are there for."""
    made, x = prepared(network("instance"), CPU, "fp32"), uneven(256, 64)
    with torch.no_grad():
        whole = made(x)
        apart = torch.cat([made(x[:, :, a : a + 64]) for a in range(0, 256, 64)], 2)
    assert (apart - whole).abs().mean() * LEVELS > 5


def test_a_scene_of_4096_px():
    made = prepared(network("instance", ngf=2), CPU, "fp32")
    small = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(small).resize((4096, 4096), Image.Resampling.BICUBIC))
    x = centred(torch.tensor(image).permute(2, 0, 1)[None], "fp32")
    levels = []
    with torch.no_grad():
        cut = draw_in_strips(made, x)
        # The group norm of torch for channels_last sums in fp32 one by one: at this size it is off by up to 5 levels.
        whole = made.to(memory_format=torch.contiguous_format)(x.contiguous())
    for drawn in (cut, whole):
        levels.append((drawn + 1).mul_(LEVELS).round_().clamp_(0, 255))
    difference = (levels[0] - levels[1]).abs()
    assert difference.max() <= 2
    assert difference.mean() <= 0.2
    assert levels[1].std() > 10


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_translator_cuts_large_images(tmp_path, monkeypatch, precision):
    drawer = load_translator(
        str(checkpoint.save(network("instance"), tmp_path / "x", "x", "nir", "", {})), precision=precision
    )
    rgb = np.stack([scene(70, 50, seed).transpose(2, 0, 1) for seed in range(2)])
    whole = drawer.translate(rgb)
    cuts = []
    draw = draw_in_strips
    monkeypatch.setattr(cyclegan, "FULL_FRAME", 70 * 50)
    monkeypatch.setattr(
        "fusionrs_builder.translate.tiling.draw_in_strips", lambda *given: cuts.append(1) or draw(*given, 20 * 52)
    )
    cut = drawer.translate(rgb)
    assert len(cuts) == 2
    assert np.abs(cut.astype(int) - whole).mean() <= (0.2 if precision == "fp32" else 3)
    assert (drawer.translate(rgb) == cut).all()
    assert cut.shape == whole.shape
    cuts.clear()
    drawer.translate(rgb[:, :, :64])
    assert not cuts, "what fits goes through at once"


@pytest.mark.parametrize(
    ("layer", "words"),
    [(nn.PixelShuffle(1), "a scene cannot be cut for a PixelShuffle"), (nn.GroupNorm(2, 4), "more than one channel")],
)
def test_a_layer_that_is_not_known(layer, words):
    made = prepared(tiny(), CPU, "fp32")
    made.resnet[2] = layer
    with pytest.raises(TypeError, match=words):
        draw_in_strips(made, uneven(32, 32))
