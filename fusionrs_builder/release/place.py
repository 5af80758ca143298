"""Where something is that was named: a release, a workspace, or a data set of the Hub."""

import re
from dataclasses import dataclass
from pathlib import Path

from fusionrs_builder.checked import redacted, told
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release.documents import card
from fusionrs_builder.workspace import Workspace

HUB = "hf://datasets/"

REPO_ID = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>\S+))?")
"""`ORG/NAME` of a data set of the Hub, or `ORG/NAME@REVISION`."""

SILENT_S = 60.0
"""Seconds after which the Hub is taken not to answer."""


@dataclass(frozen=True)
class Place:
    """What was found.

    Attributes:
        workspace: the workspace; of a release by itself, the folder above it.
        release: folder of the release in it; None for a workspace.
    """

    workspace: Workspace
    release: str | None = None

    def releases(self) -> list[str]:
        """Names of the releases of a workspace that have a card."""
        folder = self.workspace.path("release")
        inside = self.workspace.fs.ls(folder, detail=False) if self.workspace.fs.isdir(folder) else []
        names = sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in inside)
        return [name for name in names if self.workspace.exists(f"release/{name}/{card.NAME}")]


def find(where: str) -> Place:
    """What `where` names. A data set of the Hub is taken at the commit that its revision is at now.

    Args:
        where: folder, fsspec URL, or `ORG/NAME` (`@REVISION`) of the Hub where no such folder is.

    Raises:
        UsageError: it is neither a release nor a workspace, or is not there.
        FusionError: it cannot be reached.
    """
    try:
        return _found(_url(where), where)
    except FusionError:
        raise
    except FileNotFoundError:
        raise UsageError(f"{redacted(where)}: no such folder") from None
    except Exception as error:  # of file systems and clients, which have no ancestor in common; causes may hold secrets
        raise FusionError(f"{redacted(where)} cannot be read: {told(error)}") from None


def _url(where: str) -> str:
    """The same as a URL, or an absolute path."""
    if where.startswith("file://"):
        where = where.removeprefix("file://")
    if "://" not in where and Path(where).expanduser().exists():
        return str(Path(where).expanduser().resolve())
    repository = REPO_ID.fullmatch(where.removeprefix(HUB))
    if repository:
        commit = _commit(repository["name"], repository["revision"], where)
        return f"{HUB}{repository['name']}@{commit}"
    if "://" not in where:
        raise UsageError(f"{where}: no such folder, nor the name of a data set on the Hub (ORG/NAME)")
    return where.rstrip("/")


def _found(url: str, where: str) -> Place:
    inside = Workspace(url)
    inside.fs.invalidate_cache()  # what was listed before may be old
    paths = [] if inside.fs.isfile(inside.root) else inside.fs.ls(inside.root, detail=False)
    names = {str(path).rstrip("/").rsplit("/", 1)[-1] for path in paths}
    if names & {"fusionrs.toml", "rgb"}:
        return Place(Workspace.open(url))
    if names & {card.NAME, "data"}:
        start, sign, path = url.rpartition("://")
        above, _, name = path.rpartition("/")
        return Place(Workspace(f"{start}{sign}{above or ('' if sign else '/')}"), name)
    raise UsageError(
        f"{redacted(where)} is neither a release nor a workspace: name the folder that `fusionrs-build push` wrote"
    )


def _commit(name: str, revision: str | None, where: str) -> str:
    """The commit that a revision of a data set of the Hub is at.

    Raises:
        UsageError: there is none, it must not be seen, or the Hub must not be asked.
        FusionError: the Hub does not answer.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    login = "set HF_TOKEN to a token that may read it, or `hf auth login`"
    try:
        commit = str(HfApi().dataset_info(name, revision=revision, timeout=SILENT_S).sha)
        # What is in a gated data set is told to all, but not given.
        HfApi().file_exists(name, card.NAME, repo_type="dataset", revision=commit)
        return commit
    except OfflineModeIsEnabled:
        why = "no such folder, and HF_HUB_OFFLINE is set, so the Hub is not asked: unset it"
    except RevisionNotFoundError:
        why = f"{name} has no branch, tag or commit {revision} on the Hub: name another"
    except GatedRepoError:
        why = "the data set is gated: ask its owner for access on its page on the Hub"
    except RepositoryNotFoundError:
        why = "no such folder, and no data set of that name on the Hub that you may see: correct it, or, where it is "
        why += f"private, {login}"
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status not in (401, 403):
            raise FusionError(f"{where}: the Hub cannot be reached ({told(error)}): try again later") from None
        why = f"the Hub does not take the token ({status}): {login}"
    raise UsageError(f"{where}: {why}")
