"""Where something is that was named: a release, a workspace, or a data set of the Hub."""

import re
from dataclasses import dataclass
from pathlib import Path

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release.documents import card
from fusionrs_builder.workspace import Workspace

HUB = "hf://datasets/"

REPO_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
"""`ORG/NAME` of a data set of the Hub, or `ORG/NAME@REVISION`."""


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
        """Names of the finished releases of a workspace."""
        folder = self.workspace.path("release")
        inside = self.workspace.fs.ls(folder, detail=False) if self.workspace.fs.isdir(folder) else []
        names = sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in inside)
        return [name for name in names if card.fingerprint_of(self.workspace, f"release/{name}") is not None]


def find(where: str) -> Place:
    """What `where` names.

    Args:
        where: folder, fsspec URL, or `ORG/NAME` (`@REVISION`) of the Hub where no such folder is.

    Raises:
        UsageError: it is neither a release nor a workspace.
        FusionError: it cannot be reached.
    """
    url = where.rstrip("/")
    if "://" not in where and not Path(where).expanduser().exists():
        if not REPO_ID.fullmatch(where):
            raise UsageError(f"{where}: no such folder, nor the name of a data set on the Hub (ORG/NAME)")
        url = HUB + where
    elif "://" not in where:
        url = str(Path(where).expanduser().resolve())
    above, _, name = url.rpartition("/")
    try:
        workspace = Workspace(above)
        if workspace.exists(f"{name}/{card.NAME}") or workspace.fs.isdir(workspace.path(name, "data")):
            return Place(workspace, name)
        inside = Workspace(url)
        if inside.exists("fusionrs.toml") or inside.fs.isdir(inside.path("rgb")):
            return Place(Workspace.open(url))
    except (OSError, ValueError, ImportError) as error:
        raise FusionError(f"{where} cannot be read: {str(error).strip().splitlines()[0]}") from error
    raise UsageError(f"{where} is neither a release nor a workspace: name the folder that `fusionrs-build push` wrote")
