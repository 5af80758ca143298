import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate.translator import load_translator, translator_identity, translator_params
from tests.translate.conftest import scene, tiny


def images(n=2, height=32, width=48):
    return np.stack([scene(height, width, seed).transpose(2, 0, 1) for seed in range(n)])


def network(path, op="mean", channels=3, shape=("n", "h", "w"), kind=TensorProto.FLOAT, extra=()):
    """A network of one node: the mean of the channels, or what `op` says."""
    given = helper.make_tensor_value_info("rgb", kind, [shape[0], channels, *shape[1:]])
    sides = [f"{side}out" if isinstance(side, str) else side for side in shape]
    nodes = {
        "mean": [helper.make_node("ReduceMean", ["rgb", "axes"], ["ir"], keepdims=1)],
        "same": [helper.make_node("Identity", ["rgb"], ["ir"])],
        "three": [
            helper.make_node("ReduceMean", ["rgb", "axes"], ["one"], keepdims=1),
            helper.make_node("Concat", ["one", "one", "one"], ["ir"], axis=1),
        ],
        "half": [
            helper.make_node("ReduceMean", ["rgb", "axes"], ["one"], keepdims=1),
            helper.make_node("AveragePool", ["one"], ["ir"], kernel_shape=[2, 2], strides=[2, 2]),
        ],
        "nan": [
            helper.make_node("ReduceMean", ["rgb", "axes"], ["one"], keepdims=1),
            helper.make_node("Sub", ["one", "one"], ["zero"]),
            helper.make_node("Div", ["zero", "zero"], ["ir"]),
        ],
    }[op]
    out = {"same": channels, "three": 3}.get(op, 1)
    drawn = helper.make_tensor_value_info("ir", kind, [sides[0], out, *sides[1:]])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    inputs = [given, *(helper.make_tensor_value_info(name, kind, [1]) for name in extra)]
    graph = helper.make_graph(nodes, "toy", inputs, [drawn], [axes])
    path.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    path.with_suffix(".json").write_text('{"name": "toy-onnx", "band": "nir"}')
    return str(path)


def test_an_exported_generator_draws_what_the_generator_draws(tmp_path, folder):
    network = tiny()
    network.load_state_dict({k: t.half().float() if t.ndim > 1 else t for k, t in network.state_dict().items()})
    sides = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    path = tmp_path / "exported" / "model.onnx"
    path.parent.mkdir()
    torch.onnx.export(
        network,
        (torch.rand(2, 3, 32, 48),),
        path,
        dynamo=True,
        dynamic_shapes=[sides],
        external_data=False,
        verbose=False,
    )
    (path.parent / "config.json").write_text('{"name": "toy-onnx", "band": "nir"}')
    drawer = load_translator(str(path.parent))
    for size in ((32, 48), (30, 46), (17, 33)):
        rgb = images(2, *size)
        drawn, expected = drawer.translate(rgb), load_translator(str(folder)).translate(rgb)
        assert np.abs(drawn.astype(int) - expected).max() <= 1
        assert drawn.std() > 10


def test_it_says_who_it_is_without_onnxruntime(tmp_path):
    path = network(tmp_path / "mine.onnx")
    drawer = load_translator(path)
    assert (drawer.name, drawer.band) == ("toy-onnx", "nir")
    assert drawer.source == f"toy-onnx@{drawer.sha256[:12]}"
    assert translator_identity(path) == (drawer.source, "nir", drawer.sha256)
    code = (
        "import sys; from fusionrs_builder.translate.translator import translator_params as p; "
        f"p({path!r}); assert not {{'torch', 'onnxruntime'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_weights_in_a_file_of_their_own_and_the_multiple_count(tmp_path):
    path = tmp_path / "mine.onnx"
    first = translator_params(network(path))
    path.with_name("mine.onnx.data").write_bytes(b"weights")
    second = translator_params(str(path))
    assert second["sha256"] != first["sha256"]
    path.with_suffix(".json").write_text('{"name": "toy-onnx", "band": "nir", "multiple": 8}')
    assert translator_params(str(path)) == {**second, "multiple": 8}


@pytest.mark.parametrize("op", ["mean", "three"])
@pytest.mark.parametrize("shape", [("n", "h", "w"), (1, "h", "w"), (1, 30, 46)])
def test_what_is_drawn_is_the_mean(tmp_path, op, shape):
    drawer = load_translator(network(tmp_path / "mine.onnx", op, shape=shape))
    rgb = images(3, 30, 46)
    drawn = drawer.translate(torch.from_numpy(rgb))
    assert isinstance(drawn, torch.Tensor)
    assert np.abs(drawn.numpy()[:, 0] - rgb.mean(1)).max() <= 0.51
    assert drawer.translate(rgb[:0]).shape == (0, 1, 30, 46)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": 4}, r"input rgb is tensor\(float\) \['n', 4, 'h', 'w'\], not tensor\(float\) \[N, 3, H, W\]"),
        ({"kind": TensorProto.FLOAT16}, r"input rgb is tensor\(float16\)"),
        ({"extra": ("noise",)}, "takes rgb, noise and gives ir: one input and one output"),
        ({"shape": (4, "h", "w")}, "bound to batches of 4"),
    ],
)
def test_another_network_is_refused_when_it_is_loaded(tmp_path, options, words):
    with pytest.raises(FusionError, match=words):
        load_translator(network(tmp_path / "mine.onnx", **options))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"op": "same"}, r"three channels that differ by up to \d+ of 255"),
        ({"op": "half"}, r"made \[1, 1, 16, 24\] of \[1, 3, 32, 48\]: sides must be kept"),
        ({"op": "nan"}, "values that are not finite"),
        (
            {"shape": (1, 64, 48)},
            "takes images of 48 x 64 px only, this one has 48 x 32: download with --image-size 64",
        ),
    ],
)
def test_what_is_no_infrared_view_is_refused(tmp_path, options, words):
    drawer = load_translator(network(tmp_path / "mine.onnx", **options))
    with pytest.raises(FusionError, match=words):
        drawer.translate(images())


def test_files_that_are_missing_or_damaged(tmp_path):
    path = tmp_path / "mine.onnx"
    network(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(FusionError, match="mine.onnx is damaged or no ONNX network"):
        load_translator(str(path))
    for text, words in [
        ("{", "not JSON"),
        ("[]", "no JSON object"),
        ('{"name": "x"}', r"band.*one of nir, swir, mwir, lwir \(got None\)"),
        ('{"band": "nir", "multiple": 0}', "multiple.*1..1024, got 0"),
    ]:
        path.with_suffix(".json").write_text(text)
        with pytest.raises(FusionError, match=words):
            translator_identity(str(path))
    path.with_suffix(".json").unlink()
    with pytest.raises(UsageError, match=r"has no mine.json beside it: write one such as"):
        translator_identity(str(path))


def test_a_name_is_the_files_where_none_is_said(tmp_path):
    path = network(tmp_path / "mine.onnx")
    path = tmp_path / "mine.onnx"
    path.with_suffix(".json").write_text(json.dumps({"band": "lwir"}))
    assert translator_identity(str(path)).source.startswith("mine@")
