"""The files of a corpus as its publisher gives them: fetched into `raw/<corpus>`, or the user's own copy.

`raw/<corpus>/files` is what a reader sees of a corpus that was fetched or cut out of a catalogue.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fusionrs_builder.corpora import registry
from fusionrs_builder.corpora.registry import Entry
from fusionrs_builder.corpora.remote import scrub
from fusionrs_builder.engines.progress import Transfer
from fusionrs_builder.engines.runner import note_provenance
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings
from fusionrs_builder.shards import corpus_of
from fusionrs_builder.stage import Task, digest
from fusionrs_builder.workspace import Workspace

if TYPE_CHECKING:  # neither a web client nor rasterio is needed to plan
    from fusionrs_builder.corpora.fetch import Fetched
    from fusionrs_builder.corpora.stac import Report


def is_fetched(corpus: str, settings: CorpusSettings) -> bool:
    """Whether this package gets the files itself: the registry says where they are, and no own copy is named."""
    entry = registry.entry(corpus)
    return bool(entry and (entry.files or entry.stac) and not settings.source)


def located(workspace: Workspace, corpus: str, settings: CorpusSettings) -> CorpusSettings:
    """The settings with the folder that holds the corpus: what was fetched, or beside the index that lists it."""
    if settings.source:
        return settings
    if settings.format == "fusionrs-index" and settings.index:
        index = Path(os.path.expandvars(settings.index)).expanduser()
        return settings.model_copy(update={"source": str(index.parent)})
    if is_fetched(corpus, settings):
        return settings.model_copy(update={"source": workspace.path("raw", corpus, "files")})
    return settings


def planned(corpus: str, settings: CorpusSettings) -> str:
    """What `get` would fetch, in a line.

    Raises:
        UsageError: as `get`.
    """
    entry = _entry(corpus, settings)
    if entry.stac:
        url = scrub(settings.stac_url or entry.stac.url)
        return f"{corpus}: would cut {settings.bbox} out of at most {settings.max_scenes} scenes of {url}"
    sizes = [address.bytes for address in entry.files]
    known = sum(size for size in sizes if size)
    size = f"{known / 1e6:,.1f} MB" + (" and more" if None in sizes else "") if known else "of unknown size"
    return f"{corpus}: files to fetch {len(entry.files)}, {size}"


def get(workspace: Workspace, corpus: str, settings: CorpusSettings) -> list[str]:
    """Fetch the files of a corpus into `raw/<corpus>`, and note in fusionrs.lock what they are.

    What stands there and is verified is not fetched again.

    Args:
        workspace: a local one.
        corpus: name in the registry.
        settings: of the corpus, the registry's included.

    Returns:
        What came, in a line, and what was left out.

    Raises:
        UsageError: the workspace is remote, or the place is missing that is to be cut out of a catalogue.
        FusionError: a file cannot be had, or is not the published one.
    """
    entry = _entry(corpus, settings)
    if not workspace.local:
        raise UsageError(
            f"corpus {corpus}: files cannot be fetched into {workspace.url}: fetch them into a workspace on a disk, "
            f"or give a copy with --from PATH (key corpora.{corpus}.from)"
        )
    folder = Path(workspace.path("raw", corpus))
    notes: list[str] = []
    with workspace.lock("download"), Transfer(f"fetch {corpus}") as progress:
        came: Fetched | Report
        if entry.stac:
            from fusionrs_builder.corpora.stac import fetch_scenes

            came = fetch_scenes(corpus, entry.stac, settings, folder, progress)
            notes = came.notes
        else:
            from fusionrs_builder.corpora.fetch import fetch

            came = fetch(corpus, entry.files, folder, progress=progress)
        hashes = {"files": came.files, "bytes": came.bytes, "sha256": digest(came.sha256)}
        note_provenance(workspace, {"published": {corpus: hashes}})
    size = f"{came.fetched_bytes / 1e6:,.1f} MB"
    return [f"{corpus}: files fetched {came.fetched_files} ({size}), kept {came.kept_files}", *notes]


def unlike_the_registry(tasks: Sequence[Task], corpora: Mapping[str, CorpusSettings]) -> list[str]:
    """A line for each corpus that does not hold as many images as its publisher counts."""
    notes = []
    for name, settings in corpora.items():
        entry = registry.entry(name)
        items = sum(task.items for task in tasks if corpus_of(task.shard) == name)
        known = {entry.records, entry.samples.records if entry.samples else None} if entry else {None}
        if entry and entry.records and items not in known and settings.tile is None:
            notes.append(f"{name}: {items:,} items, where the publisher counts {entry.records:,}")
    return notes


def by_hand(corpus: str) -> str:
    """What a person must do to have the corpus; empty where nobody knows."""
    entry = registry.entry(corpus)
    return entry.manual.strip() if entry else ""


def _entry(corpus: str, settings: CorpusSettings) -> Entry:
    entry = registry.entry(corpus)
    assert entry is not None
    if entry.stac and settings.bbox is None:
        raise UsageError(
            f"corpus {corpus} is cut out of a catalogue by place: pass --bbox W,S,E,N in degrees, and --year YYYY"
        )
    return entry
