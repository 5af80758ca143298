"""Every snippet of docs/loading.md runs, in the order of the page, each by itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fusionrs_builder.workspace import Workspace
from tests.loading_script.test_fusionrs import PYTHON, ROOT, SCRIPT, with_text

from .conftest import lay, push, record

PAGE = (ROOT / "docs" / "loading.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred rows and more, so that there is a first percent; some have no visible view."""
    workspace = Workspace.open(tmp_path_factory.mktemp("ws"), create=True)
    blind = [record(f"blind{number}", rgb=None, ir_origin="measured", ir_band="lwir") for number in range(5)]
    lay(workspace, {"a-00000": [record(f"{number}") for number in range(120)], "b-00000": blind})
    push(workspace)
    return with_text(Path(workspace.path("release", "fusionrs")))


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[f"snippet{number}" for number in range(len(SNIPPETS))])
def test_snippet(release: Path, tmp_path: Path, snippet: str) -> None:
    assert "ORG/fusionrs" in snippet
    old = "fusionrs.py" in snippet
    if old and not PYTHON.exists():
        pytest.skip(f"no {PYTHON}")
    program = snippet.replace("ORG/fusionrs", str(release)).replace('"fusionrs.py"', repr(str(SCRIPT)))
    done = subprocess.run(
        [PYTHON if old else sys.executable, "-c", program],
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_no_snippet_is_overlooked() -> None:
    assert len(SNIPPETS) == PAGE.count("```") / 2 == 4
