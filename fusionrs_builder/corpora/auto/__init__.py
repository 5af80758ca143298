"""`--format auto`: looks at a folder, says which layout it is and what told it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fusionrs_builder.corpora import published
from fusionrs_builder.corpora.auto import images, texts
from fusionrs_builder.corpora.auto.glimpse import Glimpse, Layout
from fusionrs_builder.corpora.stage import DownloadStage
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings, Settings
from fusionrs_builder.workspace import Workspace

KINDS = (
    texts.parquet,
    texts.webdataset,
    texts.json_captions,
    texts.caption_table,
    texts.voc,
    images.tiles,
    images.band_files,
    images.pairs,
    images.masks,
    texts.lines_an_image,
    images.rasters,
    images.class_folders,
)
"""Layouts from the most telling sign to the least: a folder of classes is what is left when nothing else is there."""


def settle(
    workspace: Workspace, settings: Settings, names: Sequence[str], keys: dict[str, dict[str, Any]]
) -> tuple[Settings, list[str]]:
    """Put the layout that is recognised in place of `format = "auto"`; what the user has set stays.

    Args:
        workspace: where a corpus that was fetched lies.
        settings: of the build.
        names: corpora to look at.
        keys: for each corpus, what is to be written to fusionrs.toml; the layout is added.

    Returns:
        The settings with the layout in them, and what was seen, a line each.

    Raises:
        UsageError: as `recognise`, or a corpus has no folder.
    """
    corpora, said = dict(settings.corpora), []
    for name in names:
        given = settings.corpora[name]
        if given.format != "auto":
            continue
        layout = recognise(DownloadStage.folder(name, published.located(workspace, name, given)), name)
        if layout.format == "geotiff" and not (layout.keys.get("bands") or given.bands or given.band_order):
            raise UsageError(f"corpus {name}: {layout.saw}: {layout.hints[0]}")
        unset = {key: value for key, value in layout.keys.items() if key not in given.model_fields_set}
        keys[name] = {**keys.get(name, {}), **unset, "format": layout.format}
        values = {**given.model_dump(exclude_unset=True), **unset, "format": layout.format}
        corpora[name] = CorpusSettings.model_validate(values)
        said += [f"{name}: {layout.format}, by {layout.saw}", *(f"{name}: {hint}" for hint in layout.hints)]
    return settings.model_copy(update={"corpora": corpora}), said


def recognise(root: Path, corpus: str) -> Layout:
    """The layout of a corpus folder.

    Raises:
        UsageError: it is none that is known; the message says what was seen.
    """
    seen = Glimpse(root)
    for kind in KINDS:
        if layout := kind(seen):
            return layout
    raise UsageError(
        f"corpus {corpus}: no layout recognised in {root} ({seen.described()}): say it with --format, "
        "see `fusionrs-build download --help`"
    )
