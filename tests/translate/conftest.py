import numpy as np
import pytest
import torch

from fusionrs_builder import pixels, schema
from fusionrs_builder.shards import Footer
from fusionrs_builder.translate import checkpoint
from fusionrs_builder.translate.networks import DOUBT, GeneratorConfig, ResnetGenerator
from fusionrs_builder.workspace import Workspace


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Threads that wait for a busy processor cost more than they give on networks this small."""
    torch.set_num_threads(1)


def scene(height, width, seed=0):
    """uint8 [H, W, 3]: a gradient, stripes and noise, another one for every seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 2 + seed * 7, y * 3, (x // 5 + y // 7 + seed) % 2 * 120], -1)
    return ((base + rng.integers(0, 40, base.shape)) % 256).astype(np.uint8)


def tiny(norm="instance", seed=0, **shape):
    """A small generator with random weights that give a picture with contrast; of two experts, both draw some."""
    torch.manual_seed(seed)
    network = ResnetGenerator(GeneratorConfig(**{"ngf": 4, "n_blocks": 1, "norm": norm, **shape}))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5)
        if network.gate:
            network.gate[-1].weight.mul_(0.1)
            network.gate[-1].bias.fill_(DOUBT)
    return network.eval()


@pytest.fixture
def folder(tmp_path):
    """A translator folder named `toy`."""
    return checkpoint.save(tiny(), tmp_path / "toy", "toy", "nir", "# toy\n", {})


def record(key, rgb=None, ir=None, **more):
    """A row of the rgb layer."""
    shape = (rgb if rgb is not None else ir if ir is not None else np.zeros((0, 0))).shape
    row = dict.fromkeys(schema.arrow_schema("rgb").names)
    row |= {"id": f"toy/{key}", "corpus": "toy", "corpus_key": key, "height": shape[0], "width": shape[1]}
    row |= {"license": "CC0-1.0", "attribution": "Nobody", "redistributable": True}
    if rgb is not None:
        row["rgb"] = {"bytes": pixels.encode_png(rgb), "path": f"{key}.png"}
    if ir is not None:
        row["ir"] = {"bytes": pixels.encode_png(ir), "path": f"{key}_ir.png"}
        row |= {"ir_band": "nir", "ir_source": "toy-sensor nir"}
    return row | more


def fill(workspace: Workspace, rows, shard="toy-00000"):
    """Write an rgb shard."""
    with workspace.writer("rgb", shard) as writer:
        for row in rows:
            writer.write(row)
        writer.commit(Footer("download", f"made of {len(rows)}", items=len(rows)))


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "ws", create=True)
