import math

import pytest
import torch
import torch.nn.functional as F

from fusionrs_builder.translate.networks import GeneratorConfig, ResnetGenerator
from tests.translate.conftest import tiny

# The state dict of the reference `ResnetGenerator(3, 1, ngf=8, norm_layer=InstanceNorm2d, n_blocks=2)`, by hand.
REFERENCE = {
    "model.1.weight": (8, 3, 7, 7),
    "model.1.bias": (8,),
    "model.4.weight": (16, 8, 3, 3),
    "model.4.bias": (16,),
    "model.7.weight": (32, 16, 3, 3),
    "model.7.bias": (32,),
    "model.10.conv_block.1.weight": (32, 32, 3, 3),
    "model.10.conv_block.1.bias": (32,),
    "model.10.conv_block.5.weight": (32, 32, 3, 3),
    "model.10.conv_block.5.bias": (32,),
    "model.11.conv_block.1.weight": (32, 32, 3, 3),
    "model.11.conv_block.1.bias": (32,),
    "model.11.conv_block.5.weight": (32, 32, 3, 3),
    "model.11.conv_block.5.bias": (32,),
    "model.12.weight": (32, 16, 3, 3),
    "model.12.bias": (16,),
    "model.15.weight": (16, 8, 3, 3),
    "model.15.bias": (8,),
    "model.19.weight": (1, 8, 7, 7),
    "model.19.bias": (1,),
}


def shapes(network):
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


def test_keys_and_shapes_are_those_of_the_reference():
    assert shapes(ResnetGenerator(GeneratorConfig(ngf=8, n_blocks=2))) == REFERENCE


def test_batch_norm_has_statistics_and_no_bias_before_it():
    found = shapes(ResnetGenerator(GeneratorConfig(ngf=8, n_blocks=2, norm="batch")))
    assert found["model.2.running_mean"] == (8,)
    assert found["model.11.conv_block.6.weight"] == (32,)
    assert "model.1.bias" not in found
    assert "model.19.bias" in found


def test_nir_small_has_about_two_million_parameters():
    count = sum(p.numel() for p in ResnetGenerator(GeneratorConfig(ngf=32, n_blocks=6)).parameters())
    assert count == 1_961_921


def by_hand(state, x, n_blocks):
    """The generator of the paper, said again with functions, from its state dict."""

    def conv(name, x, pad, mode="reflect", **options):
        if mode == "reflect":
            x = F.pad(x, (pad,) * 4, mode="reflect")
        return F.conv2d(x, state[name + ".weight"], state[name + ".bias"], **options)

    def norm(x):
        mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
        return (x - mean) / (var + 1e-5).sqrt()

    x = norm(conv("model.1", x, 3)).relu()
    for name in ("model.4", "model.7"):
        x = norm(conv(name, x, 0, "zeros", stride=2, padding=1)).relu()
    for block in range(10, 10 + n_blocks):
        inner = norm(conv(f"model.{block}.conv_block.1", x, 1)).relu()
        x = x + norm(conv(f"model.{block}.conv_block.5", inner, 1))
    for name in (f"model.{10 + n_blocks}", f"model.{13 + n_blocks}"):
        weight, bias = state[name + ".weight"], state[name + ".bias"]
        x = norm(F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)).relu()
    return conv(f"model.{17 + n_blocks}", x, 3).tanh()


def test_numbers_are_those_of_the_paper():
    network = tiny(n_blocks=2)
    x = torch.rand(2, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        y = network(x)
    assert y.shape == (2, 1, 32, 48)
    assert y.std() > 0.1
    torch.testing.assert_close(y, by_hand(network.state_dict(), x, 2), atol=1e-5, rtol=1e-4)


def test_instance_norm_forgets_the_level_and_no_norm_keeps_it():
    x = torch.rand(1, 3, 32, 32) - 0.5
    brighter = x * 1.5 + 0.2
    with torch.no_grad():
        inner = [tiny(norm).model[:3] for norm in ("instance", "none")]
        changes = [(net(x) - net(brighter)).abs().mean().item() for net in inner]
    assert changes[0] < 1e-4 < 0.05 < changes[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"ngf": 0},
        {"n_blocks": -1},
        {"norm": "layer"},
        {"ngf": "32"},
        {"in_channels": None},
        {"local_share": 0.5},
        {"local_share": 1.5, "local": 8},
        {"local_share": "half", "local": 8},
    ],
)
def test_a_wrong_shape_is_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GeneratorConfig(**wrong)


def test_what_is_drawn_is_a_mixture_by_the_votes_of_the_gate_that_trusts_the_resnet_least():
    network, x = tiny(local=8), torch.rand(2, 3, 32, 48) * 2 - 1
    luma = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    with torch.no_grad():
        votes = network.gate(x)
        odds = votes.mean((2, 3))
        trust = torch.sigmoid(4 * (odds.amin(1) - 1.5)).view(2, 1, 1, 1)
        assert 0.1 < trust.min() < trust.max() < 0.9
        experts = network.model(x), torch.tanh(network.local(x) + luma)
        torch.testing.assert_close(network(x), trust * experts[0] + (1 - trust) * experts[1])
    assert votes.shape == (2, 4, 2, 3)
    assert odds.amin(1).max() < odds.amax(1).min(), "the gates are one another's copies"
    others = ("local.", "gate.")
    assert {key for key in shapes(network) if not key.startswith(others)} == set(shapes(tiny()))


def test_each_gate_goes_by_its_own_weights_alone():
    network, x = tiny(local=8), torch.rand(2, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        before = network.gate(x)
        for layer in network.gate:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight[: layer.out_channels // 4] += 0.1
        changed = (network.gate(x) - before).abs().amax((0, 2, 3))
    assert changed[0] > 0.01
    assert torch.equal(changed[1:], torch.zeros(3))


def test_in_training_the_local_expert_adds_all_and_then_its_share():
    network, x = tiny(local=8, local_share=0.5), torch.rand(2, 3, 16, 16)
    luma = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    with torch.no_grad():
        drawn = torch.atanh(network.by_colour(x)) - luma
        learnt = torch.atanh(network.train().by_colour(x)) - luma
    torch.testing.assert_close(drawn, learnt / 2, atol=1e-4, rtol=1e-3)
    names = {
        name
        for name, parameter in network.named_parameters()
        if any(parameter is p for p in network.local_parameters())
    }
    assert names == {name for name in shapes(network) if name.startswith(("local.", "gate."))}
    assert tiny().local_parameters() == []


def sees(network, size):
    x = torch.rand(1, 3, size, size, requires_grad=True)
    drawn = network(x)
    drawn[0, 0, drawn.shape[2] // 2, drawn.shape[3] // 2].backward()
    rows = x.grad[0].abs().sum((0, 2)).nonzero().flatten()
    return int(rows.max() - rows.min() + 1)


def test_the_local_expert_sees_7_pixels_and_a_vote_31():
    assert 5 <= sees(tiny(local=8).local, 32) <= 7
    assert 25 <= sees(tiny(local=8).gate, 128) <= 31


def test_at_first_the_local_expert_draws_the_luma_and_all_that_is_seen():
    torch.manual_seed(0)
    network, x = ResnetGenerator(GeneratorConfig(ngf=8, n_blocks=1, local=8)).eval(), torch.rand(2, 3, 32, 32)
    luma = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    with torch.no_grad():
        local = network.by_colour(x)
        assert (torch.atanh(local) - luma).abs().max() < 0.05
        share = (network(x) - local) / (network.model(x) - local)
        torch.testing.assert_close(share.median(), torch.tensor(1 / (1 + math.exp(6))), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("images", "first"), [(2, 1), (5, 3), (8, 4)])
def test_in_training_the_resnet_draws_the_first_half_and_the_local_expert_the_others(images, first):
    network, x = tiny(local=8).train(), torch.rand(images, 3, 16, 16)
    drawn = network(x)
    torch.testing.assert_close(drawn[:first], network.model(x[:first]))
    torch.testing.assert_close(drawn[first:], network.by_colour(x[first:]))
    for own, which in (("model", slice(first)), ("local", slice(first, None))):
        network.zero_grad()
        network(x)[which].sum().backward()
        moved = {
            name
            for name, part in network.named_children()
            if any(p.grad is not None and p.grad.any() for p in part.parameters())
        }
        assert moved == {own}


def test_a_local_expert_is_of_rgb_to_one_channel():
    with pytest.raises(ValueError, match="local = 8 of 1 -> 3 channels"):
        GeneratorConfig(in_channels=1, out_channels=3, local=8)


def test_at_first_the_tone_is_that_of_the_blurred_luma():
    torch.manual_seed(0)
    network = ResnetGenerator(GeneratorConfig(ngf=8, n_blocks=1, norm="none", tone=9)).eval()
    x = torch.rand(2, 3, 32, 48) * 2 - 1
    luma = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    blurred = F.avg_pool2d(F.pad(luma, (4, 4, 4, 4), mode="reflect"), 9, 1)
    with torch.no_grad():
        drawn = torch.atanh(network(x))
        torch.testing.assert_close(network.tone(x), 0.7 * blurred, atol=1e-6, rtol=0)
        torch.testing.assert_close(drawn, network.model[:-1](x) + 0.7 * blurred, atol=1e-4, rtol=1e-3)
    assert {key for key in shapes(network) if not key.startswith("tone.")} == set(shapes(tiny(n_blocks=1)))


@pytest.mark.parametrize(
    ("wrong", "what"), [({"tone": 4}, "an odd number"), ({"tone": 9, "in_channels": 1}, "of RGB -> 1 only")]
)
def test_a_tone_that_cannot_be(wrong, what):
    with pytest.raises(ValueError, match=what):
        GeneratorConfig(**wrong)


def test_without_norms_the_signal_neither_fades_nor_grows():
    """With PyTorch's own initial weights it falls to a thirtieth, and the first steps of training kill layers."""
    torch.manual_seed(0)
    network = ResnetGenerator(GeneratorConfig(ngf=24, n_blocks=4, norm="none"))
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        for layer in network.model[:-2]:
            x = layer(x)
            if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                assert 0.4 < x.square().mean().sqrt() < 1.2
    assert x.square().mean().sqrt() > 0.3
