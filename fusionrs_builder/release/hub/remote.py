"""A data set repository on the Hub. Each method may be tried again, and takes a lost answer for what it is."""

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release.hub.calls import Calls, changed_meanwhile
from fusionrs_builder.release.hub.inventory import Tree

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

    Operation: TypeAlias = CommitOperationAdd | CommitOperationCopy | CommitOperationDelete

ATTRIBUTES = ".gitattributes"
"""The Hub keeps it itself: it is not told of in a tree."""


class Remote:
    """The repository.

    Args:
        repo_id: `ORG/NAME`.
        token: of the Hub.
        endpoint: of the Hub.
        say: is told of each pause between tries.

    Every method raises UsageError and FusionError as `Calls` says.
    """

    def __init__(self, repo_id: str, token: str, endpoint: str, say: Callable[[str], None]) -> None:
        from huggingface_hub import HfApi

        self.repo_id, self.token, self.endpoint = repo_id, token, endpoint
        self.url = f"{endpoint}/datasets/{repo_id}"
        self.call = Calls(repo_id, token, say)
        self.api = HfApi(endpoint=endpoint, token=token, library_name="fusionrs-builder")
        self.names: dict[str, Any] = {"repo_id": repo_id, "repo_type": "dataset"}

    def account(self) -> tuple[str, str]:
        """The name of whoever the token stands for, and its role: `read`, `write` or `fineGrained`."""
        told = self.call("ask whose the token is", self.api.whoami)
        return told["name"], told.get("auth", {}).get("accessToken", {}).get("role", "")

    def is_private(self) -> bool | None:
        """None where there is no repository, or the token may not see it."""
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        def look() -> bool | None:
            try:
                return bool(self.api.dataset_info(self.repo_id).private)
            except GatedRepoError:
                raise
            except RepositoryNotFoundError:
                return None

        return self.call("look for the repository", look)

    def create(self) -> None:
        """Create it, private."""
        self.call("create the repository", lambda: self.api.create_repo(private=True, exist_ok=True, **self.names))

    def make_public(self) -> None:
        self.call("make it public", lambda: self.api.update_repo_settings(private=False, **self.names))

    def refs(self) -> dict[str, str]:
        """The commit of each branch by its name, and of each tag by `tags/` and its name."""
        refs = self.call("list branches and tags", lambda: self.api.list_repo_refs(**self.names))
        branches = {each.name: each.target_commit for each in refs.branches}
        return branches | {f"tags/{each.name}": each.target_commit for each in refs.tags}

    def past(self) -> list[str]:
        """The commits of main, the newest first."""
        found = self.call("list the commits of main", lambda: self.api.list_repo_commits(**self.names))
        return [each.commit_id for each in found]

    def tree(self, revision: str) -> Tree:
        """The files of a revision."""
        return self.call(f"list the files of {revision[:20]}", lambda: self._tree(revision))

    def _tree(self, revision: str) -> Tree:
        from huggingface_hub.hf_api import RepoFile

        entries = self.api.list_repo_tree(recursive=True, revision=revision, **self.names)
        return {entry.path: entry for entry in entries if isinstance(entry, RepoFile) and entry.path != ATTRIBUTES}

    def read(self, revision: str, path: str) -> str:
        """A small text file."""

        def read() -> str:
            with tempfile.TemporaryDirectory() as cache:
                found = self.api.hf_hub_download(filename=path, revision=revision, cache_dir=cache, **self.names)
                return Path(found).read_text(encoding="utf-8", errors="replace")

        return self.call(f"read {path}", read)

    def create_branch(self, name: str, start: str) -> None:
        """Create a branch at a revision; one that stands stays as it is."""
        self.call(
            f"create the branch {name}",
            lambda: self.api.create_branch(branch=name, revision=start, exist_ok=True, **self.names),
        )

    def remove_branch(self, name: str) -> None:
        from huggingface_hub.errors import HfHubHTTPError

        def remove() -> None:
            try:
                self.api.delete_branch(branch=name, **self.names)
            except HfHubHTTPError as error:
                if error.response.status_code != 404:  # it is gone: the answer of an earlier try was lost
                    raise

        self.call(f"remove the branch {name}", remove)

    def remove_files(self, branch: str, unwanted: Callable[[Tree], Sequence[str]]) -> None:
        """Remove from a branch what a function finds in its tree."""
        from huggingface_hub import CommitOperationDelete

        def remove() -> None:
            paths = unwanted(self._tree(branch))
            if paths:
                operations = [CommitOperationDelete(path, is_folder=False) for path in paths]
                message = "Remove files of another release"
                self.api.create_commit(operations=operations, commit_message=message, revision=branch, **self.names)

        self.call(f"clear the branch {branch}", remove)

    def upload(self, branch: str, folder: Path, ignored: Sequence[str], message: str) -> None:
        """Upload a folder to a branch, but for some patterns; what is there already is not sent."""
        with _plain_unless_watched():
            self.call(
                "upload",
                lambda: self.api.upload_folder(
                    folder_path=folder,
                    revision=branch,
                    commit_message=message,
                    ignore_patterns=list(ignored),  # the client adds to it
                    **self.names,
                ),
            )

    def replace(
        self, main: str, operations: Callable[[], Sequence["Operation"]], message: str, wanted: Callable[[Tree], bool]
    ) -> str:
        """Bring main from a commit to a wanted tree, in one commit.

        Args:
            main: the commit that main must be at.
            operations: from its tree to the wanted one; made anew for each try, for a try marks them.
            message: of the commit.
            wanted: whether a tree is the wanted one.

        Returns:
            The commit that main is at then.

        Raises:
            FusionError: main is at another commit, of another tree.
        """
        from huggingface_hub.errors import HfHubHTTPError

        def landed() -> str | None:
            """The commit of an earlier try whose answer was lost."""
            now = str(self.api.dataset_info(self.repo_id, revision="main").sha)
            if now == main:
                return None
            if not wanted(self._tree(now)):
                raise FusionError(changed_meanwhile(self.repo_id))
            return now

        def commit() -> str:
            if found := landed():
                return found
            try:
                made = self.api.create_commit(
                    operations=operations(), commit_message=message, parent_commit=main, **self.names
                )
                return str(made.oid)
            except HfHubHTTPError as error:
                if error.response.status_code == 412 and (found := landed()):
                    return found
                raise

        return self.call("publish", commit)

    def tag(self, name: str, commit: str) -> None:
        """Tag a commit.

        Raises:
            UsageError: the tag stands, at another commit.
        """
        self.call("tag", lambda: self.api.create_tag(tag=name, revision=commit, exist_ok=True, **self.names))
        if self.refs().get(f"tags/{name}") != commit:
            raise UsageError(f"{self.repo_id} has a tag {name} that names something else: choose another --tag")


@contextlib.contextmanager
def _plain_unless_watched() -> Iterator[None]:
    """No bars of the client where nobody sees them: in a file they are a line a tick."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
