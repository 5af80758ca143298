"""A push is told of before it is made."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from fusionrs_builder.errors import UsageError
from fusionrs_builder.release.hub import calls
from fusionrs_builder.release.hub import plan as push_plan
from fusionrs_builder.release.hub.plan import plan_push
from fusionrs_builder.release.hub.push import push_to_hub
from tests.hub import clients, releases
from tests.hub.server import HubServer, serving

REPO = "org/fusionrs"


@pytest.fixture(autouse=True)
def _clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clients.use(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(calls, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))


@pytest.fixture
def server() -> Iterator[HubServer]:
    with serving() as server:
        yield server


@pytest.fixture
def release(tmp_path: Path) -> Path:
    (tmp_path / "release").mkdir()
    return releases.write(tmp_path / "release", 1)


def test_without_a_token_nobody_is_asked(server: HubServer, release: Path) -> None:
    plan = plan_push(release, REPO, endpoint=server.url)
    names = list(releases.contents(release))
    large = [name for name in names if name.endswith((".parquet", ".jpg"))]
    assert (plan.files, plan.large, plan.regular) == (len(names), len(large), len(names) - len(large))
    assert plan.size == sum((release / name).stat().st_size for name in names)
    assert plan.seconds == plan.size / push_plan.UPLOAD_BYTES_S
    assert plan.sent is None and plan.notes == () and server.requests == []


def test_the_plan_is_what_is_done(server: HubServer, release: Path) -> None:
    token = server.account("ada", orgs=["org"])
    before = plan_push(release, REPO, token=token, endpoint=server.url)
    assert before.sent == 0 and server.hub.repositories == {}
    start = len(server.requests)
    push_to_hub(release, REPO, token=token, endpoint=server.url, tag="v1")
    made = [line for line in server.requests[start:] if "/api/" in line and "resolve" not in line]
    assert len(made) <= before.requests <= 1.5 * len(made)
    commits = sum("/commit/" in line for line in made)
    assert commits <= before.commits <= commits + 1
    large = [line for line in server.requests[start:] if line.startswith("PUT /storage/")]
    assert len(large) == before.large
    after = plan_push(release, REPO, token=token, endpoint=server.url)
    assert (after.sent, after.commits, after.seconds) == (before.files, 0, 0.0)


def test_what_a_killed_push_left_is_counted(server: HubServer, release: Path) -> None:
    class Stopped(BaseException):
        pass

    def say(line: str) -> None:
        if line.startswith("reading a sample"):
            raise Stopped

    token = server.account("ada", orgs=["org"])
    with pytest.raises(Stopped):
        push_to_hub(release, REPO, token=token, endpoint=server.url, say=say)
    start = len(server.requests)
    assert plan_push(release, REPO, token=token, endpoint=server.url).sent == len(releases.contents(release))
    assert all(line.startswith("GET ") for line in server.requests[start:])


def test_a_hub_that_cannot_be_asked_is_no_error(server: HubServer, release: Path) -> None:
    plan = plan_push(release, REPO, token="hf_unknown", endpoint=server.url)
    assert plan.sent is None and plan.files == len(releases.contents(release))
    assert len(plan.notes) == 1 and "the Hub was not asked what it has" in plan.notes[0]
    assert "hf_unknown" not in plan.notes[0]


def test_wrong_calls_are_refused(release: Path, tmp_path: Path) -> None:
    for folder, repo_id, tag in ((tmp_path / "none", REPO, None), (release, "no name", None), (release, REPO, "a b")):
        with pytest.raises(UsageError):
            plan_push(folder, repo_id, tag=tag)


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("FOLDER_FILES", 4, "data/ holds 5 files, the Hub takes 4 a folder: raise push.file_mb"),
        ("REPOSITORY_FILES", 10, "17 files, the Hub recommends 10: raise push.file_mb"),
        (
            "COMMIT_FILES",
            15,
            "17 files in the one commit that publishes them may take the Hub more than its 60 seconds",
        ),
        ("PRIVATE_BYTES", 1000, "GB, and a repository begins private: a free account has"),
    ],
)
def test_limits_that_are_passed_are_noted(
    release: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, message: str
) -> None:
    monkeypatch.setattr(push_plan, limit, value)
    assert any(message in note for note in plan_push(release, REPO).notes)


def test_many_requests_take_longer_than_few_bytes(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_plan, "WINDOW_REQUESTS", 10)
    plan = plan_push(release, REPO)
    assert plan.seconds == (plan.requests - 10) / 10 * 300


def test_large_files_of_any_name_go_to_lfs(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan_push(release, REPO)
    monkeypatch.setattr(push_plan, "REGULAR_BYTES", 10)
    assert plan_push(release, REPO).large == before.files == before.large + before.regular
    monkeypatch.setattr(push_plan, "FILE_BYTES", 500)
    assert any("has 0 GB, the Hub recommends 0" in note for note in plan_push(release, REPO).notes)
