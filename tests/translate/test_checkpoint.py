import hashlib
import json
import pickle
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate import checkpoint
from tests.translate.conftest import tiny


def change(folder, **generator):
    path = folder / checkpoint.CONFIG
    values = json.loads(path.read_text())
    values["generator"] |= generator
    path.write_text(json.dumps(values))


def test_what_is_saved_is_found_and_loaded(folder):
    found = checkpoint.find(folder)
    assert (found.name, found.band) == ("toy", "nir")
    assert found.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    loaded, saved = checkpoint.load(found).state_dict(), tiny().state_dict()
    assert loaded.keys() == saved.keys()
    for key, tensor in saved.items():
        exact = tensor.half().float() if tensor.ndim > 1 else tensor
        assert loaded[key].dtype == torch.float32
        assert torch.equal(loaded[key], exact), key


def test_saving_again_changes_the_identity_only_with_the_weights(folder):
    before = checkpoint.find(folder).sha256
    checkpoint.save(tiny(), folder, "toy", "nir", "# another card\n", {"scores": {}})
    assert checkpoint.find(folder).sha256 == before
    checkpoint.save(tiny(seed=1), folder, "toy", "nir", "# toy\n", {})
    assert checkpoint.find(folder).sha256 != before
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_a_failed_save_leaves_the_old_files(folder, monkeypatch):
    before = (folder / "model.safetensors").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(FusionError, match="No space left"):
        checkpoint.save(tiny(seed=1), folder, "toy", "nir", "", {})
    assert (folder / "model.safetensors").read_bytes() == before
    assert not list(folder.glob(".tmp-*"))


def test_batch_norm_statistics_keep_full_precision(tmp_path):
    network = tiny("batch")
    network.model[2].running_var.fill_(1e-6)
    found = checkpoint.find(checkpoint.save(network, tmp_path / "b", "b", "nir", "", {}))
    assert torch.equal(checkpoint.load(found).model[2].running_var, network.model[2].running_var)


def test_no_torch_is_imported_to_find(folder):
    code = (
        "import sys; from pathlib import Path; from fusionrs_builder.translate import translator; "
        f"translator.translator_identity({str(folder)!r}); translator.load_translator('gray'); "
        "import fusionrs_builder.translate.stage; assert 'torch' not in sys.modules, 'torch'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named_with_the_fix(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(UsageError, match=f"{folder} has no {missing}"):
        checkpoint.find(folder)


def test_a_pickle_is_never_loaded(folder):
    class Bomb:
        def __reduce__(self):
            return exit, (3,)

    (folder / "model.safetensors").unlink()
    (folder / "latest_net_G.pth").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UsageError, match=r"latest_net_G.pth is a pickle, which is never loaded"):
        checkpoint.find(folder)
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FusionError, match=r"model.safetensors is damaged or not safetensors"):
        checkpoint.load(checkpoint.find(folder))


@pytest.mark.parametrize("keep", [0, 5, 200, 0.5])
def test_truncated_weights(folder, keep):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
    with pytest.raises(FusionError, match=r"model.safetensors is damaged"):
        checkpoint.load(checkpoint.find(folder))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a translator configuration"),
        ("[]", "not a translator configuration"),
        ('{"name": "x", "band": "nir"}', "generator"),
        ('{"name": "x", "band": "green", "generator": {}}', "band one of nir, swir, mwir, lwir"),
        ('{"name": "", "band": "nir", "generator": {}}', "name must be"),
    ],
)
def test_a_wrong_configuration(folder, text, words):
    (folder / "config.json").write_text(text)
    with pytest.raises(FusionError, match=words):
        checkpoint.find(folder)


@pytest.mark.parametrize(
    ("generator", "words"),
    [
        ({"n_blocks": 2}, "10 keys missing .* set ngf, n_blocks and norm"),
        ({"ngf": 8}, r"model.1.bias is \[4\], not \[8\]"),
        ({"in_channels": 4}, "4 -> 1 channels"),
        ({"out_channels": 3}, "3 -> 3 channels"),
        ({"norm": "batch"}, "missing"),
        ({"norm": "layer"}, "known: instance, batch, none"),
        ({"dropout": 0.5}, "dropout"),
    ],
)
def test_weights_that_do_not_fit_the_configuration(folder, generator, words):
    change(folder, **generator)
    with pytest.raises(FusionError, match=words):
        checkpoint.load(checkpoint.find(folder))


def test_weights_that_are_not_numbers(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.4.weight"][0, 0, 0, 0] = float("nan")
    save_file(tensors, path)
    with pytest.raises(FusionError, match=r"model.4.weight holds values that are not finite"):
        checkpoint.load(checkpoint.find(folder))
