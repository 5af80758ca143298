"""The example of a new kind of translator in CONTRIBUTING.md is run, not only read."""

import importlib.util
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

from fusionrs_builder.errors import UsageError
from fusionrs_builder.translate import translator
from tests.translate.conftest import scene

PAGE = Path(__file__).parents[3] / "CONTRIBUTING.md"


@pytest.fixture
def example(tmp_path, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text().split("## Add a translator")[1], re.S)
    code = textwrap.dedent(block if block.startswith(" ") else "   " + block)
    assert sum(1 for line in code.splitlines() if line.strip()) <= 15
    (tmp_path / "excess_green.py").write_text(code)
    spec = importlib.util.spec_from_file_location("excess_green", tmp_path / "excess_green.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(translator, "KINDS", (module, *translator.KINDS))


def test_the_example_draws(example):
    drawer = translator.load_translator("excess-green")
    rgb = np.stack([scene(20, 30, seed).transpose(2, 0, 1) for seed in range(2)])
    drawn = drawer.translate(rgb)
    assert (drawn.shape, drawn.dtype) == ((2, 1, 20, 30), np.uint8)
    r, g, b = rgb.astype(float).transpose(1, 0, 2, 3)
    assert np.abs(drawn[:, 0] - (128 + (2 * g - r - b) / 4)).max() < 1
    assert translator.translator_params("excess-green") == {"source": "excess-green@1", "band": "nir", "sha256": "1"}


def test_without_the_file_there_is_no_such_translator():
    with pytest.raises(UsageError, match="no translator 'excess-green'"):
        translator.load_translator("excess-green")
