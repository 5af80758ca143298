"""What `load_dataset` reads from the Hub is compared with what lies here."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from fusionrs_builder.errors import FusionError
from fusionrs_builder.release.hub import inventory, sample
from tests.hub import clients, releases
from tests.hub.server import HubServer, serving

REPO = "ada/set"


@pytest.fixture(autouse=True)
def _clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    clients.use(monkeypatch, tmp_path / "cache")
    yield
    assert clients.STRANGE == []


@pytest.fixture
def server() -> Iterator[HubServer]:
    with serving() as server:
        yield server


def check(server: HubServer, here: Path, there: Path, config: str) -> None:
    """Upload one release, and check another against it."""
    token = server.account("ada")
    api = HfApi(endpoint=server.url, token=token)
    api.create_repo(REPO, repo_type="dataset", private=True)
    commit = api.upload_folder(folder_path=there, repo_id=REPO, repo_type="dataset").oid
    sample.check(inventory.take(here), config, REPO, commit, token, server.url)


def made(folder: Path, **options: Any) -> Path:
    folder.mkdir()
    return releases.write(folder, **{"seed": 1, **options})


@pytest.mark.parametrize("config", ["default", "text"])
def test_the_same_release_is_the_same(server: HubServer, tmp_path: Path, config: str) -> None:
    release = made(tmp_path / "release")
    check(server, release, release, config)


@pytest.mark.parametrize(
    ("there", "config", "message"),
    [
        ({"splits": {"train": 3, "test": 1}}, "text", "text: `load_dataset` reads other splits"),
        ({"splits": {"train": 4, "validation": 1, "test": 1}}, "default", "default/train: .* other files"),
        ({"rows": 1}, "text", "text/train: .* other first rows"),
        ({"image": 201}, "default", "default/train: .* other first rows"),
    ],
)
def test_other_releases_are_told_apart(
    server: HubServer, tmp_path: Path, there: Mapping[str, Any], config: str, message: str
) -> None:
    with pytest.raises(FusionError, match=message):
        check(server, made(tmp_path / "here"), made(tmp_path / "there", **there), config)


def test_images_are_not_compared_where_there_are_none(server: HubServer, tmp_path: Path) -> None:
    check(server, made(tmp_path / "here"), made(tmp_path / "there", image=201), "text")


def test_nothing_is_left_as_it_was_not(server: HubServer, tmp_path: Path) -> None:
    import datasets.config
    from huggingface_hub import constants

    before = datasets.config.HF_ENDPOINT, constants.ENDPOINT, constants.HUGGINGFACE_CO_URL_TEMPLATE
    release = made(tmp_path / "release")
    check(server, release, release, "text")
    assert before == (datasets.config.HF_ENDPOINT, constants.ENDPOINT, constants.HUGGINGFACE_CO_URL_TEMPLATE)
