"""The unmodified clients against the loopback Hub."""

import hashlib
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from httpx2 import TransportError
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, get_session
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from . import clients
from .server import Faults, HubServer, serving

REPO = "org/set"
DATASET: dict[str, Any] = {"repo_id": REPO, "repo_type": "dataset"}


@pytest.fixture(autouse=True)
def _clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clients.use(monkeypatch, tmp_path / "cache")


@pytest.fixture
def server() -> Iterator[HubServer]:
    with serving() as server:
        yield server


@pytest.fixture
def api(server: HubServer) -> HfApi:
    return made(server)


def made(server: HubServer) -> HfApi:
    """The client of a user who may write, with an empty repository."""
    api = HfApi(endpoint=server.url, token=server.account("ada", orgs=["org"]))
    api.create_repo(REPO, repo_type="dataset", private=True)
    return api


def folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


FILES = {
    "README.md": b"---\nlicense: mit\n---\n# A set\n",
    "empty.txt": b"",
    "data/train-0.parquet": bytes(range(256)) * 40,
    "data/train-1.parquet": b"PAR1" * 99,
    "examples/0.jpg": b"\xff\xd8" * 50,
}


def told(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_folder_goes_up_is_listed_and_verified(server: HubServer, api: HfApi, tmp_path: Path) -> None:
    assert api.whoami()["orgs"][0]["name"] == "org"
    local = folder(tmp_path / "local", FILES)
    info = api.upload_folder(folder_path=local, **DATASET)
    assert server.hub.repositories[REPO].main() == {name: told(data) for name, data in FILES.items()}
    assert server.hub.repositories[REPO].history()[0] == {}
    assert api.dataset_info(REPO).sha == info.oid == api.list_repo_refs(**DATASET).branches[0].target_commit
    assert sorted(api.list_repo_files(**DATASET)) == sorted([*FILES, ".gitattributes"])
    verified = api.verify_repo_checksums(local_dir=local, **DATASET)
    assert (verified.checked_count, verified.mismatches, verified.missing_paths) == (len(FILES), [], [".gitattributes"])
    assert {e.path for e in api.list_repo_tree(**DATASET, recursive=True) if isinstance(e, RepoFile) and e.lfs} == {
        name for name in FILES if name.endswith((".parquet", ".jpg"))
    }
    assert [entry.path for entry in api.list_repo_tree(**DATASET, path_in_repo="data", expand=True)] == [
        "data/train-0.parquet",
        "data/train-1.parquet",
    ]
    assert [commit.title for commit in api.list_repo_commits(**DATASET)][-1] == "initial commit"


def test_what_is_there_is_not_sent_again(server: HubServer, api: HfApi, tmp_path: Path) -> None:
    local = folder(tmp_path, FILES)
    first = api.upload_folder(folder_path=local, **DATASET).oid
    puts = server.asked("PUT /storage")
    assert puts == 3
    assert api.upload_folder(folder_path=local, **DATASET).oid == first
    folder(tmp_path, {"data/again.parquet": FILES["data/train-0.parquet"]})
    api.upload_folder(folder_path=local, **DATASET)
    assert server.asked("PUT /storage") == puts
    assert server.hub.repositories[REPO].main()["data/again.parquet"] == told(FILES["data/train-0.parquet"])


def test_large_files_go_in_parts(tmp_path: Path) -> None:
    with serving(part=1000) as server:
        made(server).upload_folder(folder_path=folder(tmp_path, FILES), **DATASET)
        assert server.hub.repositories[REPO].main() == {name: told(data) for name, data in FILES.items()}
        assert server.asked(r"PUT /storage/.*/upload-\d+/") == -(-len(FILES["data/train-0.parquet"]) // 1000)
        assert server.asked("POST /api/complete_multipart") == 1
        assert server.asked(r"PUT /storage/.*/whole") == 2


def test_large_files_without_a_suffix_of_lfs_are_in_lfs(
    server: HubServer, api: HfApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.hub.repository.LARGE", 1000)
    api.upload_file(path_or_fileobj=b"n" * 1001, path_in_repo="NOTICE", **DATASET)
    repository = server.hub.repositories[REPO]
    file = repository.resolve("main").files["NOTICE"]
    assert file.lfs and repository.data(file) == b"n" * 1001
    assert b"NOTICE filter=lfs" in repository.data(repository.resolve("main").files[".gitattributes"])


def test_a_commit_adds_copies_and_deletes_at_once(server: HubServer, api: HfApi, tmp_path: Path) -> None:
    repository = server.hub.repositories[REPO]
    api.upload_folder(folder_path=folder(tmp_path, FILES), **DATASET)
    api.create_branch(branch="a/b", **DATASET)
    api.upload_file(path_or_fileobj=b"PAR1 new", path_in_repo="data/train-2.parquet", revision="a/b", **DATASET)
    head = api.dataset_info(REPO).sha
    operations: list[Any] = [
        CommitOperationCopy("data/train-2.parquet", "data/copied.parquet", src_revision="a/b"),
        CommitOperationCopy("README.md", "copied.md", src_revision="a/b"),
        CommitOperationAdd("README.md", b"# New"),
        CommitOperationDelete("data/train-0.parquet"),
        CommitOperationDelete("examples/"),
    ]
    api.create_commit(operations=operations, commit_message="all", parent_commit=head, **DATASET)
    assert repository.main() == {
        "README.md": told(b"# New"),
        "copied.md": told(FILES["README.md"]),
        "empty.txt": told(b""),
        "data/train-1.parquet": told(FILES["data/train-1.parquet"]),
        "data/copied.parquet": told(b"PAR1 new"),
    }
    assert repository.history() == [{}, {n: told(d) for n, d in FILES.items()}, repository.main()]
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as caught:
        late = [CommitOperationDelete("copied.md")]
        api.create_commit(operations=late, commit_message="late", parent_commit=head, **DATASET)
    assert caught.value.response.status_code == 412
    with pytest.raises(RemoteEntryNotFoundError):
        api.delete_file("nowhere.txt", **DATASET)
    assert len(repository.shown) == 3
    api.super_squash_history(**DATASET)
    assert len(api.list_repo_commits(**DATASET)) == 1 and repository.history()[-1] == repository.history()[-2]


def test_branches_and_tags(server: HubServer, api: HfApi) -> None:
    api.create_branch(branch="work", **DATASET)
    api.create_branch(branch="work", exist_ok=True, **DATASET)
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_branch(branch="work", **DATASET)
    assert caught.value.response.status_code == 409
    with pytest.raises(RevisionNotFoundError):
        api.create_branch(branch="other", revision="nowhere", **DATASET)
    api.create_tag(tag="v1", revision="work", **DATASET)
    api.create_tag(tag="v1", exist_ok=True, **DATASET)
    refs = api.list_repo_refs(**DATASET)
    assert ([b.name for b in refs.branches], [t.name for t in refs.tags]) == (["main", "work"], ["v1"])
    assert api.dataset_info(REPO, revision="v1").sha == api.dataset_info(REPO, revision="work").sha
    api.delete_branch(branch="work", **DATASET)
    api.delete_tag(tag="v1", **DATASET)
    for revision in ("work", "v1"):
        with pytest.raises(RevisionNotFoundError):
            api.dataset_info(REPO, revision=revision)
    with pytest.raises(HfHubHTTPError):
        api.delete_branch(branch="main", **DATASET)


def test_long_trees_come_in_pages(tmp_path: Path) -> None:
    files = {f"data/{number:03d}.txt": bytes([number]) for number in range(25)}
    with serving(page=10) as server:
        api = made(server)
        api.upload_folder(folder_path=folder(tmp_path, files), **DATASET)
        found = [entry.path for entry in api.list_repo_tree(**DATASET, recursive=True)]
        assert found == [".gitattributes", "data", *files]
        assert server.asked("GET .*/tree/") == 3
        infos = api.get_paths_info(paths=["data/003.txt", "data", "nowhere"], **DATASET)
        assert [info.path for info in infos] == ["data", "data/003.txt"]


def test_files_are_read_whole_and_in_ranges(server: HubServer, api: HfApi, tmp_path: Path) -> None:
    api.upload_folder(folder_path=folder(tmp_path / "local", FILES), **DATASET)
    for name in ("README.md", "data/train-0.parquet"):
        assert Path(api.hf_hub_download(filename=name, **DATASET)).read_bytes() == FILES[name]
        url = f"{server.url}/datasets/{REPO}/resolve/main/{name}"
        headers = {"Authorization": f"Bearer {api.token}"}
        part = get_session().get(url, headers={**headers, "Range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, FILES[name][5:10])
        assert part.headers["Content-Range"] == f"bytes 5-9/{len(FILES[name])}"
        assert get_session().get(url, headers={**headers, "Range": "bytes=99999-"}).status_code == 416
    with api_file(server, api, "data/train-0.parquet") as handle:
        handle.seek(300)
        assert handle.read(10) == FILES["data/train-0.parquet"][300:310]
    with pytest.raises(RemoteEntryNotFoundError):
        api.hf_hub_download(filename="nowhere", **DATASET)


def api_file(server: HubServer, api: HfApi, name: str) -> Any:
    from huggingface_hub import HfFileSystem

    system = HfFileSystem(endpoint=server.url, token=api.token, skip_instance_cache=True)
    return system.open(f"datasets/{REPO}/{name}", block_size=64)


def test_who_may_do_what(server: HubServer, api: HfApi) -> None:
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", **DATASET)
    reader = HfApi(endpoint=server.url, token=server.account("ada", "read", orgs=["org"]))
    stranger = HfApi(endpoint=server.url, token=server.account("eve"))
    nobody = HfApi(endpoint=server.url, token=False)
    assert reader.whoami()["auth"]["accessToken"]["role"] == "read"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        HfApi(endpoint=server.url, token="hf_wrong").whoami()
    for client, status in ((stranger, 404), (nobody, 401)):
        with pytest.raises(RepositoryNotFoundError) as caught:
            client.dataset_info(REPO)
        assert caught.value.response.status_code == status
    with pytest.raises(HfHubHTTPError, match="write token"):
        reader.upload_file(path_or_fileobj=b"y", path_in_repo="y.txt", **DATASET)
    assert reader.dataset_info(REPO).private
    api.update_repo_settings(**DATASET, visibility="public")
    assert not nobody.dataset_info(REPO).private
    with pytest.raises(HfHubHTTPError, match="don't have the rights"):
        stranger.upload_file(path_or_fileobj=b"y", path_in_repo="y.txt", **DATASET)
    with pytest.raises(HfHubHTTPError) as refused:
        stranger.create_repo("org/other", repo_type="dataset")
    assert refused.value.response.status_code == 403
    api.update_repo_settings(**DATASET, gated="auto")
    for client in (stranger, nobody):
        with pytest.raises(GatedRepoError):
            client.hf_hub_download(filename="x.txt", **DATASET)
    assert Path(reader.hf_hub_download(filename="x.txt", **DATASET)).read_bytes() == b"x"


def test_repositories_come_move_and_go(server: HubServer, api: HfApi) -> None:
    api.create_repo(REPO, repo_type="dataset", exist_ok=True)
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_repo(REPO, repo_type="dataset")
    assert caught.value.response.status_code == 409
    api.move_repo(REPO, "org/moved", repo_type="dataset")
    assert not api.repo_exists(REPO, repo_type="dataset") and api.repo_exists("org/moved", repo_type="dataset")
    api.delete_repo("org/moved", repo_type="dataset")
    assert not server.hub.repositories


@pytest.mark.parametrize("fault", ["429", "500", "503", "drop-before", "drop-after", "truncated"])
def test_a_client_outlives_each_fault(server: HubServer, api: HfApi, tmp_path: Path, fault: str) -> None:
    for pattern in ("POST .*/preupload/", "POST .*/objects/batch", "PUT /storage", "GET .*/tree/"):
        server.faults.plan(pattern, fault)
    api.upload_folder(folder_path=folder(tmp_path, FILES), **DATASET)
    assert sorted(api.list_repo_files(**DATASET)) == sorted([*FILES, ".gitattributes"])
    assert [entry.path for entry in api.list_repo_tree(**DATASET)] != []
    assert server.faults.dealt == {fault: 4}
    assert server.hub.repositories[REPO].main() == {name: told(data) for name, data in FILES.items()}


def test_a_commit_whose_answer_is_lost_was_made(server: HubServer, api: HfApi) -> None:
    server.faults.plan("POST .*/commit/main", "drop-after", "drop-before")
    for expected in ({"x.txt": told(b"x")}, {"x.txt": told(b"x")}, {"x.txt": told(b"y")}):
        content = b"x" if not server.hub.repositories[REPO].main() else b"y"
        try:
            api.upload_file(path_or_fileobj=content, path_in_repo="x.txt", **DATASET)
            assert content == b"y" and server.faults.dealt.total() == 2
        except TransportError:
            pass
        assert server.hub.repositories[REPO].main() == expected


def test_faults_fall_by_chance_and_by_seed() -> None:
    drawn = [[Faults(0.3, seed=seed).draw("GET /") for _ in range(3)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    faults = Faults(0.25)
    hits = sum(bool(faults.draw("GET /")) for _ in range(4000))
    assert 900 < hits < 1100 and hits == faults.dealt.total() and set(faults.dealt) == set(faults.kinds)


STREAM = """
import sys
from datasets import load_dataset
stream = load_dataset("org/set", split="train", streaming=True)
whole = load_dataset("org/set", split="train", revision="v1")
rows = list(stream.decode(False))
print([row["id"] for row in rows], whole["id"] == [row["id"] for row in rows], len(rows[0]["image"]["bytes"]))
"""


def test_datasets_streams_and_loads(server: HubServer, api: HfApi, tmp_path: Path) -> None:
    from datasets import Features, Image, Value

    features = Features({"id": Value("string"), "image": Image()})
    rows = [{"id": f"{n}", "image": {"bytes": bytes([n]) * 100, "path": None}} for n in range(5)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=features.arrow_schema), sink)
    api.upload_folder(folder_path=folder(tmp_path, {"data/train-0.parquet": sink.getvalue()}), **DATASET)
    api.create_tag(tag="v1", **DATASET)
    env = clients.environment(server, str(api.token), tmp_path / "home")
    done = subprocess.run([sys.executable, "-c", STREAM], capture_output=True, text=True, env=env, timeout=120)
    assert done.stdout.strip() == "['0', '1', '2', '3', '4'] True 100", done.stderr
    env = clients.environment(server, "hf_wrong", tmp_path / "another home")
    refused = subprocess.run([sys.executable, "-c", STREAM], capture_output=True, text=True, env=env, timeout=120)
    assert refused.returncode == 1 and "Invalid credentials in Authorization header" in refused.stderr
