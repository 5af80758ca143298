"""check, as it is typed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fusionrs_builder.cli.main import main
from fusionrs_builder.release.hub.push import push_to_hub
from fusionrs_builder.workspace import Workspace
from tests.hub import clients
from tests.hub.server import serving
from tests.release.conftest import lay, push, record


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace.open(tmp_path / "ws", create=True)
    lay(workspace, {"eurosat-00000": [record(f"a {number}") for number in range(3)]})
    push(workspace)
    return workspace


@pytest.fixture
def release(workspace: Workspace) -> Path:
    return Path(workspace.path("release", "fusionrs"))


def call(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["check", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_all_is_well(workspace: Workspace, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(str(release)).stdout == f"{release}: 3 rows, 6 pictures, no problems\n"
    assert call(workspace.url, "--all").stdout == f"{workspace.url}: 6 rows, 12 pictures, no problems\n"
    monkeypatch.chdir(release)
    assert call().stdout == ".: 3 rows, 6 pictures, no problems\n"


def test_a_list_of_what_is_off(workspace: Workspace, release: Path) -> None:
    (release / "NOTICE").unlink()
    (release / "croissant.json").write_text("{}")
    assert call(str(release), code=1).stdout.splitlines() == [
        "off: NOTICE is missing",
        "off: croissant.json is not what SHA256SUMS says: it was changed or damaged",
        f"{release}: 3 rows, 6 pictures, 2 problems",
        "of a release: fetch it again, or write it anew with `fusionrs-build push`",
    ]
    assert "off: release/fusionrs: NOTICE is missing" in call(workspace.url, code=1).stdout


def test_json(release: Path) -> None:
    told = {"where": str(release), "rows": 3, "pictures": 6, "problems": []}
    assert json.loads(call(str(release), "--json").stdout) == told
    (release / "NOTICE").unlink()
    assert json.loads(call(str(release), "--json", code=1).stdout) == {**told, "problems": ["NOTICE is missing"]}


def test_the_call_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for where in (tmp_path / "empty", tmp_path / "file", tmp_path / "none"):
        result = call(str(where), code=2)
        assert result.stderr.startswith(f"error: {where}") and result.stderr.count("\n") == 1 and not result.stdout
    assert "HF_HUB_OFFLINE is set" in call("org/none", code=2).stderr
    call("a", "b", code=2)


def test_no_secret_is_shown() -> None:
    result = call("http://ada:secret@127.0.0.1:9/set?key=secret", "-v", code=1)
    assert "cannot be read" in result.stderr and "secret" not in result.output


def test_a_private_data_set_of_the_hub(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a process of its own, which has the address and the token from its environment."""
    clients.use(monkeypatch, tmp_path / "cache")
    with serving() as server:
        token = server.account("ada", orgs=["org"])
        push_to_hub(release, "org/fusionrs", token=token, endpoint=server.url)

        def run(token: str) -> subprocess.CompletedProcess[str]:
            command = [
                sys.executable,
                "-c",
                "from fusionrs_builder.cli.main import main; main()",
                "check",
                "org/fusionrs",
            ]
            environment = clients.environment(server, token, tmp_path / "home")
            return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100)

        told = run(token)
        assert (told.returncode, told.stdout) == (0, "org/fusionrs: 3 rows, 6 pictures, no problems\n"), told.stderr
        told = run(server.account("eve"))
        assert told.returncode == 2 and "no data set of that name on the Hub that you may see" in told.stderr
        assert "Traceback" not in told.stderr and "hf_" not in told.stderr
    told = run(token)
    assert told.returncode == 1 and "the Hub cannot be reached" in told.stderr and token not in told.stderr
