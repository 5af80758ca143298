"""The Python API of what one does with a release that stands: check it, and fill in what its licences left out."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fusionrs_builder import config, layers, pipeline
from fusionrs_builder.checked import Checked
from fusionrs_builder.corpora import own_copies
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release import check as releases
from fusionrs_builder.release import place
from fusionrs_builder.release.rebuild import Rebuild, Rebuilt
from fusionrs_builder.workspace import Workspace


def check(where: str, every: bool = False) -> Checked:
    """Look whether a workspace, a release or a data set of the Hub is what it says it is.

    Args:
        where: folder, fsspec URL, or `ORG/NAME` on the Hub.
        every: decode the pictures of all records, not of a sample.

    Raises:
        UsageError: there is nothing of the kind.
        FusionError: it cannot be reached.
    """
    found = place.find(where)
    if found.release is not None:
        return releases.check(found.workspace, found.release, every)
    looked = layers.check(found.workspace, every)
    with looked.reading("release"):
        for name in found.releases():
            looked.add(releases.check(found.workspace, f"release/{name}", every), f"release/{name}")
    return looked


def rebuild(
    release: str, to: str | os.PathLike[str], copies: Mapping[str, str], translator: str | None = None, run: Run = Run()
) -> Rebuilt:
    """Fill in the pictures that a release may not hold, from copies of the corpora, by the recipe that it holds.

    What is filled in stays: a second run asks only for what is missing still.

    Args:
        release: folder, fsspec URL, or `ORG/NAME` on the Hub.
        to: local folder that becomes the whole release; the workspace of the rebuild stands beside it and is kept.
        copies: path of each corpus, as published, see `own_copies.placed`; others are fetched where the registry says
            how, and stay as they are where it does not.
        translator: folder or file of the one that drew the infrared views, where it is not to be had by its name.
        run: how to run.

    Raises:
        UsageError: there is no such release; `to` holds something else; nothing that is missing can be had, or not
            the translator; or as `download`.
        FusionError: the release is damaged; or as `download` and `translate`.
    """
    found = place.find(release)
    if found.release is None:
        raise UsageError(f"{release} is a workspace, which has all pictures: name a release folder or ORG/NAME")
    if "://" in os.fspath(to):
        raise UsageError(f"--to {to} is no local folder: rebuild to one, and copy it from there")
    target = Path(to).expanduser().resolve()
    job = Rebuild(found.workspace, found.release, target)
    tables = job.recipe.tables()
    config.parse(tables, f"{release}/recipe")
    had = own_copies.placed(tables["corpora"], copies)
    missing = job.missing()
    corpora = sorted({corpus for corpus, _ in missing})
    if run.dry_run or not (missing or job.is_begun()):
        return Rebuilt(release, missing=Counter(corpus for corpus, _ in missing.elements()))
    chosen = {corpus: had[corpus] for corpus in corpora if corpus in had}
    if missing and not chosen:
        raise UsageError(f"pictures of {', '.join(corpora)} are missing: name a copy by --from {corpora[0]}=PATH")
    workspace = Workspace.open(f"{target}.workspace", create=True)
    if chosen:
        drawn = any(corpus in chosen and origin == "translated" for corpus, origin in missing)
        _build_again(workspace, {**tables, "corpora": chosen}, translator if drawn else "gray", run)
    with workspace.lock("rebuild"):
        return job.fill(workspace)


def _build_again(workspace: Workspace, tables: Mapping[str, Any], translator: str | None, run: Run) -> None:
    """Make the rgb and ir layers of the corpora of a recipe."""
    spec = translator or tables["translate"]["translator"]
    spec = str(Path(spec).resolve()) if translator and Path(spec).exists() else spec
    build = {**tables["build"], "max_reject_rate": 1.0}  # each record that cannot be filled in is told by itself
    settings = config.replace(
        workspace, {**tables, "build": build, "translate": {**tables["translate"], "translator": spec}}
    )
    try:
        pipeline.stage_of(workspace, "translate", settings).params()  # before anything is fetched
    except UsageError as error:
        if translator:
            raise
        raise UsageError(f"{error}; the infrared views were drawn by {spec}: name your copy by --translator") from None
    for summary in (pipeline.download(workspace, run=run), pipeline.translate(workspace, run=replace(run, limit=None))):
        if summary.problems:
            raise FusionError("; ".join(summary.problems))
