"""Publish a release on the Hugging Face Hub, so that main shows the old release or the whole new one.

How it works:

- Files go to a branch of their own, in as many commits as `upload_folder` likes, and go on where a killed run stopped.
- The branch is compared with the release hash by hash, and read by `load_dataset` as its users will.
- One commit brings main to the new release: it copies what is in LFS, adds the few small files, and removes those of
  the old release. Its parent is the commit that main was at when the push began: the Hub refuses it if anyone changed
  main since.
- Then the tag, the end of the branch, and last, if asked, the repository becomes public.

Every step looks first at what stands, so a push may be killed anywhere and run again.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release.documents import card
from fusionrs_builder.release.hub import calls, inventory, past, sample
from fusionrs_builder.release.hub.inventory import Inventory, Tree, some
from fusionrs_builder.release.hub.remote import Remote
from fusionrs_builder.release.layout import OURS

STAGING = "staging-"
"""Begins the name of the branch, which ends in the first 12 digits of the release's mark."""

FRONT_MATTER = re.compile(r"\A---\n.*?^---$", re.DOTALL | re.MULTILINE)


class PushedToHub(NamedTuple):
    """What a push came to.

    Attributes:
        commit: oid that main is at.
        url: of the data set.
        tag: that names the commit; None where none was asked for.
        files: in the release.
        size: of them, bytes.
        did: steps taken, in order; empty where all stood already.
    """

    commit: str
    url: str
    tag: str | None
    files: int
    size: int
    did: tuple[str, ...]


def quiet(line: str) -> None:
    """Progress that is not shown."""


def push_to_hub(
    folder: Path,
    repo_id: str,
    *,
    tag: str | None = None,
    public: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
    say: Callable[[str], None] = quiet,
) -> PushedToHub:
    """Publish a finished release as a data set of the Hub. Run again after anything: it does what is left to do.

    Args:
        folder: of the release.
        repo_id: `ORG/NAME`; created, private, where it is not there.
        tag: to give the commit.
        public: open the repository once all is there; otherwise it stays as it is.
        token: of the Hub; by default that of HF_TOKEN or of `hf auth login`.
        endpoint: of the Hub; by default that of HF_ENDPOINT.
        say: is told of each step.

    Raises:
        UsageError: the folder is no release; the name, tag or token is wrong; the token may not write there; the
            repository holds something else, or the tag another commit.
        FusionError: files are missing or changed, somebody else changed main, the Hub holds other bytes than were
            sent, or it could not be reached.
    """
    from huggingface_hub import constants

    check_names(repo_id, tag)
    token = token_of(token)
    say(f"reading {folder}")
    local = inventory.take(Path(folder))
    if local.left_out:
        say(f"left out {some(local.left_out)}: not of a release")
    with calls.impatient():
        return _Push(local, Remote(repo_id, token, endpoint or constants.ENDPOINT, say), say).run(tag, public)


def check_names(repo_id: str, tag: str | None) -> None:
    """Raises: UsageError, no repository or no tag can have such a name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UsageError(f"--repo-id {repo_id!r} is no name of a repository: {error}") from error
    if "/" not in repo_id:
        raise UsageError(f"--repo-id {repo_id!r} does not say whose: write ORG/{repo_id}")
    if tag is not None and (
        not re.fullmatch(r"\w[\w.-]*", tag, re.ASCII) or ".." in tag or tag.endswith((".", ".lock"))
    ):
        raise UsageError(f"--tag {tag!r} is no name of a tag: letters, digits, `.`, `_` and `-`, such as v1.0")


def token_of(given: str | None) -> str:
    """The token to use.

    Raises:
        UsageError: none is at hand, or what is cannot be one.
    """
    from huggingface_hub import get_token

    token = given or get_token()
    if not token:
        raise UsageError(
            f"there is no token for the Hub: make one that may write at {calls.SETTINGS}, then `hf auth login`, or "
            "set HF_TOKEN"
        )
    if not re.fullmatch(r"[!-~]+", token):
        raise UsageError("the token for the Hub (HF_TOKEN) holds spaces or other strange characters: copy it again")
    return token


class _Push:
    """One push. `did` grows as steps are taken."""

    def __init__(self, local: Inventory, remote: Remote, say: Callable[[str], None]) -> None:
        self.local, self.remote, self.say = local, remote, say
        self.branch = STAGING + local.mark[:12]
        self.title = f"Release {local.mark[:12]}"
        self.did: list[str] = []

    def run(self, tag: str | None, public: bool) -> PushedToHub:
        local, remote = self.local, self.remote
        self._check_token()
        is_private = remote.is_private()
        if is_private is None:
            remote.create()
            self._done("created the repository, private")
        refs = remote.refs()
        main = refs["main"]
        tree = remote.tree(main)
        self._check_ours(main, tree)
        opens = public and is_private is not False
        if opens:
            past.check(local, remote, [commit for name, commit in refs.items() if not name.startswith(STAGING)])
        if f"tags/{tag}" in refs and not local.matches(remote.tree(refs[f"tags/{tag}"])):
            raise UsageError(f"{remote.repo_id} has a tag {tag} that names something else: choose another --tag")
        if local.matches(tree):
            self.say(f"main of {remote.repo_id} shows this release")
        else:
            try:
                staged = self._stage(main, refs)
                for config in local.configs:
                    self._check_sample(config, staged)
            except FusionError:
                local.check_unchanged()  # where that is the reason, it is the one to tell
                raise
            main = self._promote(main, tree, staged)
        if tag and f"tags/{tag}" not in refs:
            remote.tag(tag, main)
            self._done(f"tagged {tag}")
        self._clean(opens)
        if opens:
            remote.make_public()
            self._done("made public")
        if not self.did:
            self.say(f"{remote.url}: nothing to do")
        return PushedToHub(main, remote.url, tag, len(local.files), local.size, tuple(self.did))

    def _done(self, what: str) -> None:
        self.did.append(what)
        self.say(what)

    def _check_token(self) -> None:
        name, role = self.remote.account()
        if role == "read":
            raise UsageError(
                f"the token of {name} may only read: make one that may write at {calls.SETTINGS}, then "
                "`hf auth login`, or set HF_TOKEN"
            )
        self.say(f"pushing to {self.remote.repo_id} as {name}")

    def _check_ours(self, main: str, tree: Tree) -> None:
        """Raises: UsageError, main holds something that is not a release, or what keeps one from being loaded."""
        repo_id = self.remote.repo_id
        text = self.remote.read(main, card.NAME) if card.NAME in tree else ""
        is_new = not tree or (list(tree) == [card.NAME] and not FRONT_MATTER.sub("", text).strip())
        if not is_new and not card.MARK.search(text):
            raise UsageError(
                f"{repo_id} holds something that is not a release ({some(list(tree))}): name another repository, or "
                "empty this one"
            )
        scripts = [path for path in tree if path.endswith(".py") and "/" not in path]
        if scripts:
            raise UsageError(
                f"{repo_id} holds {some(scripts)}, and `load_dataset` refuses a data set with a script of its name: "
                "remove it from main, then run the same command again"
            )
        kept = [path for path in tree if not OURS.fullmatch(path)]
        if kept:
            self.say(f"{some(kept)} on main: not of a release, kept as it is")

    def _stage(self, main: str, refs: Mapping[str, str]) -> str:
        """Bring the branch to hold the release, hash for hash; returns its commit."""
        if self.branch not in refs:
            self.remote.create_branch(self.branch, main)
        self.remote.remove_files(self.branch, self.local.stale)
        missing = self.local.missing(self.remote.tree(self.branch))
        if missing:
            self.say(f"uploading {len(missing)} of {len(self.local.files)} files to the branch {self.branch}")
            self.remote.upload(self.branch, self.local.folder, self.local.ignored, self.title)
            self._done(f"uploaded {len(missing)} files")
        staged = self.remote.refs()[self.branch]
        self._verify(staged, f"the branch {self.branch}")
        return staged

    def _check_sample(self, config: str, staged: str) -> None:
        remote = self.remote
        self.say(f"reading a sample of {config}")
        remote.call(
            f"read a sample of {config}",
            lambda: sample.check(self.local, config, remote.repo_id, staged, remote.token, remote.endpoint),
        )

    def _promote(self, main: str, tree: Tree, staged: str) -> str:
        """Bring main from the commit it was at to the release, in one commit; returns that."""
        from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

        staged_tree = self.remote.tree(staged)
        missing, stale = self.local.missing(tree), self.local.stale(tree)
        large = [path for path in missing if staged_tree[path].lfs]
        small = [path for path in missing if not staged_tree[path].lfs]
        self.local.check_unchanged()
        commit = self.remote.replace(
            main,
            lambda: [
                *(CommitOperationCopy(path, path, src_revision=staged) for path in large),
                *(CommitOperationAdd(path, self.local.read(path)) for path in small),
                *(CommitOperationDelete(path, is_folder=False) for path in stale),
            ],
            self.title,
            self.local.matches,
        )
        self._verify(commit, "main")
        self._done("published")
        return commit

    def _verify(self, revision: str, where: str) -> None:
        """Raises: FusionError, a revision is not the release, hash for hash."""
        tree = self.remote.tree(revision)
        wrong = [*self.local.missing(tree), *self.local.stale(tree)]
        if wrong:
            raise FusionError(
                f"{self.remote.repo_id}: {where} holds {some(wrong)} otherwise than it was sent: run the same command "
                "again, which sends it anew"
            )

    def _clean(self, opens: bool) -> None:
        """Remove the branch, and tell of others that pushes left behind; where all is to be opened, remove them too."""
        staging = [name for name in self.remote.refs() if name.startswith(STAGING)]
        for name in staging if opens else ():
            if name != self.branch:
                self.remote.remove_branch(name)
                self._done(f"removed the branch {name}")
        staging = [name for name in staging if name == self.branch or not opens]
        if self.branch in staging:
            self.remote.remove_branch(self.branch)
            self._done(f"removed the branch {self.branch}")
        others = [name for name in staging if name != self.branch]
        if others:
            self.say(f"left by pushes that did not end: the branches {some(others)}")
