"""Pushes to a Hub on loopback, with the unmodified client."""

import shutil
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import HfApi, constants

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release.hub import calls, inventory
from fusionrs_builder.release.hub.push import PushedToHub, push_to_hub
from tests.hub import clients, releases
from tests.hub.repository import Repository
from tests.hub.server import HubServer, serving

REPO = "org/fusionrs"
NAMES: dict[str, Any] = {"repo_id": REPO, "repo_type": "dataset"}


@pytest.fixture(autouse=True)
def _clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    clients.use(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(calls, "time", SimpleNamespace(sleep=lambda seconds: None))
    yield
    assert clients.STRANGE == []


@pytest.fixture
def server() -> Iterator[HubServer]:
    with serving() as server:
        yield server


@pytest.fixture
def token(server: HubServer) -> str:
    return server.account("ada", orgs=["org"])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two releases; the new one has other files, fewer, and one that is the same."""
    folder = tmp_path_factory.mktemp("releases")
    for name in ("old", "new"):
        (folder / name).mkdir()
    releases.write(folder / "old", 1)
    releases.write(folder / "new", 2, {"train": 2, "test": 1})
    shutil.copy(folder / "old" / "examples" / "000-rgb.jpg", folder / "new" / "examples")
    return {name: folder / name for name in ("old", "new")}


@pytest.fixture
def old(made: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made["old"], tmp_path / "old"))


@pytest.fixture
def new(made: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made["new"], tmp_path / "new"))


Push = Callable[..., PushedToHub]


@pytest.fixture
def push(server: HubServer, token: str) -> Push:
    def do(folder: Path, repo_id: str = REPO, **options: Any) -> PushedToHub:
        return push_to_hub(folder, repo_id, **{"token": token, "endpoint": server.url, **options})

    return do


@pytest.fixture
def api(server: HubServer, token: str) -> HfApi:
    return HfApi(endpoint=server.url, token=token)


def repository(server: HubServer) -> Repository:
    return server.hub.repositories[REPO]


class Lines(list[str]):
    """What was said; does something at the first line that has a word in it."""

    def __init__(self, word: str = "", do: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.word, self.do = word, do

    def __call__(self, line: str) -> None:
        self.append(line)
        if self.word and self.word in line:
            self.word = ""
            self.do()


def writes(server: HubServer, start: int) -> list[str]:
    return [line for line in server.requests[start:] if not line.startswith(("GET", "HEAD"))]


def test_a_first_push_makes_a_private_repository(server: HubServer, push: Push, old: Path) -> None:
    said = Lines()
    pushed = push(old, tag="v1", say=said)
    here = repository(server)
    assert here.private
    assert here.history() == [{}, releases.contents(old)]
    assert here.branches == {"main": pushed.commit} and here.tags == {"v1": pushed.commit}
    assert pushed.url == f"{server.url}/datasets/{REPO}"
    size = sum(path.stat().st_size for path in old.rglob("*") if path.is_file())
    assert (pushed.tag, pushed.files, pushed.size) == ("v1", len(releases.contents(old)), size)
    branch = f"staging-{releases.mark(1)[:12]}"
    assert pushed.did == (
        "created the repository, private",
        f"uploaded {pushed.files} files",
        "published",
        "tagged v1",
        f"removed the branch {branch}",
    )
    assert [line for line in said if line.startswith("reading a sample")] == [
        "reading a sample of default",
        "reading a sample of text",
    ]


def test_a_second_push_has_nothing_to_do(server: HubServer, push: Push, old: Path) -> None:
    commit = push(old, tag="v1").commit
    start, shown, said = len(server.requests), list(repository(server).shown), Lines()
    pushed = push(old, tag="v1", say=said)
    assert (pushed.did, pushed.commit) == ((), commit)
    assert said[-1].endswith("nothing to do")
    assert writes(server, start) == []
    assert repository(server).shown == shown


def test_a_new_release_takes_the_place_of_the_old(
    server: HubServer, push: Push, api: HfApi, old: Path, new: Path
) -> None:
    push(old, tag="v1")
    mine = {"mine.txt": b"mine", "data/mine.parquet": b"mine"}
    for path, data in mine.items():
        api.upload_file(path_or_fileobj=data, path_in_repo=path, **NAMES)
    here, said = repository(server), Lines()
    kept = {path: here.main()[path] for path in mine}
    puts = server.asked("PUT /storage")
    push(new, tag="v2", say=said)
    assert here.main() == releases.contents(new) | kept
    assert here.history()[-2] == releases.contents(old) | kept
    assert here.commits[here.tags["v1"]].contents() == releases.contents(old)
    assert here.tags["v2"] == here.branches["main"]
    assert "data/mine.parquet, mine.txt on main: not of a release, kept as it is" in said
    changed = set(releases.contents(new).values()) - set(releases.contents(old).values())
    assert server.asked("PUT /storage") - puts == len(changed) - 4, "each large file once, and none the Hub has"


def test_small_parts_and_pages(made: dict[str, Path]) -> None:
    with serving(page=3, part=700) as server:
        token = server.account("ada")
        for name in ("old", "new"):
            push_to_hub(made[name], "ada/set", token=token, endpoint=server.url)
        here = server.hub.repositories["ada/set"]
        assert here.history() == [{}, releases.contents(made["old"]), releases.contents(made["new"])]
        assert server.asked("complete_multipart") > 5


class Stopped(BaseException):
    """The end of a process, as far as one can have it without one."""


STEPS = (
    "reading ",
    "pushing",
    "uploading",
    "uploaded",
    "sample of default",
    "sample of text",
    "published",
    "tagged",
    "removed",
)


@pytest.mark.parametrize("step", STEPS)
def test_a_push_that_is_stopped_at_any_step_goes_on(
    server: HubServer, push: Push, old: Path, new: Path, step: str
) -> None:
    def stop() -> None:
        raise Stopped

    push(old)
    here, uploads = repository(server), server.asked("PUT /storage")
    allowed = [{}, releases.contents(old), releases.contents(new)]
    with pytest.raises(Stopped):
        push(new, tag="v2", public=True, say=Lines(step, stop))
    assert here.history() == allowed[: 2 + (step in STEPS[-3:])]
    push(new, tag="v2", public=True)
    assert here.history() == allowed
    assert set(here.branches) == {"main"} and here.tags == {"v2": here.branches["main"]} and not here.private
    large = [path for path in releases.contents(new) if path.endswith(".parquet")]
    assert server.asked("PUT /storage") - uploads == len(large) + 1, "nothing is sent twice"


REQUESTS = (
    "GET /api/whoami-v2",
    "POST /api/repos/create",
    "GET .*/refs",
    "POST .*/branch/staging-",
    "POST /api/validate-yaml",
    "POST .*/preupload/staging-",
    "POST .*/objects/batch",
    "PUT /storage/",
    "POST .*/objects/verify",
    "POST .*/commit/staging-",
    "GET .*/tree/",
    "GET /storage/",
    "GET .*/revision/",
    "POST .*/paths-info/",
    "POST .*/commit/main",
    "POST .*/tag/",
    "DELETE .*/branch/",
    "PUT .*/settings",
)


@pytest.mark.parametrize("fault", ["429", "503", "drop-before", "drop-after", "truncated"])
def test_faults_that_pass_are_outlived(server: HubServer, push: Push, made: dict[str, Path], fault: str) -> None:
    for pattern in REQUESTS:
        server.faults.plan(pattern, fault)
    pushed = push(made["old"], tag="v1", public=True)
    assert server.faults.dealt == {fault: len(REQUESTS)}
    here = repository(server)
    assert here.history() == [{}, releases.contents(made["old"])]
    assert here.tags == {"v1": pushed.commit} and set(here.branches) == {"main"} and not here.private


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("429", "could not publish .the Hub answered 429.*too many requests; wait 5 minutes"),
        ("503", "could not publish .the Hub answered 503.*the Hub is in trouble"),
        ("drop-before", "could not publish .*mend the network"),
        ("mute", "could not publish .no answer within 0 s.: mend the network"),
    ],
)
def test_faults_that_last_are_told(
    server: HubServer, push: Push, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    push(old)
    monkeypatch.setattr(calls, "SILENT_S", 0.2)
    monkeypatch.setattr(calls, "PAUSES_S", (0.0, 0.0))
    server.faults.plan("POST .*/commit/main", fault, times=3)
    said = Lines()
    with pytest.raises(FusionError, match=message) as caught:
        push(new, say=said)
    assert "run the same command again; it goes on where it stopped" in str(caught.value)
    assert sum(line.startswith("could not publish") for line in said) == 2
    assert repository(server).main() == releases.contents(old)
    uploads = server.asked("PUT /storage")
    assert push(new).did[0] == "published" and server.asked("PUT /storage") == uploads
    assert repository(server).history() == [{}, releases.contents(old), releases.contents(new)]


def test_the_hub_is_given_the_time_it_asks_for(
    server: HubServer, push: Push, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(calls, "time", SimpleNamespace(sleep=slept.append))
    monkeypatch.setitem(server.limited, "RateLimit", '"api";r=0;t=54')
    server.faults.plan("GET /api/whoami-v2", "429")
    push(old)
    assert slept == [55.0]


def no_request(server: HubServer) -> None:
    assert server.requests == []


@pytest.mark.parametrize(
    "name",
    ["fusionrs", "my org/set", "org/my set", "org/se\nt", "org//set", "/set", "org/", "a/b/c", "org/.set", "org/a--b"],
)
def test_names_that_no_repository_has(server: HubServer, push: Push, old: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--repo-id"):
        push(old, name)
    assert server.requests == []


@pytest.mark.parametrize("tag", ["", "v 1", "-v1", "a..b", "v1.lock", "v1.", "a/b", "é"])
def test_names_that_no_tag_has(server: HubServer, push: Push, old: Path, tag: str) -> None:
    with pytest.raises(UsageError, match="--tag"):
        push(old, tag=tag)
    assert server.requests == []


def test_tokens(server: HubServer, push: Push, old: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    read, eve = server.account("ada", "read", orgs=["org"]), server.account("eve")
    for token, message in (
        (None, "there is no token for the Hub: make one that may write"),
        ("two words", "holds spaces or other strange characters"),
        ("hf_unknown", "could not ask whose the token is .the Hub answered 401.*the Hub does not know the token"),
        (read, "the token of ada may only read: make one that may write"),
        (eve, "could not create the repository .the Hub answered 403.*make a token that may write to org"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            push(old, token=token)
        told = "".join(traceback.format_exception(caught.value))
        assert token is None or token not in told.replace("may only read", "").replace("two words", "two words"[:0])
    assert server.hub.repositories == {}
    monkeypatch.setenv("HF_TOKEN", server.account("ada", orgs=["org"]))
    push(old, token=None)


def test_the_token_is_in_no_message(
    server: HubServer,
    push: Push,
    token: str,
    old: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from tests.hub.repository import RefusedError

    def leak(*_: Any) -> None:
        raise RefusedError(500, f"no such thing: Bearer {token}, nor hf_anothersecret")

    monkeypatch.setattr(server.hub, "account", leak)
    said = Lines()
    with pytest.raises(FusionError, match="nor <token>") as caught:
        push(old, say=said)
    shown = "".join(traceback.format_exception(caught.value)) + "\n".join(said) + "".join(capfd.readouterr())
    assert token not in shown and "anothersecret" not in shown
    assert "Bearer <token>" in said[1]


def test_offline(push: Push, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set"):
        push(old)


def test_gated_repositories_of_others(server: HubServer, push: Push, api: HfApi, old: Path, new: Path) -> None:
    push(old, public=True)
    api.update_repo_settings(gated="auto", **NAMES)
    with pytest.raises(UsageError, match="could not read README.md .*gated"):
        push(new, token=server.account("eve"))
    assert repository(server).main() == releases.contents(old)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"README.md": b"# My own data\n"}, "holds something that is not a release .README.md"),
        ({"README.md": b"---\nlicense: mit\n---\nMine\n"}, "holds something that is not a release"),
        ({"README.md": b"---\nlicense: mit\n---\n", "data.csv": b"a,b"}, "holds something that is not a release"),
        ({"data/train-00000-of-00001.parquet": b"PAR1"}, "holds something that is not a release"),
        (
            {"fusionrs.py": b"import datasets", "README.md": releases.card(1, ["train"]).encode()},
            "holds fusionrs.py, and",
        ),
        ({"README.md": b"---\nlicense: mit\n---\n\n"}, ""),
        ({"README.md": releases.card(7, ["train"]).encode()}, ""),
    ],
)
def test_repositories_that_hold_something(
    server: HubServer, push: Push, api: HfApi, old: Path, files: dict[str, bytes], message: str
) -> None:
    api.create_repo(REPO, repo_type="dataset", private=False)
    for path, data in files.items():
        api.upload_file(path_or_fileobj=data, path_in_repo=path, **NAMES)
    start, before = len(server.requests), repository(server).main()
    if message:
        with pytest.raises(UsageError, match=message):
            push(old)
        assert writes(server, start) == [] and repository(server).main() == before
    else:
        push(old)
        assert repository(server).main() == releases.contents(old)
        assert not repository(server).private, "a repository that exists stays as it is"


def test_somebody_else_changes_main(server: HubServer, push: Push, api: HfApi, old: Path, new: Path) -> None:
    push(old)

    def change() -> None:
        api.upload_file(path_or_fileobj=b"theirs", path_in_repo="theirs.txt", **NAMES)

    with pytest.raises(FusionError, match="somebody changed main during the push, so this release was not published"):
        push(new, say=Lines("reading a sample", change))
    here = repository(server)
    assert "theirs.txt" in here.main() and here.main().items() >= releases.contents(old).items()
    push(new)
    assert here.main().items() >= releases.contents(new).items() and "theirs.txt" in here.main()


def test_somebody_else_is_faster_by_a_hair(
    server: HubServer, push: Push, api: HfApi, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(old)
    read = inventory.Inventory.read

    def late(self: inventory.Inventory, path: str) -> bytes:
        if path == "README.md":
            api.upload_file(path_or_fileobj=b"theirs", path_in_repo="theirs.txt", **NAMES)
        return read(self, path)

    monkeypatch.setattr(inventory.Inventory, "read", late)
    with pytest.raises(FusionError, match="somebody changed main"):
        push(new)
    assert server.asked("POST .*/commit/main") == 3, "the Hub refused it by its parent"
    assert repository(server).main().items() >= releases.contents(old).items()


def test_the_same_release_comes_from_two_machines(
    server: HubServer, push: Push, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(old)
    read = inventory.Inventory.read
    other: list[str] = []

    def late(self: inventory.Inventory, path: str) -> bytes:
        if not other:
            other.append("begun")
            other.extend(push(new).did)
        return read(self, path)

    monkeypatch.setattr(inventory.Inventory, "read", late)
    pushed = push(new)
    assert "published" in pushed.did and "published" in other
    here = repository(server)
    assert here.history() == [{}, releases.contents(old), releases.contents(new)]
    assert here.branches == {"main": pushed.commit}


def test_a_commit_whose_answer_is_lost_is_not_made_again(server: HubServer, push: Push, old: Path, new: Path) -> None:
    push(old)
    commits = server.asked("POST .*/commit/main")
    server.faults.plan("POST .*/commit/main", "drop-after")
    pushed = push(new)
    assert server.asked("POST .*/commit/main") == commits + 1
    assert repository(server).history() == [{}, releases.contents(old), releases.contents(new)]
    assert repository(server).branches == {"main": pushed.commit}


@pytest.mark.parametrize("word", ["uploading", "reading a sample of default", "reading a sample of text"])
@pytest.mark.parametrize("change", ["append", "same size", "remove", "add"])
def test_a_folder_that_changes_is_not_published(
    server: HubServer, push: Push, old: Path, new: Path, word: str, change: str
) -> None:
    push(old)
    path = new / "text" / "test-00000-of-00001.parquet"

    def alter() -> None:
        data = path.read_bytes()
        if change == "append":
            path.write_bytes(data + b"more")
        elif change == "same size":
            path.write_bytes(data[:-5] + b"x" + data[-4:])
        elif change == "remove":
            path.unlink()
        else:
            (new / "examples" / "009-ir.jpg").write_bytes(b"more")

    with pytest.raises(FusionError, match="changed during the push"):
        push(new, say=Lines(word, alter))
    assert repository(server).history() == [{}, releases.contents(old)]


def test_a_file_that_is_only_touched_is_published(server: HubServer, push: Push, new: Path) -> None:
    path = new / "data" / "test-00000-of-00001.parquet"
    push(new, say=Lines("reading a sample", path.touch))
    assert repository(server).main() == releases.contents(new)


def test_what_is_not_of_a_release_stays_here(server: HubServer, push: Push, new: Path) -> None:
    expected = releases.contents(new)
    for name in ("fusionrs.py", "data/.tmp-1", ".hidden/file", "my [notes]*.txt", "data/mine.parquet", "data/more.py"):
        (new / name).parent.mkdir(exist_ok=True)
        (new / name).write_text("import this")
    said = Lines()
    push(new, say=said)
    assert repository(server).main() == expected
    assert "left out data/mine.parquet, data/more.py, fusionrs.py and 1 more: not of a release" in said
    assert push(new).did == ()


def test_what_was_uploaded_is_not_sent_again(server: HubServer, push: Push, new: Path) -> None:
    server.faults.plan("PUT /storage/", "", "", "", *["503"] * 1000)
    with pytest.raises(FusionError, match="could not upload .*run the same command again"):
        push(new)
    assert repository(server).history() == [{}]
    server.faults.planned.clear()
    large = {sha256 for path, sha256 in releases.contents(new).items() if path.endswith((".parquet", ".jpg"))}
    there = large & set(server.hub.blobs)
    assert len(there) == 3
    start = len(server.requests)
    push(new)
    sent = [line.split("/")[2] for line in server.requests[start:] if line.startswith("PUT /storage/")]
    assert sorted(sent) == sorted(large - there)
    assert repository(server).history() == [{}, releases.contents(new)]


def test_a_branch_that_holds_other_bytes_is_not_published(
    server: HubServer, push: Push, api: HfApi, old: Path, new: Path
) -> None:
    push(old)
    branch = f"staging-{releases.mark(2)[:12]}"
    wrong = [{"key": "file", "value": {"path": "NOTICE", "content": "AAAA"}}]
    uploaded = Lines("uploaded", lambda: repository(server).commit(branch, wrong))
    with pytest.raises(FusionError, match=f"the branch {branch} holds NOTICE otherwise than it was sent"):
        push(new, say=uploaded)
    assert repository(server).main() == releases.contents(old)
    assert push(new).did[0] == "uploaded 1 files"
    assert repository(server).history() == [{}, releases.contents(old), releases.contents(new)]


def test_branches_of_other_pushes_are_told_of(server: HubServer, push: Push, api: HfApi, old: Path) -> None:
    api.create_repo(REPO, repo_type="dataset")
    api.create_branch(branch="staging-0123456789ab", **NAMES)
    said = Lines()
    push(old, say=said)
    assert said[-1] == "left by pushes that did not end: the branches staging-0123456789ab"
    assert set(repository(server).branches) == {"main", "staging-0123456789ab"}


def test_tags_are_never_moved(server: HubServer, push: Push, api: HfApi, old: Path, new: Path) -> None:
    push(old, tag="v1")
    start = len(server.requests)
    with pytest.raises(UsageError, match="has a tag v1 that names something else: choose another --tag"):
        push(new, tag="v1")
    assert writes(server, start) == []
    push(new, tag="v2")
    assert push(new, tag="v3").did == ("tagged v3",)
    push(new, say=Lines("main of", lambda: api.create_tag(tag="v4", revision="v1", **NAMES)))
    with pytest.raises(UsageError, match="tag v5 that names something else"):
        push(new, tag="v5", say=Lines("main of", lambda: api.create_tag(tag="v5", revision="v1", **NAMES)))
    here = repository(server)
    assert (
        here.commits[here.tags["v1"]].contents() == here.commits[here.tags["v5"]].contents() == releases.contents(old)
    )


def test_public_comes_last(server: HubServer, push: Push, old: Path, new: Path) -> None:
    push(old)
    seen: list[bool] = []
    push(new, public=True, say=Lines("published", lambda: seen.append(repository(server).private)))
    assert seen == [True] and not repository(server).private
    assert push(new, public=True).did == () and push(new).did == ()
    assert not repository(server).private


def test_a_release_that_datasets_cannot_read_is_not_published(
    server: HubServer, push: Push, old: Path, new: Path
) -> None:
    push(old)
    for path in new.glob("text/train-*"):
        path.write_bytes(b"PAR1 no more PAR1")
    with pytest.raises(FusionError, match="could not read a sample of text"):
        push(new)
    assert repository(server).history() == [{}, releases.contents(old)]


def test_the_exporters_own_release(server: HubServer, push: Push, release: Path) -> None:
    push(release, tag="v1")
    assert repository(server).history() == [{}, releases.contents(release)]


def anonymous(server: HubServer, revision: str) -> list[str]:
    return HfApi(endpoint=server.url, token=False).list_repo_files(REPO, repo_type="dataset", revision=revision)


def test_a_past_with_more_pixels_is_not_opened(server: HubServer, push: Push, new: Path, tmp_path: Path) -> None:
    """Whoever may read main may read its past."""
    (tmp_path / "all").mkdir()
    before = push(releases.write(tmp_path / "all", 7, policy="any"), tag="mine")
    with pytest.raises(UsageError, match=f"commit {before.commit[:12]} holds a release with the policy `any`"):
        push(new, public=True)
    assert repository(server).private
    assert repository(server).history()[-1] == releases.contents(tmp_path / "all")
    push(new)
    with pytest.raises(UsageError, match="not opened"):
        push(new, public=True)
    with pytest.raises(Exception, match="40[14]"):
        anonymous(server, before.commit)


def test_branches_left_behind_are_not_opened(server: HubServer, push: Push, new: Path, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    left = releases.write(tmp_path / "all", 7, policy="any")

    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        push(left, say=Lines("reading a sample", die))
    assert any(name.startswith("staging-") for name in repository(server).branches)
    pushed = push(new, public=True)
    assert not repository(server).private
    assert repository(server).branches == {"main": pushed.commit}
    assert set(anonymous(server, "main")) >= set(releases.contents(new))
