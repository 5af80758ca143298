import functools
import json
import os
import pickle

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from fusionrs_builder.cli.main import main
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate.reference_weights import import_reference, read_reference
from fusionrs_builder.translate.translator import load_translator
from tests.translate.conftest import scene

NORMS = {
    "instance": functools.partial(nn.InstanceNorm2d, affine=False, track_running_stats=False),
    "batch": functools.partial(nn.BatchNorm2d, affine=True, track_running_stats=True),
    "none": lambda channels: nn.Identity(),
}


class Block(nn.Module):
    """`ResnetBlock` of the reference implementation."""

    def __init__(self, dim, norm, dropout, bias, padding):
        super().__init__()
        pad = [nn.ReflectionPad2d(1)] if padding == "reflect" else []
        p = 0 if pad else 1
        layers = [*pad, nn.Conv2d(dim, dim, 3, padding=p, bias=bias), norm(dim), nn.ReLU(True)]
        layers += [nn.Dropout(0.5)] if dropout else []
        layers += [*(type(each)(1) for each in pad), nn.Conv2d(dim, dim, 3, padding=p, bias=bias), norm(dim)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.conv_block(x)


class Reference(nn.Module):
    """`ResnetGenerator` of the reference implementation, options and all."""

    def __init__(self, inputs=3, outputs=1, ngf=4, norm="instance", dropout=False, n_blocks=2, padding="reflect"):
        super().__init__()
        bias, norm = norm == "instance", NORMS[norm]
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, ngf, 7, bias=bias), norm(ngf), nn.ReLU(True)]
        for m in (1, 2):
            layers += [nn.Conv2d(ngf * m, ngf * m * 2, 3, 2, 1, bias=bias), norm(ngf * m * 2), nn.ReLU(True)]
        layers += [Block(ngf * 4, norm, dropout, bias, padding) for _ in range(n_blocks)]
        for m in (4, 2):
            layers += [
                nn.ConvTranspose2d(ngf * m, ngf * m // 2, 3, 2, 1, output_padding=1, bias=bias),
                norm(ngf * m // 2),
                nn.ReLU(True),
            ]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, outputs, 7), nn.Tanh())

    def forward(self, x):
        return self.model(x)


def reference(seed=0, **options):
    torch.manual_seed(seed)
    network = Reference(**options).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5)
    return network


def saved(network_or_state, path):
    state = network_or_state.state_dict() if isinstance(network_or_state, nn.Module) else network_or_state
    torch.save(state, path)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ngf": 6, "n_blocks": 3},
        {"norm": "batch"},
        {"norm": "batch", "dropout": True},
        {"norm": "instance", "dropout": True},
        {"norm": "none"},
        {"n_blocks": 9},
    ],
)
def test_an_imported_generator_draws_what_the_reference_draws(tmp_path, options):
    network = reference(**options)
    made = import_reference(saved(network, tmp_path / "latest_net_G.pth"), tmp_path / "mine", "lwir")
    shape = {"ngf": 4, "n_blocks": 2, "norm": "instance"} | {k: v for k, v in options.items() if k != "dropout"}
    assert {"in_channels": 3, "out_channels": 1, **shape}.items() <= made["generator"].items()
    drawer = load_translator(str(tmp_path / "mine"))
    assert (drawer.name, drawer.band, drawer.source) == ("mine", "lwir", made["source"])
    rgb = scene(32, 48).transpose(2, 0, 1)[None].copy()
    with torch.no_grad():
        expected = (network(torch.from_numpy(rgb).float() / 127.5 - 1) + 1) * 127.5
    assert np.abs(drawer.translate(rgb) - expected.numpy()).max() <= 0.51
    assert drawer.translate(rgb).std() > 5


def test_data_parallel_and_old_statistics_of_instance_norms(tmp_path):
    state = reference().state_dict()
    old = {f"module.{key}": tensor for key, tensor in state.items()}
    for place, channels in (("model.2", 4), ("model.5", 8), ("model.10.conv_block.2", 16)):
        old |= {
            f"module.{place}.running_mean": torch.rand(channels),
            f"module.{place}.running_var": torch.rand(channels),
        }
        old[f"module.{place}.num_batches_tracked"] = torch.tensor(7)
    network = read_reference(saved(old, tmp_path / "old.pth"))
    assert network.config.norm == "instance"
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())


def test_the_old_file_format_and_batch_norms_that_counted_nothing(tmp_path):
    state = {k: t for k, t in reference(norm="batch").state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    network = read_reference(tmp_path / "old.pth")
    assert network.config.norm == "batch"
    assert torch.equal(network.state_dict()["model.2.running_var"], state["model.2.running_var"])


def test_three_equal_channels_become_one(tmp_path):
    network = reference(outputs=3)
    state = network.state_dict()
    last = "model.19"
    for name in (f"{last}.weight", f"{last}.bias"):
        state[name] = state[name][:1].repeat(3, *[1] * (state[name].ndim - 1))
    one = read_reference(saved(state, tmp_path / "three.pth"))
    assert torch.equal(one.state_dict()[f"{last}.weight"], state[f"{last}.weight"][:1])
    state[f"{last}.bias"][2] += 1e-6
    with pytest.raises(UsageError, match=r"three channels by kernels that differ.*--channel 0, 1 or 2"):
        read_reference(saved(state, tmp_path / "three.pth"))
    kept = read_reference(tmp_path / "three.pth", channel=2).state_dict()
    assert torch.equal(kept[f"{last}.bias"], state[f"{last}.bias"][2:])


def test_nothing_in_a_pickle_is_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/harm",)

    path = tmp_path / "bomb.pth"
    torch.save({"model.1.weight": Bomb()}, path)
    for write in (lambda: None, lambda: path.write_bytes(pickle.dumps(Bomb(), 2))):
        write()
        with pytest.raises(FusionError, match=r"pickle that wants to run code \(\w+\.system\), which is never done"):
            import_reference(path, tmp_path / "out", "nir")
    torch.save(reference(), path)
    with pytest.raises(FusionError, match=r"run code \(.*Reference\).*save the tensors alone"):
        import_reference(path, tmp_path / "out", "nir")
    path.write_bytes(pickle.dumps(Bomb(), 5))
    with pytest.raises(FusionError, match="no torch checkpoint"):
        import_reference(path, tmp_path / "out", "nir")
    assert not (tmp_path / "harm").exists()
    assert not (tmp_path / "out").exists()


def without(state, key):
    return {k: t for k, t in state.items() if k != key}


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: reference(inputs=4), FusionError, "takes 4 channels: a translator takes RGB, three"),
        (lambda: reference(outputs=2), FusionError, "draws 2 channels: infrared has one, or three that are equal"),
        (lambda: reference(padding="zero"), FusionError, r"pads its residual blocks with zeros"),
        (
            lambda: without(reference().state_dict(), "model.10.conv_block.1.bias"), FusionError,
            r"ResnetGenerator .* \(ngf 4, 2 blocks, norm instance\): 1 keys missing \(model.10.conv_block.1.b",
        ),
        (
            lambda: without(reference(norm="none").state_dict(), "model.19.bias"), FusionError,
            r"1 keys missing \(model.19.bias\)",
        ),
        (lambda: reference().state_dict() | {"model.30.weight": torch.rand(2)}, FusionError, r"1 keys unexpected"),
        (
            lambda: reference().state_dict() | {"model.4.weight": torch.rand(8, 4, 5, 5)}, FusionError,
            r"model.4.weight is \[8, 4, 5, 5\], not \[8, 4, 3, 3\]",
        ),
        (lambda: {"model.0.weight": torch.rand(64, 3, 4, 4)}, FusionError, "model.1.weight is not its first"),
        (lambda: {"model.model.0.weight": torch.rand(8, 3, 4, 4)}, FusionError, "is a U-Net generator"),
        (lambda: {"model.2.weight": torch.rand(4)} | reference().state_dict(), FusionError, "learnt scales"),
        (
            lambda: reference().state_dict() | {"model.4.weight": torch.full((8, 4, 3, 3), torch.nan)}, FusionError,
            "model.4.weight holds values that are not finite",
        ),
        (lambda: {"epoch": 3, "net": reference().state_dict()}, FusionError, "a table of epoch, net, not the tensors"),
        (lambda: torch.rand(3), FusionError, "holds Tensor, not the tensors of one generator"),
        (lambda: {}, FusionError, "none at all"),
    ],
)  # fmt: skip
def test_what_is_no_such_generator_is_refused(tmp_path, make, error, words):
    path = saved(make(), tmp_path / "x.pth")
    with pytest.raises(error, match=words):
        import_reference(path, tmp_path / "out", "nir")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("keep", [0, 3, 200, 3000])
def test_a_truncated_file(tmp_path, keep):
    path = saved(reference(), tmp_path / "x.pth")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FusionError, match="is damaged or no torch checkpoint"):
        read_reference(path)


def test_choices_that_do_not_fit_the_weights(tmp_path):
    instance, batch = (saved(reference(norm=norm), tmp_path / f"{norm}.pth") for norm in ("instance", "batch"))
    assert read_reference(instance, norm="none").config.norm == "none"
    with pytest.raises(UsageError, match="has norm batch by its keys, not instance"):
        read_reference(batch, norm="instance")
    with pytest.raises(UsageError, match="draws 1 channels: --channel 0 is none to choose"):
        read_reference(instance, channel=0)


def test_the_command(tmp_path):
    path = saved(reference(), tmp_path / "latest_net_G.pth")
    call = ["translator", "import", str(path), "--out", str(tmp_path / "mine"), "--band", "nir", "--json"]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["source"].startswith("mine@")
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "latest_net_G.pth" in card and "Not in the checkpoint" in card
    result = CliRunner().invoke(main, [*call[:2], str(tmp_path / "absent.pth"), *call[3:]])
    assert (result.exit_code, "there is no file" in result.stderr) == (2, True)
