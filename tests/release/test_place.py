import os
import shutil
import traceback
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import s3fs
from huggingface_hub import HfApi, constants
from moto.server import ThreadedMotoServer

from fusionrs_builder import checked, releases
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import Files
from fusionrs_builder.release import place, sums
from fusionrs_builder.release.hub.push import push_to_hub
from fusionrs_builder.workspace import Workspace
from tests.hub import api, clients, messages
from tests.hub.server import HubServer, serving

from .conftest import lay, push, record, three_corpora

REPO = "org/fusionrs"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace.open(tmp_path_factory.mktemp("made"), create=True)
    lay(workspace, dict(three_corpora()))
    push(workspace)
    return workspace


@pytest.fixture
def folder(made: Workspace, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.path("release/fusionrs"), tmp_path / "released"))


def test_a_release_by_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.chdir(folder.parent)
    for where in (str(folder), f"{folder}/", "released", "./released/", "~/released", f"file://{folder}"):
        found = place.find(where)
        assert found.workspace.path(found.release or "") == str(folder)
    monkeypatch.chdir(folder)
    assert place.find(".").release == place.find("").release == "released"


def test_a_workspace_by_its_folder(made: Workspace, tmp_path: Path) -> None:
    found = place.find(made.url)
    assert (found.workspace.root, found.release, found.releases()) == (made.root, None, ["fusionrs"])
    assert place.find(made.path("release/fusionrs")).release == "fusionrs"
    new = Workspace.open(tmp_path / "new", create=True)
    new.write_bytes("fusionrs.toml", b"")
    for path in ("README.md", "data/mine.csv", "release/begun/data/x"):  # a user's own, and a release cut short
        new.write_bytes(path, b"mine")
    assert place.find(new.url).release is None and place.find(new.url).releases() == []


def test_a_release_without_a_card_is_one_still(folder: Path) -> None:
    (folder / "README.md").unlink()
    assert place.find(str(folder)).release == "released"
    told = f"{folder} has no finished card: it is no release, or one cut short"
    assert releases.check(str(folder)).problems == [told]


def test_what_is_neither(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for where in (tmp_path / "empty", tmp_path / "file", folder / "README.md", folder / "data", folder.parent):
        with pytest.raises(UsageError, match="is neither a release nor a workspace: name the folder that"):
            place.find(str(where))


@pytest.mark.parametrize("where", ["nowhere", "no/where/at all", "../nowhere", "a\0b", "x" * 5000, "/no/where"])
def test_what_is_not_there(where: str) -> None:
    with pytest.raises(FusionError, match="no such folder|cannot be read"):
        place.find(where)


@pytest.mark.parametrize(
    "where", ["memory://no-such-folder", "file:///no/such/folder", "nosuch://folder", "s3:/", "zip://a::/no/such.zip"]
)
def test_urls_of_nothing(where: str) -> None:
    with pytest.raises(FusionError):
        place.find(where)


def test_no_password_is_told() -> None:
    for where in ("nosuch://ada:secret@host/folder", "http://ada:secret@127.0.0.1:9/folder?key=secret"):
        with pytest.raises(FusionError) as caught:
            place.find(where)
        assert "secret" not in str(caught.value) and caught.value.__suppress_context__


@pytest.mark.parametrize("url", ["memory://{}", "memory://a/{}", "memory://a/{}/"])
def test_a_release_behind_a_url(folder: Path, url: str) -> None:
    url = url.format(uuid.uuid4().hex)
    fs, root = fsspec.url_to_fs(url)
    fs.put(str(folder), root, recursive=True)
    found = releases.check(url, every=True)
    assert (found.rows, found.problems) == (45, [])
    fs.rm(f"{root}/NOTICE")
    assert releases.check(url).problems == ["NOTICE is missing"]
    fs.rm(root, recursive=True)


def test_a_workspace_behind_a_url() -> None:
    workspace = Workspace.open(f"memory://{uuid.uuid4().hex}", create=True)
    lay(workspace, {"eurosat-00000": [record("one two")]})
    push(workspace)
    found = releases.check(workspace.url)
    assert (found.rows, found.pictures, found.problems) == (2, 4, [])
    workspace.write_bytes("rgb/eurosat-00000.parquet", b"PAR1")
    assert len(releases.check(workspace.url).problems) == 1
    workspace.fs.rm(workspace.root, recursive=True)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3fs.S3FileSystem]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    s3fs.S3FileSystem.clear_instance_cache()
    fs = s3fs.S3FileSystem()
    fs.mkdir("releases")
    yield fs
    server.stop()


def test_a_release_on_an_object_store(folder: Path, s3: s3fs.S3FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    for where in ("s3://releases", "s3://releases/a/b"):
        s3.put(f"{folder}/", where, recursive=True)
        found = releases.check(where)
        assert (found.rows, found.problems) == (45, [])
        s3.rm(f"{where}/text/test-00000-of-00001.parquet")
        assert releases.check(where).problems == ["text/test-00000-of-00001.parquet is missing"]
    with pytest.raises(FusionError, match="s3://nowhere: no such folder"):
        releases.check("s3://nowhere")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(FusionError, match="s3://releases cannot be read: "):
        releases.check("s3://releases")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    clients.use(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with serving() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield server
    assert clients.STRANGE == []


@pytest.fixture
def token(server: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of one who may read the repository, private, into which the release was pushed."""
    token = server.account("ada", orgs=["org"])
    monkeypatch.setenv("HF_TOKEN", token)
    push_to_hub(folder, REPO, tag="v1", token=token, endpoint=server.url)
    return token


def test_a_private_data_set_of_the_hub(server: HubServer, token: str, folder: Path) -> None:
    for where in (REPO, f"hf://datasets/{REPO}", f"{REPO}@v1", f"{REPO}@main", f"hf://datasets/{REPO}@v1"):
        found = place.find(where)
        assert found.release == f"fusionrs@{server.hub.repositories[REPO].branches['main']}"
    found = releases.check(REPO)
    assert (found.rows, found.pictures, found.problems) == (45, 80, [])
    assert sums.said(place.find(REPO).workspace, str(place.find(REPO).release), "data/test-00000-of-00001.parquet")


def test_revisions_with_slashes(server: HubServer, token: str) -> None:
    HfApi(endpoint=server.url, token=token).create_branch(REPO, branch="try/this", repo_type="dataset")
    assert releases.check(f"{REPO}@try/this").problems == []


def test_a_data_set_is_looked_at_as_it_is_now(server: HubServer, token: str) -> None:
    assert releases.check(REPO).problems == []
    hub = HfApi(endpoint=server.url, token=token)
    hub.delete_file("NOTICE", REPO, repo_type="dataset")
    assert releases.check(REPO).problems == ["NOTICE is missing"]
    assert releases.check(f"{REPO}@v1").problems == []
    path = "text/test-00000-of-00001.parquet"
    hub.upload_file(path_or_fileobj=b"PAR1", path_in_repo=path, repo_id=REPO, repo_type="dataset")
    found = releases.check(REPO).problems
    assert f"{path} is not what SHA256SUMS says: it was changed or damaged" in found


def test_what_has_a_hash_on_the_hub_is_not_fetched_for_it(server: HubServer, token: str, folder: Path) -> None:
    oid = sums.read(Files(str(folder)))["examples/000-rgb.jpg"]
    assert releases.check(REPO).problems == [] and server.asked(f"GET /storage/{oid}") == 0
    assert releases.check(REPO, every=True).problems == [] and server.asked(f"GET /storage/{oid}") > 0


def test_pictures_outside_of_the_sample_are_not_fetched(
    server: HubServer, token: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.open(folder.parent / "large", create=True)
    one = record("one", side=200)
    lay(workspace, {"large-00000": ({**one, "key": f"{number}"} for number in range(300))})
    push(workspace)
    release = Path(workspace.path("release/fusionrs"))
    push_to_hub(release, "org/large", token=token, endpoint=server.url)
    sent: list[int] = []
    cut = api.cut

    def counted(*given: Any) -> messages.Answer:
        answer = cut(*given)
        sent.append(len(answer.body))
        return answer

    monkeypatch.setattr(api, "cut", counted)
    monkeypatch.setattr(checked, "SAMPLE", 1)
    assert releases.check("org/large").problems == []
    size = (release / "data" / "train-00000-of-00001.parquet").stat().st_size
    assert size / 3 < sum(sent) < size / 2, "one row group of three, and the other columns"


def told(where: str, kind: type[FusionError]) -> str:
    with pytest.raises(FusionError) as caught:
        releases.check(where)
    text = str(caught.value)
    shown = "".join(traceback.format_exception(caught.value))
    assert type(caught.value) is kind and "\n" not in text
    assert os.environ.get("HF_TOKEN", "none") not in shown and "words" not in shown
    return text


def test_no_such_repository_and_no_right(server: HubServer, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told_of = "no such folder, and no data set of that name on the Hub that you may see: correct it, or, where it is pr"
    assert told_of in told("org/other", UsageError)
    assert told(f"{REPO}@v2", UsageError) == (
        f"{REPO}@v2: {REPO} has no branch, tag or commit v2 on the Hub: name another"
    )
    monkeypatch.setenv("HF_TOKEN", server.account("eve", "read"))
    assert told_of in told(REPO, UsageError)
    monkeypatch.delenv("HF_TOKEN")
    assert told_of in told(REPO, UsageError)
    monkeypatch.setenv("HF_TOKEN", "hf_unknowntoken")
    assert told(REPO, UsageError).startswith(f"{REPO}: the Hub does not take the token (401): set HF_TOKEN to a token ")
    monkeypatch.setenv("HF_TOKEN", "two\u00a0words")
    told(REPO, FusionError)


def test_a_gated_repository(server: HubServer, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = HfApi(endpoint=server.url, token=token)
    hub.update_repo_settings(REPO, repo_type="dataset", gated="auto", private=False)
    assert releases.check(REPO).problems == []
    monkeypatch.setenv("HF_TOKEN", server.account("eve"))
    assert told(REPO, UsageError) == f"{REPO}: the data set is gated: ask its owner for access on its page on the Hub"


def test_a_public_repository_needs_no_token(server: HubServer, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    HfApi(endpoint=server.url, token=token).update_repo_settings(REPO, repo_type="dataset", private=False)
    monkeypatch.delenv("HF_TOKEN")
    assert releases.check(REPO).problems == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("429", "the server answers 429"),
        ("503", "the server answers 503"),
        ("drop-before", "ReadError"),
        ("truncated", "RemoteProtocolError"),
        ("mute", "ReadTimeout"),
    ],
)
def test_a_hub_in_trouble(
    server: HubServer, token: str, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    monkeypatch.setattr(place, "SILENT_S", 0.2)
    server.faults.plan("GET /api/datasets", fault, times=50)
    text = told(REPO, FusionError)
    assert text.startswith(f"{REPO}: the Hub cannot be reached (") and message in text


def test_no_network(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "the Hub cannot be reached (ConnectError" in told(REPO, FusionError)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert told(REPO, UsageError) == (
        f"{REPO}: no such folder, and HF_HUB_OFFLINE is set, so the Hub is not asked: unset it"
    )


@pytest.mark.parametrize("fault", ["503", "drop-before", "truncated", "429"])
def test_trouble_on_the_way_passes_or_is_listed(
    server: HubServer, token: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults.plan("GET /storage", fault, times=2)
    assert releases.check(REPO).problems == [], "the client tries again"
    for pattern in ("GET /storage", "GET /api/datasets/.*/tree", "GET /api/resolve-cache"):
        server.faults.plan(pattern, fault, times=1000)
        try:
            found = releases.check(REPO).problems
        except FusionError as error:
            found = [str(error)]
        assert "cannot be read: " in found[0], pattern
        assert not any(token in line or "\n" in line for line in found)
        server.faults.planned.clear()
