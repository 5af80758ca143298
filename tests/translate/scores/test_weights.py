import pickle

import numpy as np
import pytest
import torch

from fusionrs_builder.errors import FusionError
from fusionrs_builder.translate.scores import inception, lpips, weights
from tests.translate.conftest import scene


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The empty cache of torch.hub; whoever would fetch fails."""

    def fetch(*_, **__):
        raise AssertionError("weights are never fetched")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def one_value(shapes, seed=0):
    """State of the right shapes in a file of some kilobytes: every tensor is one number over and over."""
    rng = np.random.default_rng(seed)
    return {name: torch.tensor(float(rng.uniform(0.01, 0.02))).expand(shape) for name, shape in shapes.items()}


def test_without_weights_it_is_said_where_they_are_looked_for(cache):
    assert str(cache / weights.ALEXNET) in lpips.load_lpips()
    assert str(cache / weights.INCEPTION) in inception.load_inception()


def test_without_the_packages_it_is_said_what_to_install(cache, monkeypatch):
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    assert "pip install 'fusionrs-builder[scores]'" in lpips.load_lpips()


def test_a_pickle_with_code_is_never_loaded(cache):
    class Bomb:
        def __reduce__(self):
            return exit, (3,)

    (cache / weights.ALEXNET).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FusionError, match="alexnet.* is damaged or not plain weights"):
        lpips.load_lpips()


def test_lpips_tells_equal_from_unlike(cache):
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in torchvision.models.alexnet().state_dict().items()}
    state = one_value(shapes)
    for name in [name for name in state if name.startswith("features") and name.endswith("weight")]:
        state[name] = torch.randn(shapes[name]) * (2 / shapes[name][1:].numel()) ** 0.5
    torch.save(state, cache / weights.ALEXNET)
    distance = lpips.load_lpips()
    a = scene(lpips.SMALLEST, lpips.SMALLEST + 6)[..., 0]
    near = np.clip(a.astype(int) + 4, 0, 255).astype(np.uint8)
    assert distance(a, a) == pytest.approx(0, abs=1e-6)
    assert 0 < distance(a, near) < distance(a, scene(64, 70, 5)[..., 1])
    assert distance(a, near) == distance(a, near)


def test_inception_gives_the_features_that_fid_is_defined_by(cache, monkeypatch):
    fid = pytest.importorskip("torchmetrics.image.fid")
    extractor = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    with torch.device("meta"), monkeypatch.context() as patched:
        patched.setattr(extractor, "load_state_dict_from_url", lambda *_, **__: {})
        patched.setattr(fid.NoTrainInceptionV3, "load_state_dict", lambda self, state: None)
        shapes = {k: v.shape for k, v in fid.NoTrainInceptionV3("inception-v3-compat", ["2048"]).state_dict().items()}
    torch.save(one_value(shapes), cache / weights.INCEPTION)
    found = inception.load_inception()(scene(40, 40)[..., 0])
    assert (found.shape, found.dtype) == ((2048,), np.float32)
    assert np.isfinite(found).all()


def test_kid_and_fid_of_features():
    rng = np.random.default_rng(0)
    real = list(rng.normal(0, 1, (60, 4)).astype(np.float32))
    like = list(rng.normal(0, 1, (60, 4)).astype(np.float32))
    unlike = list(rng.normal(2, 1, (60, 4)).astype(np.float32))
    near, far = inception.distances(like, real, 0), inception.distances(unlike, real, 0)
    assert near["fid"] < 1 < far["fid"]
    assert far["fid"] == pytest.approx(4 * 2**2, rel=0.25)
    assert near["kid"] < 0.1 * far["kid"]
    assert inception.distances(like, real, 0) == near
