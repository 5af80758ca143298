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
    "wrong", [{"ngf": 0}, {"n_blocks": -1}, {"norm": "layer"}, {"ngf": "32"}, {"in_channels": None}]
)
def test_a_wrong_shape_is_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GeneratorConfig(**wrong)


def test_a_local_branch_and_the_luma_are_added_before_the_tanh():
    network, x = tiny(local=8), torch.rand(2, 3, 32, 48) * 2 - 1
    luma = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    with torch.no_grad():
        torch.testing.assert_close(network(x), torch.tanh(network.model[:-1](x) + network.local(x) + luma))
    assert {key for key in shapes(network) if not key.startswith("local.")} == set(shapes(tiny()))


def test_the_local_branch_sees_7_pixels():
    network, x = tiny(local=8), torch.rand(1, 3, 32, 32, requires_grad=True)
    network.local(x)[0, 0, 16, 16].backward()
    rows = x.grad[0].abs().sum((0, 2)).nonzero().flatten()
    assert rows.max() - rows.min() + 1 <= 7


def test_at_first_it_draws_the_luma_but_for_a_constant():
    torch.manual_seed(0)
    network, x = ResnetGenerator(GeneratorConfig(ngf=8, n_blocks=1, norm="none", local=8)), torch.rand(2, 3, 32, 32)
    luma = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    assert (torch.atanh(network(x)) - luma).std() < 0.02


def test_what_is_drawn_with_the_resnet_does_not_move_the_local_branch():
    network, x = tiny(local=8).train(), torch.rand(4, 3, 16, 16)
    network(x)[:2].sum().backward()
    assert not network.local[1].weight.grad.any()
    assert network.model[1].weight.grad.any()
    network.zero_grad()
    network(x)[2:].sum().backward()
    assert network.local[1].weight.grad.any()
    assert not network.model[1].weight.grad.any()


@pytest.mark.parametrize(("images", "with_context"), [(1, 1), (2, 1), (5, 2), (8, 4)])
def test_in_training_the_resnet_is_left_out_of_half_of_the_images(images, with_context):
    network, x = tiny(local=8).train(), torch.rand(images, 3, 16, 16)
    with torch.no_grad():
        drawn, whole = network(x), network.eval()(x)
        alone = torch.tanh(network.local(x) + 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:])
    torch.testing.assert_close(drawn[:with_context], whole[:with_context])
    torch.testing.assert_close(drawn[with_context:], alone[with_context:])
    assert (whole - alone).abs().max() > 1e-3


def test_a_local_branch_is_of_rgb_to_one_channel():
    with pytest.raises(ValueError, match="local = 8 of 1 -> 3 channels"):
        GeneratorConfig(in_channels=1, out_channels=3, local=8)


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
