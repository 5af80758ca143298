"""Where a finished release goes: a folder, local or on an object store, another format, or the Hub."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fusionrs_builder.errors import UsageError
from fusionrs_builder.release.documents import card
from fusionrs_builder.workspace import Workspace

Format = Literal["parquet", "webdataset", "folder"]


@dataclass(frozen=True)
class Target:
    """Where to publish.

    Attributes:
        to: folder that becomes a copy, a path or an fsspec URL.
        format: of that copy: `parquet`, what it is; `webdataset`, tars; `folder`, image files and a table.
        repo_id: `ORG/NAME` of a data set of the Hub.
        tag: to give the commit there.
        public: open the repository at the end.
    """

    to: str | None = None
    format: Format = "parquet"
    repo_id: str | None = None
    tag: str | None = None
    public: bool = False

    def check(self) -> None:
        """Raises: UsageError, the parts do not go together; nothing was asked of anyone."""
        from fusionrs_builder.release.hub import push as hub

        if self.repo_id is not None:
            hub.check_names(self.repo_id, self.tag)
        elif self.tag or self.public:
            raise UsageError("--tag and --public are for the Hub: name a data set by --repo-id ORG/NAME")
        if self.format != "parquet" and self.to is None:
            raise UsageError(f"--format {self.format} is written to a folder of its own: name one by --to DIR")
        if self.format != "parquet" and "://" in (self.to or ""):
            raise UsageError(f"--format {self.format} is written to a local folder: copy it from there")


def publish(workspace: Workspace, name: str, target: Target, say: Callable[[str], None]) -> list[str]:
    """Publish `release/<name>`, which is finished.

    Args:
        workspace: where it is.
        name: of the release.
        target: where to.
        say: is told of each step.

    Returns:
        What was done, a line each.

    Raises:
        UsageError, FusionError: as `push_to_folder`, `write_webdataset`, `write_image_folder` and `push_to_hub`.
    """
    told = []
    if target.to is not None and target.format == "parquet":
        from fusionrs_builder.release.folder import push_to_folder

        pushed = push_to_folder(workspace, name, target.to)
        told.append(
            f"{target.to}: {len(pushed.copied)} files copied, {len(pushed.kept)} kept, {len(pushed.removed)} removed"
        )
    elif target.to is not None:
        from fusionrs_builder.release.image_folder import write_image_folder
        from fusionrs_builder.release.webdataset import write_webdataset

        write = write_webdataset if target.format == "webdataset" else write_image_folder
        made = write(_local(workspace, name), Path(target.to).expanduser())
        told.append(f"{target.to}: {made.rows:,} rows; {made.written} files written, {made.kept} kept")
    if target.repo_id is not None:
        from fusionrs_builder.release.hub.push import push_to_hub

        there = push_to_hub(_local(workspace, name), target.repo_id, tag=target.tag, public=target.public, say=say)
        did = ", ".join(there.did) or "nothing to do"
        told.append(f"{there.url} is at {there.commit[:12]} ({there.files} files, {there.size:,} bytes): {did}")
    return told


def plan(workspace: Workspace, name: str, target: Target) -> list[str]:
    """What `publish` would do on the Hub, a line each; nothing is changed anywhere."""
    if target.repo_id is None:
        return []
    if card.fingerprint_of(workspace, f"release/{name}") is None:
        return [f"what the Hub would get is known once `fusionrs-build push` has written release/{name}"]
    from fusionrs_builder.release.hub.plan import plan_push

    found = plan_push(_local(workspace, name), target.repo_id, tag=target.tag)
    there = "not asked" if found.sent is None else f"{found.sent} of them there already"
    return [
        f"{target.repo_id}: {found.files} files, {found.size:,} bytes ({found.large} by LFS, {found.regular} regular; "
        f"{there})",
        f"at most {found.commits} commits, about {found.requests} requests and {found.seconds:,.0f} s at 100 Mbit/s",
        *found.notes,
    ]


def _local(workspace: Workspace, name: str) -> Path:
    if not workspace.local:
        raise UsageError(f"{workspace.url} is no local folder: `push --to DIR` first, then push that one")
    return Path(workspace.path("release", name))
