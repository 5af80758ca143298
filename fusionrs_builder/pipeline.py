"""The Python API: every command of the CLI as a function over a workspace.

    from fusionrs_builder.pipeline import Workspace, caption, curate, download, push, translate

    ws = Workspace.open("my-dataset", create=True)
    download(ws, "naip", from_="/data/naip", format="geotiff", bands="red=1,green=2,blue=3,nir=4", license="CC0-1.0")
    translate(ws, translator="nir-small")
    caption(ws)
    curate(ws)
    push(ws)

Flags given here are checked, written to fusionrs.toml, and so hold for the next run too.
"""

import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fusionrs_builder import config
from fusionrs_builder.corpora import auto, published, registry
from fusionrs_builder.corpora.stage import DownloadStage
from fusionrs_builder.engines.runner import Run, Summary, count, limited, run_stage
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.settings import CorpusSettings, Settings, check_name
from fusionrs_builder.shards import corpus_of
from fusionrs_builder.stage import Stage, Task, is_done
from fusionrs_builder.workspace import Workspace

if TYPE_CHECKING:
    from fusionrs_builder.caption.chat.estimate import Estimate

__all__ = ["Run", "Summary", "Workspace", "caption", "curate", "download", "push", "run_all", "status", "translate"]

ORDER = ("download", "translate", "caption", "curate", "push")
"""The stages, in the order of the build."""


def download(workspace: Workspace, *names: str, from_: str | None = None, run: Run = Run(), **flags: Any) -> Summary:
    """Fetch corpora, and harmonise them into the rgb layer. `run.limit` takes the first N items of each corpus.

    A corpus of the registry is fetched into `raw/` unless `from_` names a copy.

    Args:
        workspace: where to.
        names: corpora; none means every corpus of fusionrs.toml.
        from_: folder of the corpus as published (with one name).
        run: how to run.
        flags: keys of `settings.CorpusSettings` (with one name).

    Raises:
        UsageError: a corpus nobody knows, one that a person must fetch, or a setting that is wrong.
        FusionError: a file that cannot be had, too many refused, a corpus of zero records, a full disk, another build
            in the workspace.
    """
    given = {"from": None if from_ is None else os.path.abspath(os.path.expanduser(from_)), **flags}
    if any(value is not None for value in given.values()) and len(names) != 1:
        raise UsageError("give exactly one corpus name with --from and other settings of a corpus: --name NAME")
    settings = config.load(workspace)
    _check_names(names, settings, from_)
    if len(names) == 1:
        settings = config.update(workspace, ("corpora", names[0]), given, save=False)
    else:
        new = {name: CorpusSettings() for name in names if name not in settings.corpora}
        settings = settings.model_copy(update={"corpora": {**settings.corpora, **new}})
    keys: dict[str, dict[str, Any]] = dict.fromkeys(names, given)
    settings, notes = auto.settle(workspace, settings, names or tuple(settings.corpora), keys)
    found = {name: registry.resolve(name, settings.corpora[name]) for name in names or settings.corpora}
    wanted = {name: each for name, each in found.items() if published.is_fetched(name, each)}
    if run.dry_run and wanted:
        notes += [published.planned(name, each) for name, each in wanted.items()]
        return Summary("download", workspace.url, dry_run=True, notes=notes, path="all, once the above is fetched")
    for name, each in wanted.items():
        notes += published.get(workspace, name, each)
    stage = stage_of(workspace, "download", settings, names, run.limit)
    assert isinstance(stage, DownloadStage)
    stage.params()
    tasks = stage.tasks(workspace)  # what cannot be listed must not be remembered
    if run.limit is not None:
        _check_trial(workspace, stage, tasks)
    if keys and not run.dry_run:
        with workspace.lock("download"):
            for name, values in keys.items():
                config.update(workspace, ("corpora", name), values)
    summary = _run(workspace, stage, replace(run, limit=None), settings)  # it bounds items here, shards later
    summary.notes = (
        notes
        + stage.said()
        + _examples(workspace, tasks)
        + ([] if run.limit else published.unlike_the_registry(tasks, found))
    )
    if not run.dry_run and not names:
        summary.removed += _remove_corpora_but(workspace, settings.corpora)
    return summary


def _examples(workspace: Workspace, tasks: Sequence[Task]) -> list[str]:
    """For each corpus and reason one of the items that were refused for it."""
    found: dict[tuple[str, str], str] = {}
    for shard in (task.shard for task in tasks):
        footer = workspace.footer("rgb", shard)
        if footer and any((corpus_of(shard), reason) not in found for reason in footer.refused):
            for row in workspace.rows("rejects", shard, ["key", "reason", "message"]):
                key, message = row["key"], row["message"]
                text = message if message.startswith(key) else f"{key}: {message}"
                found.setdefault((corpus_of(shard), row["reason"]), text)
    return [f"{corpus}: {reason}, for one {text}" for (corpus, reason), text in sorted(found.items())]


def _check_names(names: Sequence[str], settings: Settings, from_: str | None) -> None:
    """Raises UsageError for a corpus nobody knows."""
    for name in names:
        try:
            check_name(name)
        except ValueError as error:
            raise UsageError(str(error)) from None
        if name not in settings.corpora and registry.entry(name) is None and from_ is None:
            raise UsageError(
                f"unknown corpus {name}: pass --from PATH --format FORMAT --license SPDX, "
                f"or name one of {', '.join(registry.names())}"
            )
    if not names and not settings.corpora:
        raise UsageError("no corpus yet: pass --from PATH --name NAME --format FORMAT --license SPDX")


def translate(workspace: Workspace, *, run: Run = Run(), batch_size: int | None = None, **flags: Any) -> Summary:
    """Give every record its infrared view: the measured one, or one drawn by a translator.

    Args:
        workspace: where.
        run: how to run.
        batch_size: images the network sees at once; chosen when None. Changes no pixel on a CPU.
        flags: keys of `settings.TranslateSettings`.
    """
    spec = flags.get("translator")
    if spec and Path(spec).exists():
        flags["translator"] = str(Path(spec).resolve())  # it must be found from any folder
    settings, stage = _configured(workspace, "translate", flags, run)
    if batch_size:
        stage.batch_size = batch_size  # type: ignore[attr-defined]
    return _run(workspace, stage, run, settings)


def caption(workspace: Workspace, *, run: Run = Run(), **flags: Any) -> Summary:
    """Write scene and infrared captions. `flags`: keys of `settings.CaptionSettings`.

    Raises:
        UsageError: several processes would ask a model the same.
    """
    asks = config.update(workspace, ("caption",), flags, save=False).caption.captioner == "chat"
    if asks and (run.engine != "local" or (run.workers or 1) > 1):
        raise UsageError(
            "the chat captioner is one process, which asks many questions at once: leave --workers and --engine out, "
            "and give --concurrency"
        )
    settings, stage = _configured(workspace, "caption", flags, run)
    if not asks or run.dry_run:
        return _run(workspace, stage, run, settings)
    from fusionrs_builder.caption import report
    from fusionrs_builder.caption.chat import ahead

    _check_above(workspace, stage, settings)  # before anything is paid for
    run = replace(run, workers=1)  # on several devices, too
    before = ahead.spent(workspace)
    ahead.answer(workspace, settings.caption, _pending(workspace, stage, run), run.device)
    summary = _run(workspace, stage, run, settings)
    summary.notes += ahead.told(workspace, settings.caption, before)
    if not summary.waiting:
        summary.problems += report.alike(workspace)
    return summary


def caption_estimate(workspace: Workspace, *, run: Run = Run(), **flags: Any) -> "Estimate":
    """Ask about a few records, and reckon what all that want captions would take. Keeps the flags, makes no shard.

    Raises:
        FusionError: the grounded captioner costs nothing; nothing to caption; or as asking does.
    """
    from fusionrs_builder.caption.chat.estimate import estimate

    settings, stage = _configured(workspace, "caption", flags, run)
    if run.dry_run:
        raise UsageError("--estimate asks a model, and pays for it: leave --dry-run out")
    if settings.caption.captioner != "chat" or settings.caption.offline:
        raise UsageError("only answers of a server have a price: give --captioner chat, without --offline")
    from fusionrs_builder.caption.chat.ahead import check_jobs

    _check_above(workspace, stage, settings)
    check_jobs(workspace)
    with workspace.lock("caption --estimate"):
        return estimate(workspace, settings.caption, _pending(workspace, stage, run), settings.build.seed)


def _pending(workspace: Workspace, stage: Stage, run: Run) -> list[Task]:
    return limited([task for task in stage.tasks(workspace) if not is_done(workspace, stage, task)], run.limit)


def curate(workspace: Workspace, *, run: Run = Run(), **flags: Any) -> Summary:
    """Group records that resemble each other, and split the groups. `flags`: keys of `settings.CurateSettings`."""
    from fusionrs_builder.curate import leakage

    settings, stage = _configured(workspace, "curate", flags, run)
    summary = _run(workspace, stage, run, settings)
    if not run.dry_run and not summary.waiting:
        summary.notes += leakage.lines(workspace)
    return summary


def push(
    workspace: Workspace,
    *,
    to: str | os.PathLike[str] | None = None,
    format: Literal["parquet", "webdataset", "folder"] = "parquet",
    repo_id: str | None = None,
    tag: str | None = None,
    public: bool = False,
    run: Run = Run(),
    say: Callable[[str], None] = lambda line: None,
    **flags: Any,
) -> Summary:
    """Write the release, and publish it where asked.

    Args:
        workspace: where.
        to: folder that becomes a copy of the release, a path or `s3://BUCKET/FOLDER`; None leaves it in `release/`.
        format: of the copy: Parquet files, webdataset tars, or a folder of images and a table.
        repo_id: `ORG/NAME` of a data set of the Hugging Face Hub, made private where it is not there.
        tag: to give the commit on the Hub.
        public: open the repository once all is there.
        run: how to run.
        say: is told of each step on the Hub.
        flags: keys of `settings.PushSettings`.
    """
    from fusionrs_builder.release import publish
    from fusionrs_builder.release.licences import withheld
    from fusionrs_builder.release.stage import ReleaseStage

    target = publish.Target(None if to is None else os.fspath(to), format, repo_id, tag, public)
    target.check(workspace, config.update(workspace, ("push",), flags, save=False).push.license_policy)
    settings, stage = _configured(workspace, "push", flags, run)
    assert isinstance(stage, ReleaseStage)
    _check_terms(workspace, settings)
    summary = _run(workspace, stage, run, settings)
    name, policy = settings.push.name, settings.push.license_policy
    summary.path = workspace.path("release", name)
    if run.dry_run:
        summary.notes += publish.plan(workspace, name, target, is_current=not summary.waiting)
    elif not summary.waiting:
        without = withheld(workspace, stage.writes, workspace.shards(stage.writes))
        if without:
            summary.notes.append(publish.told_withheld(without, policy))
        if target.to is None and target.repo_id is None:
            return summary
        with workspace.lock("push"):
            if not stage.is_current(workspace):
                raise FusionError(f"{summary.path} was changed before it was published: run the same command again")
            stage.verify(workspace)
            summary.notes += publish.publish(workspace, name, target, policy, say)
        summary.path = target.to or summary.path
    return summary


def _check_terms(workspace: Workspace, settings: Settings) -> None:
    """Raises FusionError where a corpus has other terms by now than its records were made with."""
    made = workspace.read_json("fusionrs.lock", {}).get("corpora", {})
    for name in settings.corpora:
        now = registry.resolve(name, settings.corpora[name])
        for key in ("license", "license_url", "attribution", "redistributable"):
            if name in made and key in made[name] and made[name][key] != getattr(now, key):
                raise FusionError(
                    f"`{key}` of [corpora.{name}] is another than the records were made with: run "
                    "`fusionrs-build run`, so that every record says so"
                )


def run_all(workspace: Workspace, run: Run = Run()) -> list[Summary]:
    """Every stage of fusionrs.toml in order; stops at the first that fails."""
    steps = (download, translate, caption, curate, push)
    summaries: list[Summary] = []
    for step in steps:
        try:
            summary = step(workspace, run=run)
        except FusionError:
            if not (run.dry_run and summaries):
                raise
            summary = Summary(ORDER[len(summaries)], workspace.url, dry_run=True, path="all, once the above is made")
        summaries.append(summary)
        if summary.problems or (summary.waiting and not run.dry_run):
            break
    return summaries


def status(workspace: Workspace) -> dict[str, Any]:
    """What stands and what would run next, without doing anything.

    Returns:
        `layers`: for each stage: shards done and waiting, items, good, refused by reason; `next`: the next command.
    """
    settings = config.load(workspace)
    layers: dict[str, Any] = {}
    following: str | None = None
    for command in ORDER:
        stage = stage_of(workspace, command, settings)
        state: dict[str, Any] = {"layer": stage.writes, "done": 0, "waiting": 0, "because": None}
        try:
            tasks = stage.tasks(workspace)
            done = [task for task in tasks if is_done(workspace, stage, task)]
            state |= {"done": len(done), "waiting": len(tasks) - len(done)}
            if not tasks:
                state["because"] = "nothing to work on yet"
            elif not state["waiting"] and not stage.is_current(workspace):
                state["because"] = "its card or report is not of these shards"
        except FusionError as error:
            state |= {"because": str(error), "done": len(workspace.footers(stage.writes))}
        if following is None and (state["waiting"] or state["because"]):
            following = f"fusionrs-build {command}"
        footers = workspace.footers(stage.writes).values()
        layers[command] = state | count(footers)
    if not settings.corpora:
        following = "fusionrs-build download --from PATH --name NAME --format FORMAT --license SPDX"
    return {"workspace": workspace.url, "layers": layers, "next": following and _in(workspace, following)}


def stage_of(
    workspace: Workspace,
    command: str,
    settings: Settings,
    names: Sequence[str] = (),
    limit: int | None = None,
) -> Stage:
    """The stage a command runs, as fusionrs.toml has it."""
    if command == "download":
        chosen = {name: registry.resolve(name, settings.corpora[name]) for name in names or settings.corpora}
        placed = {name: published.located(workspace, name, each) for name, each in chosen.items()}
        return DownloadStage(placed, settings.build, limit)
    if command == "translate":
        from fusionrs_builder.translate.stage import TranslateStage

        return TranslateStage(settings.translate)
    if command == "caption":
        from fusionrs_builder.caption.stage import CaptionStage

        return CaptionStage(settings.caption, seed=settings.build.seed)
    if command == "curate":
        from fusionrs_builder.curate.stage import CurateStage

        return CurateStage(settings.curate, seed=settings.build.seed)
    from fusionrs_builder.release.stage import ReleaseStage

    return ReleaseStage(settings.push)


def _configured(workspace: Workspace, command: str, flags: dict[str, Any], run: Run) -> tuple[Settings, Stage]:
    """The settings with the flags in them, kept in fusionrs.toml once the stage they make is known to be sound."""
    settings = config.update(workspace, (command,), flags, save=False)
    stage = stage_of(workspace, command, settings)
    stage.params()
    stage.check(workspace)
    if not run.dry_run and any(value is not None for value in flags.values()):
        with workspace.lock(command):  # not while another build reads it
            config.update(workspace, (command,), flags)
    return settings, stage


def _check_trial(workspace: Workspace, stage: Stage, tasks: Sequence[Task]) -> None:
    """A trial with `limit` must not throw away what was made without it.

    Raises:
        UsageError: it would.
    """
    wanted = {task.shard: task.items for task in tasks}
    larger = [
        name
        for name, footer in workspace.footers("rgb").items()
        if stage.owns(name) and footer.items > wanted.get(name, 0)
    ]
    if larger:
        raise UsageError(
            f"--limit would throw away {len(larger)} finished shards of {workspace.url}: try it in another one, -w DIR"
        )


def _run(workspace: Workspace, stage: Stage, run: Run, settings: Settings) -> Summary:
    """Run a stage, and say what comes next.

    Raises:
        FusionError: as `run_stage`; or a stage before it is not through, so that a release would mix old and new.
    """
    _check_above(workspace, stage, settings)
    summary = run_stage(workspace, stage, run, settings.build.max_reject_rate)
    after = ORDER.index(stage.name) + 1
    if not summary.problems and not run.dry_run and (summary.waiting or after < len(ORDER)):
        following = stage.name if summary.waiting else ORDER[after]
        summary.next = _in(workspace, f"fusionrs-build {following}")
    return summary


def _check_above(workspace: Workspace, stage: Stage, settings: Settings) -> None:
    """Raises FusionError where a stage before this one is not through."""
    for command in ORDER[1 : ORDER.index(stage.name)]:
        above = stage_of(workspace, command, settings)
        waiting = sum(not is_done(workspace, above, task) for task in above.tasks(workspace))
        if waiting:
            raise FusionError(
                f"{waiting} shards of {above.writes}/ are out of date: run `fusionrs-build {command}` first"
            )


def _remove_corpora_but(workspace: Workspace, corpora: Iterable[str]) -> int:
    """Remove the shards of corpora that fusionrs.toml no longer names."""
    kept = set(corpora)
    with workspace.lock("download"):
        dropped = [shard for shard in workspace.shards("rgb") if corpus_of(shard) not in kept]
        for shard in dropped:
            workspace.remove("rejects", shard)
            workspace.remove("rgb", shard)
    return len(dropped)


def _in(workspace: Workspace, command: str) -> str:
    """A command as it must be typed here."""
    return command if workspace.url == "." else f"{command} -w {shlex.quote(workspace.url)}"
