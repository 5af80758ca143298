"""The `push` stage: kept rows of the aligned layers to the files that `load_dataset` reads, and what tells of them."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from fusionrs_builder import schema
from fusionrs_builder.errors import FusionError
from fusionrs_builder.files import TEMPORARY
from fusionrs_builder.release import export, recipe, sums
from fusionrs_builder.release.documents import card, describe, examples
from fusionrs_builder.release.layout import FOLDERS
from fusionrs_builder.release.plan import plan
from fusionrs_builder.settings import PushSettings
from fusionrs_builder.shards import corpus_of
from fusionrs_builder.stage import Stage, Task, Worker, digest, is_done
from fusionrs_builder.workspace import Workspace


class ReleaseStage(Stage):
    """Write `release/<name>`: one task a Parquet file, then `finish` for what depends on all of them.

    The card, README.md, is taken away before the first file changes and written last: a release folder that has one
    is whole.

    Args:
        settings: of the release.
    """

    name = "push"
    version = 3
    reads = schema.LAYERS

    def __init__(self, settings: PushSettings) -> None:
        self.settings = settings
        self.folder = f"release/{settings.name}"
        self.writes = f"{self.folder}/{FOLDERS['default']}"
        self.text = f"{self.folder}/{FOLDERS['text']}"

    def params(self) -> Mapping[str, Any]:
        return {
            "columns": digest(schema.arrow_schema("release").to_string()),
            "license_policy": self.settings.license_policy,
        }

    def tasks(self, workspace: Workspace) -> list[Task]:
        """The files that should stand, each with what it is to hold.

        Raises:
            FusionError: as `Stage.tasks`; the splits are of two runs of `curate`; no record was kept; or a corpus that
                is to have a configuration of its own has the name of another.
        """
        inputs = {task.shard: dict(task.inputs) for task in super().tasks(workspace)}
        curation = workspace.footers("curation")
        # Curation is decided over all shards at once: one fingerprint, unless its last run was cut short.
        if set(curation) != set(inputs) or len({footer.fingerprint for footer in curation.values()}) > 1:
            raise FusionError("curation/ is out of date: run `fusionrs-build curate` first")
        files = plan(workspace, inputs, self.settings.file_mb, self.settings.by_corpus)
        if not files:
            raise FusionError(_nothing_kept(workspace))
        if taken := {file.corpus for file in files} & set(FOLDERS):
            raise FusionError(
                f"a corpus named {taken.pop()} cannot have a configuration of its own, for every release has one of "
                "that name: leave --by-corpus out, or download the corpus by another name"
            )
        return [
            Task(
                file.name,
                self.fingerprint(split=file.split, parts=[[part.shard, part.inputs] for part in file.parts]),
                file.rows,
                payload=file,
            )
            for file in files
        ]

    def prepare(self, workspace: Workspace, pending: Sequence[Task]) -> list[Task]:
        """Check the licences, and take the card away.

        Raises:
            FusionError: a kept record has no licence; nothing was touched.
        """
        check_licences(workspace, workspace.shards("curation"))
        if workspace.exists(f"{self.folder}/{card.NAME}"):
            workspace.fs.rm_file(workspace.path(self.folder, card.NAME))
        return list(pending)

    def open(self, device: str) -> Worker:
        return functools.partial(_rows, self.settings)

    def writer(self, workspace: Workspace, task: Task) -> export.ReleaseWriter:
        return export.ReleaseWriter(workspace, self.folder, task.shard)

    def finish(self, workspace: Workspace) -> bool:
        """Remove files of an earlier plan, then write what tells of the release if it is not current, the card last.

        Raises:
            FusionError: a file of the release is not done.
        """
        tasks = self.tasks(workspace)
        missing = [task.shard for task in tasks if not is_done(workspace, self, task)]
        if missing:
            raise FusionError(f"{self.writes}/{missing[0]}.parquet is not written yet: run `fusionrs-build push`")
        for task in tasks:
            if not self._has_text(workspace, task):
                workspace.remove(self.writes, task.shard)  # both are made again
                raise FusionError(
                    f"{self.text}/{task.shard}.parquet is gone, or of another run: run `fusionrs-build push` again"
                )
        stale = self._stale(workspace, tasks)
        for path in stale:
            workspace.fs.rm_file(path)
        found = self._recipe(workspace, tasks)
        wanted = _card_fingerprint(found, tasks)
        if card.fingerprint_of(workspace, self.folder) == wanted:
            return bool(stale)
        describe.describe(workspace, self.folder, found, [task.shard for task in tasks], wanted)
        return True

    def verify(self, workspace: Workspace) -> None:
        """Look whether the release is what SHA256SUMS says. What is not is removed, to be made again.

        Raises:
            FusionError: it is not.
        """
        try:
            wrong = sums.differing(workspace, self.folder)
        except FusionError:
            wrong = [sums.NAME]
        if not wrong:
            return
        workspace.fs.rm_file(workspace.path(self.folder, card.NAME))
        for path in wrong:
            folder, _, name = path.partition("/")
            for place in FOLDERS.values() if folder in FOLDERS.values() else ():
                workspace.remove(f"{self.folder}/{place}", name.removesuffix(".parquet"))
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise FusionError(
            f"{workspace.path(self.folder, wrong[0])}{more} was changed, damaged or removed after the release was "
            "written, so nothing was published: run the same command again, which makes it anew"
        )

    def is_current(self, workspace: Workspace) -> bool:
        """Whether the release is whole and what would be written now. Nothing is changed.

        Raises:
            FusionError: as `tasks`.
        """
        tasks = self.tasks(workspace)
        return (
            all(is_done(workspace, self, task) and self._has_text(workspace, task) for task in tasks)
            and not self._stale(workspace, tasks)
            and card.fingerprint_of(workspace, self.folder) == _card_fingerprint(self._recipe(workspace, tasks), tasks)
        )

    def _has_text(self, workspace: Workspace, task: Task) -> bool:
        """Whether the file of `text/` is of the same rows as that of `data/`."""
        footer = workspace.footer(self.text, task.shard)
        return footer is not None and footer.fingerprint == task.fingerprint

    def _stale(self, workspace: Workspace, tasks: Sequence[Task]) -> list[str]:
        """Files of an earlier plan and leavings of a killed run."""
        wanted = {f"{task.shard}.parquet" for task in tasks}
        found = []
        beside = (f"{self.folder}/{name}" for name in (examples.FOLDER, recipe.FOLDER))
        for folder in (self.folder, self.writes, self.text, *beside):
            place = workspace.path(folder)
            for path in workspace.fs.ls(place, detail=False) if workspace.fs.isdir(place) else []:
                name = str(path).rsplit("/", 1)[-1]
                data = folder in (self.writes, self.text) and name.endswith(".parquet") and name not in wanted
                if data or name.startswith(TEMPORARY):
                    found.append(str(path))
        return sorted(found)

    def _recipe(self, workspace: Workspace, tasks: Sequence[Task]) -> recipe.Recipe:
        corpora = sorted({corpus_of(part.shard) for task in tasks for part in task.payload.parts})
        return recipe.of(workspace, self.settings, corpora)


def _card_fingerprint(found: recipe.Recipe, tasks: Sequence[Task]) -> str:
    """Of all that tells of a release."""
    files = [[task.shard, task.fingerprint] for task in tasks]
    return digest({"version": describe.version(), "recipe": found.texts(), "files": files})


def _rows(settings: PushSettings, workspace: Workspace, task: Task) -> Iterator[pa.RecordBatch]:
    return export.rows(workspace, task.payload, settings.license_policy)


def check_licences(workspace: Workspace, shards: Sequence[str]) -> None:
    """Refuse to publish what nobody said may be published.

    Raises:
        FusionError: a kept record has no licence; the message names the corpora and the key that gives one.
    """
    without: dict[str, int] = {}
    for shard in shards:
        for row in workspace.zip(shard, {"rgb": ["corpus", "license"], "curation": ["keep"]}):
            if row["keep"] and not (row["license"] or "").strip():
                without[row["corpus"]] = without.get(row["corpus"], 0) + 1
    if without:
        corpora = ", ".join(f"{corpus} ({count} records)" for corpus, count in sorted(without.items()))
        keys = ", ".join(f"`license` in [corpora.{corpus}]" for corpus in sorted(without))
        raise FusionError(
            f"no licence is known for {corpora}, so nothing was written: set {keys} of fusionrs.toml (an SPDX name or "
            "the publisher's words), then `fusionrs-build run`"
        )


def _nothing_kept(workspace: Workspace) -> str:
    refused: dict[str, int] = {}
    for footer in workspace.footers("curation").values():
        for reason, count in footer.refused.items():
            refused[reason] = refused.get(reason, 0) + count
    if not refused:
        return "there are no records to release: run `fusionrs-build download` first"
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(refused.items()))
    return (
        f"curation kept none of {sum(refused.values())} records ({reasons}), so there is nothing to release: "
        "see the column `reason` of ir/, captions/ and curation/, mend the cause, then `fusionrs-build run`"
    )
