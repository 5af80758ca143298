"""Where a finished release goes, and what is refused before anything is done."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import HfApi, constants

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release import publish
from fusionrs_builder.release.hub import calls
from fusionrs_builder.release.publish import Target
from fusionrs_builder.workspace import Workspace
from tests.hub import clients
from tests.hub.server import HubServer, serving

from .conftest import contents, push

REPO = "org/fusionrs"


def quiet(line: str) -> None:
    """What is said of each step is not looked at."""


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"tag": "v1"}, "--tag and --public are for the Hub: name a data set by --repo-id ORG/NAME"),
        ({"tag": ""}, "--tag and --public are for the Hub"),
        ({"public": True}, "--tag and --public are for the Hub"),
        ({"to": "x", "public": True}, "--tag and --public are for the Hub"),
        ({"repo_id": "fusionrs"}, "does not say whose: write ORG/fusionrs"),
        ({"repo_id": ""}, "is no name of a repository"),
        ({"repo_id": "a/b/c"}, "is no name of a repository"),
        ({"repo_id": "org/two words"}, "is no name of a repository"),
        ({"repo_id": REPO, "tag": "v 1"}, "'v 1' is no name of a tag"),
        ({"repo_id": REPO, "tag": ""}, "'' is no name of a tag"),
        ({"format": "webdataset"}, "--format webdataset is written to a folder of its own: name one by --to DIR"),
        ({"format": "folder", "repo_id": REPO}, "--format folder is written to a folder of its own"),
        ({"format": "folder", "to": "s3://b/x"}, "--format folder is written to a local folder: copy it from there"),
        ({"to": ""}, "--to is empty: name a folder"),
        ({"to": " ", "format": "folder"}, "--to is empty: name a folder"),
    ],
)
def test_parts_that_do_not_go_together(workspace: Workspace, parts: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as error:
        Target(**parts).check(workspace, "redistributable")
    assert words in str(error.value)


@pytest.mark.parametrize(
    "parts", [{}, {"to": "x"}, {"to": "s3://b/x"}, {"to": "x", "format": "folder", "repo_id": REPO, "tag": "v1"}]
)
def test_parts_that_do(workspace: Workspace, parts: dict[str, Any]) -> None:
    Target(**parts).check(workspace, "any")


def test_what_is_for_ones_own_use_is_not_made_public(workspace: Workspace) -> None:
    target = Target(repo_id=REPO, public=True)
    for policy in ("redistributable", "noncommercial"):
        target.check(workspace, policy)
    with pytest.raises(UsageError, match="--public is not for a release with license_policy = any.*give --license-pol"):
        target.check(workspace, "any")


@pytest.mark.parametrize("parts", [{"repo_id": REPO}, {"to": "x", "format": "webdataset"}])
def test_a_release_behind_a_url_goes_to_a_folder_only(parts: dict[str, Any]) -> None:
    remote = Workspace.open("memory://fusionrs-publish", create=True)
    Target(to="x").check(remote, "redistributable")
    with pytest.raises(UsageError, match="memory://fusionrs-publish is no local folder.*build it in one, with -w DIR"):
        Target(**parts).check(remote, "redistributable")


def test_a_copy_in_each_format(release: Path, filled: Workspace, tmp_path: Path) -> None:
    def do(to: str, **parts: Any) -> list[str]:
        return publish.publish(filled, "fusionrs", Target(str(tmp_path / to), **parts), "any", quiet)

    count = len(contents(release))
    assert do("parquet") == [f"{tmp_path}/parquet: {count} files copied, 0 kept, 0 removed"]
    assert do("parquet") == [f"{tmp_path}/parquet: 0 files copied, {count} kept, 0 removed"]
    assert contents(tmp_path / "parquet") == contents(release)
    for kind in ("webdataset", "folder"):
        (line,) = do(kind, format=kind)
        assert line.startswith(f"{tmp_path}/{kind}: 45 rows; ") and not line.endswith(" 0 files written")
    assert publish.publish(filled, "fusionrs", Target(), "any", quiet) == []


def test_a_plan_is_of_the_hub(release: Path, filled: Workspace) -> None:
    assert publish.plan(filled, "fusionrs", Target("somewhere"), is_current=True) == []
    lines = publish.plan(filled, "fusionrs", Target(repo_id=REPO), is_current=True)
    assert lines[0].startswith(f"{REPO}: {len(contents(release))} files, ")
    assert "not asked" in lines[0] and lines[1].startswith("at most ")
    unknown = ["what the Hub would get is known once `fusionrs-build push` has written release/fusionrs"]
    assert publish.plan(filled, "fusionrs", Target(repo_id=REPO), is_current=False) == unknown
    (release / "README.md").unlink()
    assert publish.plan(filled, "fusionrs", Target(repo_id=REPO), is_current=True) == unknown


def test_what_is_withheld_in_a_line() -> None:
    rows = Counter({("dior", "translated"): 1000, ("dior", "measured"): 500, ("aid", "translated"): 2})
    line = publish.told_withheld(rows, "noncommercial")
    assert line.startswith("without pixels, for their licence (noncommercial): aid 2, dior 1,500 records; ")
    assert "[corpora.aid]" in line and "--license-policy any" in line


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    clients.use(monkeypatch, tmp_path / "hub")
    monkeypatch.setattr(calls, "time", SimpleNamespace(sleep=lambda seconds: None))
    with serving() as server:
        for name in ("ENDPOINT", "HUGGINGFACE_CO_URL_TEMPLATE"):
            known = getattr(constants, name)
            monkeypatch.setattr(constants, name, known.replace("https://huggingface.co", server.url))
        monkeypatch.setenv("HF_TOKEN", server.account("ada", orgs=["org"]))
        yield server
    assert clients.STRANGE == []


def test_all_pixels_go_to_a_private_repository_only(server: HubServer, release: Path, filled: Workspace) -> None:
    target = Target(repo_id=REPO)
    (line,) = publish.publish(filled, "fusionrs", target, "any", quiet)
    assert f"/datasets/{REPO} is at " in line and "created the repository, private" in line
    here = server.hub.repositories[REPO]
    assert here.private
    HfApi(endpoint=server.url).update_repo_settings(REPO, repo_type="dataset", private=False)
    push(filled, title="Another")
    before = here.main()
    with pytest.raises(UsageError, match=f"{REPO}, which is public on the Hub, is not for a release with license_pol"):
        publish.publish(filled, "fusionrs", target, "any", quiet)
    assert here.main() == before
    publish.publish(filled, "fusionrs", target, "noncommercial", quiet)
    assert here.main() != before


def test_no_token_is_told(server: HubServer, release: Path, filled: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")
    for policy in ("any", "redistributable"):
        with pytest.raises(FusionError, match="there is no token for the Hub"):
            publish.publish(filled, "fusionrs", Target(repo_id=REPO), policy, quiet)
