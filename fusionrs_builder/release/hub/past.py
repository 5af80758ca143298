"""Whether the past of a repository may be opened with it: whoever may read it may read every commit."""

import json
from collections.abc import Iterable
from typing import get_args

from fusionrs_builder.errors import UsageError
from fusionrs_builder.release import recipe
from fusionrs_builder.release.hub.inventory import Inventory
from fusionrs_builder.release.hub.remote import Remote
from fusionrs_builder.release.licences import Policy

POLICIES = get_args(Policy)
"""From the strictest to the one that holds everything."""


def check(local: Inventory, remote: Remote, named: Iterable[str]) -> None:
    """Look at the recipe of every release that a repository holds or held.

    Args:
        local: the release that is to be public.
        remote: the repository.
        named: commits that branches and tags name; those of main are looked at anyway.

    Raises:
        UsageError: one has a wider licence policy than the release, or none that can be told.
    """
    ours = _policy(local.read(recipe.REPORT).decode()) if recipe.REPORT in local.files else None
    for commit in sorted({*named, *remote.past()}):
        tree = remote.tree(commit)
        if not any(path.endswith(".parquet") for path in tree):
            continue
        theirs = _policy(remote.read(commit, recipe.REPORT)) if recipe.REPORT in tree else None
        if theirs is None or ours is None or POLICIES.index(theirs) > POLICIES.index(ours):
            held = f"the policy `{theirs}`" if theirs else "no recipe that tells its policy"
            raise UsageError(
                f"{remote.repo_id} was not opened: its commit {commit[:12]} holds a release with {held}, and whoever "
                "may read the repository may read its past. Push to a new repository, or remove the past (tags, "
                "branches, then HfApi.super_squash_history) before --public"
            )


def _policy(report: str) -> Policy | None:
    """The licence policy that a recipe's report tells; None where it tells none."""
    try:
        found: Policy = json.loads(report)["settings"]["license_policy"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if found in POLICIES else None
