"""What a push to the Hub would send, and whether it keeps within the Hub's limits: told before anything is sent."""

from collections import Counter
from collections.abc import Sequence
from math import ceil
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fusionrs_builder.errors import FusionError
from fusionrs_builder.release.hub import calls, inventory
from fusionrs_builder.release.hub import push as hub
from fusionrs_builder.release.hub.inventory import Inventory
from fusionrs_builder.release.hub.remote import Remote

LFS_SUFFIXES = (".jpg", ".parquet", ".png")
"""Of the files of a release, those that the Hub keeps in LFS whatever their size (.gitattributes of a new data set)."""

REGULAR_BYTES = 10_000_000
"""Larger files are kept in LFS whatever their name."""

WINDOW_REQUESTS = 1000
"""Requests in 5 minutes of a free account to the Hub's API (huggingface.co/docs/hub/rate-limits, September 2025; PRO
2,500, Team 3,000). Uploads of large files go to the storage and do not count."""

FOLDER_FILES = 10_000
"""Most files a folder (huggingface.co/docs/hub/storage-limits)."""

REPOSITORY_FILES = 100_000
"""Files a repository, recommended (there)."""

FILE_BYTES = 200_000_000_000
"""Largest file recommended (there); none may pass 500 GB."""

COMMIT_FILES = 1000
"""Files that one commit is known to take within the Hub's 60 seconds: what the client's own uploads go up to. The Hub
recommends 100 for commits that upload (there); the commit that publishes only copies, but all files in one."""

PRIVATE_BYTES = 100_000_000_000
"""Private storage of a free account (there). A repository begins private."""

BATCH_FILES = 250
"""Files a commit, and a request for where to send them, that the client begins with."""

PAGE_FILES = 1000
"""Files a page of a listing."""

FIXED_REQUESTS = 25
"""Requests of a push whatever its size, counted on small releases with two configs."""

UPLOAD_BYTES_S = 12_500_000
"""Assumed: 100 Mbit a second."""


class PushPlan(NamedTuple):
    """What a push would do.

    Attributes:
        files: of the release.
        size: of them, bytes.
        large: files for LFS.
        regular: all others.
        commits: at most, the one on main counted.
        requests: to the Hub's API, about.
        seconds: about: sending at 100 Mbit/s, or the requests at a free account's rate if that takes longer.
        sent: files that the Hub has already, on main or on the branch of a push that was cut short; None: not asked.
        notes: limits that are passed, and why the Hub was not asked.
    """

    files: int
    size: int
    large: int
    regular: int
    commits: int
    requests: int
    seconds: float
    sent: int | None
    notes: tuple[str, ...]


def plan_push(
    folder: Path, repo_id: str, *, tag: str | None = None, token: str | None = None, endpoint: str | None = None
) -> PushPlan:
    """Look at a finished release, and at the repository if a token is at hand. Nothing is changed anywhere.

    Args:
        folder: of the release.
        repo_id: `ORG/NAME`.
        tag: to be given.
        token: of the Hub; by default that of HF_TOKEN or of `hf auth login`.
        endpoint: of the Hub; by default that of HF_ENDPOINT.

    Raises:
        UsageError: the folder is no release, or the name or tag is wrong.
        FusionError: files of the release are missing.
    """
    from huggingface_hub import constants, get_token

    hub.check_names(repo_id, tag)
    local = inventory.take(Path(folder))
    notes = _limits(local)
    to_send: Sequence[str] = list(local.files)
    sent = None
    if token or get_token():
        try:
            with calls.impatient():
                remote = Remote(repo_id, hub.token_of(token), endpoint or constants.ENDPOINT, hub.quiet)
                to_send = _to_send(local, remote)
            sent = len(local.files) - len(to_send)
        except FusionError as error:
            notes.append(f"the Hub was not asked what it has: {error}")
    large = sum(_is_large(path, local.files[path].size) for path in local.files)
    requests = FIXED_REQUESTS + 4 * ceil(len(local.files) / BATCH_FILES) + 7 * ceil(len(local.files) / PAGE_FILES)
    seconds = max(
        sum(local.files[path].size for path in to_send) / UPLOAD_BYTES_S,
        (requests - WINDOW_REQUESTS) / WINDOW_REQUESTS * calls.WINDOW_S,
    )
    return PushPlan(
        files=len(local.files),
        size=local.size,
        large=large,
        regular=len(local.files) - large,
        commits=ceil(len(to_send) / BATCH_FILES) + 2 if to_send else 0,
        requests=requests,
        seconds=seconds,
        sent=sent,
        notes=tuple(notes),
    )


def _to_send(local: Inventory, remote: Remote) -> Sequence[str]:
    """Files that neither main nor the branch of an earlier push holds."""
    if remote.is_private() is None:
        return list(local.files)
    refs = remote.refs()
    found = [refs[name] for name in ("main", hub.STAGING + local.mark[:12]) if name in refs]
    missing = [set(local.missing(remote.tree(commit))) for commit in found]
    return sorted(set.intersection(*missing))


def _is_large(path: str, size: int) -> bool:
    return size > REGULAR_BYTES or path.endswith(LFS_SUFFIXES)


def _limits(local: Inventory) -> list[str]:
    """What passes a limit of the Hub, and what to do about it."""
    notes = []
    for folder, count in Counter(str(PurePosixPath(path).parent) for path in local.files).items():
        if count > FOLDER_FILES:
            notes.append(f"{folder}/ holds {count} files, the Hub takes {FOLDER_FILES} a folder: raise push.file_mb")
    if len(local.files) > REPOSITORY_FILES:
        notes.append(f"{len(local.files)} files, the Hub recommends {REPOSITORY_FILES}: raise push.file_mb")
    elif len(local.files) > COMMIT_FILES:
        notes.append(
            f"{len(local.files)} files in the one commit that publishes them may take the Hub more than its 60 "
            "seconds: raise push.file_mb"
        )
    for path, file in local.files.items():
        if file.size > FILE_BYTES:
            notes.append(f"{path} has {file.size / 1e9:.0f} GB, the Hub recommends {FILE_BYTES / 1e9:.0f}")
    if local.size > PRIVATE_BYTES:
        notes.append(
            f"{local.size / 1e9:.0f} GB, and a repository begins private: a free account has "
            f"{PRIVATE_BYTES / 1e9:.0f} GB of private storage; make the repository beforehand, public, or see "
            "huggingface.co/pricing"
        )
    return notes
