import copy
import logging
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fusionrs_builder.translate import checkpoint, convolutions
from fusionrs_builder.translate.convolutions import WINOGRAD_CHANNELS, ColumnConv2d, WinogradConv2d
from fusionrs_builder.translate.inference import added_to_luma, centred, prepared
from fusionrs_builder.translate.networks import DOUBT, GATES, trust
from fusionrs_builder.translate.tiling import draw_in_strips
from fusionrs_builder.translate.translator import WEIGHTS, GeneratorTranslator, load_translator
from tests.translate.conftest import scene, tiny

CPU = torch.device("cpu")


def conv(inputs, outputs, kernel, seed=0, bias=True):
    torch.manual_seed(seed)
    return nn.Conv2d(inputs, outputs, kernel, bias=bias).requires_grad_(False).to(memory_format=torch.channels_last)


def image(n=1, height=64, width=48):
    return torch.tensor(np.stack([scene(height, width, seed).transpose(2, 0, 1) for seed in range(n)]))


@given(st.integers(1, 3), st.integers(7, 20), st.integers(7, 20), st.integers(1, 9), st.booleans())
@settings(max_examples=25)
def test_a_convolution_by_columns(n, height, width, channels, bias):
    one = conv(channels, 1, 7, bias=bias)
    x = torch.randn(n, channels, height, width).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ColumnConv2d(one)(x), one(x), atol=1e-5, rtol=1e-4)


@given(
    st.integers(1, 3), st.integers(3, 20), st.integers(3, 20), st.integers(1, 9), st.integers(1, 9), st.booleans(),
    st.sampled_from([1, 10_000, convolutions.STRIP_BYTES]),
)  # fmt: skip
@settings(max_examples=60)
def test_a_convolution_by_winograd(n, height, width, inputs, outputs, bias, strip):
    plain = conv(inputs, outputs, 3, bias=bias)
    x = torch.randn(n, inputs, height, width).contiguous(memory_format=torch.channels_last)
    with mock.patch.object(convolutions, "STRIP_BYTES", strip):
        found = WinogradConv2d(plain)(x)
    torch.testing.assert_close(found, plain(x), atol=1e-5, rtol=1e-4)


def test_winograd_in_bf16_is_as_close_as_said():
    plain = conv(128, 128, 3)
    x = torch.randn(1, 128, 34, 34).relu().contiguous(memory_format=torch.channels_last)
    expected = plain(x)
    rough = WinogradConv2d(copy.deepcopy(plain).bfloat16())(x.bfloat16()).float()
    assert 0 < ((rough - expected).std() / expected.std()) < 0.01
    assert rough.is_contiguous(memory_format=torch.channels_last)


def test_bf16_holds_every_level_of_the_input():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(centred(levels, "bf16").float(), centred(levels, "fp32"))
    assert torch.equal(centred(levels, "fp32"), (levels.double() - 127.5).float())


@pytest.mark.parametrize(("norm", "tone"), [("instance", 0), ("batch", 0), ("none", 0), ("none", 9)])
def test_prepared_draws_what_was_trained_and_changes_nothing_of_it(norm, tone):
    network = tiny(norm, ngf=WINOGRAD_CHANNELS // 4, tone=tone)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    rgb = image(2)
    with torch.no_grad():
        expected = network(rgb.float() / 127.5 - 1)
        exact = prepared(network, CPU, "fp32")(centred(rgb, "fp32"))
        rough = prepared(network, CPU, "bf16")(centred(rgb, "bf16"))
    assert (exact - expected).abs().max() * 127.5 < 0.1
    assert rough.dtype == torch.float32
    assert 0 < (rough - expected).abs().mean() * 127.5 < 1
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_both_experts_draw_is_mixed(precision):
    network, rgb = tiny(local=8, local_share=0.6), image(2)
    with torch.no_grad():
        expected = network(rgb.float() / 127.5 - 1)
        drawn = prepared(network, CPU, precision)(centred(rgb, precision))
    apart = (drawn - expected).abs() * 127.5
    assert apart.mean() < (0.01 if precision == "fp32" else 1)
    with torch.no_grad():
        for expert in (network.model, network.by_colour):
            assert (expected - expert(rgb.float() / 127.5 - 1)).abs().mean() > 0.1


def trusting(network, odds):
    """The same network, whose gates say the same of every image: their log odds are these."""
    with torch.no_grad():
        network.gate[-1].weight.zero_()
        network.gate[-1].bias.copy_(torch.tensor(odds))
    return network


@pytest.mark.parametrize("side", [48, 52])
@pytest.mark.parametrize("odds", [[-0.3, 9, 9, 9], [3.3, 9, 9, 9], [1.5, 9, 9, 9]])
def test_an_expert_without_a_share_need_not_draw_and_changes_no_bit(odds, side):
    network, x = trusting(tiny(local=8), odds), centred(image(1, side, side), "fp32")
    made = prepared(network, CPU, "fp32")
    share = trust(network.gate(x / 127.5)).item()
    assert share == {-0.3: 0, 3.3: 1, 1.5: 0.5}[odds[0]]
    asked = set()
    for name in ("resnet", "local"):
        getattr(made, name).register_forward_hook(lambda *_, name=name: asked.add(name))
    with torch.no_grad():
        drawn, strips = made(x), draw_in_strips(made, x, 20 * side)
        both = torch.lerp(added_to_luma(made.local(x), x), torch.tanh(made.resnet(x)), share)
    assert torch.equal(drawn, both)
    assert (strips - both).abs().max() < 1e-4
    torch.testing.assert_close(drawn, network(x / 127.5), atol=1e-3, rtol=0)
    asked.clear()
    with torch.no_grad():
        made(x)
    assert asked == {-0.3: {"local"}, 3.3: {"resnet"}, 1.5: {"resnet", "local"}}[odds[0]]
    for name in {"resnet", "local"} - asked:
        setattr(made, name, nn.Sequential(nn.Tanh()))  # no layer that strips could go through
    with torch.no_grad():
        assert torch.equal(draw_in_strips(made, x, 20 * side), strips)


def test_what_is_fast_is_used_where_it_is():
    wide, narrow = (tiny(ngf=ngf) for ngf in (WINOGRAD_CHANNELS // 4, WINOGRAD_CHANNELS // 8))

    def kinds(network, precision):
        return {type(layer) for layer in prepared(network, CPU, precision).modules()}

    assert ColumnConv2d in kinds(narrow, "fp32")
    assert WinogradConv2d in kinds(wide, "bf16")
    assert WinogradConv2d not in kinds(wide, "fp32") | kinds(narrow, "bf16")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_strips_of_what_is_prepared(precision):
    network = prepared(tiny(ngf=WINOGRAD_CHANNELS // 4), CPU, precision)
    x = centred(image(height=76, width=52), precision)
    with torch.no_grad():
        apart = (draw_in_strips(network, x, 20 * 52) - network(x)).abs() * 127.5
    assert apart.mean() < (0.01 if precision == "fp32" else 1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("odds", [-9.0, DOUBT, 9.0])
def test_bf16_of_nir_small_is_within_a_level(tmp_path, seed, odds):
    network = trusting(checkpoint.load(checkpoint.find(WEIGHTS / "nir-small")), [odds] * GATES)
    checkpoint.save(network, tmp_path / "small", "small", "nir", "", {})
    rgb = scene(96, 128, seed).transpose(2, 0, 1)[None]
    exact, rough = (
        load_translator(str(tmp_path / "small"), precision=p).translate(rgb).astype(int) for p in ("fp32", "bf16")
    )
    assert 0 < np.abs(exact - rough).mean() <= 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_bytes_from_run_to_run(tmp_path, precision, threads):
    checkpoint.save(tiny(ngf=WINOGRAD_CHANNELS // 4), tmp_path / "x", "x", "nir", "", {})
    rgb = image(3).numpy()
    torch.set_num_threads(threads)
    try:
        first = load_translator(str(tmp_path / "x"), precision=precision).translate(rgb)
        again = load_translator(str(tmp_path / "x"), precision=precision)
        assert (again.translate(rgb) == first).all()
        assert (np.concatenate([again.translate(rgb[n : n + 1]) for n in range(3)]) == first).all()
    finally:
        torch.set_num_threads(1)


def test_a_network_that_cannot_be_compiled_runs_as_it_is(folder, caplog):
    def fails(x):
        raise torch._dynamo.exc.TorchDynamoException("no compiler here\nmore")

    drawer = GeneratorTranslator(checkpoint.find(folder))
    expected = drawer._at_once(centred(image(2), "fp32"))[:1]
    drawer._compiled = fails
    with caplog.at_level(logging.WARNING):
        drawn = drawer._at_once(centred(image(2), "fp32"))
    assert (drawn[:1] == expected).all()
    assert caplog.messages == ["the network could not be compiled and runs as it is, slower: no compiler here"]
