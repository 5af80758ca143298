"""`fusionrs-build demo`: a real dataset end to end, from the sample corpora or, without them, from rendered scenes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomlkit

from fusionrs_builder import config, pipeline
from fusionrs_builder.corpora import registry
from fusionrs_builder.engines.runner import Run, Summary
from fusionrs_builder.errors import UsageError
from fusionrs_builder.workspace import Workspace

SPLIT = [0.7, 0.1, 0.2]
"""Shares of train, validation and test: large enough to measure a model on, pairs of a sensor by themselves."""

STEPS: tuple[Callable[..., Summary], ...] = (
    pipeline.download,
    pipeline.translate,
    pipeline.caption,
    pipeline.curate,
    pipeline.push,
)


def demo(
    out: str = "demo",
    samples: str | None = None,
    run: Run = Run(),
    tell: Callable[[Summary], None] = lambda summary: None,
    say: Callable[[str], None] = lambda text: None,
) -> list[Summary]:
    """Build a dataset in `out`; run again, it goes on where it was.

    Args:
        out: workspace to build in.
        samples: folder of the sample corpora; None looks at FUSIONRS_SAMPLES and ../shared/data, and renders scenes
            when neither is there.
        run: how to run.
        tell: called with the summary of each stage.
        say: called with what is about to be done.

    Returns:
        The summaries of the five stages.

    Raises:
        UsageError: `samples` is named but holds none of the sample corpora.
    """
    folder = Path(samples) if samples else config.samples_folder()
    workspace = Workspace.open(out, create=True)
    if folder is not None:
        corpora = from_samples(folder)
        say(f"building from the {len(corpora)} sample corpora in {folder}")
    else:
        say("no sample corpora (FUSIONRS_SAMPLES is not set): building from procedurally rendered scenes")
        corpora = rendered(Path(workspace.path("raw", "procedural")))
    write_config(workspace, corpora)
    summaries = []
    for step in STEPS:
        summaries.append(step(workspace, run=run))
        tell(summaries[-1])
        if summaries[-1].problems:
            break
    return summaries


def from_samples(folder: Path) -> dict[str, dict[str, Any]]:
    """Settings of each registry entry whose sample is in the folder.

    Raises:
        UsageError: none is.
    """
    entries = {name: registry.entry(name) for name in registry.names()}
    found: dict[str, dict[str, Any]] = {
        name: {"from": str((folder / entry.samples.folder).resolve())}
        for name, entry in entries.items()
        if entry and entry.samples and (folder / entry.samples.folder).is_dir()
    }
    for name, chosen in found.items():
        entry = entries[name]
        if entry and entry.settings.tile:  # few and large scenes: tiles half as wide as a build of the whole would take
            chosen["tile"] = entry.settings.tile // 2
    if not found:
        raise UsageError(f"no sample corpus in {folder}: correct --samples or FUSIONRS_SAMPLES, or leave them out")
    return found


def rendered(folder: Path) -> dict[str, dict[str, Any]]:
    """Render the procedural corpora, once, and say how they are read."""
    from fusionrs_builder.corpora import procedural_files

    return procedural_files.write(folder)


def write_config(workspace: Workspace, corpora: dict[str, dict[str, Any]]) -> None:
    """A fusionrs.toml of exactly these corpora; what other tables say stays. A demo is for one's own use: all pixels
    are in it.
    """
    kept = tomlkit.parse(workspace.read_bytes(config.CONFIG).decode()) if workspace.exists(config.CONFIG) else {}
    push = {"license_policy": "any", **kept.get("push", {})}
    curate = {"split": SPLIT, **kept.get("curate", {})}
    config.replace(workspace, {**kept, "corpora": corpora, "curate": curate, "push": push})
