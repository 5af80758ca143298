"""Files of Hub repositories at a pinned revision, as addresses on the web that `http.py` fetches like any other."""

import fnmatch
import os
import posixpath
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import httpx2

from fusionrs_builder.corpora.address import Address
from fusionrs_builder.corpora.check import HUB
from fusionrs_builder.corpora.remote import words
from fusionrs_builder.errors import FusionError, UsageError

Listing = list[tuple[str, int | None, str]]
"""Path, size and sha256 (of the large ones) of the files that match."""


def endpoint() -> str:
    """Address of the Hub."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def is_pattern(url: str) -> bool:
    return url.startswith("hf://") and "*" in url


def resolved(url: str) -> str:
    """The address on the web of one file of a repository; any other address as it is.

    Raises:
        UsageError: it names no repository, or no revision that stays the same.
    """
    if not url.startswith("hf://"):
        return url
    from huggingface_hub import hf_hub_url

    kind, repository, revision, path = _parts(url)
    return hf_hub_url(repository, path, repo_type=kind, revision=revision, endpoint=endpoint())


def listed(url: str) -> Listing:
    """The files of a repository that match a pattern, by path.

    Raises:
        UsageError: as `resolved`.
        FusionError: they cannot be listed, or there is none.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    kind, repository, revision, pattern = _parts(url)
    api = huggingface_hub.HfApi(endpoint=endpoint())
    folder = _fixed(pattern)
    try:
        tree = api.list_repo_tree(repository, folder or None, recursive=True, revision=revision, repo_type=kind)
        found = [
            (file.path, file.size, file.lfs.sha256 if file.lfs else "")
            for file in tree
            if isinstance(file, huggingface_hub.RepoFile) and fnmatch.fnmatchcase(file.path, pattern)
        ]
    except OfflineModeIsEnabled:
        raise UsageError(f"{url} cannot be listed: HF_HUB_OFFLINE is set; unset it") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        fix = login(endpoint() + "/") if status in (401, 403) else "correct the address, or try again later"
        raise FusionError(f"{url} cannot be listed: status {status}; {fix}") from None
    except (httpx2.HTTPError, OSError) as error:
        raise FusionError(f"{url} cannot be listed: {words(error)}; try again later") from None
    if not found:
        raise FusionError(f"{url}: {repository} has no such file at that revision; correct the address")
    return sorted(found)


def expanded(address: Address, files: Listing) -> list[Address]:
    """An address for each file that its pattern matches; they keep the folders below the fixed part of the pattern."""
    prefix, _, pattern = address.url.partition("@")
    revision, _, path = pattern.partition("/")
    folder = _fixed(unquote(path))
    return [
        address.model_copy(
            update={
                "url": f"{prefix}@{revision}/{_quoted(name)}",
                "to": posixpath.join(address.to, name.removeprefix(folder).lstrip("/")),
                "bytes": size,
                "sha256": sha256,
            }
        )
        for name, size, sha256 in files
    ]


def headers(url: str) -> dict[str, str]:
    """The user's token for the Hub; nothing for any other host, and none follows a redirect to one."""
    if not url.startswith(endpoint() + "/"):
        return {}
    from huggingface_hub.utils._headers import build_hf_headers

    return dict(build_hf_headers(library_name="fusionrs-builder"))


def login(url: str) -> str:
    """What to do where the Hub refuses; empty for any other host."""
    if not url.startswith(endpoint() + "/"):
        return ""
    return "Accept its terms on the Hub, and give a token that may read it (`hf auth login`, or HF_TOKEN)"


def sha256_in(answers: Sequence[httpx2.Response]) -> str:
    """The hash the Hub gives of a large file while it sends on to where that lies."""
    for answer in answers:
        if str(answer.url).startswith(endpoint() + "/"):
            etag = answer.headers.get("x-linked-etag", "").strip('"')
            if re.fullmatch("[0-9a-f]{64}", etag):
                return str(etag)
    return ""


def _parts(url: str) -> tuple[str, str, str, str]:
    """Kind, repository, revision and path."""
    match: Any = HUB.fullmatch(url)
    if match is None:
        raise UsageError(
            f"{url}: write hf://datasets/ORG/NAME@REVISION/PATH, with the 40 digits of a commit as the revision, which "
            "the history of the repository shows"
        )
    if not re.fullmatch("[0-9a-f]{40}", match["revision"]):
        raise UsageError(
            f"{url}: {match['revision']} can come to mean other files; pin the 40 digits of a commit, which the "
            "history of the repository shows"
        )
    return (match["type"] or "models").removesuffix("s"), match["repo"], match["revision"], unquote(match["path"])


def _fixed(pattern: str) -> str:
    """The folders of a path before its first `*`."""
    return pattern.partition("*")[0].rpartition("/")[0]


def _quoted(path: str) -> str:
    """A path as an address holds it: what would end or change it is written in percent."""
    return path.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
