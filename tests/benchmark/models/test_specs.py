import subprocess
import sys

import pytest

from fusionrs_builder.benchmark.models.specs import KINDS, embedding_model
from fusionrs_builder.errors import UsageError


def test_a_spec_is_what_stands_before_its_first_colon():
    assert embedding_model("random").name == "random"
    with pytest.raises(UsageError, match="python:a: name a function"):
        embedding_model("python:a")
    with pytest.raises(UsageError, match="no architecture of that name"):
        embedding_model("open_clip:")


@pytest.mark.parametrize("spec", ["", "openclip:ViT-B-32", "RANDOM", ":x", "ViT-B-32", "embeddings:x.npz"])
def test_unknown_kinds_are_answered_with_those_there_are(spec: str):
    with pytest.raises(UsageError) as caught:
        embedding_model(spec)
    assert all(f"{kind}" in str(caught.value) for kind in KINDS) and "embeddings:FILE.npz" in str(caught.value)


def test_nothing_heavy_is_imported_before_a_model_is_named():
    code = (
        "import sys, fusionrs_builder.benchmark.models.specs, fusionrs_builder.benchmark.stored;"
        "print([name for name in ('torch', 'transformers', 'open_clip', 'datasets') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
