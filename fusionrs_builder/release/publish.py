"""Where a finished release goes: a folder, local or on an object store, another format, or the Hub."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fusionrs_builder.errors import UsageError
from fusionrs_builder.release.documents import card
from fusionrs_builder.release.licences import Policy
from fusionrs_builder.workspace import Workspace

Format = Literal["parquet", "webdataset", "folder"]

FOR_YOUR_OWN_USE = (
    "{what} is not for a release with license_policy = any, which may hold pixels that must not be published: give "
    "--license-policy redistributable, or noncommercial"
)


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

    def check(self, workspace: Workspace, policy: Policy) -> None:
        """Look whether the parts go together, with where the release is and whose pixels are in it. Nobody is asked.

        Raises:
            UsageError: they do not.
        """
        from fusionrs_builder.release.hub import push as hub

        if self.to is not None and not self.to.strip():
            raise UsageError("--to is empty: name a folder")
        if self.repo_id is not None:
            hub.check_names(self.repo_id, self.tag)
        elif self.tag is not None or self.public:
            raise UsageError("--tag and --public are for the Hub: name a data set by --repo-id ORG/NAME")
        if self.public and policy == "any":
            raise UsageError(FOR_YOUR_OWN_USE.format(what="--public"))
        if self.format != "parquet" and self.to is None:
            raise UsageError(f"--format {self.format} is written to a folder of its own: name one by --to DIR")
        if self.format != "parquet" and "://" in (self.to or ""):
            raise UsageError(f"--format {self.format} is written to a local folder: copy it from there")
        if (self.repo_id is not None or self.format != "parquet") and not workspace.local:
            raise UsageError(
                f"{workspace.url} is no local folder, and the Hub and --format {self.format} take a release from a "
                "disk: build it in one, with -w DIR"
            )


def publish(workspace: Workspace, name: str, target: Target, policy: Policy, say: Callable[[str], None]) -> list[str]:
    """Publish `release/<name>`, which is finished.

    Args:
        workspace: where it is.
        name: of the release.
        target: where to.
        policy: whose pixels are in it.
        say: is told of each step.

    Returns:
        What was done, a line each.

    Raises:
        UsageError: the repository is public, and the release holds pixels that may not be published.
        UsageError, FusionError: as `push_to_folder`, `write_webdataset`, `write_image_folder` and `push_to_hub`.
    """
    told, folder = [], Path(workspace.path("release", name))
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
        made = write(folder, Path(target.to).expanduser())
        told.append(f"{target.to}: {made.rows:,} rows; {made.written} files written, {made.kept} kept")
    if target.repo_id is not None:
        from fusionrs_builder.release.hub.push import push_to_hub

        if policy == "any" and _is_public(target.repo_id, say):
            raise UsageError(FOR_YOUR_OWN_USE.format(what=f"{target.repo_id}, which is public on the Hub,"))
        there = push_to_hub(folder, target.repo_id, tag=target.tag, public=target.public, say=say)
        did = ", ".join(there.did) or "nothing to do"
        told.append(f"{there.url} is at {there.commit[:12]} ({there.files} files, {there.size:,} bytes): {did}")
    return told


def plan(workspace: Workspace, name: str, target: Target, is_current: bool) -> list[str]:
    """What `publish` would do on the Hub, a line each; nothing is changed anywhere.

    Args:
        workspace: where the release is.
        name: of it.
        target: where to.
        is_current: whether the release that stands is the one that would be published.
    """
    if target.repo_id is None:
        return []
    if not is_current or card.fingerprint_of(workspace, f"release/{name}") is None:
        return [f"what the Hub would get is known once `fusionrs-build push` has written release/{name}"]
    from fusionrs_builder.release.hub.plan import plan_push

    found = plan_push(Path(workspace.path("release", name)), target.repo_id, tag=target.tag)
    there = "not asked" if found.sent is None else f"{found.sent} of them there already"
    return [
        f"{target.repo_id}: {found.files} files, {found.size:,} bytes ({found.large} by LFS, {found.regular} regular; "
        f"{there})",
        f"at most {found.commits} commits, about {found.requests} requests and {found.seconds:,.0f} s at 100 Mbit/s",
        *found.notes,
    ]


def told_withheld(rows: Counter[tuple[str, str]], policy: Policy) -> str:
    """That pixels are not in a release, in a line.

    Args:
        rows: without pictures, by corpus and origin, see `licences.withheld`.
        policy: by which they were withheld.
    """
    corpora: Counter[str] = Counter(corpus for corpus, _ in rows.elements())
    counts = ", ".join(f"{corpus} {count:,}" for corpus, count in sorted(corpora.items()))
    return (
        f"without pixels, for their licence ({policy}): {counts} records; `redistributable = true` in "
        f"[corpora.{min(corpora)}], then `fusionrs-build run`, says that they may be published; --license-policy any "
        "keeps all for your own use"
    )


def _is_public(repo_id: str, say: Callable[[str], None]) -> bool:
    from huggingface_hub import constants

    from fusionrs_builder.release.hub.push import token_of
    from fusionrs_builder.release.hub.remote import Remote

    return Remote(repo_id, token_of(None), constants.ENDPOINT, say).is_private() is False
